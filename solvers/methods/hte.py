"""HTE (Hu et al. 2024): the Hutchinson trace estimator with dense random directions, by Taylor mode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import PRNGKeyArray

from pdezoo import PDE, Points
from solvers import (
    Estimator,
    Field,
    Network,
    Rademacher,
    Solver,
    Trained,
    by_directions,
    dense_unsupported,
    register,
)


@dataclass(frozen=True)
class HTE(Estimator):
    """Δu ≈ (1/K) Σ_k v_kᵀ H v_k, v_k vectors of random signs shared by the batch.

    Unbiased; its variance is 2/K Σ_{i≠j} H_ij².
    """

    samples: int = 16
    unbiased: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise ValueError(f"samples is the number of random directions, at least 1, got {self.samples}")

    def __call__(self, field: Field, atoms: tuple, points: Points, key: PRNGKeyArray) -> dict:
        """The atoms' estimates."""
        return by_directions(field, atoms, points, Rademacher(key, self.samples, field.dim))

    def unsupported(self, pde: PDE, network: Network) -> str | None:
        """The protocol's reasons, and what rules out dense directions."""
        return super().unsupported(pde, network) or dense_unsupported(pde, network)


@register("hte")
def hte() -> Solver:
    """Hutchinson trace estimation with dense Rademacher directions, collapsed Taylor mode; Adam. Hu et al. 2024."""
    return Trained("hte", HTE())
