"""Prices of options on d shares, whose logarithms are independent Brownian motions: semilinear equations known at one point."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, PRNGKeyArray

from ..ansatz import Ansatz
from ..condition import Condition
from ..domain import BadDimension, Domain, require_numbers
from ..lowering.points import Points
from ..pde import PDE
from ..references import Value
from ..solution import Formula, Reference

UNIT = 100
"""What a share costs at first; prices u are of that order."""


@dataclass(frozen=True)
class GeometricTube(Domain):
    """Where dX_i = μ X_i dt + σ X_i dW_i from X_i = `start` goes: t uniform on (0, horizon), the measure `geometric`.

    X_i = start · exp((μ − σ²/2) t + σ √t ξ_i), ξ standard normal. Raises BadDimension for a dimension that is none, and ValueError
    for a horizon or a scale that is not positive, for no `volatility` σ > 0, and for a start at 0, which is never left.
    """

    dim: int
    horizon: float
    volatility: float
    drift: float = 0.0
    start: float = 1.0
    scale: float = 1.0
    measure: ClassVar[str] = "geometric"

    def __post_init__(self) -> None:
        require_numbers(self)
        if not self.volatility > 0 or self.start == 0:
            raise ValueError(
                f"paths need a volatility above 0 and a start other than 0, got {self.volatility} and {self.start}"
            )

    def sample(self, key: PRNGKeyArray, count: int, time: float | None = None) -> Points:
        """Points of independent paths, each at its own time."""
        space, when = jax.random.split(key)
        uniform = jax.random.uniform(when, (count,), jnp.float32)
        times = self.horizon * uniform if time is None else jnp.full(count, time, jnp.float32)
        noise = jax.random.normal(space, (count, self.dim), jnp.float32)
        growth = (self.drift - self.volatility**2 / 2) * times
        spread = self.volatility * jnp.sqrt(times)
        return Points(self.start * jnp.exp(growth[:, None] + spread[:, None] * noise), times)

    def contains(self, points: Points) -> Bool[Array, " batch"]:
        """Finite x, 0 ≤ t ≤ horizon: the equation holds for all x, though paths keep their sign."""
        assert points.t is not None  # sample gives one
        return (
            jnp.all(jnp.isfinite(points.x), axis=1)
            & (points.t >= 0)
            & (points.t <= jnp.float32(self.horizon))
        )

    def uniforms(self, points: Points) -> dict[str, np.ndarray]:
        """The normal numbers of the coordinates, |ξ|² and ξ_0, through their distribution functions, and the time."""
        from scipy.stats import chi2, norm

        x, times = np.asarray(points.x, np.float64), np.asarray(points.t, np.float64)
        seen = np.maximum(times, 1e-300)[:, None]  # at t = 0 there is no noise
        growth = (self.drift - self.volatility**2 / 2) * seen
        noise = (np.log(x / self.start) - growth) / (self.volatility * np.sqrt(seen))
        return {
            "norm": chi2.cdf(np.sum(noise**2, axis=1), self.dim),
            "first": norm.cdf(noise[:, 0]),
            "time": times / self.horizon,
        }


def priced(operator: Any, domain: GeometricTube, payoff: Any, values: Mapping[int, Value], name: str) -> PDE:
    """Makes the problem with u(T, x) = `payoff`, whose solution is known at t = 0, x_i = the domain's start, by dimension.

    The payoff has kinks, so that u(T, x) is a term of the loss, mean (u − g)² in units of 100, as Raissi 2018 weighs it; ∇g, which
    jumps, is not asked for. A higher weight only makes more of what no smooth function meets. Raises BadDimension where there is
    no value for the dimension.
    """
    dim = domain.dim
    if dim not in values:
        known = ", ".join(f"{n:,}" for n in values)
        raise BadDimension(f"u(0, x_0) of {name} is known for d = {known} only, got {dim}")
    value = values[dim]
    formula = Formula(f"{name} u(0, x_0) = {value.value}", partial(_filled, value.value))
    return PDE(
        operator=operator,
        domain=domain,
        ansatz=Ansatz(UNIT),
        solution=Reference(formula, value.standard_error / value.value, value.source, at=(domain.start, 0.0)),
        source=0,
        conditions=(Condition(domain.horizon, payoff, weight=1 / UNIT**2),),
        baselines={"terminal": payoff},
    )


def _filled(value: float, x: np.ndarray, time: np.ndarray) -> np.ndarray:
    return np.full(len(x), value)
