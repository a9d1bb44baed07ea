"""HTE (Hu et al. 2024): the Hutchinson trace estimator with dense random directions, by Taylor mode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from pdezoo import PDE, Biharmonic, Points, X, u, window_sums

from ..derivatives.directions import Dense, Normal, Rademacher
from ..derivatives.field import Field
from ..networks.base import Network
from .base import Estimator
from .directional import by_directions, dense_unsupported


@dataclass(frozen=True)
class HTE(Estimator):
    """Estimates Δu ≈ (1/K) Σ_k v_kᵀ H v_k, with v_k vectors of random signs shared by the batch.

    It is unbiased, of variance 2/K Σ_{i≠j} H_ij². Δ²u ≈ (1/3K) Σ_k ∂⁴u[v_k, v_k, v_k, v_k] is estimated with v_k standard
    normal, since E v_i v_j v_k v_l = δ_ij δ_kl + δ_ik δ_jl + δ_il δ_jk. Raises ValueError for fewer than one sample.
    """

    samples: int = 16
    unbiased: ClassVar[bool] = True
    accepts_lazy_coordinates: ClassVar[bool] = True
    atoms: ClassVar[tuple[type, ...]] = (*Estimator.atoms, Biharmonic)

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise ValueError(f"samples is the number of random directions, at least 1, got {self.samples}")

    def __call__(self, field: Field, atoms: tuple, points: Points, key: PRNGKeyArray) -> dict:
        """Estimates the atoms, {atom: (B,)}, along `samples` random directions."""
        if any(isinstance(a, Biharmonic) for a in atoms):
            return self._biharmonic(field, atoms, points, key)
        return by_directions(field, atoms, points, self.directions(key, field.dim))

    def directions(self, key: PRNGKeyArray, dim: int) -> Dense:
        """Draws the directions of second derivatives: vectors of random signs."""
        return Rademacher(key, self.samples, dim)

    def unsupported(self, pde: PDE, network: Network) -> str | None:
        """Returns a reason where the operator has other atoms, the ansatz rules out dense directions, or Δ² meets an
        ansatz of sums that are not quadratic; else None.
        """
        curved = any(isinstance(a, Biharmonic) for a in pde.atoms) and not _quadratic_sums(pde)
        reason = "its ansatz is made of sums that are not quadratic; use exact" if curved else None
        return super().unsupported(pde, network) or dense_unsupported(pde, network) or reason

    def _biharmonic(self, field: Field, atoms: tuple, points: Points, key: PRNGKeyArray) -> dict:
        second, fourth = jax.random.split(key)
        others = tuple(a for a in atoms if not isinstance(a, Biharmonic))
        values = by_directions(field, others, points, self.directions(second, field.dim)) if others else {}
        along = field.fourth_order(points, Normal(fourth, self.samples, field.dim))
        return values | {Biharmonic(u): jnp.mean(along, axis=0) / 3}


@dataclass(frozen=True)
class DenseSTDE(HTE):
    """Dense STDE (Shi et al. 2024) of normal numbers: HTE with variance 2/K Σ_ij H_ij², the diagonal included."""

    def directions(self, key: PRNGKeyArray, dim: int) -> Dense:
        """Draws the directions of second derivatives: standard normal vectors."""
        return Normal(key, self.samples, dim)


def _quadratic_sums(pde: PDE) -> bool:
    """Returns whether the ansatz is made of window sums of polynomials of degree two at most."""
    sums = {s for e in (pde.ansatz.factor, pde.ansatz.offset) for s in window_sums(e)}
    kernels = [s.kernel.as_poly(*X) for s in sums]
    return all(kernel is not None and kernel.total_degree() <= 2 for kernel in kernels)
