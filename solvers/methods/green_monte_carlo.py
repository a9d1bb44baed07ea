"""Equations on balls by Green's function: Poisson's without any training, others around a trained row."""

from __future__ import annotations

from dataclasses import dataclass

from pdezoo import PDE
from solvers import Field, NeuralSolver, Sampler, Solver, make, on_device, register
from solvers.montecarlo.equations import NoExpectation, steady
from solvers.montecarlo.pointwise import PointwiseSolver, Prepared
from solvers.montecarlo.samplers import FixedPointSampler, OnBall, ResidualSampler


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


@dataclass(frozen=True)
class GreenControlVariate(PointwiseSolver):
    """u_θ + ∫ G(x, y) (N[u_θ] − g)(y) dy: a trained row, and Monte Carlo of its residual.

    The row `base` is trained for `training` steps, in at most half of a budget of seconds. Δu_θ is estimated as the row does,
    without bias, so that the sum has no bias where the equation is linear, however little was learned; else it is one Picard
    iteration.
    """

    base: str = "hte"
    training: int = 1_000

    def require(self, pde: PDE) -> None:
        """Raises NoExpectation where the equation is not one of a ball, or the base is no trained row without bias on it."""
        steady(pde)
        base = make(self.base)
        if not isinstance(base, NeuralSolver) or not base.estimator.unbiased:
            raise NoExpectation(f"{self.base} has no network whose derivatives it estimates without bias")
        if reason := base.unsupported(pde):
            raise NoExpectation(f"{self.base}: {reason}")

    def sampler(self, pde: PDE) -> Sampler:
        """Makes what draws values around the untrained network."""
        return self.prepare(pde, 0, 1, 0.0).sampler

    def prepare(self, pde: PDE, seed: int, batch: int, seconds: float | None) -> Prepared:
        """Trains the base."""
        base, half = make(self.base), None if seconds is None else seconds / 2
        assert isinstance(base, NeuralSolver)  # `require` gave the reason
        trained = base.fit(pde, steps=self.training, seed=seed, batch=batch, progress=None, seconds=half)
        problem = on_device(pde)
        field = Field(problem, trained.params, base.network)
        sampler = ResidualSampler(OnBall(problem, steady(pde)), field, base.estimator)
        return Prepared(sampler, trained.seconds, trained.processor_seconds or 0.0, trained.compile_seconds)


@register("green-control-variate")
def green_control_variate() -> Solver:
    """A trained row, `hte`, and Monte Carlo of its residual by Green's function: without bias."""
    return GreenControlVariate("green-control-variate")
