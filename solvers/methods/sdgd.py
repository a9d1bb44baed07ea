"""Rows of SDGD (Hu et al. 2024), in three arrangements of the derivatives."""

from __future__ import annotations

from solvers import NeuralSolver, Solver, register
from solvers.estimators.sdgd import SDGDBackward, SDGDForwardOverBackward, SDGDParallel


@register("sdgd-backward")
def sdgd_backward() -> Solver:
    """SDGD, reverse over reverse, one axis after the other; Adam. Hu et al. 2024."""
    return NeuralSolver("sdgd-backward", SDGDBackward())


@register("sdgd-parallel")
def sdgd_parallel() -> Solver:
    """SDGD, reverse over reverse, vmapped over the axes; Adam. Hu et al. 2024."""
    return NeuralSolver("sdgd-parallel", SDGDParallel())


@register("sdgd-forward-over-backward")
def sdgd_forward_over_backward() -> Solver:
    """SDGD, forward over reverse, vmapped over the axes; Adam. Hu et al. 2024."""
    return NeuralSolver("sdgd-forward-over-backward", SDGDForwardOverBackward())
