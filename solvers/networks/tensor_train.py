"""Tensor-train matrices, and networks of them: few parameters, wide layers (Oseledets 2011; Zhao et al. 2023).

A matrix of m × n, m = Π m_k and n = Π n_k, is folded to a tensor with an index pair (i_k, j_k) for every k, and

    W[i, j] = G_1[i_1, j_1] G_2[i_2, j_2] ⋯ G_L[i_L, j_L],     G_k of shape (r_{k−1}, m_k, n_k, r_k),  r_0 = r_L = 1,

has Σ r_{k−1} m_k n_k r_k parameters. W itself is never formed: a product with it is a contraction with the cores.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from .base import Params, RidgeNetwork, S
from .mlp import MLP

Folding = tuple[tuple[int, int], ...]
"""The factors ((m_1, n_1), …, (m_L, n_L)) of the numbers of rows and columns of a matrix."""


class TensorTrain(eqx.Module):
    """An m × n matrix in tensor-train form: `x @ train` multiplies, `train[i]` gathers rows.

    Where m is less than Π m_k, x is padded with zeros; columns beyond n are left out.
    """

    cores: tuple[Float[Array, "before m n after"], ...]
    shape: tuple[int, int] = eqx.field(static=True)

    @classmethod
    def draw(cls, key: PRNGKeyArray, shape: tuple[int, int], fold: Folding, rank: int) -> TensorTrain:
        """Draws normal cores so that entries of W have variance 1/m: each is a sum over Π r_k paths of products of L numbers."""
        ranks = [1, *[rank] * (len(fold) - 1), 1]
        scale = (shape[0] * math.prod(ranks)) ** (-0.5 / len(fold))
        keys = jax.random.split(key, len(fold))
        sizes = zip(ranks[:-1], fold, ranks[1:], strict=True)
        return cls(
            tuple(
                scale * jax.random.normal(k, (before, m, n, after))
                for k, (before, (m, n), after) in zip(keys, sizes, strict=True)
            ),
            shape,
        )

    @property
    def folded(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The factors of the numbers of rows and columns: (m_1, …, m_L) and (n_1, …, n_L)."""
        return tuple(c.shape[1] for c in self.cores), tuple(c.shape[2] for c in self.cores)

    def __rmatmul__(self, x: Float[Array, "*batch m"]) -> Float[Array, "*batch n"]:
        """Computes x @ W, with the cores contracted in the order that costs least for this many rows of x."""
        inputs, outputs = self.folded
        batch = x.shape[:-1]
        count = len(self.cores)
        padded = jnp.pad(x.reshape(-1, x.shape[-1]), ((0, 0), (0, math.prod(inputs) - x.shape[-1])))
        rows, columns, ranks = (list(range(k * (count + 1), (k + 1) * (count + 1))) for k in (1, 2, 3))
        terms: list[Any] = [padded.reshape(-1, *inputs), [0, *rows[:count]]]
        for k, core in enumerate(self.cores):
            terms += [core, [ranks[k], rows[k], columns[k], ranks[k + 1]]]
        product = jnp.einsum(*terms, [0, *columns[:count]], optimize="optimal")
        return product.reshape(*batch, math.prod(outputs))[..., : self.shape[1]]

    def __getitem__(self, index: Int[Array, " rows"]) -> Float[Array, "rows n"]:
        """Gathers rows W[i], from the slices of the cores at the digits of i."""
        digits = jnp.unravel_index(index, self.folded[0])
        rows = jnp.ones((index.shape[0], 1, 1))
        for digit, core in zip(digits, self.cores, strict=True):
            rows = jnp.einsum("bnr,rbms->bnms", rows, core[:, digit])
            rows = rows.reshape(rows.shape[0], -1, rows.shape[-1])
        return rows[..., 0][:, : self.shape[1]]


def fold(shape: tuple[int, int], cores: int) -> Folding:
    """Returns factors of both sizes, as even as they can be: of those whose product is large enough, the ones of least
    sum, and of these the ones with least padding.
    """
    rows, columns = (_factors(size, cores) for size in shape)
    return tuple(zip(rows, reversed(columns), strict=True))


def _factors(size: int, count: int) -> tuple[int, ...]:
    root = round(size ** (1 / count))
    near = combinations_with_replacement(range(max(1, root - 4), root + 5), count)
    return min((f for f in near if math.prod(f) >= size), key=lambda f: (sum(f), math.prod(f)))


@dataclass(frozen=True)
class TTMLP(RidgeNetwork):
    """An MLP of `depth` affine maps: tensor trains of `cores` cores and one rank, and a dense last map to one output.

    Time is the last input of the first map. It is initialised as a dense network is: W of variance 1/fan-in, biases
    zero. Raises ValueError for a width, rank or number of cores below 1, or a depth below 2.
    """

    width: int = 768
    depth: int = 3
    rank: int = 8
    cores: int = 3

    def __post_init__(self) -> None:
        if min(self.width, self.rank, self.cores) < 1 or self.depth < 2:
            raise ValueError(f"width, rank and cores are at least 1 and depth at least 2, got {self}")

    @property
    def dense(self) -> MLP:
        """The network with matrices in place of trains, whose layers this one shares."""
        return MLP(self.width, self.depth)

    def init(self, key: PRNGKeyArray, dim: int, has_time: bool) -> Params:
        """Draws {"first": a train of (d + time) × h, "bias": (h,), "layers": ((train, b), …, (W, b))}."""
        keys = jax.random.split(key, self.depth)
        shapes = [(dim + has_time, self.width)] + [(self.width, self.width)] * (self.depth - 2)
        first, *hidden = (
            TensorTrain.draw(k, s, self.fold(s), self.rank) for k, s in zip(keys, shapes, strict=False)
        )
        last = jax.random.normal(keys[-1], (self.width, 1)) / jnp.sqrt(self.width)
        layers = (*((train, jnp.zeros(self.width)) for train in hidden), (last, jnp.zeros(1)))
        return {"first": first, "bias": jnp.zeros(self.width), "layers": layers}

    def fold(self, shape: tuple[int, int]) -> Folding:
        """Returns how a matrix of this shape is folded: as evenly as possible."""
        return fold(shape, self.cores)

    def project(self, params: Params, x: Array) -> Array:
        """Computes Wᵀx, shape (B, h)."""
        return x @ params["first"]

    def rows(self, params: Params, axes: Array) -> Array:
        """Gathers rows of W: the projections of coordinate axes, shape (K, h)."""
        return params["first"][axes]

    def time_row(self, params: Params) -> Array:
        """Returns w_t, the last row of W, shape (h,)."""
        first = params["first"]
        return first[jnp.asarray([first.shape[0] - 1])][0]

    def head(self, params: Params, stream: S) -> S:
        """Applies the layers of the dense network after its first map, with trains in place of matrices."""
        return self.dense.head(params, stream)
