"""Where a training starts, beyond random parameters: a read-out that is fitted before the first step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from pdezoo import PDE

from .networks.base import Network, Params

_HELD = 2**25  # coordinates of the points on which it is fitted, at most


@dataclass(frozen=True)
class ReadoutStart:
    """Fits the last, linear, map of a network by ridge least squares on residuals, before the training.

    With J the derivative of N residuals r in the read-out v, of m numbers,

        v ← v − (JᵀJ + λI)⁻¹ (Jᵀr + λv),      λ = `ridge` · tr(JᵀJ)/m,

    `iterations` times, as long as the loss falls: once is exact for a linear equation, Gauss-Newton for others. The residuals are
    those of the solver's estimator on `points` points, fewer where they would be more than 2²⁵ coordinates. Raises ValueError for
    numbers that are not positive.
    """

    points: int = 1_000
    ridge: float = 1e-3
    iterations: int = 3

    def __post_init__(self) -> None:
        if min(self.points, self.ridge, self.iterations) <= 0:
            raise ValueError(f"points, ridge and iterations of a start are positive, got {self}")

    def count(self, dim: int) -> int:
        """Returns the number of points in `dim` dimensions."""
        return max(1, min(self.points, _HELD // dim))

    def unsupported(self, pde: PDE, network: Network) -> str | None:
        """Returns the reason why there is no read-out to fit; None if there is one."""
        shapes = jax.eval_shape(
            lambda k: network.init(k, pde.dim, pde.domain.horizon is not None), jax.random.key(0)
        )
        if network.readout(shapes) is None:
            return f"{type(network).__name__} offers no read-out to be fitted by least squares"
        return None

    def __call__(
        self, residuals: Callable[[Params], Float[Array, " residuals"]], network: Network, params: Params
    ) -> Params:
        """Returns the parameters with the fitted read-out; `residuals` is a function of all parameters."""
        first, rebuilt = ravel_pytree(network.readout(params))
        at = lambda v: residuals(network.with_readout(params, rebuilt(v)))

        def improved(_: int, v: Array) -> Array:
            found, tangent = jax.linearize(at, v)
            slopes = jax.vmap(tangent)(jnp.eye(v.size, dtype=v.dtype))  # Jᵀ
            square = slopes @ slopes.T
            shift = self.ridge * jnp.trace(square) / v.size
            step = jnp.linalg.solve(
                square + shift * jnp.eye(v.size, dtype=v.dtype), slopes @ found + shift * v
            )
            better = jnp.sum(at(v - step) ** 2) < jnp.sum(found**2)  # false for NaN, too
            return jnp.where(better, v - step, v)

        return network.with_readout(params, rebuilt(jax.lax.fori_loop(0, self.iterations, improved, first)))
