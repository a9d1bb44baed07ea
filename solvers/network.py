"""Networks: hyperparameters as a frozen dataclass, parameters as a pytree, values as a pure function of both.

A *ridge* network is n(x, t) = head(Wᵀx + w_t t): its first, linear, map is the only place that sees d. Everything after it
lives in R^h, whatever the dimension.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import jax
import jax.numpy as jnp
import sympy as sp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from pdezoo import PDE, Biharmonic, Points, joined, streamed_product

from .jets import Stream, Value
from .matrices import Seeded

S = TypeVar("S", bound=Stream)

_DRAWN = 2**26  # numbers of a weight matrix that are drawn at once

Params = Any
"""A pytree of arrays. Those of integers are not trained."""


class Network(ABC):
    """Any function of the coordinates. Derivatives are taken by Taylor mode through `value`."""

    streams: ClassVar[bool] = False
    """Whether it asks of x only the product x @ W, so that x need not be an array but can be `Coordinates`."""

    @abstractmethod
    def init(self, key: PRNGKeyArray, dim: int, has_time: bool) -> Params:
        """Parameters for `dim` space dimensions, and time if the problem has it."""

    @abstractmethod
    def value(self, params: Params, points: Points) -> Float[Array, " batch"]:
        """n(x, t)."""

    def adapt(
        self, loss: Callable[[Params, PRNGKeyArray, int], Array], params: Params, key: PRNGKeyArray
    ) -> Params:
        """Parameters to start from, given those of `init` and the problem's loss (params, key, number of points) ↦ scalar."""
        return params

    def unsupported(self, pde: PDE) -> str | None:
        """Why this network cannot be used on a problem; None if it can."""
        return None


class RidgeNetwork(Network):
    """n(x, t) = head(project(x) + t·time_row): implement the abstract methods and every estimator is fast."""

    @abstractmethod
    def project(self, params: Params, x: Float[Array, "batch dim"]) -> Float[Array, "batch width"]:
        """Wᵀx: the linear part of the first map, at points or along directions."""

    @abstractmethod
    def rows(self, params: Params, axes: Int[Array, " axes"]) -> Float[Array, "axes width"]:
        """Rows W[i]: the projections of coordinate axes, gathered, never a product with one-hot vectors."""

    def blocks(self, params: Params, dim: int, block: Callable[[Any, int], Array], size: int) -> Array:
        """Σ_j block(start_j, n_j) @ W[start_j : start_j + n_j]: a projection of directions made block by block."""
        count, rest = divmod(dim, size)
        add = lambda start, n: block(start, n) @ self.rows(params, start + jnp.arange(n))
        step = jax.checkpoint(lambda total, start: (total + add(start, size), None))
        begin = add(count * size, rest) if rest else 0 * add(0, size)
        return jax.lax.scan(step, begin, jnp.arange(count) * size)[0]

    def gram(self, params: Params, dim: int) -> Float[Array, "width width"]:
        """WᵀW."""
        weight = self.rows(params, jnp.arange(dim))
        return weight.T @ weight

    @abstractmethod
    def time_row(self, params: Params) -> Float[Array, " width"]:
        """w_t, the projection of the time axis."""

    @abstractmethod
    def head(self, params: Params, stream: S) -> S:
        """Everything after the first linear map, from streams of width h to streams of width 1."""

    def features(self, params: Params, points: Points) -> Float[Array, "batch width"]:
        """Wᵀx + w_t t."""
        z = self.project(params, points.x)
        return z if points.t is None else z + points.t[:, None] * self.time_row(params)

    def value(self, params: Params, points: Points) -> Float[Array, " batch"]:
        """n(x, t)."""
        return self.head(params, Value(self.features(params, points))).value[:, 0]


class OffsetNetwork(RidgeNetwork):
    """n = head(Wᵀx + w_t t + w_b b): it reads b too, the known part of u = b + a n, in units of the solution's scale.

    A terminal cost bends where the solution bends; a network that is given its value need not learn where. Only a `Field` knows b.
    """

    @abstractmethod
    def offset_row(self, params: Params) -> Float[Array, " width"]:
        """w_b."""

    def value(self, params: Params, points: Points) -> Float[Array, " batch"]:
        """Raises TypeError: coordinates are not all that it reads."""
        raise TypeError("this network reads the ansatz' offset as well as x and t; take values from a Field")

    def unsupported(self, pde: PDE) -> str | None:
        """No offset to read; partial derivatives and Δ², whose jets do not carry b."""
        if pde.ansatz.offset == 0:
            return "its ansatz has no known part for the network to read"
        beyond = [a for a in pde.atoms if isinstance(a, sp.Derivative | Biharmonic)]
        if beyond:
            return f"the operator has {', '.join(map(str, beyond))}; a network that reads b has first and second derivatives only"
        return None


@dataclass(frozen=True)
class MLP(RidgeNetwork):
    """A dense network of `depth` affine maps, `width` wide, tanh between them (depth 4: three hidden layers).

    Weights are normal with variance 1/fan-in, biases zero.
    """

    streams: ClassVar[bool] = True

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

    def gram(self, params: Params, dim: int) -> Array:
        """WᵀW."""
        weight = params["first"]
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

    streams: ClassVar[bool] = False

    def init(self, key: PRNGKeyArray, dim: int, has_time: bool) -> Params:
        """Those of an MLP, and "offset", (h,)."""
        here, rest = jax.random.split(key)
        return MLP.init(self, rest, dim, has_time) | {"offset": jax.random.normal(here, (self.width,))}

    def offset_row(self, params: Params) -> Array:
        """w_b."""
        return params["offset"]


@dataclass(frozen=True)
class SeededMLP(RidgeNetwork):
    """An MLP whose first weight is never stored, but made again from its seed at every use.

    Trainers in subspaces change it all the same. Others leave it as it is, but for one factor for every hidden unit.
    """

    streams: ClassVar[bool] = True

    width: int = 128
    depth: int = 4

    def __post_init__(self) -> None:
        MLP(self.width, self.depth)

    @property
    def dense(self) -> MLP:
        """The network that stores it."""
        return MLP(self.width, self.depth)

    def init(self, key: PRNGKeyArray, dim: int, has_time: bool) -> Params:
        """Those of an MLP, the first weight `Seeded`."""
        first, rest = self.dense.after_first(key, dim, has_time)
        return rest | {"first": Seeded.draw(first, dim, self.width, dim + has_time)}

    def project(self, params: Params, x: Array) -> Array:
        """Wᵀx."""
        return self.dense.project(params, x)

    def rows(self, params: Params, axes: Array) -> Array:
        """W[axes]."""
        return self.dense.rows(params, axes)

    def time_row(self, params: Params) -> Array:
        """w_t."""
        return self.dense.time_row(params)

    def head(self, params: Params, stream: S) -> S:
        """The dense network's."""
        return self.dense.head(params, stream)


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
