"""Sets of K directions shared by all points of a batch, and what they look like to a network and to an ansatz."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from pdezoo import Lowered, Points, joined

from ..networks.base import Params, RidgeNetwork

BLOCK = 4096
"""Dense directions are made this many coordinates at a time, so that K·d numbers are never held."""


class Directions(eqx.Module):
    """K directions v_k in R^d with Σ_k E[v_k v_kᵀ]·weight = I."""

    @property
    @abstractmethod
    def number(self) -> int:
        """K."""

    @property
    @abstractmethod
    def weight(self) -> float:
        """What a sum over the directions is multiplied by to estimate a trace."""

    @abstractmethod
    def rows(self, network: RidgeNetwork, params: Params) -> Float[Array, "directions width"]:
        """Their projections by the network's first map."""

    @abstractmethod
    def line(self, functions: Lowered, points: Points) -> Callable[[Array], tuple[Array, ...]]:
        """Functions along the lines x + s v_k: s of shape (K, B) ↦ values (K, B), right to second order in s."""

    @abstractmethod
    def vectors(self) -> Float[Array, "directions dim"]:
        """The directions themselves: K·d numbers, for networks without a linear first map."""


class Axes(Directions):
    """K of the d coordinate axes, drawn without replacement: the sparse directions of SDGD and STDE."""

    indices: Int[Array, " directions"]
    dim: int = eqx.field(static=True)

    @classmethod
    def draw(cls, key: PRNGKeyArray, count: int, dim: int) -> Axes:
        """min(count, dim) axes, every set equally likely."""
        return cls(distinct(key, min(count, dim), dim), dim)

    @property
    def number(self) -> int:
        """K, at most d."""
        return self.indices.shape[0]

    @property
    def weight(self) -> float:
        """d/K."""
        return self.dim / self.number

    def rows(self, network: RidgeNetwork, params: Params) -> Array:
        """Rows of W: a gather."""
        return network.rows(params, self.indices)

    def line(self, functions: Lowered, points: Points) -> Callable[[Array], tuple[Array, ...]]:
        """Only the windows that hold an axis are evaluated."""
        return functions.along_axes(points, self.indices)

    def vectors(self) -> Array:
        """One-hot vectors."""
        return jax.nn.one_hot(self.indices, self.dim)


class Dense(Directions):
    """K random vectors with independent coordinates, made block by block from a key."""

    key: PRNGKeyArray
    count: int = eqx.field(static=True)
    dim: int = eqx.field(static=True)

    @abstractmethod
    def block(self, start: Any, size: int) -> Float[Array, "directions size"]:
        """Coordinates start … start + size."""

    @property
    def number(self) -> int:
        """K."""
        return self.count

    @property
    def weight(self) -> float:
        """1/K."""
        return 1 / self.count

    @property
    def size(self) -> int:
        """Of a block."""
        return min(BLOCK, self.dim)

    def rows(self, network: RidgeNetwork, params: Params) -> Array:
        """One matrix product, shared by all points."""
        return network.blocks(params, self.dim, self.block, self.size)

    def line(self, functions: Lowered, points: Points) -> Callable[[Array], tuple[Array, ...]]:
        """To second order, from first and second derivatives of the window sums."""
        return functions.along_directions(points, self.block, self.size)

    def vectors(self) -> Array:
        """The same blocks side by side."""
        return joined(self.block, self.dim, self.size)


class Rademacher(Dense):
    """Random signs: the dense directions of HTE."""

    def block(self, start: Any, size: int) -> Float[Array, "directions size"]:
        """Signs."""
        return jax.random.rademacher(jax.random.fold_in(self.key, start), (self.count, size), jnp.float32)


class Normal(Dense):
    """Standard normal vectors: the directions of Gaussian smoothing and of the biharmonic estimator."""

    def block(self, start: Any, size: int) -> Float[Array, "directions size"]:
        """Standard normal numbers."""
        return jax.random.normal(jax.random.fold_in(self.key, start), (self.count, size), jnp.float32)


def distinct(key: PRNGKeyArray, count: int, dim: int) -> Int[Array, " count"]:
    """`count` different numbers below `dim`, every set equally likely, in O(count²) work and O(count) memory (Floyd 1987).

    `jax.random.choice(replace=False)` shuffles all d.
    """
    draws = jax.random.randint(key, (count,), 0, jnp.arange(dim - count, dim) + 1)

    def add(chosen: Array, step: tuple[Array, Array]) -> tuple[Array, None]:
        place, draw = step
        taken = jnp.any(chosen == draw)
        return chosen.at[place].set(jnp.where(taken, dim - count + place, draw)), None

    return jax.lax.scan(add, jnp.full(count, -1), (jnp.arange(count), draws))[0]
