"""Weight sharing in the first layer (Shi et al. 2024): one filter over blocks of the input, then a dense layer."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from solvers import MLP, NeuralSolver, Params, RidgeNetwork, S, Solver, register
from solvers.estimators.stde import STDE


@dataclass(frozen=True)
class SharedMLP(RidgeNetwork):
    """An MLP whose first map has rows W[i] = f[i mod b]·V[i div b]: a filter f of b numbers and ⌈d/b⌉ rows V.

    It has b + h·d/b numbers where a dense layer has h·d. Raises ValueError for a block of less than one coordinate.
    """

    width: int = 128
    depth: int = 4
    block: int = 16

    def __post_init__(self) -> None:
        if self.block < 1:
            raise ValueError(
                f"block is the number of coordinates that share a row, at least 1, got {self.block}"
            )

    @property
    def dense(self) -> MLP:
        """The dense network on ⌈d/b⌉ inputs that follows the filter."""
        return MLP(self.width, self.depth)

    def init(self, key: PRNGKeyArray, dim: int, has_time: bool) -> Params:
        """Draws the dense network's parameters on ⌈d/b⌉ inputs, and the "filter", shape (b,); together they give W a
        variance of 1/d.
        """
        here, behind = jax.random.split(key)
        params = self.dense.init(behind, -(-dim // self.block), has_time)
        return params | {"filter": jax.random.normal(here, (self.block,)) / jnp.sqrt(self.block)}

    def project(self, params: Params, x: Array) -> Array:
        """Computes Wᵀx, shape (B, h): f applied to every block of x, times V. The last block is padded with zeros."""
        padded = jnp.pad(x, ((0, 0), (0, -x.shape[1] % self.block)))
        return (padded.reshape(x.shape[0], -1, self.block) @ params["filter"]) @ params["first"]

    def rows(self, params: Params, axes: Array) -> Array:
        """Gathers rows of W, f[i mod b]·V[i div b] for the axes i, shape (K, h)."""
        return params["filter"][axes % self.block, None] * params["first"][axes // self.block]

    def time_row(self, params: Params) -> Array:
        """Returns w_t, the projection of the time axis, shape (h,)."""
        return self.dense.time_row(params)

    def head(self, params: Params, stream: S) -> S:
        """Applies the layers of the dense network after its first map."""
        return self.dense.head(params, stream)


@register("stde-shared")
def stde_shared() -> Solver:
    """Sparse STDE, first layer with one filter shared by blocks of 16 coordinates; Adam. Shi et al. 2024."""
    return NeuralSolver("stde-shared", STDE(), network=SharedMLP())
