"""Semilinear equations by full-history multilevel Picard iterations, on balls and in time."""

from __future__ import annotations

from dataclasses import dataclass

from pdezoo import PDE
from solvers import BadHyperparameter, Solver, on_device, register
from solvers.montecarlo.equations import NoExpectation, evolution, steady
from solvers.montecarlo.paths import Paths
from solvers.montecarlo.pointwise import PointwiseSolver
from solvers.montecarlo.samplers import FixedPoint, InTime, MultilevelPicard, OnBall


@dataclass(frozen=True)
class MultilevelPicardSolver(PointwiseSolver):
    """U_n of E, Hutzenthaler, Jentzen and Kruse 2019: n `levels`, `basis` samples M, values cut off at ±`bound`.

    The iteration converges where the time to the boundary, (R² − |x|²)/2d on a ball, times the slope of f is below 1. A draw costs
    M^n and more evaluations; its mean has a bias that steps do not lower and the estimated error does not see: levels and
    basis do.
    """

    levels: int = 2
    basis: int = 4
    bound: float = 10.0

    def __post_init__(self) -> None:
        if self.levels < 1 or self.basis < 1 or not self.bound > 0:
            raise BadHyperparameter(
                f"levels and basis are at least 1 and bound is positive, got {self.levels}, {self.basis} and {self.bound}"
            )

    def require(self, pde: PDE) -> None:
        """Raises NoExpectation where the equation is neither semilinear on a ball nor semilinear in time."""
        if pde.domain.horizon is None:
            if steady(pde).linear:
                raise NoExpectation(
                    "there is nothing to iterate, since u occurs in Δu alone: see green-monte-carlo"
                )
        elif evolution(pde).square_gradient:
            raise NoExpectation(
                "the operator has |∇u|², and gradients are not iterated here: see feynman-kac"
            )

    def sampler(self, pde: PDE) -> MultilevelPicard:
        """Makes what draws values of U_n."""
        return MultilevelPicard(_fixed_point(pde), self.levels, self.basis, self.bound)


def _fixed_point(pde: PDE) -> FixedPoint:
    problem = on_device(pde)
    if pde.domain.horizon is None:
        return OnBall(problem, steady(pde))
    return InTime(Paths(problem, evolution(pde)))


@register("multilevel-picard")
def multilevel_picard() -> Solver:
    """Full-history multilevel Picard iterations, two levels; no training."""
    return MultilevelPicardSolver("multilevel-picard")
