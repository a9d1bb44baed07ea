"""Weights of single coordinates, and points moved along them.

A first derivative Σ_i b_i ∂u/∂x_i is the derivative of u along the vector b(x): the slope of u(x + s b(x)) at s = 0. Where x is
made in blocks, so is x + s b(x).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import sympy as sp
from jaxtyping import Array, Float, Int

from ..calculus.collective import WindowSum, X, d, t, weight_terms
from .codegen import compile_expressions
from .coordinates import Blockwise, block_of, columns_of, materialize, slice_axis
from .lowered import times_of
from .points import Points


class AxisWeights(eqx.Module):
    """Weights w_i(x_i, t) of single coordinates: Σ_j c^{(j)}_i φ_j(x_i, t)."""

    coefficients: tuple[Any, ...]  # of every term (d,), or None where all are 1
    kernels: Callable[..., list] = eqx.field(static=True)

    def block(self, points: Points, start: Any, count: int) -> Float[Array, "batch count"]:
        """The weights of coordinates start … start + count."""
        return self.of_block(block_of(points.x, start, count), times_of(points), start)

    def of_block(
        self, x: Float[Array, "batch count"], time: Float[Array, " batch"], start: Any
    ) -> Float[Array, "batch count"]:
        """The weights of coordinates start … of which the values x are given."""
        return self._sum(x, time, lambda c: slice_axis(jnp.asarray(c), start, x.shape[1]))

    def columns(self, points: Points, indices: Int[Array, "*axes"]) -> Float[Array, batch * axes]:
        """The weights of the coordinates of the given numbers."""
        return self.of_columns(columns_of(points.x, indices), times_of(points), indices)

    def of_columns(
        self, x: Float[Array, batch * axes], time: Float[Array, " batch"], indices: Int[Array, "*axes"]
    ) -> Float[Array, batch * axes]:
        """The weights of the coordinates of the given numbers, of which the values x are given."""
        return self._sum(x, time, lambda c: jnp.asarray(c)[indices])

    def _sum(self, x: Array, time: Array, pick: Callable[[Any], Array]) -> Array:
        """The weights at the values x of some coordinates, whose coefficients `pick` takes from all d."""
        total, when = jnp.zeros_like(x), time.reshape(-1, *(1,) * (x.ndim - 1))
        for c, term in zip(self.coefficients, self.kernels(x, when), strict=True):
            total = total + (term if c is None else pick(c).astype(x.dtype) * term)
        return total


@lru_cache(maxsize=256)
def lower_weights(total: sp.Expr, dim: int) -> AxisWeights:
    """Lower the weights w_i behind a total Σ_i w_i, as `weight_terms` reads it. Raises ValueError where it cannot."""
    terms = weight_terms(total)
    kernels = tuple(kernel.xreplace({d: sp.Integer(dim)}) for kernel, _ in terms)
    coefficients = tuple(WindowSum(sp.Integer(1), 1, factors).weights(dim) for _, factors in terms)
    return AxisWeights(coefficients, compile_expressions((X[0], t), kernels))


class Displaced(Blockwise):
    """x + s·w(x, t) for coordinates x that are made in blocks, and a step s for every point."""

    base: Blockwise
    time: Float[Array, " batch"]
    step: Float[Array, " batch"]
    weights: AxisWeights

    @property
    def shape(self) -> tuple[int, int]:
        """(B, d)."""
        return self.base.shape

    def columns(self, indices: Int[Array, "*axes"]) -> Float[Array, batch * axes]:
        """Those of x, moved."""
        wide = lambda a: a.reshape(-1, *(1,) * jnp.ndim(indices))
        still = self.base.columns(indices)
        along = self.weights.of_columns(still, self.time, indices)
        return wide(self.scale) * (still + wide(self.step) * along)

    def block(self, start: Any, count: int) -> Float[Array, "batch count"]:
        """Those of x, moved."""
        still = self.base.block(start, count)
        along = self.weights.of_block(still, self.time, start)
        return self.scale[:, None] * (still + self.step[:, None] * along)


def displaced(points: Points, weights: AxisWeights, step: Float[Array, " batch"]) -> Points:
    """Every point moved by its step times the vector of its weights; in blocks where x is made in blocks, else held."""
    x, time = points.x, times_of(points)
    if isinstance(x, Blockwise):
        return points._replace(x=Displaced(jnp.ones_like(step), None, x.size, x, time, step, weights))
    whole = points._replace(x=materialize(x))
    return points._replace(x=whole.x + step[:, None] * weights.block(whole, 0, whole.x.shape[1]))
