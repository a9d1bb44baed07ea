"""The trial function u_θ = b + a·n_θ as values and derivatives, using the network's structure.

d appears in one matrix product. The tangent of an axis is a row of the first weight matrix; those of the ansatz
are closed forms; after the first layer everything lives in R^h.
"""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from pdezoo import Points, Problem, jet2

from .directions import Axes, Directions
from .jets import Jets2, Value
from .network import Network, Params, RidgeNetwork


class SecondOrder(NamedTuple):
    """u (B,), ∂u/∂v_k (K, B) and Σ_k ∂²u/∂v_k² (B,)."""

    value: Float[Array, " batch"]
    first: Float[Array, "directions batch"]
    second: Float[Array, " batch"]


class Field(eqx.Module):
    """u_θ for one problem, network and parameters."""

    problem: Problem
    params: Params
    network: Network = eqx.field(static=True)

    @property
    def dim(self) -> int:
        """Number of space dimensions."""
        return self.problem.domain.dim

    def value(self, points: Points) -> Float[Array, " batch"]:
        """u_θ(x, t)."""
        factor, offset = self.problem.ansatz(points)
        return offset + factor * self.network.value(self.params, points)

    def time_derivative(self, points: Points, order: int = 1) -> Float[Array, " batch"]:
        """∂u_θ/∂t, or ∂²u_θ/∂t²."""
        _, *derivatives = jet2(lambda time: self.value(points._replace(t=time)), points.t)
        return derivatives[order - 1]

    def second_order(self, points: Points, directions: Directions) -> SecondOrder:
        """First and (summed) second derivatives along directions: collapsed Taylor mode, one pass for both."""
        n = self._network_second_order(points, directions)
        line = directions.line(self.problem.ansatz, points)
        (a, b), (a1, b1), (a2, b2) = jet2(line, jnp.zeros_like(n.first))
        return SecondOrder(
            b[0] + a[0] * n.value,
            b1 + a1 * n.value + a * n.first,
            jnp.sum(b2, 0) + n.value * jnp.sum(a2, 0) + 2 * jnp.sum(a1 * n.first, 0) + a[0] * n.second,
        )

    def _network_second_order(self, points: Points, directions: Directions) -> SecondOrder:
        if not isinstance(self.network, RidgeNetwork):
            return self._by_nested_jvp(points, directions.vectors())
        z = self.network.features(self.params, points)
        rows = directions.rows(self.network, self.params)
        jets = self.network.head(self.params, Jets2(z, rows[:, None], jnp.zeros_like(z)))
        return SecondOrder(jets.value[:, 0], jets.first[..., 0], jets.second[:, 0])

    def _by_nested_jvp(self, points: Points, vectors: Float[Array, "directions dim"]) -> SecondOrder:
        """For a network that is only a function of its coordinates."""

        def along(v: Array) -> tuple[Array, Array, Array]:
            moved = lambda s: self.network.value(self.params, points._replace(x=points.x + s[:, None] * v))  # noqa: E731
            return jet2(moved, jnp.zeros(points.x.shape[0]))

        value, first, second = jax.vmap(along)(vectors)
        return SecondOrder(value[0], first, jnp.sum(second, 0))

    def along_axis(
        self, points: Points, axis: Int[Array, ""], s: Float[Array, " batch"]
    ) -> Float[Array, " batch"]:
        """u_θ(x + s e_axis), for derivatives in s by reverse mode."""
        factor, offset = (v[0] for v in Axes(axis[None], self.dim).line(self.problem.ansatz, points)(s[None]))
        if isinstance(self.network, RidgeNetwork):
            z = self.network.features(self.params, points) + s[:, None] * self.network.rows(
                self.params, axis[None]
            )
            n = self.network.head(self.params, Value(z)).value[:, 0]
        else:
            n = self.network.value(self.params, points._replace(x=points.x.at[:, axis].add(s)))
        return offset + factor * n
