"""Regression on random labels: where u(x) is an expectation, a network is fitted to values drawn for it.

Averages give u at a point, and cost as much at the next one. A network that is fitted to draws at random points shares them among
all points: E (u_θ(x) − Y)² = E (u_θ(x) − u(x))² + E Var Y for labels Y of mean u(x), so that what fits best is nearest to u, and no
derivative of the network is needed (Beck, Becker, Grohs, Jaafari and Jentzen 2018, arXiv:1806.00421).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax
from jaxtyping import Array, Float, PRNGKeyArray

from pdezoo import PDE, Points, Problem

from ..derivatives.field import Field
from ..estimators.base import Atoms, Estimator, Values
from ..estimators.exact import Exact
from ..networks.base import Network
from .equations import Evolution, NoExpectation, Steady, evolution, steady
from .paths import Paths
from .samplers import FeynmanKac, FixedPointSampler, InTime, OnBall, PicardStep
from .sampling import Sampler


@dataclass(frozen=True)
class MonteCarloLabels(Estimator):
    """u_θ(x) − Y, with a label Y drawn at every point anew, by Green's function of the ball or along paths.

    Where the equation is linear, E Y = u(x), whatever u_θ is. Where it has f(u), E Y = A + K[f(u_θ) − g], the Picard iterate after
    u_θ, with values cut off at ±`bound`: a descent on (u_θ − Y)² with Y held follows the iterations, which converge where the mean
    time to the boundary times the slope of f is below 1 (deep Picard iteration, Han, Hu, Long and Zhao 2024). What Y is made of is
    no function of θ to a trainer. Atoms that are asked for by themselves are exact. Raises ValueError for a bound that is not
    positive.
    """

    unbiased: ClassVar[bool] = False

    bound: float = 10.0

    def __post_init__(self) -> None:
        if not self.bound > 0:
            raise ValueError(f"bound is where values are cut off, above 0, got {self.bound}")

    def __call__(self, field: Field, atoms: Atoms, points: Points, key: PRNGKeyArray) -> Values:
        """Computes every atom exactly, {atom: (B,)}: the labels do not ask for them."""
        return Exact()(field, atoms, points, key)

    def residual(self, field: Field, points: Points, key: PRNGKeyArray) -> Float[Array, "1 batch"]:
        """Draws a label for every point and returns u_θ(x) − Y, shape (1, B)."""
        sampler = self.sampler(field)
        label = sampler.solution(points, sampler.draw(points, key))
        return (field.value(points) - jax.lax.stop_gradient(label))[None]

    def sampler(self, field: Field) -> Sampler:
        """Makes what draws the labels of a field's problem. Raises NoExpectation where `unsupported` gives a reason."""
        problem = field.problem
        found = _expectation(problem)
        if isinstance(found, Steady):
            ball = OnBall(problem, found)
            return FixedPointSampler(ball) if found.linear else PicardStep(ball, field, self.bound)
        paths = Paths(problem, found)
        return PicardStep(InTime(paths), field, self.bound) if found.discount is None else FeynmanKac(paths)

    def unsupported(self, pde: PDE, network: Network) -> str | None:
        """Returns the reason why u is no mean of labels that are known here; None if it is."""
        try:
            _expectation(pde)
        except NoExpectation as reason:
            return str(reason)
        return None


def _expectation(pde: PDE | Problem) -> Steady | Evolution:
    """Reads a problem on a ball or in time. Raises NoExpectation for others, and where u is no mean, but a function of one."""
    if pde.domain.horizon is None:
        return steady(pde)
    found = evolution(pde)
    if found.square_gradient:
        raise NoExpectation(
            "the operator has |∇u|²: u is the logarithm of a mean, and that of a draw is biased"
        )
    return found
