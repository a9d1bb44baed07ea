"""SymPy → JAX. Every lowered function is O(B·d) in time and memory and never forms anything larger than (B, d).

A `Lowered` holds the window coefficients as arrays (so they are arguments of a compiled function, never constants
inside it) and the code that SymPy printed. Where window sums meet their coefficients they are contracted by a matrix
product: XLA's CPU back end turns a fused `sum` of a long expression into a scalar loop.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import sympy as sp
from jaxtyping import Array, Float, Int

from ..calculus.collective import WindowSum, X, coordinate_max, d, r2, t, window_sums
from ..calculus.collective import x as _x
from ..calculus.collective import y as _y
from .codegen import compile_expressions
from .coordinates import Block, Coordinates, block_of, columns_of, largest_of, materialize, slice_axis
from .points import Points, jet2


class _Group(NamedTuple):
    """The window sums of one width: a function of the w shifted coordinates and t → one array per sum."""

    width: int
    members: tuple[int, ...]
    kernels: Callable[..., list]


class Lowered(eqx.Module):
    """Expressions over window sums, coordinates and t, as a function of points.

    `lowered(points)` is a tuple of (B,) arrays, one per expression, in the points' dtype.
    """

    weights: tuple[Any, ...]
    radial: tuple[bool, ...] = eqx.field(static=True)  # which sums are |x|²
    groups: tuple[_Group, ...] = eqx.field(static=True)
    outer: Callable[..., list] = eqx.field(static=True)
    uses_max: bool = eqx.field(static=True)
    named: tuple[bool, bool] = eqx.field(static=True)  # whether x and y occur by name, outside window sums

    def __call__(self, points: Points) -> tuple[Float[Array, " batch"], ...]:
        return self.compose(points, self.sums(points), self.coordinates(points))

    def compose(
        self, points: Points, sums: tuple[Array, ...], coordinates: tuple[Array, Array]
    ) -> tuple[Array, ...]:
        """The outer expressions at given values of the window sums and of x and y, any shapes that broadcast against (B,)."""
        shape = jnp.broadcast_shapes(points.x.shape[:1], *(jnp.shape(s) for s in (*sums, *coordinates)))
        largest = largest_of(points.x) if self.uses_max else 0.0
        values = self.outer(*sums, largest, *coordinates, times_of(points))
        return tuple(jnp.broadcast_to(jnp.asarray(v, points.x.dtype), shape) for v in values)

    def coordinates(self, points: Points) -> tuple[Float[Array, " batch"], Float[Array, " batch"]]:
        """x and y, which are the first and the last coordinate."""
        return columns_of(points.x, 0), columns_of(points.x, points.x.shape[1] - 1)

    def sums(self, points: Points) -> tuple[Float[Array, " batch"], ...]:
        """The value of every window sum."""
        x, time = points.x, times_of(points)[:, None]
        values: list[Any] = [jnp.zeros(x.shape[0], x.dtype)] * len(self.weights)
        squares = x.squares if isinstance(x, Coordinates) else None
        for width, members, kernels in self.groups:
            count = x.shape[1] - width + 1
            if count < 1:
                continue
            if squares is not None and all(self.radial[k] for k in members):
                totals: Any = [squares] * len(members)
            else:
                totals = over_windows(x, count, partial(self._partial_sums, x, time, width, members, kernels))
            for k, value in zip(members, totals, strict=True):
                values[k] = value
        return tuple(values)

    def _partial_sums(
        self, x: Any, time: Array, width: int, members: tuple, kernels: Callable, start: Any, count: int
    ) -> list[Array]:
        """The part of every member's sum that belongs to windows start … start + count."""
        arrays = kernels(*windows_of(x, start, count, width), time)
        whole = (jnp.broadcast_to(jnp.asarray(a, x.dtype), (x.shape[0], count)) for a in arrays)
        return [
            contract(a, slice_axis(self.weights[k], start, count))
            for k, a in zip(members, whole, strict=True)
        ]

    def slopes(self, points: Points) -> list[tuple[bool, tuple[Array, ...], Callable[[], Array]]]:
        """For every s_k, a window sum or x or y: whether it is |x|²; ∂(each expression)/∂s_k, (B,); and ∇s_k, (B, d), on demand."""
        count = len(self.weights)
        inputs = lambda at: (*self.sums(at), *self.coordinates(at))
        values = inputs(points)

        def slope(k: int) -> tuple[Array, ...]:
            tangents = tuple(jnp.ones_like(s) if j == k else jnp.zeros_like(s) for j, s in enumerate(values))
            composed = lambda *given: self.compose(points, given[:count], given[count:])
            return jax.jvp(composed, values, tangents)[1]

        def gradient(k: int) -> Array:
            return jax.grad(lambda x: jnp.sum(inputs(points._replace(x=x))[k]))(materialize(points.x))

        by_name = [count + axis for axis, used in enumerate(self.named) if used]
        radial = dict(enumerate(self.radial))
        return [(radial.get(k, False), slope(k), partial(gradient, k)) for k in (*range(count), *by_name)]

    def along_axes(self, points: Points, axes: Int[Array, " axes"]) -> Callable[[Array], tuple[Array, ...]]:
        """The functions restricted to lines: s of shape (K, B) ↦ values (K, B) at x + s e_axis, for K axes.

        Only the windows that hold the axis are evaluated: O(B·K·w). Differentiate it in s.
        """
        sums, coordinates = self.sums(points), self.coordinates(points)
        steps = [self._local_steps(points, axes, group) for group in self.groups]

        def line(s: Array) -> tuple[Array, ...]:
            values = list(sums)
            for group, step in zip(self.groups, steps, strict=True):
                moved, still = step(s), step(jnp.zeros_like(s))
                for k, a, b in zip(group.members, moved, still, strict=True):
                    values[k] = values[k] + (a - b)
            along = lambda axis: jnp.where(axes[:, None] == axis % points.x.shape[1], s, 0)
            return self.compose(points, tuple(values), self._moved(coordinates, along))

        return line

    def along_directions(
        self, points: Points, block: Callable[[Any, int], Array], size: int
    ) -> Callable[[Array], tuple[Array, ...]]:
        """The functions along K lines x + s v_k, to second order in s: s of shape (K, B) ↦ values (K, B).

        block(start, n) gives the coordinates start … start + n of the directions, shape (K, n); directions are never held
        whole. Raises ValueError where a window sum spans more than one coordinate.
        """
        if any(width > 1 for width, *_ in self.groups):
            raise ValueError(
                "directional derivatives of window sums wider than one coordinate are not implemented"
            )
        sums, coordinates = self.sums(points), self.coordinates(points)
        first, second = self._directional(points, block, size)

        def line(s: Array) -> tuple[Array, ...]:
            moved = (v + s * a + s * s / 2 * b for v, a, b in zip(sums, first, second, strict=True))
            along = lambda axis: s * block(0, size)[:, axis, None]  # x and y are in one block
            return self.compose(points, tuple(moved), self._moved(coordinates, along))

        return line

    def _moved(self, coordinates: tuple[Array, Array], along: Callable[[int], Array]) -> tuple[Array, Array]:
        """x and y moved by `along` of the axes 0 and −1 where they occur by name; else they are not needed."""
        one, other = (
            at + along(axis) if used else at
            for at, axis, used in zip(coordinates, (0, -1), self.named, strict=True)
        )
        return one, other

    def _directional(self, points: Points, block: Callable, size: int) -> tuple[list[Array], list[Array]]:
        """∇s_k·v and vᵀ∇²s_k v for every window sum of one coordinate, each (K, B), block by block."""
        dim = points.x.shape[1]

        def terms(start: Any, n: int) -> tuple[list[Array], list[Array]]:
            v = block(start, n)
            slopes, curvatures = self._kernel_derivatives(points, start, n)
            return [v @ a.T for a in slopes], [(v * v) @ a.T for a in curvatures]

        count, rest = divmod(dim, size)
        shapes = jax.eval_shape(lambda: terms(0, size if count else rest))
        total = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), shapes)
        if count:
            add = lambda i, total: jax.tree.map(jnp.add, total, terms(i * size, size))
            total = jax.lax.fori_loop(0, count, add, total)
        return jax.tree.map(jnp.add, total, terms(count * size, rest)) if rest else total

    def _kernel_derivatives(self, points: Points, start: Any, n: int) -> tuple[list[Array], list[Array]]:
        """c φ'(x) and c φ''(x) on coordinates start … start + n, each (B, n), for every window sum."""
        (x,) = windows_of(points.x, start, n, 1)
        slopes, curvatures = list(self.weights), list(self.weights)
        for _, members, kernels in self.groups:
            _, first, second = jet2(lambda q: tuple(kernels(q, times_of(points)[:, None])), x)  # noqa: B023
            for k, a, b in zip(members, first, second, strict=True):
                c = self.weights[k]
                c = 1 if c is None else jnp.asarray(slice_axis(c, start, n), x.dtype)
                slopes[k], curvatures[k] = a * c, b * c
        return slopes, curvatures

    def _local_steps(self, points: Points, axes: Array, group: _Group) -> Callable[[Array], list[Array]]:
        """s ↦ the part of each window sum of `group` that sees the coordinate of each axis moved by s."""
        x, dim, width = points.x, points.x.shape[1], group.width
        time = times_of(points)
        starts = axes[:, None] - jnp.arange(
            width
        )  # window starting at `starts[k, j]` has the axis at place j
        inside = (starts >= 0) & (starts <= dim - width)
        places = jnp.clip(starts[..., None] + jnp.arange(width), 0, dim - 1)  # (K, w, w)
        around = jnp.moveaxis(columns_of(x, places), 0, -1)  # (K, w, w, B)

        def step(s: Array) -> list[Array]:
            totals = [jnp.zeros_like(s)] * len(group.members)
            for j in range(width):
                window = [around[:, j, i] + (s if i == j else 0) for i in range(width)]
                arrays = group.kernels(*window, time)
                for n, (k, array) in enumerate(zip(group.members, arrays, strict=True)):
                    weight = self.weights[k]
                    c = (
                        1
                        if weight is None
                        else jnp.asarray(weight, x.dtype)[jnp.clip(starts[:, j], 0, len(weight) - 1)]
                    )
                    totals[n] = totals[n] + jnp.where(inside[:, j], c, 0)[:, None] * array
            return totals

        return step


@lru_cache(maxsize=256)
def lower(exprs: tuple[sp.Expr, ...], dim: int) -> Lowered:
    """Lower expressions at dimension `dim`. Coefficients stay float64 NumPy arrays until they are used."""
    bound = tuple(sp.sympify(e).xreplace({d: sp.Integer(dim)}) for e in exprs)
    sums = tuple(sorted(set().union(*(window_sums(e) for e in bound)), key=lambda s: s.name))
    outer = compile_expressions((*sums, coordinate_max, _x, _y, t), bound)
    weights, radial = tuple(s.weights(dim) for s in sums), tuple(s == r2 for s in sums)
    named = any(e.has(_x) for e in bound), any(e.has(_y) for e in bound)
    return Lowered(
        weights, radial, _groups(sums, dim), outer, any(e.has(coordinate_max) for e in bound), named
    )


def _groups(sums: tuple[WindowSum, ...], dim: int) -> tuple[_Group, ...]:
    widths = sorted({s.width for s in sums})
    return tuple(_group(width, sums, dim) for width in widths)


def _group(width: int, sums: tuple[WindowSum, ...], dim: int) -> _Group:
    members = tuple(k for k, s in enumerate(sums) if s.width == width)
    kernels = tuple(sums[k].kernel.xreplace({d: sp.Integer(dim)}) for k in members)
    return _Group(width, members, compile_expressions((*X[:width], t), kernels))


def over_windows(x: Any, count: int, part: Block) -> Any:
    """`part` of the first `count` windows: at once, or in blocks where x is no array."""
    return x.accumulate(part, count) if isinstance(x, Coordinates) else part(0, count)


def windows_of(x: Any, start: Any, count: int, width: int) -> list[Float[Array, "batch count"]]:
    """Gives the coordinates of windows start … start + count, one array (B, count) for every place in a window."""
    size = count + width - 1
    block = block_of(x, start, size)
    return [block[:, j : j + count] for j in range(width)]


def contract(array: Float[Array, "batch count"], weight: Any) -> Float[Array, " batch"]:
    """Sums an array of shape (B, count) over windows, with one weight each; None is a weight of 1."""
    if weight is None:
        return jnp.sum(array, axis=1)
    return jnp.matmul(array, jnp.asarray(weight, array.dtype), precision=jax.lax.Precision.HIGHEST)


def times_of(points: Points) -> Array:
    """Gives the times of points, shape (B,): zeros for a problem without time."""
    return jnp.zeros(points.x.shape[0], points.x.dtype) if points.t is None else points.t
