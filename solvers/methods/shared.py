"""Weight sharing in the first layer (Shi et al. 2024): one filter over blocks of the input, then a dense network."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from pdezoo import Points
from solvers import (
    MLP,
    CollapsedJets,
    Network,
    NeuralSolver,
    Params,
    RidgeNetwork,
    S,
    Solver,
    register,
)
from solvers.estimators.stde import STDE


@dataclass(frozen=True)
class _Filtered:
    """What both networks have: a filter f of b numbers over every block of b coordinates, and an MLP on ⌈d/b⌉ inputs behind it.

    The last block is padded with zeros. Raises ValueError for a block of less than one coordinate.
    """

    width: int = 128
    depth: int = 4
    block: int = 16

    def __post_init__(self) -> None:
        if self.block < 1:
            raise ValueError(
                f"block is the number of coordinates that share a filter, at least 1, got {self.block}"
            )

    @property
    def dense(self) -> MLP:
        """The dense network on ⌈d/b⌉ inputs that follows the filter."""
        return MLP(self.width, self.depth)

    def init(self, key: PRNGKeyArray, dim: int, has_time: bool) -> Params:
        """Draws the dense network's parameters on ⌈d/b⌉ inputs, and the "filter", shape (b,), of variance 1/b."""
        here, behind = jax.random.split(key)
        params = self.dense.init(behind, -(-dim // self.block), has_time)
        return params | {"filter": jax.random.normal(here, (self.block,)) / jnp.sqrt(self.block)}

    def filtered(self, params: Params, x: Array) -> Array:
        """Applies the filter to every block of x, shape (B, ⌈d/b⌉)."""
        padded = jnp.pad(x, ((0, 0), (0, -x.shape[1] % self.block)))
        return padded.reshape(x.shape[0], -1, self.block) @ params["filter"]


@dataclass(frozen=True)
class SharedMLP(_Filtered, RidgeNetwork):
    """An MLP whose first map has rows W[i] = f[i mod b]·V[i div b]: a filter f of b numbers and ⌈d/b⌉ rows V.

    It has b + h·d/b numbers where a dense layer has h·d, and W a variance of 1/d at the start.
    """

    def project(self, params: Params, x: Array) -> Array:
        """Computes Wᵀx, shape (B, h): f applied to every block of x, times V."""
        return self.filtered(params, x) @ params["first"]

    def rows(self, params: Params, axes: Array) -> Array:
        """Gathers rows of W, f[i mod b]·V[i div b] for the axes i, shape (K, h)."""
        return params["filter"][axes % self.block, None] * params["first"][axes // self.block]

    def time_row(self, params: Params) -> Array:
        """Returns w_t, the projection of the time axis, shape (h,)."""
        return self.dense.time_row(params)

    def head(self, params: Params, stream: S) -> S:
        """Applies the layers of the dense network after its first map."""
        return self.dense.head(params, stream)


@dataclass(frozen=True)
class FilteredMLP(_Filtered, Network):
    """An MLP on ⌈d/b⌉ inputs y_j = tanh(f · x_j + c): one filter f and bias c for every block x_j of b coordinates.

    Second derivatives along an axis meet the one block that contains it, so that K axes cost O(B·(d + K·h)), though the first
    map is not linear.
    """

    def init(self, key: PRNGKeyArray, dim: int, has_time: bool) -> Params:
        """Draws the parameters of dense network and filter, and adds the "bias of the filter", zero."""
        return super().init(key, dim, has_time) | {"bias of the filter": jnp.zeros(())}

    def value(self, params: Params, points: Points) -> Array:
        """Evaluates n(x, t) at a batch of points, shape (B,)."""
        return self.dense.value(params, points._replace(x=self._blocks(params, points.x)))

    def jets_along_axes(
        self, params: Params, points: Points, axes: Array, weights: Array | None
    ) -> CollapsedJets:
        """Returns the collapsed 2-jets of n along K coordinate axes: axis i moves y_{i div b} alone."""
        y = self._blocks(params, points.x)
        z = self.dense.features(params, points._replace(x=y))
        here, through = y[:, axes // self.block], params["filter"][axes % self.block]
        slope = 1 - here**2
        rows = self.dense.rows(params, axes // self.block)
        curvature = -2 * here * slope * through**2
        curvature = curvature if weights is None else curvature * weights.T
        first = (slope * through).T[:, :, None] * rows[:, None]
        return self.dense.head(params, CollapsedJets(z, first, curvature @ rows, weights))

    def _blocks(self, params: Params, x: Array) -> Array:
        """Computes y, shape (B, ⌈d/b⌉)."""
        return jnp.tanh(self.filtered(params, x) + params["bias of the filter"])


@register("stde-shared")
def stde_shared() -> Solver:
    """Sparse STDE, blocks of 16 coordinates share a filter, bias and tanh; Adam. Shi et al. 2024."""
    return NeuralSolver("stde-shared", STDE(), network=FilteredMLP())


@register("stde-shared-linear")
def stde_shared_linear() -> Solver:
    """Sparse STDE, blocks of 16 coordinates share a filter without bias or tanh; Adam."""
    return NeuralSolver("stde-shared-linear", STDE(), network=SharedMLP())
