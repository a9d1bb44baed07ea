"""Losses of a randomly estimated residual r̂_ξ(x), already divided by the domain's scale."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from pdezoo import Points

from .field import Field

Residual = Callable[[PRNGKeyArray], Float[Array, "operators batch"]]
"""ξ ↦ r̂_ξ at the points of a batch: a row for the operator, and one for every derivative in a gradient-enhanced loss."""


class Loss(Protocol):
    """(residual, key) ↦ scalar."""

    unbiased: ClassVar[bool]

    def __call__(self, residual: Residual, key: PRNGKeyArray, done: Any = 0.0) -> Float[Array, ""]:
        """The loss, when the fraction `done` of the training is over."""


@dataclass(frozen=True)
class SquaredLoss:
    """mean_x r̂_ξ(x)²: biased upwards by mean_x Var r̂(x)."""

    unbiased: ClassVar[bool] = False

    def __call__(self, residual: Residual, key: PRNGKeyArray, done: Any = 0.0) -> Array:
        """The loss."""
        return mean_product(r := residual(key), r)


@dataclass(frozen=True)
class DoubleSampledLoss:
    """mean_x r̂_ξ(x) r̂_ξ'(x) with independent ξ, ξ': unbiased for mean_x r(x)².

    With `both_factors` false the gradient flows through the first factor only, doubled: the same in
    expectation, at half the memory.
    """

    both_factors: bool = True
    unbiased: ClassVar[bool] = True

    def __call__(self, residual: Residual, key: PRNGKeyArray, done: Any = 0.0) -> Array:
        """The loss."""
        one, other = jax.random.split(key)
        first, second = residual(one), residual(other)
        if self.both_factors:
            return mean_product(first, second)
        held = jax.lax.stop_gradient(second)
        return 2 * mean_product(first, held) - mean_product(jax.lax.stop_gradient(first), held)


@dataclass(frozen=True)
class HybridLoss:
    """The squared loss for the fraction `biased` of the training, then the double-sampled one: the first has less variance."""

    biased: float = 0.5
    unbiased: ClassVar[bool] = False

    def __call__(self, residual: Residual, key: PRNGKeyArray, done: Any = 0.0) -> Array:
        """The loss."""
        early = lambda k: SquaredLoss()(residual, k)
        late = lambda k: DoubleSampledLoss()(residual, k)
        return jax.lax.cond(done < self.biased, early, late, key)


def mean_product(
    one: Float[Array, "operators batch"], other: Float[Array, "operators batch"]
) -> Float[Array, ""]:
    """Sum over operators of the mean over points."""
    return jnp.sum(jnp.mean(one * other, axis=1))


def condition_loss(field: Field, key: PRNGKeyArray, batch: int) -> Float[Array, ""]:
    """Σ over the problem's soft conditions of weight · mean (u − target)² + gradient_weight · mean |∇(u − target)|²."""
    total, problem = jnp.zeros(()), field.problem
    for number, condition in enumerate(problem.conditions):
        points = problem.domain.sample(jax.random.fold_in(key, number), batch, condition.time)

        def gap(x: Array, number: int = number, points: Points = points) -> Array:
            moved = points._replace(x=x)
            return field.value(moved) - problem.targets(moved)[number]

        total += condition.weight * jnp.mean(gap(points.x) ** 2)
        if condition.gradient_weight:
            slope = jax.grad(lambda x, f=gap: jnp.sum(f(x)))(points.x)
            total += condition.gradient_weight * jnp.mean(jnp.sum(slope**2, axis=1))
    return total
