"""Trainers: how parameters follow a loss. A trainer may differentiate the loss or only call it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Float, PRNGKeyArray

from ..networks.base import Params

LossFunction = Callable[[Params, PRNGKeyArray], Float[Array, ""]]


class Trainer(ABC):
    """init(params, steps) → state; step(loss, params, state, key) → params, state, loss.

    `step` changes nothing where the loss is not finite: the last good parameters survive a divergence.
    """

    @abstractmethod
    def init(self, params: Params, steps: int) -> Any:
        """The trainer's state for a training of `steps` steps."""

    def start(self, params: Params, steps: int) -> tuple[Params, Any]:
        """All parameters as the trainer keeps them, and its state; it trains the floating-point ones."""
        return params, self.init(trainable(params), steps)

    @abstractmethod
    def step(
        self, loss: LossFunction, params: Params, state: Any, key: PRNGKeyArray
    ) -> tuple[Params, Any, Float[Array, ""]]:
        """One update."""

    def evaluations(self, steps: int, params: Params, state: Any) -> int:
        """How often the `steps` steps that ended in `params` and `state` evaluated the loss: once a step, unless overridden."""
        return steps


def trainable(params: Params) -> Params:
    """The floating-point leaves: what a trainer sees."""
    return eqx.filter(params, eqx.is_inexact_array)


def normal_like(key: PRNGKeyArray, params: Params) -> Params:
    """Standard normal numbers in the shape of the parameters."""
    leaves, structure = jax.tree.flatten(params)
    keys = jax.random.split(key, len(leaves))
    return jax.tree.unflatten(
        structure, [jax.random.normal(k, a.shape, a.dtype) for k, a in zip(keys, leaves, strict=True)]
    )


def decayed(first: float, last: float, done: Any) -> Any:
    """A number that goes linearly from `first` to `last` as the fraction `done` of the training goes from 0 to 1."""
    return first + (last - first) * done
