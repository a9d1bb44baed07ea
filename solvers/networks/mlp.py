"""Dense networks."""

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

_DRAWN = 2**26  # numbers of a weight matrix that are drawn at once


@dataclass(frozen=True)
class MLP(RidgeNetwork):
    """A dense network of `depth` affine maps, `width` wide, tanh between them (depth 4: three hidden layers).

    Weights are normal with variance 1/fan-in, biases zero.
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
        """{"first": (d, h), "time": (h,), "bias": (h,), "layers": ((W, b), …)}."""
        first, rest = self.after_first(key, dim, has_time)
        return rest | {"first": _normal(first, (dim, self.width), dim + has_time)}

    def after_first(self, key: PRNGKeyArray, dim: int, has_time: bool) -> tuple[PRNGKeyArray, Params]:
        """The first weight's key, and all parameters but that."""
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
        """Wᵀx."""
        return x @ params["first"]

    def rows(self, params: Params, axes: Array) -> Array:
        """W[axes]."""
        return params["first"][axes]

    def blocks(self, params: Params, dim: int, block: Callable[[Any, int], Array], size: int) -> Array:
        """Σ_j block(start_j, n_j) @ W_j, one block of rows after the other; blocks are made again for the gradient.

        A W that is no array, such as `LowRank`, multiplies the directions whole: perturbed cores then share the product with W₀.
        """
        weight = params["first"]
        if not isinstance(weight, jax.Array):
            return joined(block, dim, size) @ weight
        return streamed_product(block, weight, size)

    def first_weight(self, params: Params) -> Array | None:
        """W, unless a trainer keeps it as something else."""
        return weight if isinstance(weight := params["first"], jax.Array) else None

    def with_first_weight(self, params: Params, weight: Any) -> Params:
        """`params` with another W."""
        return params | {"first": weight}

    def gram(self, params: Params, dim: int) -> Array:
        """WᵀW."""
        weight = params["first"]
        if isinstance(weight, Tapped):
            return weight.gram()
        return weight.T @ weight if isinstance(weight, jax.Array) else super().gram(params, dim)

    def time_row(self, params: Params) -> Array:
        """w_t."""
        return params["time"]

    def head(self, params: Params, stream: S) -> S:
        """bias, then tanh and an affine map, as often as there are layers."""
        stream = stream.shift(params["bias"])
        for weight, bias in params["layers"]:
            stream = stream.tanh().affine(weight, bias)
        return stream


@dataclass(frozen=True)
class OffsetMLP(OffsetNetwork, MLP):
    """An MLP that reads the known part of the ansatz; its weight w_b is standard normal at the start."""

    accepts_lazy_coordinates: ClassVar[bool] = False

    def init(self, key: PRNGKeyArray, dim: int, has_time: bool) -> Params:
        """Those of an MLP, and "offset", (h,)."""
        here, rest = jax.random.split(key)
        return MLP.init(self, rest, dim, has_time) | {"offset": jax.random.normal(here, (self.width,))}

    def offset_row(self, params: Params) -> Array:
        """w_b."""
        return params["offset"]


def _normal(key: PRNGKeyArray, shape: tuple[int, ...], fan_in: int) -> Array:
    """Normal numbers of variance 1/fan-in; many of them, rows at a time, for the generator's own buffers are as large again."""
    if math.prod(shape) <= _DRAWN:
        return jax.random.normal(key, shape) / jnp.sqrt(fan_in)
    size = max(1, _DRAWN // 4 // shape[1])
    count, rest = divmod(shape[0], size)

    def draw(start: Any, rows: int, weight: Array) -> Array:
        part = jax.random.normal(jax.random.fold_in(key, start), (rows, shape[1])) / jnp.sqrt(fan_in)
        return jax.lax.dynamic_update_slice_in_dim(weight, part, start, 0)

    weight = jax.lax.fori_loop(0, count, lambda j, w: draw(j * size, size, w), jnp.zeros(shape))
    return draw(count * size, rest, weight) if rest else weight
