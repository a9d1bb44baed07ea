"""Semilinear equations by full-history multilevel Picard iterations, on balls and in time."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from pdezoo import PDE
from solvers import BadHyperparameter, Solver, on_device, register
from solvers.montecarlo.backward import Process
from solvers.montecarlo.equations import NoExpectation, evolution, semilinear, steady
from solvers.montecarlo.paths import Paths
from solvers.montecarlo.pointwise import PointwiseSolver
from solvers.montecarlo.samplers import FixedPoint, InTime, InTimeWithGradient, MultilevelPicard, OnBall


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
        elif not _is_without_gradients(pde):
            _require_weights(pde)

    def sampler(self, pde: PDE) -> MultilevelPicard:
        """Makes what draws values of U_n."""
        return MultilevelPicard(_fixed_point(pde), self.levels, self.basis, self.bound)


def _fixed_point(pde: PDE) -> FixedPoint:
    problem = on_device(pde)
    if pde.domain.horizon is None:
        return OnBall(problem, steady(pde))
    if _is_without_gradients(pde):
        return InTime(Paths(problem, evolution(pde)))
    return InTimeWithGradient(Process.of(problem))


def _is_without_gradients(pde: PDE) -> bool:
    """Whether what is left beside a process that is drawn exactly is a function of u alone."""
    try:
        return not evolution(pde).square_gradient
    except NoExpectation:
        return False


def _require_weights(pde: PDE) -> None:
    """Raises NoExpectation where a gradient has no weights here: for other processes than X = x + b s + √(2D s) ξ, D > 0."""
    found = semilinear(pde)
    if not found.homogeneous:
        raise NoExpectation(
            "f has a gradient, whose weights are known here for constant diffusions and drifts"
        )
    problem = pde.lower()
    if not jnp.all(Process(problem, found).variance(problem.sample(jax.random.key(0), 1)) > 0):
        raise NoExpectation("f has a gradient, and there is no diffusion along some axis to weigh it by")


@register("multilevel-picard")
def multilevel_picard() -> Solver:
    """Full-history multilevel Picard iterations, two levels; no training."""
    return MultilevelPicardSolver("multilevel-picard")
