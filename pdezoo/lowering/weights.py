"""Weights w_i(x_i, t) of single coordinates, as in Σ_i w_i ∂u/∂x_i, and points that are moved along the vector of them.

Σ_i w_i ∂u/∂x_i is the derivative of u along the vector w(x): the slope of u(x + s w(x)) at s = 0. Where x is made in blocks
of coordinates and never held, so is x + s w(x).
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
    """Weights of single coordinates of the form w_i(x_i, t) = Σ_j c^{(j)}_i φ_j(x_i, t)."""

    coefficients: tuple[Any, ...]  # c^{(j)} of every term j, shape (d,), or None where all are 1
    kernels: Callable[..., list] = eqx.field(static=True)

    def block(self, points: Points, start: Any, count: int) -> Float[Array, "batch count"]:
        """Computes the weights of coordinates start … start + count − 1, shape (B, count)."""
        return self.of_block(block_of(points.x, start, count), times_of(points), start)

    def of_block(
        self, x: Float[Array, "batch count"], time: Float[Array, " batch"], start: Any
    ) -> Float[Array, "batch count"]:
        """Computes the weights of coordinates start, start + 1, … from their values x, shape (B, count), and times (B,)."""
        return self._sum(x, time, lambda c: slice_axis(jnp.asarray(c), start, x.shape[1]))

    def columns(self, points: Points, indices: Int[Array, "*axes"]) -> Float[Array, batch * axes]:
        """Computes the weights of the coordinates numbered `indices`, shape (B, *indices.shape)."""
        return self.of_columns(columns_of(points.x, indices), times_of(points), indices)

    def of_columns(
        self, x: Float[Array, batch * axes], time: Float[Array, " batch"], indices: Int[Array, "*axes"]
    ) -> Float[Array, batch * axes]:
        """Computes the weights of the coordinates numbered `indices` from their values x and times (B,), in the shape of x."""
        return self._sum(x, time, lambda c: jnp.asarray(c)[indices])

    def _sum(self, x: Array, time: Array, pick: Callable[[Any], Array]) -> Array:
        """Computes the weights of some coordinates from their values x; `pick` takes their coefficients out of all d."""
        total, when = jnp.zeros_like(x), time.reshape(-1, *(1,) * (x.ndim - 1))
        for c, term in zip(self.coefficients, self.kernels(x, when), strict=True):
            total = total + (term if c is None else pick(c).astype(x.dtype) * term)
        return total


@lru_cache(maxsize=256)
def lower_weights(total: sp.Expr, dim: int) -> AxisWeights:
    """Lowers the weights w_i of an atom, given as their total Σ_i w_i, a sum of window sums of single coordinates.

    Raises ValueError, by `weight_terms`, where `total` is of another form.
    """
    terms = weight_terms(total)
    kernels = tuple(kernel.xreplace({d: sp.Integer(dim)}) for kernel, _ in terms)
    coefficients = tuple(WindowSum(sp.Integer(1), 1, factors).weights(dim) for _, factors in terms)
    return AxisWeights(coefficients, compile_expressions((X[0], t), kernels))


class Displaced(Blockwise):
    """The coordinates x + s·w(x, t), for an x that is made in blocks, and a step s for every point."""

    base: Blockwise
    time: Float[Array, " batch"]
    step: Float[Array, " batch"]
    weights: AxisWeights

    @property
    def shape(self) -> tuple[int, int]:
        """The number of points B and the dimension d."""
        return self.base.shape

    def columns(self, indices: Int[Array, "*axes"]) -> Float[Array, batch * axes]:
        """Makes the coordinates numbered `indices` of x, and moves them."""
        wide = lambda a: a.reshape(-1, *(1,) * jnp.ndim(indices))
        still = self.base.columns(indices)
        along = self.weights.of_columns(still, self.time, indices)
        return wide(self.scale) * (still + wide(self.step) * along)

    def block(self, start: Any, count: int) -> Float[Array, "batch count"]:
        """Makes coordinates start … start + count − 1 of x, and moves them."""
        still = self.base.block(start, count)
        along = self.weights.of_block(still, self.time, start)
        return self.scale[:, None] * (still + self.step[:, None] * along)


def displaced(points: Points, weights: AxisWeights, step: Float[Array, " batch"]) -> Points:
    """Moves every point x to x + s·w(x, t), s its step and w its weights.

    Where x is made in blocks, so is the result; else it is an array, shape (B, d).
    """
    x, time = points.x, times_of(points)
    if isinstance(x, Blockwise):
        return points._replace(x=Displaced(jnp.ones_like(step), None, x.size, x, time, step, weights))
    whole = points._replace(x=materialize(x))
    return points._replace(x=whole.x + step[:, None] * weights.block(whole, 0, whole.x.shape[1]))
