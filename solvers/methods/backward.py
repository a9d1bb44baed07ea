"""Networks that are trained along paths, by the backward stochastic differential equation of a semilinear problem."""

from solvers import (
    DBDP,
    FBSNN,
    DeepBSDE,
    DeepSplitting,
    DoubleSampledLoss,
    NeuralSolver,
    Solver,
    StagewiseSolver,
    StepDefect,
    register,
)


@register("deep-bsde")
def deep_bsde() -> Solver:
    """Deep BSDE: the defect at the end of paths that begin with u_θ; Adam."""
    return NeuralSolver("deep-bsde", DeepBSDE())


@register("fbsnn")
def fbsnn() -> Solver:
    """Forward-backward stochastic network: the defects of all steps of paths; Adam."""
    return NeuralSolver("fbsnn", FBSNN())


@register("fbsnn-unbiased")
def fbsnn_unbiased() -> Solver:
    """Products of two independent defects of a step from each point: no bias of `fbsnn`; Adam."""
    return NeuralSolver("fbsnn-unbiased", StepDefect(intervals=100), loss=DoubleSampledLoss())


@register("deep-splitting")
def deep_splitting() -> Solver:
    """Deep splitting: a network for every interval, trained against the next one after a step; Adam."""
    return StagewiseSolver("deep-splitting", DeepSplitting())


@register("dbdp")
def dbdp() -> Solver:
    """DBDP2: a network for every interval, whose gradient is Z, by the defect of a step; Adam."""
    return StagewiseSolver("dbdp", DBDP())
