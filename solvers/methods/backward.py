"""Networks that are trained along paths, by the backward stochastic differential equation of a semilinear problem."""

from solvers import FBSNN, DeepBSDE, NeuralSolver, Solver, register


@register("deep-bsde")
def deep_bsde() -> Solver:
    """Deep BSDE: the defect at the end of paths that begin with u_θ; Adam."""
    return NeuralSolver("deep-bsde", DeepBSDE())


@register("fbsnn")
def fbsnn() -> Solver:
    """Forward-backward stochastic network: the defects of all steps of paths; Adam."""
    return NeuralSolver("fbsnn", FBSNN())
