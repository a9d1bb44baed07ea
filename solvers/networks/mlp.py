"""Dense networks, and one that also reads the known part of the ansatz."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from pdezoo import joined, streamed_product

from .base import OffsetNetwork, Params, RidgeNetwork, S
from .matrices import Tapped

_DRAWN = 2**26  # numbers of a weight matrix that are drawn at once, at most


@dataclass(frozen=True)
class MLP(RidgeNetwork):
    """A dense network of `depth` affine maps, `width` wide, tanh between them (depth 4: three hidden layers).

    Weights are normal with variance 1/fan-in, biases zero. Raises ValueError for a width below 1 or a depth below 2.
    """

    accepts_lazy_coordinates: ClassVar[bool] = True

    width: int = 128
    depth: int = 4

    def __post_init__(self) -> None:
        if self.width < 1 or self.depth < 2:
            raise ValueError(
                f"an MLP has width ≥ 1 and depth ≥ 2, got width={self.width}, depth={self.depth}"
            )

    def init(self, key: PRNGKeyArray, dim: int, has_time: bool) -> Params:
        """Draws {"first": (d, h), "time": (h,), "bias": (h,), "layers": ((W, b), …)}; "time" is there for problems with
        time only.
        """
        first, rest = self.after_first(key, dim, has_time)
        return rest | {"first": _normal(first, (dim, self.width), dim + has_time)}

    def after_first(self, key: PRNGKeyArray, dim: int, has_time: bool) -> tuple[PRNGKeyArray, Params]:
        """Returns the key of the first weight, and all parameters but that."""
        first, *keys = jax.random.split(key, self.depth + 1)
        sizes = [self.width] * (self.depth - 1) + [1]
        params = {
            "bias": jnp.zeros(self.width),
            "layers": tuple(
                (_normal(k, (m, n), m), jnp.zeros(n))
                for k, m, n in zip(keys, sizes[:-1], sizes[1:], strict=False)
            ),
        }
        time = {"time": _normal(keys[-1], (self.width,), dim + has_time)} if has_time else {}
        return first, params | time

    def project(self, params: Params, x: Array) -> Array:
        """Computes Wᵀx, shape (B, h)."""
        return x @ params["first"]

    def rows(self, params: Params, axes: Array) -> Array:
        """Gathers rows of W: the projections of coordinate axes, shape (K, h)."""
        return params["first"][axes]

    def blocks(self, params: Params, dim: int, block: Callable[[Any, int], Array], size: int) -> Array:
        """Projects directions made block by block, Σ_j block(start_j, n_j) @ W_j, shape (K, h); blocks are made again
        for the gradient.

        A W that is no array, such as `LowRank`, multiplies the directions as a whole: perturbed cores then share the
        product with W₀.
        """
        weight = params["first"]
        if not isinstance(weight, jax.Array):
            return joined(block, dim, size) @ weight
        return streamed_product(block, weight, size)

    def first_weight(self, params: Params) -> Array | None:
        """Returns W, shape (d, h); None where a trainer keeps it as something else than an array."""
        return weight if isinstance(weight := params["first"], jax.Array) else None

    def with_first_weight(self, params: Params, weight: Any) -> Params:
        """Returns `params` with another W in place of "first"."""
        return params | {"first": weight}

    def gram(self, params: Params, dim: int) -> Array:
        """Computes the Gram matrix WᵀW, shape (h, h)."""
        weight = params["first"]
        if isinstance(weight, Tapped):
            return weight.gram()
        return weight.T @ weight if isinstance(weight, jax.Array) else super().gram(params, dim)

    def time_row(self, params: Params) -> Array:
        """Returns w_t, the projection of the time axis, shape (h,)."""
        return params["time"]

    def readout(self, params: Params) -> Params:
        """Returns the last weight and bias, (h, 1) and (1,)."""
        return params["layers"][-1]

    def with_readout(self, params: Params, readout: Params) -> Params:
        """Returns `params` with another last weight and bias."""
        return params | {"layers": (*params["layers"][:-1], readout)}

    def head(self, params: Params, stream: S) -> S:
        """Adds the first bias, and applies tanh and an affine map once for every further layer."""
        stream = stream.shift(params["bias"])
        for weight, bias in params["layers"]:
            stream = stream.tanh().affine(weight, bias)
        return stream


@dataclass(frozen=True)
class OffsetMLP(OffsetNetwork, MLP):
    """An MLP that also reads the offset b of the ansatz. Its weights w_b are standard normal at the start."""

    accepts_lazy_coordinates: ClassVar[bool] = False

    def init(self, key: PRNGKeyArray, dim: int, has_time: bool) -> Params:
        """Draws the parameters of an MLP, and "offset", the weights w_b of the input b, shape (h,)."""
        here, rest = jax.random.split(key)
        return MLP.init(self, rest, dim, has_time) | {"offset": jax.random.normal(here, (self.width,))}

    def offset_row(self, params: Params) -> Array:
        """Returns w_b, the weights of the input b, shape (h,)."""
        return params["offset"]


def _normal(key: PRNGKeyArray, shape: tuple[int, ...], fan_in: int) -> Array:
    """Draws normal numbers of variance 1/fan_in; a large matrix in blocks of rows, since the generator needs as much
    memory again.
    """
    if math.prod(shape) <= _DRAWN:
        return jax.random.normal(key, shape) / jnp.sqrt(fan_in)
    size = max(1, _DRAWN // 4 // shape[1])
    count, rest = divmod(shape[0], size)

    def draw(start: Any, rows: int, weight: Array) -> Array:
        part = jax.random.normal(jax.random.fold_in(key, start), (rows, shape[1])) / jnp.sqrt(fan_in)
        return jax.lax.dynamic_update_slice_in_dim(weight, part, start, 0)

    weight = jax.lax.fori_loop(0, count, lambda j, w: draw(j * size, size, w), jnp.zeros(shape))
    return draw(count * size, rest, weight) if rest else weight
