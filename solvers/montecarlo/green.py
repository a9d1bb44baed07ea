"""Green's function of the ball, by which Δu = F, u = 0 on the sphere, is an expectation.

u(x) = −∫ G(x, y) F(y) dy. With y = x + rω, r = |y − x|, the integral over r at a direction ω runs to the sphere:

    u(x) = −E_ω ∫_0^{r_max(ω)} κ(r) F(x + rω) dr,    κ(r) = r (1 − q)/(d − 2),    q = (r²/b)^{(d−2)/2},

where b = |x|²|y|²/R² − 2x·y + R² belongs to the image of x, and κ = (r/2) ln(b/r²) for d = 2. Since
b − r² = (R² − |x|²)(R² − |y|²)/R², nothing here cancels. At high d, q is of no account but next to the sphere, and every
draw has nearly the same weight M(x) = (R² − |x|²)/2d, the mean time that Brownian motion with generator Δ takes to the sphere.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray


class Shot(NamedTuple):
    """A point y of the ball for every point of a batch, shape (B, d), and the weight of −F(y) there, shape (B,)."""

    at: Float[Array, "batch dim"]
    weight: Float[Array, " batch"]


def directions(x: Float[Array, "batch dim"], key: PRNGKeyArray) -> Float[Array, "batch dim"]:
    """Draws unit vectors, uniformly distributed, one for every point."""
    normal = jax.random.normal(key, x.shape, x.dtype)
    return normal / jnp.linalg.norm(normal, axis=1, keepdims=True)


def shot(
    x: Float[Array, "batch dim"],
    direction: Float[Array, "batch dim"],
    fraction: Float[Array, " batch"],
    radius: float,
) -> Shot:
    """Goes from x along a direction, (r/r_max)² = `fraction`, within the ball of a radius R.

    With uniform directions and fractions, the mean of weight · F is ∫ G(x, y) F(y) dy for every F, without bias at every d ≥ 1. In
    one dimension the fraction is that of r, since κ does not vanish with r there.
    """
    dim, power = x.shape[1], 2 if x.shape[1] > 1 else 1
    along = jnp.sum(x * direction, axis=1)
    room = jnp.maximum(radius**2 - jnp.sum(x * x, axis=1), 0)
    longest = room / (along + jnp.sqrt(along**2 + room) + jnp.finfo(x.dtype).tiny)
    longest = jnp.where(along > 0, longest, -along + jnp.sqrt(along**2 + room))
    r = longest * fraction ** (1 / power)
    left = jnp.maximum(room - 2 * r * along - r**2, 0)  # R² − |y|²
    square = jnp.maximum(r**2, jnp.finfo(x.dtype).tiny)
    ratio = -jnp.log1p(room / radius**2 * left / square)  # ln(r²/b)
    kernel = -ratio / 2 if dim == 2 else -jnp.expm1(ratio * (dim - 2) / 2) / (dim - 2)  # κ/r
    weight = kernel * longest**power * r ** (2 - power) / power
    return Shot(x + r[:, None] * direction, weight)
