"""Trainers: how parameters follow a loss. A trainer may differentiate the loss or only call it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from pdezoo import BoundaryPoints, Points

from ..estimators.one_pass import Pass
from ..networks.base import Network, Params


class LossFunction(Protocol):
    """What a trainer minimises: (params, key) ↦ loss, on the points and directions that `key` draws."""

    @property
    def progress(self) -> Any:
        """The fraction of the training that is over, 0 at the first step: what a schedule follows."""

    def __call__(
        self, params: Params, key: PRNGKeyArray, directions: PRNGKeyArray | None = None, /
    ) -> Float[Array, ""]:
        """Evaluates the loss, a scalar. With `directions` the points are still those of `key`, and the directions are drawn
        from that key instead.
        """


@dataclass(frozen=True, eq=False)
class Objective:
    """A `LossFunction` made of any function (params, key) ↦ scalar; (params, key, directions) ↦ scalar where a trainer draws
    directions apart from points.
    """

    function: Callable[..., Float[Array, ""]]
    progress: Any = 0.0

    def __call__(
        self, params: Params, key: PRNGKeyArray, directions: PRNGKeyArray | None = None, /
    ) -> Float[Array, ""]:
        """Evaluates the loss, a scalar."""
        return self.function(params, key) if directions is None else self.function(params, key, directions)


class Term(NamedTuple):
    """Residuals whose mean square is minimised: those of the operator, or those of a soft condition.

    `rows` is (params, points) ↦ (rows, B) at any batch of points, one point included, always with the directions that the
    step's key draws. The points of the batch have x as an array; those of a condition on the boundary carry their normals.
    """

    points: Points | BoundaryPoints
    rows: Callable[[Params, Any], Float[Array, "rows batch"]]


@dataclass(frozen=True, eq=False)
class LeastSquares:
    """A `LossFunction` that is a sum of squares: what a trainer that declares `wants_residuals` is given.

    The loss is the sum over terms, and over the rows of a term, of the mean square over points. `terms(key)` are those
    of a step and `residuals(params, key)` all their numbers in one vector r, so scaled that mean(r²) is the loss. The
    gradient of the loss is 2 Jᵀr/N for N residuals and J = ∂r/∂θ; `residual_kernel` makes r and J Jᵀ without J.
    """

    function: Callable[..., Float[Array, ""]]
    progress: Any
    network: Network
    terms: Callable[[PRNGKeyArray], tuple[Term, ...]]
    through: Callable[[Params, PRNGKeyArray], Pass] | None = None
    """The operator's residuals as the end of one pass of the network, for a trainer that declares `wants_pass`."""

    def __call__(
        self, params: Params, key: PRNGKeyArray, directions: PRNGKeyArray | None = None, /
    ) -> Float[Array, ""]:
        """Evaluates the loss, a scalar."""
        return self.function(params, key) if directions is None else self.function(params, key, directions)

    def residuals(self, params: Params, key: PRNGKeyArray) -> Float[Array, " residuals"]:
        """Returns all residuals r in one vector, term after term and row after row, scaled so that mean(r²) is the loss."""
        return stacked([term.rows(params, term.points) for term in self.terms(key)])


def stacked(rows: list[Float[Array, "rows batch"]]) -> Float[Array, " residuals"]:
    """Joins the residuals of all terms, each times √(N/B) with N their number and B the number of points in its term."""
    total = sum(r.size for r in rows)
    return jnp.concatenate([r.ravel() * (total / r.shape[1]) ** 0.5 for r in rows])


class Trainer(ABC):
    """The protocol of trainers: init(params, steps) → state; step(loss, params, state, key) → params, state, loss.

    `step` changes nothing where the loss is not finite: the last good parameters survive a divergence. Schedules follow
    `loss.progress`.
    """

    wants_residuals: ClassVar[bool] = False
    """Whether `step` is to be handed a `LeastSquares`, which only losses that are sums of squares can give."""
    wants_pass: ClassVar[bool] = False
    """Whether that is to have `through`: of an `OnePassHTE`, a dense network and its squared residuals alone."""
    reverse_mode: ClassVar[bool] = True
    """Whether `step` may differentiate the loss by reverse mode. Where it may not, the terms of soft conditions use none
    either: they sample the axes of a gradient in x.
    """

    @abstractmethod
    def init(self, params: Params, steps: int) -> Any:
        """Returns the trainer's state for a training of `steps` steps."""

    def start(self, params: Params, steps: int) -> tuple[Params, Any]:
        """Returns all parameters in the form in which the trainer keeps them, and its state. It trains the floating-point ones."""
        return params, self.init(trainable(params), steps)

    @abstractmethod
    def step(
        self, loss: LossFunction, params: Params, state: Any, key: PRNGKeyArray
    ) -> tuple[Params, Any, Float[Array, ""]]:
        """Makes one update; returns the parameters, the state, and the loss that it evaluated on the way."""

    def evaluations(self, steps: int, params: Params, state: Any) -> int:
        """Returns how often the `steps` steps that ended in `params` and `state` evaluated the loss: once a step,
        unless overridden.
        """
        return steps


def trainable(params: Params) -> Params:
    """Returns the floating-point leaves of the parameters, with None in place of the others: what a trainer sees."""
    return eqx.filter(params, eqx.is_inexact_array)


def normal_like(key: PRNGKeyArray, params: Params) -> Params:
    """Draws standard normal numbers in the shapes and types of the parameters."""
    leaves, structure = jax.tree.flatten(params)
    keys = jax.random.split(key, len(leaves))
    return jax.tree.unflatten(
        structure, [jax.random.normal(k, a.shape, a.dtype) for k, a in zip(keys, leaves, strict=True)]
    )


def decayed(first: float, last: float, progress: Any) -> Any:
    """Returns a number that goes linearly from `first` to `last` as the fraction `progress` of the training goes from 0 to 1."""
    return first + (last - first) * progress
