"""Poisson's equation on balls as an expectation, without any training."""

from __future__ import annotations

from dataclasses import dataclass

from pdezoo import PDE
from solvers import Solver, on_device, register
from solvers.montecarlo.equations import NoExpectation, steady
from solvers.montecarlo.pointwise import PointwiseSolver
from solvers.montecarlo.samplers import FixedPointSampler, OnBall


@dataclass(frozen=True)
class GreenMonteCarlo(PointwiseSolver):
    """u(x) = −∫ G(x, y) g(y) dy for Δu = g on a ball, by uniform directions and radii: exact in the mean, error ∝ 1/√steps."""

    def require(self, pde: PDE) -> None:
        """Raises NoExpectation where the equation is not Δu = g on a ball with u = 0 on the sphere."""
        if not steady(pde).linear:
            raise NoExpectation("the operator has u itself, beside Δu: see multilevel-picard")

    def sampler(self, pde: PDE) -> FixedPointSampler:
        """Makes what draws values of −∫ G(x, y) g(y) dy."""
        return FixedPointSampler(OnBall(on_device(pde), steady(pde)))


@register("green-monte-carlo")
def green_monte_carlo() -> Solver:
    """Green's function of the ball by Monte Carlo; no training, an error of its own at every point."""
    return GreenMonteCarlo("green-monte-carlo")
