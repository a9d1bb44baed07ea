"""Boundary data evaluated where they are given: a few derivatives of the solution, at points moved onto faces.

Written out, a blend of a solution's data on the faces of a box is dozens of copies of the solution, each at other arguments, and
its derivatives are tens of thousands of operations. Here the copies stay atoms, `Datum`: the derivatives are written once,
and evaluated for all faces at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import sympy as sp
from jaxtyping import Array, Float

from ..calculus.collective import t
from ..calculus.collective import x as _x
from ..calculus.collective import y as _y
from ..calculus.kinks import derivative
from .codegen import compile_expressions
from .lowered import Lowered, lower
from .points import Points

COORDINATES = (_x, _y, t)

Position = tuple[float | None, float | None, float | None]
"""The value at which each of (x, y, t) is held; None where it is the point's own."""


class BoundaryDerivative(sp.Function):
    """Datum(i, j, k, x, y, t) is ∂_x^i ∂_y^j ∂_t^k u* at (x, y, t)."""

    def fdiff(self, argindex: int = 1) -> Any:
        """The derivative by the argument of that number, counted from 1: the first three are orders."""
        orders = [n + (place + 4 == argindex) for place, n in enumerate(self.args[:3])]
        return BoundaryDerivative(*orders, *self.args[3:])


@dataclass(frozen=True)
class Blend:
    """An offset as an expression in the solution's data; `offset` is the same written out."""

    expr: Any
    solution: Any
    offset: Any


class Blended(eqx.Module):
    """Expressions in data, x, y and t as a function of points; like a `Lowered`, to be called."""

    derivatives: Lowered
    outer: Callable[..., list] = eqx.field(static=True)
    places: tuple[Position, ...] = eqx.field(static=True)
    data: tuple[tuple[int, int], ...] = eqx.field(
        static=True
    )  # of every datum: which derivative, at which place

    def __call__(self, points: Points) -> tuple[Float[Array, " batch"], ...]:
        at = (points.x[:, 0], points.x[:, -1], points.x[:, 0] if points.t is None else points.t)
        moved = [self._moved(axis, column) for axis, column in enumerate(at)]
        count = len(self.places)
        stacked = Points(jnp.stack(moved[: points.x.shape[1]], 1), None if points.t is None else moved[2])
        values = [v.reshape(count, -1) for v in self.derivatives(stacked)]
        outer = self.outer(*(values[n][place] for n, place in self.data), *at)
        whole = tuple(jnp.broadcast_to(jnp.asarray(v, points.x.dtype), at[0].shape) for v in outer)
        # Else XLA writes these long expressions into every kernel that uses a value.
        return jax.lax.optimization_barrier(whole)

    def _moved(self, axis: int, column: Float[Array, " batch"]) -> Float[Array, " places*batch"]:
        """One coordinate of the points of every place."""
        held = (place[axis] for place in self.places)
        return jnp.concatenate([column if h is None else jnp.full_like(column, h) for h in held])


@lru_cache(maxsize=64)
def lower_blended(exprs: tuple[sp.Expr, ...], solution: sp.Expr, dim: int) -> Blended:
    """Lower expressions in data of `solution`."""
    atoms = sorted(set().union(*(e.atoms(BoundaryDerivative) for e in exprs)), key=sp.default_sort_key)
    orders = sorted({tuple(int(n) for n in a.args[:3]) for a in atoms})
    places = list(dict.fromkeys(_place(a) for a in atoms))
    names = {a: sp.Symbol(f"datum{n}", real=True) for n, a in enumerate(atoms)}
    outer = compile_expressions((*names.values(), *COORDINATES), tuple(e.xreplace(names) for e in exprs))
    data = tuple((orders.index(tuple(map(int, a.args[:3]))), places.index(_place(a))) for a in atoms)
    derivatives = tuple(partial_derivative(solution, COORDINATES, order) for order in orders)
    return Blended(lower(derivatives, dim), outer, tuple(places), data)


@lru_cache(maxsize=512)
def partial_derivative(f: sp.Expr, coordinates: tuple[Any, ...], index: tuple[int, ...]) -> sp.Expr:
    """∂^α f, one derivative at a time: given several at once, SymPy also factors the result, which takes most of the time."""
    if not any(index):
        return f
    last = max(k for k, order in enumerate(index) if order)
    below = tuple(order - (k == last) for k, order in enumerate(index))
    return derivative(partial_derivative(f, coordinates, below), coordinates[last])


def _place(datum: BoundaryDerivative) -> Position:
    one, other, when = (
        None if a == c else float(a) for a, c in zip(datum.args[3:], COORDINATES, strict=True)
    )
    return one, other, when
