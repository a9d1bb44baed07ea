"""Sets of K directions in R^d, shared by all points of a batch, along which derivatives are taken.

A set says how a network's first map projects its directions, and how an ansatz varies along them.
"""

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
    """K directions v_k in R^d, shared by all points of a batch, with weight · Σ_k E[v_k v_kᵀ] = I.

    So weight · Σ_k v_kᵀ H v_k is an unbiased estimate of the trace of any matrix H.
    """

    @property
    @abstractmethod
    def number(self) -> int:
        """The number K of directions."""

    @property
    @abstractmethod
    def weight(self) -> float:
        """The factor that turns a sum over the directions into an unbiased estimate of a trace."""

    @abstractmethod
    def rows(self, network: RidgeNetwork, params: Params) -> Float[Array, "directions width"]:
        """Projects the directions by the first map of `network`: the rows Wᵀv_k, shape (K, h)."""

    @abstractmethod
    def line(self, functions: Lowered, points: Points) -> Callable[[Array], tuple[Array, ...]]:
        """Returns s ↦ `functions` at x + s v_k, right to second order in s.

        s has shape (K, B), one number for every direction and point, and so has the value of each of the functions.
        """

    @abstractmethod
    def vectors(self) -> Float[Array, "directions dim"]:
        """Forms the directions as one array of shape (K, d), for networks without a linear first map."""


class Axes(Directions):
    """K of the d coordinate axes, drawn without replacement: the sparse directions of SDGD and STDE."""

    indices: Int[Array, " directions"]
    dim: int = eqx.field(static=True)

    @classmethod
    def draw(cls, key: PRNGKeyArray, count: int, dim: int) -> Axes:
        """Draws min(count, dim) different axes, every set of them equally likely."""
        return cls(distinct(key, min(count, dim), dim), dim)

    @property
    def number(self) -> int:
        """The number K of axes, at most d."""
        return self.indices.shape[0]

    @property
    def weight(self) -> float:
        """The factor d/K, since each axis is drawn with probability K/d."""
        return self.dim / self.number

    def rows(self, network: RidgeNetwork, params: Params) -> Array:
        """Gathers rows of W: the projections of coordinate axes, shape (K, h)."""
        return network.rows(params, self.indices)

    def line(self, functions: Lowered, points: Points) -> Callable[[Array], tuple[Array, ...]]:
        """Returns s ↦ `functions` at x + s e_i, exactly; only the windows that contain coordinate i are evaluated again."""
        return functions.along_axes(points, self.indices)

    def vectors(self) -> Array:
        """Forms the axes as one-hot vectors, shape (K, d)."""
        return jax.nn.one_hot(self.indices, self.dim)


class Dense(Directions):
    """K random vectors with independent coordinates of mean 0 and variance 1, made block by block from `key`.

    Subclasses say how a block is drawn.
    """

    key: PRNGKeyArray
    count: int = eqx.field(static=True)
    dim: int = eqx.field(static=True)

    @abstractmethod
    def block(self, start: Any, size: int) -> Float[Array, "directions size"]:
        """Draws coordinates start … start + size of every vector, shape (K, size); the same block each time it is asked for."""

    @property
    def number(self) -> int:
        """The number K of vectors."""
        return self.count

    @property
    def weight(self) -> float:
        """The factor 1/K, since every vector has E[v vᵀ] = I."""
        return 1 / self.count

    @property
    def size(self) -> int:
        """The number of coordinates in a block: `BLOCK`, or d if that is less."""
        return min(BLOCK, self.dim)

    def rows(self, network: RidgeNetwork, params: Params) -> Array:
        """Projects the vectors block by block: the rows Wᵀv_k, shape (K, h), one matrix product that all points share."""
        return network.blocks(params, self.dim, self.block, self.size)

    def line(self, functions: Lowered, points: Points) -> Callable[[Array], tuple[Array, ...]]:
        """Returns s ↦ `functions` at x + s v_k to second order, from first and second derivatives of their window sums."""
        return functions.along_directions(points, self.block, self.size)

    def vectors(self) -> Array:
        """Joins the blocks to one array of shape (K, d)."""
        return joined(self.block, self.dim, self.size)


class Rademacher(Dense):
    """Random signs: the dense directions of HTE."""

    def block(self, start: Any, size: int) -> Float[Array, "directions size"]:
        """Draws random signs ±1, shape (K, size)."""
        return jax.random.rademacher(jax.random.fold_in(self.key, start), (self.count, size), jnp.float32)


class Normal(Dense):
    """Standard normal vectors: the directions of Gaussian smoothing and of the biharmonic estimator."""

    def block(self, start: Any, size: int) -> Float[Array, "directions size"]:
        """Draws standard normal numbers, shape (K, size)."""
        return jax.random.normal(jax.random.fold_in(self.key, start), (self.count, size), jnp.float32)


def distinct(key: PRNGKeyArray, count: int, dim: int) -> Int[Array, " count"]:
    """Draws `count` different integers from 0 … dim − 1, every set equally likely (Bentley and Floyd 1987).

    Floyd's algorithm takes O(count²) work and O(count) memory, where `jax.random.choice(replace=False)` shuffles all
    `dim` numbers. It draws number i from 0 … dim − count + i, and takes dim − count + i instead where the draw is in the set
    already. A draw is in the set if an earlier draw was the same number, or if it is a number dim − count + j, j < i, that was
    taken in the place of draw j. So whether draw i is in the set follows from draws before it along a chain j(i) < i, which
    doubling resolves in log₂(count) passes: a loop over the numbers one by one costs an accelerator more than all else in a step
    of STDE.
    """
    draws = jax.random.randint(key, (count,), 0, jnp.arange(dim - count, dim) + 1)
    place, lowest = jnp.arange(count), dim - count
    taken = jnp.any((draws[:, None] == draws) & (place < place[:, None]), axis=1)
    link = jnp.where((lowest <= draws) & (draws < lowest + place), draws - lowest, place)
    for _ in range((count - 1).bit_length()):
        taken, link = taken | taken[link], link[link]
    return jnp.where(taken, lowest + place, draws)
