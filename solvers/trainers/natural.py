"""Natural gradient with momentum, solved for in the space of residuals."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ..networks.base import Params
from .base import LeastSquares, LossFunction, Trainer, decayed
from .kernel import residual_kernel


@dataclass(frozen=True)
class NaturalGradient(Trainer):
    """Subsampled projected-increment natural gradient (SPRING; Guzmán-Cordero et al. 2025, arXiv:2505.12149).

    With the N residuals r of a step, J = ∂r/∂θ, K = J Jᵀ and λ = `damping` · tr(K)/N,

        φ ← μφ + Jᵀ(K + λI)⁻¹(r − μJφ),      θ ← θ − ηφ,

    μ being the `momentum` and η going linearly from `learning_rate` to `final_rate`. φ minimises
    |Jφ − r|² + λ|φ − μφ₋|² with φ₋ the one before. Without momentum it is energy natural gradient descent by Woodbury's
    identity (ENGD-W): nothing is remembered. J is not formed for the first weight (see `residual_kernel`), and Jφ and Jᵀc
    take a tangent and its transpose, so that a step needs memory for a few copies of that weight at any dimension.

    Raises ValueError for a damping that is not positive, and for a momentum outside [0, 1).
    """

    learning_rate: float = 0.1
    final_rate: float = 0.0
    momentum: float = 0.9
    damping: float = 1e-3
    wants_residuals: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not self.damping > 0:
            raise ValueError(
                f"damping is the shift of J Jᵀ in units of its mean eigenvalue, above 0, got {self.damping}"
            )
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum is at least 0 and below 1, 0 for none, got {self.momentum}")

    def init(self, params: Params, steps: int) -> Any:
        """Returns φ = 0, or None where there is no momentum."""
        return jax.tree.map(jnp.zeros_like, params) if self.momentum else None

    def step(
        self, loss: LossFunction, params: Params, state: Any, key: PRNGKeyArray
    ) -> tuple[Params, Any, Array]:
        """Solves with one N × N matrix and makes one update; nothing changes where the loss or the solution is not finite."""
        assert isinstance(loss, LeastSquares)  # `wants_residuals`
        residuals, kernel = residual_kernel(loss, params, key)
        tangent = jax.linearize(lambda p: loss.residuals(p, key), params)[1]
        carried = jax.tree.map(lambda a: self.momentum * a, state)
        target = residuals - tangent(carried) if self.momentum else residuals
        weights = self.solution(kernel, target)
        (found,) = jax.linear_transpose(tangent, params)(weights)
        later = jax.tree.map(jnp.add, carried, found) if self.momentum else found
        value = jnp.mean(residuals**2)
        keep = partial(jnp.where, jnp.isfinite(value) & jnp.all(jnp.isfinite(weights)))
        rate = decayed(self.learning_rate, self.final_rate, loss.progress)
        moved = jax.tree.map(lambda p, v: keep(p - rate * v, p), params, later)
        return moved, jax.tree.map(keep, later, state) if self.momentum else None, value

    def solution(
        self, kernel: Float[Array, "residuals residuals"], target: Float[Array, " residuals"]
    ) -> Float[Array, " residuals"]:
        """Solves (K + λI)c = target by Cholesky's factorisation, with λ = `damping` · tr(K)/N."""
        shift = self.damping * jnp.trace(kernel) / target.size
        factor = jax.scipy.linalg.cho_factor(kernel + shift * jnp.eye(target.size, dtype=kernel.dtype))
        return jax.scipy.linalg.cho_solve(factor, target)
