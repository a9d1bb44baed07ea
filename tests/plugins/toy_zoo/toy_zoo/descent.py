from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from solvers import Exact, NeuralSolver, Solver, Trainer, register


@dataclass(frozen=True)
class Descent(Trainer):
    """θ ← θ − η ∇L."""

    learning_rate: float = 1e-2

    def init(self, params: Any, steps: int) -> Any:
        """Nothing to remember."""
        return ()

    def step(self, loss: Any, params: Any, state: Any, key: Any) -> tuple:
        """One step downhill, if the loss is finite."""
        value, slope = jax.value_and_grad(loss)(params, key)
        rate = jnp.where(jnp.isfinite(value), self.learning_rate, 0)
        return jax.tree.map(lambda p, g: p - rate * jnp.where(rate > 0, g, 0), params, slope), state, value


@register("toy-descent")
def descent() -> Solver:
    """The exact estimator with plain gradient descent."""
    return NeuralSolver("toy-descent", Exact(), trainer=Descent())
