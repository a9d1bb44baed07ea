"""Losses of a randomly estimated residual r̂_ξ(x), already divided by the domain's scale."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

Residual = Callable[[PRNGKeyArray], Float[Array, " batch"]]
"""ξ ↦ r̂_ξ at the points of a batch."""


class Loss(Protocol):
    """(residual, key) ↦ scalar."""

    unbiased: ClassVar[bool]

    def __call__(self, residual: Residual, key: PRNGKeyArray) -> Float[Array, ""]:
        """The loss."""


@dataclass(frozen=True)
class SquaredLoss:
    """mean_x r̂_ξ(x)²: biased upwards by mean_x Var r̂(x)."""

    unbiased: ClassVar[bool] = False

    def __call__(self, residual: Residual, key: PRNGKeyArray) -> Array:
        """The loss."""
        return jnp.mean(residual(key) ** 2)


@dataclass(frozen=True)
class DoubleSampledLoss:
    """mean_x r̂_ξ(x) r̂_ξ'(x) with independent ξ, ξ': unbiased for mean_x r(x)².

    With `both_factors` false the gradient flows through the first factor only, doubled: the same in expectation, at half the memory.
    """

    both_factors: bool = True
    unbiased: ClassVar[bool] = True

    def __call__(self, residual: Residual, key: PRNGKeyArray) -> Array:
        """The loss."""
        one, other = jax.random.split(key)
        first, second = residual(one), residual(other)
        if self.both_factors:
            return jnp.mean(first * second)
        held = jax.lax.stop_gradient(second)
        return jnp.mean(2 * first * held - jax.lax.stop_gradient(first) * held)
