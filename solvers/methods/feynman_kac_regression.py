"""Networks that are fitted to random labels: no derivative of the network in the loss."""

from __future__ import annotations

from solvers import (
    Adam,
    ForwardGradient,
    GatedLocalMLP,
    MonteCarloLabels,
    NeuralSolver,
    ReadoutStart,
    Solver,
    register,
)


@register("feynman-kac-regression")
def feynman_kac_regression() -> Solver:
    """A network fitted to values drawn by Green's function or along paths; Adam. Beck et al. 2018."""
    return NeuralSolver("feynman-kac-regression", MonteCarloLabels())


@register("feynman-kac-regression-lsq")
def feynman_kac_regression_lsq() -> Solver:
    """The same from a read-out fitted to 4,000 labels by least squares."""
    return NeuralSolver("feynman-kac-regression-lsq", MonteCarloLabels(), start=ReadoutStart(points=4_000))


@register("feynman-kac-regression-forward")
def feynman_kac_regression_forward() -> Solver:
    """The same by forward mode alone: Adam on directional derivatives along random directions."""
    return NeuralSolver("feynman-kac-regression-forward", MonteCarloLabels(), ForwardGradient())


@register("local-regression")
def local_regression() -> Solver:
    """Monte Carlo labels, fitted by a sum of one map of three neighbouring coordinates; Adam."""
    return NeuralSolver("local-regression", MonteCarloLabels(), Adam(learning_rate=1e-2), GatedLocalMLP())
