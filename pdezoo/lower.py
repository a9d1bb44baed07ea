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
import numpy as np
import sympy as sp
from jaxtyping import Array, Float, Int
from sympy.printing.numpy import JaxPrinter
from sympy.simplify.cse_main import tree_cse

from . import vectormath
from .atoms import x as _x
from .atoms import y as _y
from .collective import WindowSum, X, coordinate_max, d, r2, t, window_sums
from .streaming import Block, Coordinates, cut, held


class Points(NamedTuple):
    """A batch of points: x of shape (B, d), an array or `Coordinates`, and, for evolution problems, t of shape (B,)."""

    x: Float[Array, "batch dim"] | Any
    t: Float[Array, " batch"] | None = None


class _Printer(JaxPrinter):
    """Integer powers stay integer powers; sine and cosine are the vectorised ones.

    Integers beyond JAX's int32, of which derivatives of rational functions are full, become floats.
    """

    def _print_Integer(self, expr: sp.Integer) -> str:
        return str(expr.p) if abs(expr.p) < 2**31 else f"{expr.p}.0"

    def _print_Pow(self, expr: sp.Pow, rational: bool = False) -> str:
        if expr.exp.is_Integer:
            return f"({self._print(expr.base)})**({int(expr.exp)})"
        return super()._print_Pow(expr, rational=rational)

    def _print_sin(self, expr: sp.Expr) -> str:
        return f"vm_sin({self._print(expr.args[0])})"

    def _print_cos(self, expr: sp.Expr) -> str:
        return f"vm_cos({self._print(expr.args[0])})"


def compile_expressions(arguments: tuple[sp.Symbol, ...], exprs: tuple[sp.Expr, ...]) -> Callable[..., list]:
    """A function of arrays, one per argument, that returns one array per expression (common parts shared)."""
    settings = {"fully_qualified_modules": False, "inline": True, "allow_unknown_functions": True}
    special = {"erf": jax.scipy.special.erf, "erfc": jax.scipy.special.erfc}
    modules = [{"vm_sin": vectormath.sin, "vm_cos": vectormath.cos} | special, "jax"]
    numeric = [_numeric(e) for e in exprs]
    return sp.lambdify(arguments, numeric, modules=modules, printer=_Printer(settings), cse=_share)


def _share(exprs: list[sp.Expr]) -> tuple[list[tuple[sp.Symbol, sp.Expr]], list[sp.Expr]]:
    """Common subtrees by name.

    Not SymPy's full `cse`: its rewriting of sums, `opt_cse`, can turn a − b into a product (1.14; a test keeps the case).
    """
    return tree_cse(exprs, sp.numbered_symbols("shared"))


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

    def __call__(self, points: Points) -> tuple[Float[Array, " batch"], ...]:
        return self.compose(points, self.sums(points))

    def compose(self, points: Points, sums: tuple[Array, ...]) -> tuple[Array, ...]:
        """The outer expressions at given values of the window sums, any shape that broadcasts against (B,)."""
        shape = jnp.broadcast_shapes(points.x.shape[:1], *(s.shape for s in sums))
        x = points.x
        largest = jnp.max(x, axis=1) if self.uses_max else 0.0
        values = self.outer(*sums, largest, _columns(x, 0), _columns(x, x.shape[1] - 1), _time(points))
        return tuple(jnp.broadcast_to(jnp.asarray(v, points.x.dtype), shape) for v in values)

    def sums(self, points: Points) -> tuple[Float[Array, " batch"], ...]:
        """The value of every window sum."""
        x, time = points.x, _time(points)[:, None]
        values: list[Any] = [jnp.zeros(x.shape[0], x.dtype)] * len(self.weights)
        squares = x.squares if isinstance(x, Coordinates) else None
        for width, members, kernels in self.groups:
            count = x.shape[1] - width + 1
            if count < 1:
                continue
            if squares is not None and all(self.radial[k] for k in members):
                found: Any = [squares] * len(members)
            else:
                found = _over(x, count, partial(self._partial_sums, x, time, width, members, kernels))
            for k, value in zip(members, found, strict=True):
                values[k] = value
        return tuple(values)

    def _partial_sums(
        self, x: Any, time: Array, width: int, members: tuple, kernels: Callable, start: Any, count: int
    ) -> list[Array]:
        """The part of every member's sum that belongs to windows start … start + count."""
        arrays = kernels(*_windows(x, start, count, width), time)
        whole = (jnp.broadcast_to(jnp.asarray(a, x.dtype), (x.shape[0], count)) for a in arrays)
        return [_contract(a, cut(self.weights[k], start, count)) for k, a in zip(members, whole, strict=True)]

    def slopes(self, points: Points) -> list[tuple[bool, tuple[Array, ...], Callable[[], Array]]]:
        """For every window sum s_k: whether it is |x|²; ∂(each expression)/∂s_k, (B,); and ∇s_k, (B, d), on demand."""
        sums = self.sums(points)

        def slope(k: int) -> tuple[Array, ...]:
            tangents = tuple(jnp.ones_like(s) if j == k else jnp.zeros_like(s) for j, s in enumerate(sums))
            return jax.jvp(lambda *values: self.compose(points, values), sums, tangents)[1]

        def gradient(k: int) -> Array:
            return jax.grad(lambda x: jnp.sum(self.sums(points._replace(x=x))[k]))(held(points.x))

        return [(radial, slope(k), partial(gradient, k)) for k, radial in enumerate(self.radial)]

    def along_axes(self, points: Points, axes: Int[Array, " axes"]) -> Callable[[Array], tuple[Array, ...]]:
        """The functions restricted to lines: s of shape (K, B) ↦ values (K, B) at x + s e_axis, for K axes.

        Only the windows that hold the axis are evaluated: O(B·K·w). Differentiate it in s.
        """
        sums = self.sums(points)
        steps = [self._local_steps(points, axes, group) for group in self.groups]

        def line(s: Array) -> tuple[Array, ...]:
            values = list(sums)
            for group, step in zip(self.groups, steps, strict=True):
                moved, still = step(s), step(jnp.zeros_like(s))
                for k, a, b in zip(group.members, moved, still, strict=True):
                    values[k] = values[k] + (a - b)
            return self.compose(points, tuple(values))

        return line

    def terms_at(self, points: Points, axes: Int[Array, " axes"]) -> tuple[Float[Array, "axes batch"], ...]:
        """For every window sum Σ_i w_i of single coordinates, its terms w_i at the given axes, each (K, B)."""
        zero = jnp.zeros((axes.shape[0], points.x.shape[0]), points.x.dtype)
        terms = [zero] * len(self.weights)
        for group in self.groups:
            for k, term in zip(group.members, self._local_steps(points, axes, group)(zero), strict=True):
                terms[k] = jnp.broadcast_to(term, zero.shape)
        return tuple(terms)

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
        sums = self.sums(points)
        first, second = self._directional(points, block, size)

        def line(s: Array) -> tuple[Array, ...]:
            moved = (v + s * a + s * s / 2 * b for v, a, b in zip(sums, first, second, strict=True))
            return self.compose(points, tuple(moved))

        return line

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
        (x,) = _windows(points.x, start, n, 1)
        slopes, curvatures = list(self.weights), list(self.weights)
        for _, members, kernels in self.groups:
            _, first, second = jet2(lambda q: tuple(kernels(q, _time(points)[:, None])), x)  # noqa: B023
            for k, a, b in zip(members, first, second, strict=True):
                c = self.weights[k]
                c = 1 if c is None else jnp.asarray(cut(c, start, n), x.dtype)
                slopes[k], curvatures[k] = a * c, b * c
        return slopes, curvatures

    def _local_steps(self, points: Points, axes: Array, group: _Group) -> Callable[[Array], list[Array]]:
        """s ↦ the part of each window sum of `group` that sees the coordinate of each axis moved by s."""
        x, dim, width = points.x, points.x.shape[1], group.width
        time = _time(points)
        starts = axes[:, None] - jnp.arange(
            width
        )  # window starting at `starts[k, j]` has the axis at place j
        inside = (starts >= 0) & (starts <= dim - width)
        places = jnp.clip(starts[..., None] + jnp.arange(width), 0, dim - 1)  # (K, w, w)
        around = jnp.moveaxis(_columns(x, places), 0, -1)  # (K, w, w, B)

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


class Fused(eqx.Module):
    """Expressions lowered so that window sums which enter linearly are contracted together, in one pass over x.

    F = β + Σ_k α_k s_k, where α and β depend on the other sums alone: those first, then Σ_p c_p Σ_k α_k φ_k at once. XLA's CPU
    back end evaluates a kernel again for every array it returns, so a pass saved is its whole cost saved.
    """

    inner: Lowered  # β, α_1, α_2, … of every expression
    weights: tuple[Any, ...]
    passes: tuple[_Pass, ...] = eqx.field(static=True)
    count: int = eqx.field(static=True)

    def __call__(self, points: Points) -> tuple[Float[Array, " batch"], ...]:
        scalars = self.inner(points)
        totals, x = list(scalars[: self.count]), points.x
        for step, weight in zip(self.passes, self.weights, strict=True):
            count = x.shape[1] - step.width + 1
            if count < 1:
                continue
            factors = [scalars[k][:, None] for k in step.coefficients]
            part = partial(self._partial_sum, points, step, weight, factors)
            totals[step.target] = totals[step.target] + _over(x, count, part)
        return tuple(totals)

    def _partial_sum(
        self, points: Points, step: _Pass, weight: Any, factors: list[Array], start: Any, count: int
    ) -> Array:
        """The part of a contraction that belongs to windows start … start + count."""
        x = points.x
        (array,) = step.kernel(*_windows(x, start, count, step.width), _time(points)[:, None], *factors)
        return _contract(jnp.broadcast_to(array, (x.shape[0], count)), cut(weight, start, count))


class _Pass(NamedTuple):
    """One contraction: into which expression, over windows of what width, with which row factors, of what kernel."""

    target: int
    width: int
    coefficients: tuple[int, ...]
    kernel: Callable[..., list]


@lru_cache(maxsize=256)
def lower_fused(exprs: tuple[sp.Expr, ...], dim: int) -> Fused:
    """Lower expressions that are only evaluated, as few passes over the coordinates as linearity allows."""
    bound = [sp.sympify(e).xreplace({d: sp.Integer(dim)}) for e in exprs]
    rests: list[sp.Expr] = []
    scalars: list[sp.Expr] = []
    passes: list[_Pass] = []
    weights: list[Any] = []
    for target, expr in enumerate(bound):
        linear = _linear_sums(expr)
        rests.append(expr.xreplace(dict.fromkeys(linear, sp.Integer(0))))
        for (width, factors), members in _by_weights(linear).items():
            start = len(bound) + len(scalars)
            scalars += [sp.diff(expr, s) for s in members]
            passes.append(
                _Pass(target, width, tuple(range(start, start + len(members))), _joint_kernel(width, members))
            )
            weights.append(WindowSum(sp.Integer(1), width, factors).weights(dim))
    return Fused(lower((*rests, *scalars), dim), tuple(weights), tuple(passes), len(bound))


def _linear_sums(expr: sp.Expr) -> list[WindowSum]:
    """A large set of window sums in which the expression is jointly affine, costly kernels first."""
    chosen: list[WindowSum] = []
    for s in sorted(window_sums(expr), key=lambda s: (-sp.count_ops(s.kernel), s.name)):
        slope = sp.diff(expr, s)
        if s not in slope.free_symbols and not any(c in slope.free_symbols for c in chosen):
            chosen.append(s)
    return chosen


def _by_weights(sums: list[WindowSum]) -> dict[tuple, list[WindowSum]]:
    grouped: dict[tuple, list[WindowSum]] = {}
    for s in sums:
        grouped.setdefault((s.width, s.factors), []).append(s)
    return grouped


def _joint_kernel(width: int, members: list[WindowSum]) -> Callable[..., list]:
    factors = sp.symbols(f"alpha0:{len(members)}", real=True)
    kernel = sp.Add(*(f * s.kernel for f, s in zip(factors, members, strict=True)))
    return compile_expressions((*X[:width], t, *factors), (kernel,))


@lru_cache(maxsize=256)
def lower(exprs: tuple[sp.Expr, ...], dim: int) -> Lowered:
    """Lower expressions at dimension `dim`. Coefficients stay float64 NumPy arrays until they are used."""
    bound = tuple(sp.sympify(e).xreplace({d: sp.Integer(dim)}) for e in exprs)
    sums = tuple(sorted(set().union(*(window_sums(e) for e in bound)), key=lambda s: s.name))
    outer = compile_expressions((*sums, coordinate_max, _x, _y, t), bound)
    weights, radial = tuple(s.weights(dim) for s in sums), tuple(s == r2 for s in sums)
    return Lowered(weights, radial, _groups(sums), outer, any(e.has(coordinate_max) for e in bound))


def jet2(function: Callable[[Array], Any], s: Array) -> tuple[Any, Any, Any]:
    """Value, first and second derivative of an elementwise function."""
    one = jnp.ones_like(s)
    first = lambda q: jax.jvp(function, (q,), (one,))
    (value, slope), (_, curvature) = jax.jvp(first, (s,), (one,))
    return value, slope, curvature


def _groups(sums: tuple[WindowSum, ...]) -> tuple[_Group, ...]:
    widths = sorted({s.width for s in sums})
    return tuple(_group(width, sums) for width in widths)


def _group(width: int, sums: tuple[WindowSum, ...]) -> _Group:
    members = tuple(k for k, s in enumerate(sums) if s.width == width)
    kernels = tuple(sums[k].kernel for k in members)
    return _Group(width, members, compile_expressions((*X[:width], t), kernels))


def _over(x: Any, count: int, part: Block) -> Any:
    """`part` of the first `count` windows: at once, or in blocks where x is no array."""
    return x.accumulate(part, count) if isinstance(x, Coordinates) else part(0, count)


def _windows(x: Any, start: Any, count: int, width: int) -> list[Float[Array, "batch count"]]:
    """The coordinates of windows start … start + count: the first of each window, the second …"""
    size = count + width - 1
    block = x.block(start, size) if isinstance(x, Coordinates) else cut(x, start, size, axis=1)
    return [block[:, j : j + count] for j in range(width)]


def _columns(x: Any, indices: Any) -> Array:
    return x.columns(jnp.asarray(indices)) if isinstance(x, Coordinates) else x[:, indices]


def _contract(array: Float[Array, "batch count"], weight: Any) -> Float[Array, " batch"]:
    if weight is None:
        return jnp.sum(array, axis=1)
    return jnp.matmul(array, jnp.asarray(weight, array.dtype), precision=jax.lax.Precision.HIGHEST)


def _time(points: Points) -> Array:
    return jnp.zeros(points.x.shape[0], points.x.dtype) if points.t is None else points.t


def _numeric(expr: sp.Expr) -> sp.Expr:
    """Irrational constants as numbers, so that nothing but arithmetic is left for run time."""
    return expr.replace(lambda e: e.is_number and not e.is_Rational and not e.is_Float, lambda e: e.evalf(20))


def in_float64(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a JAX function in double precision on host arrays; returns NumPy arrays."""
    with jax.enable_x64(True):
        result = function(*jax.tree.map(lambda a: jnp.asarray(np.asarray(a), jnp.float64), arguments))
        return jax.tree.map(np.asarray, result)
