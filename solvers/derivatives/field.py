"""The trial function u_θ = b + a·n_θ and its derivatives, by the structure of the network n_θ and of the ansatz' parts a and b.

The dimension d appears in one matrix product: the derivative of the first map along an axis is a row of its weight
matrix, the derivatives of a and b are closed forms, and after the first layer everything lives in R^h.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from pdezoo import Drift, Points, Problem, displaced, down_closure, jet2

from ..networks.base import Network, OffsetNetwork, Params, RidgeNetwork
from ..networks.jets import CollapsedJets, Taylor, Value
from .directions import Axes, Dense, Directions
from .planner import Index, plan


class SecondOrder(NamedTuple):
    """A function at B points and its derivatives along K directions: u (B,), ∂u/∂v_k (K, B) and the sum Σ_k w_k ∂²u/∂v_k² (B,)."""

    value: Float[Array, " batch"]
    first: Float[Array, "directions batch"]
    second: Float[Array, " batch"]


class Field(eqx.Module):
    """The trial function u_θ = b + a·n_θ of one problem, one network n and its parameters θ.

    The problem's ansatz gives the factor a and the offset b. Derivatives are exact, up to rounding.
    """

    problem: Problem
    params: Params
    network: Network = eqx.field(static=True)

    @property
    def dim(self) -> int:
        """The number d of space dimensions."""
        return self.problem.domain.dim

    def value(self, points: Points) -> Float[Array, " batch"]:
        """Evaluates u_θ(x, t) at a batch of points, shape (B,)."""
        factor, offset = self.problem.ansatz(points)
        if not isinstance(self.network, RidgeNetwork):
            return offset + factor * self.network.value(self.params, points)
        stream = Value(self.features(points, offset))
        return offset + factor * self.network.head(self.params, stream).value[:, 0]

    def features(self, points: Points, offset: Float[Array, " batch"]) -> Float[Array, "batch width"]:
        """Computes what enters a ridge network's head, shape (B, h): Wᵀx + w_t t, plus w_b b where the network reads
        the offset b.

        `offset` holds b at the points, shape (B,).
        """
        assert isinstance(self.network, RidgeNetwork)
        return self._with_offset(self.network.features(self.params, points), offset)

    @property
    def offset_row(self) -> Float[Array, " width"]:
        """The derivative ∂z/∂b of the features z, shape (h,): w_b over the scale of the solution, the unit in which a
        network reads b.
        """
        assert isinstance(self.network, OffsetNetwork)
        return self.network.offset_row(self.params) / self.problem.domain.scale

    def _with_offset(self, z: Array, offset: Array) -> Array:
        """Adds the offset's share w_b b to the features z, or that of a derivative of b to the same derivative of z.

        Returns z unchanged for a network that does not read b.
        """
        if not isinstance(self.network, OffsetNetwork):
            return z
        return z + offset[..., None] * self.offset_row

    def time_derivative(self, points: Points, order: int = 1) -> Float[Array, " batch"]:
        """Computes ∂u_θ/∂t for `order` 1, or ∂²u_θ/∂t² for `order` 2, shape (B,), exactly. The points must carry a time."""
        assert points.t is not None  # an operator with time derivatives belongs to a domain with time
        _, *derivatives = jet2(lambda time: self.value(points._replace(t=time)), points.t)
        return derivatives[order - 1]

    def euler_derivative(self, points: Points) -> Float[Array, " batch"]:
        """Computes x·∇u_θ, shape (B,), exactly, by one tangent along x."""
        one = jnp.ones(points.x.shape[0])
        return jax.jvp(lambda s: self.value(points._replace(x=points.x * s[:, None])), (one,), (one,))[1]

    def drift(self, points: Points, atom: Drift) -> Float[Array, " batch"]:
        """Computes b·∇u_θ, shape (B,), for an atom `Drift(u, b)` of the problem's operator: exactly, by one tangent along b(x).

        For a ridge network that is one more projection, Wᵀb.
        """
        weights = self.problem.weights_of(atom)
        still, one = (f(points.x.shape[0], points.x.dtype) for f in (jnp.zeros, jnp.ones))
        return jax.jvp(lambda s: self.value(displaced(points, weights, s)), (still,), (one,))[1]

    def second_order(
        self, points: Points, directions: Directions, weights: Float[Array, "directions batch"] | None = None
    ) -> SecondOrder:
        """Computes first derivatives and the sum of second derivatives along directions, in one pass of collapsed Taylor mode.

        With `weights`, shape (K, B) and of any sign, the sum counts direction k at point i weights[k, i] times.
        """
        line = directions.line(self.problem.ansatz, points)
        (a, b), (a1, b1), (a2, b2) = jet2(line, jnp.zeros((directions.number, points.x.shape[0])))
        total = lambda terms: jnp.sum(terms if weights is None else weights * terms, 0)
        n = self._network_second_order(points, directions, weights, SecondOrder(b[0], b1, total(b2)))
        return SecondOrder(
            b[0] + a[0] * n.value,
            b1 + a1 * n.value + a * n.first,
            total(b2) + n.value * total(a2) + 2 * total(a1 * n.first) + a[0] * n.second,
        )

    def fourth_order(self, points: Points, directions: Dense) -> Float[Array, "directions batch"]:
        """Computes ∂⁴u_θ/∂v_k⁴ along every direction, shape (K, B), by jets of order 4.

        The ansatz must be made of window sums that are quadratic, since a direction's `line` is right to second order only.
        """
        n = self._network_fourth_order(points, directions)
        line = directions.line(self.problem.ansatz, points)
        a, b = zip(*_line_derivatives(line, n[0], 4), strict=True)
        return b[4] + sum(math.comb(4, k) * a[4 - k] * n[k] for k in range(5))

    def _network_fourth_order(self, points: Points, directions: Dense) -> list[Array]:
        """Returns n and its first four derivatives along every direction, each (K, B)."""
        if not isinstance(self.network, RidgeNetwork):
            moved = lambda s: jax.vmap(
                lambda step, v: self.network.value(
                    self.params, points._replace(x=points.x + step[:, None] * v)
                )
            )(s, directions.vectors())
            return _line_derivatives(moved, jnp.zeros((directions.count, points.x.shape[0])), 4)
        rows = directions.rows(self.network, self.params)[:, None]
        z = self.network.features(self.params, points) + 0 * rows
        none = jnp.zeros_like(z)
        out = self.network.head(self.params, Taylor((z, rows + none, none, none, none), (0, 1, 2, 3, 4)))
        return [math.factorial(k) * c[..., 0] for k, c in enumerate(out.coefficients)]

    def _network_second_order(
        self, points: Points, directions: Directions, weights: Array | None, offset: SecondOrder
    ) -> SecondOrder:
        if not isinstance(self.network, RidgeNetwork):
            indices = directions.indices if isinstance(directions, Axes) else None
            if indices is not None and (
                jets := self.network.jets_along_axes(self.params, points, indices, weights)
            ):
                return SecondOrder(jets.value[:, 0], jets.first[..., 0], jets.second[:, 0])
            return self._by_nested_jvp(points, directions.vectors(), weights)
        z = self.network.features(self.params, points)
        rows = directions.rows(self.network, self.params)[:, None]
        moved = (self._with_offset(a, b) for a, b in zip((z, rows, jnp.zeros_like(z)), offset, strict=True))
        value, first, second = moved
        stream = CollapsedJets(value, first, second, weights)
        jets = self.network.head(self.params, stream)
        return SecondOrder(jets.value[:, 0], jets.first[..., 0], jets.second[:, 0])

    def _by_nested_jvp(
        self, points: Points, vectors: Float[Array, "directions dim"], weights: Array | None
    ) -> SecondOrder:
        """Differentiates along full vectors by nested forward mode, for a network that has no linear first map."""

        def along(v: Array) -> tuple[Array, Array, Array]:
            moved = lambda s: self.network.value(self.params, points._replace(x=points.x + s[:, None] * v))
            return jet2(moved, jnp.zeros(points.x.shape[0]))

        value, first, second = jax.vmap(along)(vectors)
        return SecondOrder(value[0], first, jnp.sum(second if weights is None else weights * second, 0))

    def partials(self, points: Points, indices: tuple[Index, ...]) -> dict[Index, Float[Array, " batch"]]:
        """Computes ∂^α u_θ, each (B,), for multi-indices α over the coordinates (x, y, t) that the problem has.

        One planned jet gives the network's partials ∂^γ n for all γ ≤ α; Leibniz' rule joins them with the closed forms
        of a and b.
        """
        closed = self.problem.closed_partials(points)
        n = self._network_partials(points, down_closure(indices))
        values = {}
        for alpha in indices:
            products = (
                math.prod(map(math.comb, alpha, beta)) * closed.a[beta] * n[_minus(alpha, beta)]
                for beta in down_closure((alpha,))
            )
            values[alpha] = closed.b[alpha] + sum(products)
        return values

    def _network_partials(self, points: Points, indices: tuple[Index, ...]) -> dict[Index, Array]:
        if not isinstance(self.network, RidgeNetwork):
            return {alpha: self._nested_partial(points, alpha) for alpha in indices}
        planned = plan(indices)
        (jet,) = planned.jets
        rows = self.network.rows(self.params, jnp.arange(self.dim))
        time = self.network.time_row(self.params) if self.problem.has_time else jnp.zeros_like(rows[0])
        rows = jnp.concatenate([rows, time[None]])
        z = self.network.features(self.params, points)
        slopes = (jnp.asarray(v, z.dtype) @ rows for v in jet.directions)
        slots = {k: jnp.broadcast_to(row, z.shape) for k, row in enumerate(slopes, start=1)}
        stream = Taylor((z, *(slots.get(k, jnp.zeros_like(z)) for k in jet.active)), (0, *jet.active))
        out = self.network.head(self.params, stream)
        partials = {n: c[:, 0] for n, c in zip(out.numbers, out.coefficients, strict=True)}
        return planned.evaluate([partials])

    def _nested_partial(self, points: Points, alpha: Index) -> Array:
        def step(f: Callable, axis: int) -> Callable:
            moved = lambda p, s: (
                p._replace(x=p.x.at[:, axis].add(s)) if axis < self.dim else p._replace(t=p.t + s)
            )
            zero, one = jnp.zeros(points.x.shape[0]), jnp.ones(points.x.shape[0])
            return lambda p: jax.jvp(lambda s: f(moved(p, s)), (zero,), (one,))[1]

        function: Callable = lambda p: self.network.value(self.params, p)
        for axis, order in enumerate(alpha):
            for _ in range(order):
                function = step(function, axis)
        return function(points)

    def along_axis(
        self, points: Points, axis: Int[Array, ""], s: Float[Array, " batch"]
    ) -> Float[Array, " batch"]:
        """Evaluates u_θ(x + s e_axis), shape (B,), with a number s for every point; made to be differentiated in s by
        reverse mode.
        """
        factor, offset = (v[0] for v in Axes(axis[None], self.dim).line(self.problem.ansatz, points)(s[None]))
        if isinstance(self.network, RidgeNetwork):
            z = self.features(points, offset) + s[:, None] * self.network.rows(self.params, axis[None])
            n = self.network.head(self.params, Value(z)).value[:, 0]
        else:
            n = self.network.value(self.params, points._replace(x=points.x.at[:, axis].add(s)))
        return offset + factor * n


def _line_derivatives(line: Callable, like: Array, order: int) -> list[Any]:
    """Returns line(0), line'(0), … up to `order`, for every direction and point on its own, by nested forward mode."""

    def slope(f: Callable) -> Callable:
        return lambda s: jax.jvp(f, (s,), (jnp.ones_like(s),))[1]

    functions = [line]
    for _ in range(order):
        functions.append(slope(functions[-1]))
    return [f(jnp.zeros_like(like)) for f in functions]


def _minus(alpha: Index, beta: Index) -> Index:
    return tuple(a - b for a, b in zip(alpha, beta, strict=True))
