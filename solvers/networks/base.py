"""Networks: hyperparameters as a frozen dataclass, parameters as a pytree, values as a pure function of both.

A *ridge* network is n(x, t) = head(Wᵀx + w_t t): its first, linear, map is the only place that sees d. Everything after it
lives in R^h, whatever the dimension.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import sympy as sp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from pdezoo import PDE, Biharmonic, Points, atom_text

from .jets import CollapsedJets, Stream, Value

S = TypeVar("S", bound=Stream)

Params = Any
"""A pytree of arrays. Floating-point arrays are trained, those of integers are not."""


class SecondOrder(NamedTuple):
    """A network's value n, shape (B,), its gradient in space ∇n, shape (B, d), and its Laplacian Δn, shape (B,)."""

    value: Float[Array, " batch"]
    gradient: Float[Array, "batch dim"]
    laplacian: Float[Array, " batch"]


class Network(ABC):
    """A function n(x, t) of the coordinates with parameters. Derivatives are taken by forward mode through `value`."""

    accepts_lazy_coordinates: ClassVar[bool] = False
    """Whether x may be `Coordinates` instead of an array, since the network only asks for the product x @ W."""

    @abstractmethod
    def init(self, key: PRNGKeyArray, dim: int, has_time: bool) -> Params:
        """Draws initial parameters for `dim` space dimensions, and for time if the problem has it."""

    @abstractmethod
    def value(self, params: Params, points: Points) -> Float[Array, " batch"]:
        """Evaluates n(x, t) at a batch of points, shape (B,)."""

    def jets_along_axes(
        self,
        params: Params,
        points: Points,
        axes: Int[Array, " axes"],
        weights: Float[Array, "axes batch"] | None,
    ) -> CollapsedJets | None:
        """Returns the collapsed 2-jets of n along K coordinate axes, a stream of width 1, second derivatives counted with
        `weights`; None if the network has no faster way than to be differentiated along full vectors.
        """
        return None

    def second_order(self, params: Params, points: Points) -> SecondOrder | None:
        """Returns n, ∇n and Δn exactly, where the network's structure gives them at O(d); None where it does not."""
        return None

    def readout(self, params: Params) -> Params | None:
        """Returns the part of `params` on which n depends linearly, its last map, where it is small enough for a least-squares fit
        of all its numbers at once; None where there is none to offer.
        """
        return None

    def with_readout(self, params: Params, readout: Params) -> Params:
        """Returns `params` with another read-out. Raises TypeError for a network that has none."""
        raise TypeError(f"{type(self).__name__} has no read-out")

    def adapt(
        self, loss: Callable[[Params, PRNGKeyArray, int], Array], params: Params, key: PRNGKeyArray
    ) -> Params:
        """Returns the parameters to start from, given those of `init` and the problem's loss; by default they are left
        as they are.

        `loss` is (params, key, number of points) ↦ scalar. Networks that are pruned before training, for one, override this.
        """
        return params

    def unsupported(self, pde: PDE) -> str | None:
        """Returns the reason why this network cannot be used on a problem; None if it can."""
        return None


class RidgeNetwork(Network):
    """A network n(x, t) = head(Wᵀx + w_t t): implement the abstract methods, and every estimator is fast."""

    @abstractmethod
    def project(self, params: Params, x: Float[Array, "batch dim"]) -> Float[Array, "batch width"]:
        """Computes Wᵀx, shape (B, h), the linear part of the first map; rows of x may be points or directions."""

    @abstractmethod
    def rows(self, params: Params, axes: Int[Array, " axes"]) -> Float[Array, "axes width"]:
        """Gathers rows W[i]: the projections of coordinate axes, shape (K, h), never by a product with one-hot vectors."""

    def blocks(self, params: Params, dim: int, block: Callable[[Any, int], Array], size: int) -> Array:
        """Projects directions that are made block by block: Σ_j block(start_j, n_j) @ W[start_j : start_j + n_j], shape (K, h).

        `block(start, n)` gives coordinates start … start + n of K directions, shape (K, n); blocks are made again for
        the gradient.
        """
        count, rest = divmod(dim, size)
        add = lambda start, n: block(start, n) @ self.rows(params, start + jnp.arange(n))
        step = jax.checkpoint(lambda total, start: (total + add(start, size), None))
        begin = add(count * size, rest) if rest else 0 * add(0, size)
        return jax.lax.scan(step, begin, jnp.arange(count) * size)[0]

    def gram(self, params: Params, dim: int) -> Float[Array, "width width"]:
        """Computes the Gram matrix WᵀW, shape (h, h)."""
        weight = self.rows(params, jnp.arange(dim))
        return weight.T @ weight

    @abstractmethod
    def time_row(self, params: Params) -> Float[Array, " width"]:
        """Returns w_t, the projection of the time axis, shape (h,)."""

    def first_weight(self, params: Params) -> Float[Array, "dim width"] | None:
        """Returns W, shape (d, h), where it is one array of `params` that is only multiplied by and gathered from; None
        where it is not.

        With it `residual_kernel` computes the first layer's part of J Jᵀ from a Gram matrix of the points, and forms no
        gradient of d·h numbers for every residual.
        """
        return None

    def with_first_weight(self, params: Params, weight: Any) -> Params:
        """Returns `params` with another W, which may be an array or an object that multiplies as one does.

        Raises TypeError for a network that has no `first_weight`.
        """
        raise TypeError(f"{type(self).__name__} has no first weight that is one array")

    @abstractmethod
    def head(self, params: Params, stream: S) -> S:
        """Applies everything after the first linear map to a stream of width h; the result is a stream of width 1."""

    def features(self, params: Params, points: Points) -> Float[Array, "batch width"]:
        """Computes Wᵀx + w_t t, shape (B, h), which is what enters the head."""
        z = self.project(params, points.x)
        return z if points.t is None else z + points.t[:, None] * self.time_row(params)

    def value(self, params: Params, points: Points) -> Float[Array, " batch"]:
        """Evaluates n(x, t) at a batch of points, shape (B,)."""
        return self.head(params, Value(self.features(params, points))).value[:, 0]


class OffsetNetwork(RidgeNetwork):
    """A network n = head(Wᵀx + w_t t + w_b b) that also reads b, the known part of u = b + a n, in units of the
    solution's scale.

    The solution has kinks where its terminal cost b has them; a network that is given b need not learn where. Only a
    `Field` knows b.
    """

    @abstractmethod
    def offset_row(self, params: Params) -> Float[Array, " width"]:
        """Returns w_b, the weights of the input b, shape (h,)."""

    def value(self, params: Params, points: Points) -> Float[Array, " batch"]:
        """Raises TypeError, since coordinates are not all that the network reads."""
        raise TypeError("this network reads the ansatz' offset as well as x and t; take values from a Field")

    def unsupported(self, pde: PDE) -> str | None:
        """Returns a reason where the ansatz has no offset to read, or the operator has partial derivatives or Δ², whose
        jets do not carry b; else None.
        """
        if pde.ansatz.offset == 0:
            return "its ansatz has no known part for the network to read"
        beyond = [a for a in pde.atoms if isinstance(a, sp.Derivative | Biharmonic)]
        if beyond:
            has = ", ".join(map(atom_text, beyond))
            return f"the operator has {has}; a network that reads b has first and second derivatives only"
        return None
