"""Rows of derivatives by values alone, trained with Adam."""

from __future__ import annotations

from solvers import NeuralSolver, Solver, register
from solvers.estimators.stencils import FiniteDifference, SteinMC, SteinSparseGrid


@register("finite-difference")
def finite_difference() -> Solver:
    """Central differences of step 0.01 along all inputs; Adam."""
    return NeuralSolver("finite-difference", FiniteDifference())


@register("stein-mc")
def stein_mc() -> Solver:
    """Stein's identity by Monte Carlo, 1,024 pairs, smoothing in time as well; Adam. He et al. 2023."""
    return NeuralSolver("stein-mc", SteinMC())


@register("stein-sparse-grid")
def stein_sparse_grid() -> Solver:
    """Stein's identity on a level-3 Smolyak Gauss-Hermite grid; Adam. Zhao et al. 2023."""
    return NeuralSolver("stein-sparse-grid", SteinSparseGrid())
