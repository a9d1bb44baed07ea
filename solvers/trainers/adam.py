"""Adam, on gradients by reverse mode or by forward mode along random directions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, PRNGKeyArray

from ..networks.base import Params
from .base import LossFunction, Trainer, decayed, normal_like

_DECAYS, _EPSILON = (0.9, 0.999), 1e-8
_ADAM = optax.scale_by_adam(*_DECAYS, _EPSILON)


@dataclass(frozen=True)
class Adam(Trainer):
    """Adam (Kingma and Ba 2015) with a learning rate that goes linearly from `learning_rate` to `final_rate`."""

    learning_rate: float = 1e-3
    final_rate: float = 0.0

    def init(self, params: Params, steps: int) -> Any:
        """Returns the state of Adam, both moments zero."""
        return _ADAM.init(params)

    def step(
        self, loss: LossFunction, params: Params, state: Any, key: PRNGKeyArray
    ) -> tuple[Params, Any, Array]:
        """Takes one gradient and makes one update; nothing changes where the loss is not finite."""
        value, gradient = self.gradient(loss, params, key)
        rate = decayed(self.learning_rate, self.final_rate, loss.progress)
        keep = partial(jnp.where, jnp.isfinite(value))
        later = jax.tree.map(keep, _ADAM.update(gradient, state)[1], state)
        # Without the barrier XLA fuses the new moments into the parameters' update too, which then reads the old ones: those
        # are copied before they change, and a copy is as large as the parameters.
        later = jax.lax.optimization_barrier(later)
        mean = optax.tree.bias_correction(later.mu, _DECAYS[0], later.count)
        square = optax.tree.bias_correction(later.nu, _DECAYS[1], later.count)
        change = lambda p, m, v: keep(p - rate * (m / (jnp.sqrt(v) + _EPSILON)), p)
        return jax.tree.map(change, params, mean, square), later, value

    def gradient(self, loss: LossFunction, params: Params, key: PRNGKeyArray) -> tuple[Array, Params]:
        """Returns the loss and its gradient ∇L, by reverse mode."""
        return jax.value_and_grad(loss)(params, key)


@dataclass(frozen=True)
class ForwardGradient(Adam):
    """Adam on the forward gradient g = (1/q) Σ_i (∇L·z_i) z_i, z_i standard normal, by forward mode (Baydin et al. 2022).

    It is unbiased, and nothing is stored for a reverse pass; E|g − ∇L|² = (P + 1)/q |∇L|² for P parameters. Raises
    ValueError for fewer than one query.
    """

    reverse_mode: ClassVar[bool] = False

    queries: int = 1

    def __post_init__(self) -> None:
        if self.queries < 1:
            raise ValueError(
                f"queries is the number of random directions a step, at least 1, got {self.queries}"
            )

    def gradient(self, loss: LossFunction, params: Params, key: PRNGKeyArray) -> tuple[Array, Params]:
        """Returns the loss and g, by q directional derivatives, one after the other."""

        def one(query: Array) -> tuple[Array, Params]:
            z = normal_like(jax.random.fold_in(jax.random.fold_in(key, 1), query), params)
            value, slope = jax.jvp(lambda p: loss(p, key), (params,), (z,))
            return value, jax.tree.map(lambda a: slope / self.queries * a, z)

        add = lambda query, total: jax.tree.map(jnp.add, total, one(query))
        zero = jnp.zeros(()), jax.tree.map(jnp.zeros_like, params)
        total, gradient = jax.lax.fori_loop(0, self.queries, add, zero)
        return total / self.queries, gradient
