"""Domains: where the equation holds, and the declared measure by which training and test points are drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import sympy as sp
from jaxtyping import Array, Bool, PRNGKeyArray

from .ansatz import Ansatz
from .collective import d, r2
from .lower import Points


class Domain(Protocol):
    """A set of points (x, t), a named measure on it, and the natural size of second derivatives in it."""

    @property
    def dim(self) -> int:
        """Number of space dimensions."""

    @property
    def measure(self) -> str:
        """The name of the measure that `sample` follows."""

    @property
    def has_time(self) -> bool:
        """Whether points carry a time."""

    @property
    def scale(self) -> float:
        """What residuals are divided by, so that losses and step sizes do not grow with d."""

    def sample(self, key: PRNGKeyArray, count: int) -> Points:
        """`count` independent points, float32."""

    def boundary(self, key: PRNGKeyArray, count: int) -> Points:
        """`count` points where the hard condition must hold."""

    def contains(self, points: Points) -> Bool[Array, " batch"]:
        """Which points lie in the closed domain."""

    def uniforms(self, points: Points) -> dict[str, np.ndarray]:
        """Statistics that are uniform on [0, 1] if points follow the measure; `verify` tests them."""


@dataclass(frozen=True)
class Ball:
    """|x| < R, with x = R r g/|g|, r uniform on [0, 1), g standard normal: the measure `radius-uniform`.

    This is the papers' measure. It is *not* uniform by volume, which at high d would put every point
    on the sphere. `radius` may contain the dimension `d`, as in √d.
    """

    dim: int
    radius: Any = 1
    measure = "radius-uniform"
    has_time = False

    @property
    def size(self) -> float:
        """R as a number."""
        return float(sp.sympify(self.radius).xreplace({d: sp.Integer(self.dim)}))

    @property
    def scale(self) -> float:
        """d/R²: the Laplacian of 1 − |x|²/R², up to −2."""
        return self.dim / self.size**2

    def vanishing(self) -> Ansatz:
        """u = (1 − |x|²/R²) n: zero on the sphere for any network n."""
        return Ansatz(factor=1 - r2 / sp.sympify(self.radius) ** 2)

    def sample(self, key: PRNGKeyArray, count: int) -> Points:
        """Points with uniformly distributed radius and direction."""
        radius_key, direction_key = jax.random.split(key)
        radius = self.size * jax.random.uniform(radius_key, (count, 1))
        return Points(self._directions(direction_key, count, radius))

    def boundary(self, key: PRNGKeyArray, count: int) -> Points:
        """Points on the sphere."""
        return Points(self._directions(key, count, jnp.full((count, 1), self.size)))

    def contains(self, points: Points) -> Bool[Array, " batch"]:
        """|x| ≤ R, to float32 rounding."""
        return jnp.sqrt(jnp.sum(points.x**2, axis=1)) <= self.size * (1 + 1e-5)

    def uniforms(self, points: Points) -> dict[str, np.ndarray]:
        """|x|/R, and the direction's projection on one axis through its Beta distribution function."""
        from scipy.stats import beta

        x = np.asarray(points.x, np.float64)
        norm = np.linalg.norm(x, axis=1)
        found = {"radius": norm / self.size}
        if self.dim > 1:
            shape = (self.dim - 1) / 2
            for axis in (0, self.dim - 1):
                found[f"direction {axis}"] = beta.cdf((1 + x[:, axis] / norm) / 2, shape, shape)
        return found

    def _directions(self, key: PRNGKeyArray, count: int, radius: Array) -> Array:
        g = jax.random.normal(key, (count, self.dim))
        return g * (radius / jnp.sqrt(jnp.sum(g * g, axis=1, keepdims=True)))


def kolmogorov_smirnov_bound(count: int) -> float:
    """The Kolmogorov-Smirnov distance that a true sample of `count` exceeds once in 10⁵ times."""
    return math.sqrt(math.log(2e5) / (2 * count))
