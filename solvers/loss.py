"""Losses of an estimated residual.

r̂_ξ(x) is the residual N[u_θ](x) − g(x), estimated with the randomness ξ and divided by the domain's scale.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from pdezoo import Condition, Points, Problem, SoftCondition
from pdezoo.lowering.points import in_working_precision

from .derivatives.directions import Axes
from .derivatives.field import Field
from .networks.base import Network, Params
from .trainers.base import Term

_SLOPE_AXES = 16  # as many as sparse STDE samples


class Residual(NamedTuple):
    """The estimated residual r̂_ξ at the points of a batch, as a function of the key that determines ξ.

    It has a row for the operator, and one for every derivative of it that the problem adds.
    """

    estimate: Callable[[Points, PRNGKeyArray], Float[Array, "operators batch"]]
    points: Points

    def __call__(self, key: PRNGKeyArray) -> Float[Array, "operators batch"]:
        """Evaluates r̂_ξ at the batch's points, shape (operators, B), with ξ drawn from `key`."""
        return self.estimate(self.points, key)


class Loss(Protocol):
    """A function (residual, key, progress) ↦ scalar. A loss that is a sum of squares implements `SumOfSquares` too."""

    unbiased: ClassVar[bool]
    accepts_lazy_coordinates: ClassVar[bool]
    """Whether x may be `Coordinates` instead of an array, since the loss leaves it to the residual."""

    def __call__(self, residual: Residual, key: PRNGKeyArray, progress: Any = 0.0) -> Float[Array, ""]:
        """Evaluates the loss; `progress` is the fraction of the training that is over, from 0 to 1."""


@runtime_checkable
class SumOfSquares(Protocol):
    """A loss that is the sum over rows of the mean over points of squares: what a trainer of residuals can minimise."""

    def rows(self, residual: Residual, key: PRNGKeyArray, progress: Any = 0.0) -> Float[Array, "rows batch"]:
        """Returns the numbers that are squared, shape (rows, B); the residuals of the operators come first."""


@dataclass(frozen=True)
class SquaredLoss:
    """The mean over points of r̂_ξ(x)², which is biased upwards by the mean of Var r̂(x)."""

    unbiased: ClassVar[bool] = False
    accepts_lazy_coordinates: ClassVar[bool] = True

    def __call__(self, residual: Residual, key: PRNGKeyArray, progress: Any = 0.0) -> Array:
        """Evaluates the mean square of one estimate of the residual."""
        return mean_product(r := residual(key), r)

    def rows(self, residual: Residual, key: PRNGKeyArray, progress: Any = 0.0) -> Array:
        """Returns the estimate r̂ itself, shape (operators, B)."""
        return residual(key)


@dataclass(frozen=True)
class DoubleSampledLoss:
    """The mean over points of r̂_ξ(x) r̂_ξ'(x) with independent ξ and ξ': unbiased for the mean of r(x)².

    With `both_factors` false the gradient flows through the first factor only, and is doubled: it has the same
    expectation, at half the memory.
    """

    both_factors: bool = True
    unbiased: ClassVar[bool] = True
    accepts_lazy_coordinates: ClassVar[bool] = True

    def __call__(self, residual: Residual, key: PRNGKeyArray, progress: Any = 0.0) -> Array:
        """Evaluates the mean product of two independent estimates of the residual."""
        one, other = jax.random.split(key)
        first, second = residual(one), residual(other)
        if self.both_factors:
            return mean_product(first, second)
        held = jax.lax.stop_gradient(second)
        return 2 * mean_product(first, held) - mean_product(jax.lax.stop_gradient(first), held)


@dataclass(frozen=True)
class HybridLoss:
    """The squared loss for the fraction `biased` of the training, then the double-sampled one. The first has less variance."""

    biased: float = 0.5
    unbiased: ClassVar[bool] = False
    accepts_lazy_coordinates: ClassVar[bool] = True

    def until(self, residual: Residual) -> float:
        """Returns the fraction of the training at which the loss of this residual changes."""
        return self.biased

    def __call__(self, residual: Residual, key: PRNGKeyArray, progress: Any = 0.0) -> Array:
        """Evaluates the loss of the stage that `progress` belongs to."""
        one, other = jax.random.split(key)
        first = residual(one)
        # only the second factor depends on the stage, so that there is one residual less to compile
        second = jax.lax.cond(progress < self.until(residual), lambda: first, lambda: residual(other))
        return mean_product(first, second)


@dataclass(frozen=True)
class GradientEnhancedLoss:
    """The mean of r̂² + weight · |∇r̂|² (Yu et al. 2022), with |∇r̂|² ≈ (d/J) Σ_j (∂r̂/∂x_j)² over J = `axes` sampled axes.

    ξ is fixed while r̂_ξ is differentiated. Every axis costs a tangent of the whole residual, source included. Raises
    ValueError for fewer than one axis and a negative weight.
    """

    weight: float = 0.1
    axes: int = 1
    unbiased: ClassVar[bool] = False
    accepts_lazy_coordinates: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.axes < 1 or self.weight < 0:
            raise ValueError(f"axes is at least 1 and weight at least 0, got {self.axes} and {self.weight}")

    def __call__(self, residual: Residual, key: PRNGKeyArray, progress: Any = 0.0) -> Array:
        """Evaluates the loss with one estimate of the residual and of its derivatives along the sampled axes."""
        values, slopes, weight = self._differentiated(residual, key)
        squares = jnp.sum(slopes**2, axis=0)
        return mean_product(values, values) + weight * jnp.sum(jnp.mean(squares, axis=1))

    def rows(self, residual: Residual, key: PRNGKeyArray, progress: Any = 0.0) -> Array:
        """Returns r̂, and the square root of its factor times ∂r̂/∂x_j for every sampled axis, shape ((1 + J)·operators, B)."""
        values, slopes, weight = self._differentiated(residual, key)
        return jnp.concatenate([values, weight**0.5 * slopes.reshape(-1, slopes.shape[-1])])

    def factor(self, axes: Axes) -> float:
        """Returns what the sum of squared derivatives along the sampled axes is multiplied by, beside the weight: d/J."""
        return axes.weight

    def _differentiated(self, residual: Residual, key: PRNGKeyArray) -> tuple[Array, Array, float]:
        """Returns r̂ (operators, B), ∂r̂/∂x_j (J, operators, B), and what the squares of the latter are multiplied by."""
        how, which = jax.random.split(key)
        points = residual.points
        sampled = Axes.draw(which, self.axes, points.x.shape[1])
        at = lambda x: residual.estimate(points._replace(x=x), how)

        def along(axis: Array) -> tuple[Array, Array]:
            return jax.jvp(at, (points.x,), (jnp.zeros_like(points.x).at[:, axis].set(1),))

        values, slopes = jax.vmap(along, out_axes=(None, 0))(sampled.indices)
        return values, slopes, self.weight * self.factor(sampled)


def mean_product(
    one: Float[Array, "operators batch"], other: Float[Array, "operators batch"]
) -> Float[Array, ""]:
    """Returns the sum over operators of the mean over points of the product of two residuals."""
    return jnp.sum(jnp.mean(one * other, axis=1))


def condition_loss(
    field: Field, key: PRNGKeyArray, batch: int, reverse_mode: bool = True
) -> Float[Array, ""]:
    """Evaluates the sum of the terms of the problem's soft conditions, each at `batch` points of its own, drawn from `key`.

    At one time, weight · mean (u − target)² + gradient_weight · mean |∇(u − target)|²; on the boundary, weight · mean gap², the gap
    being that of `BoundaryCondition` or `Periodic`. Without `reverse_mode` |∇(u − target)|² is estimated by forward mode along
    16 sampled axes, or taken along all d if those are no more: (d/K) Σ_k (∂_k(u − target))² over K axes, which is unbiased.
    """
    total, problem = jnp.zeros(()), field.problem
    for number, condition in enumerate(problem.conditions):
        points = _condition_points(problem, number, key, batch)
        if not isinstance(condition, Condition):
            total += mean_product(r := condition.rows(field.value, _target(problem, number), points), r)
            continue
        gap, slope = _gap(field, number, points)
        total += condition.weight * jnp.mean(gap**2)
        if condition.gradient_weight:
            if reverse_mode:
                squares = jnp.sum(slope() ** 2, axis=1)
            else:
                which = jax.random.fold_in(key, len(problem.conditions) + number)
                squares = sampled_square(field, number, points, which)
            total += condition.gradient_weight * jnp.mean(squares)
    return total


def condition_terms(problem: Problem, network: Network, key: PRNGKeyArray, batch: int) -> tuple[Term, ...]:
    """Returns the loss of `condition_loss` as residuals, one term for each condition.

    At one time, √weight (u − target), and √gradient_weight ∂(u − target)/∂x_i in d rows; on the boundary, √weight times the gaps.
    """

    def term(number: int, condition: SoftCondition) -> Term:
        def rows(params: Params, points: Any) -> Array:
            if not isinstance(condition, Condition):
                field = Field(problem, params, network)
                return condition.rows(field.value, _target(problem, number), points)
            gap, slope = _gap(Field(problem, params, network), number, points)
            value = condition.weight**0.5 * gap[None]
            if not condition.gradient_weight:
                return value
            return jnp.concatenate([value, condition.gradient_weight**0.5 * slope().T])

        return Term(_condition_points(problem, number, key, batch), rows)

    return tuple(term(number, condition) for number, condition in enumerate(problem.conditions))


def _condition_points(problem: Problem, number: int, key: PRNGKeyArray, batch: int) -> Any:
    """Points of the domain at a condition's time, or `BoundaryPoints`."""
    condition, own = problem.conditions[number], jax.random.fold_in(key, number)
    if isinstance(condition, Condition):
        return in_working_precision(problem.domain.sample(own, batch, condition.time))
    return in_working_precision(condition.draw(problem.domain, own, batch))


def _target(problem: Problem, number: int) -> Callable[[Points], Float[Array, " batch"]]:
    return lambda points: problem.targets(points)[number]


def _gap(
    field: Field, number: int, points: Points
) -> tuple[Float[Array, " batch"], Callable[[], Float[Array, "batch dim"]]]:
    """Returns u − target of a condition at points, (B,), and a function that computes its gradient there, (B, d)."""

    def gap(x: Array) -> Array:
        moved = points._replace(x=x)
        return field.value(moved) - field.problem.targets(moved)[number]

    return gap(points.x), lambda: jax.grad(lambda x: jnp.sum(gap(x)))(points.x)


def sampled_square(field: Field, number: int, points: Points, key: PRNGKeyArray) -> Float[Array, " batch"]:
    """Estimates |∇(u − target)|² of a condition at points, (B,), by one tangent along each of `_SLOPE_AXES` sampled axes."""
    axes = Axes.draw(key, _SLOPE_AXES, field.dim)
    targets = axes.line(field.problem.targets, points)

    def gap(s: Array) -> Array:
        values = jax.vmap(lambda axis, step: field.along_axis(points, axis, step))(axes.indices, s)
        return values - targets(s)[number]

    still = jnp.zeros((axes.number, points.x.shape[0]), points.x.dtype)
    slopes = jax.jvp(gap, (still,), (jnp.ones_like(still),))[1]
    return axes.weight * jnp.sum(slopes**2, axis=0)
