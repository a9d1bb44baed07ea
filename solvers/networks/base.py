"""Networks: hyperparameters as a frozen dataclass, parameters as a pytree, values as a pure function of both.

A *ridge* network is n(x, t) = head(Wᵀx + w_t t): its first, linear, map is the only place that sees d. Everything after it
lives in R^h, whatever the dimension.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

import jax
import jax.numpy as jnp
import sympy as sp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from pdezoo import PDE, Biharmonic, Points, atom_text

from .jets import Stream, Value

S = TypeVar("S", bound=Stream)

Params = Any
"""A pytree of arrays. Those of integers are not trained."""


class Network(ABC):
    """Any function of the coordinates. Derivatives are taken by Taylor mode through `value`."""

    accepts_lazy_coordinates: ClassVar[bool] = False
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

    def first_weight(self, params: Params) -> Float[Array, "dim width"] | None:
        """W, where it is one array of `params`, which the network only multiplies by and takes rows of; None where it is not.

        With it `residual_kernel` has the first layer's part of J Jᵀ from a Gram matrix of the points, and forms no gradient of d·h
        numbers for every residual.
        """
        return None

    def with_first_weight(self, params: Params, weight: Any) -> Params:
        """`params` with another W, for a network that has a `first_weight`: an array, or what multiplies as one does."""
        raise TypeError(f"{type(self).__name__} has no first weight that is one array")

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
            has = ", ".join(map(atom_text, beyond))
            return f"the operator has {has}; a network that reads b has first and second derivatives only"
        return None
