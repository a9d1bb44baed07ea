"""Forward Laplacian (Li et al. 2024): value, gradient and Laplacian pushed forward in one pass, exact.

For n = head(Wᵀx) with W of d rows and h < d columns, Δn = tr(H_z WᵀW), and any L with L Lᵀ = WᵀW has
Δn = Σ_k L_kᵀ H_z L_k: h directions in R^h replace d in R^d, so that the exact Laplacian costs the same at any dimension,
but for one product WᵀW.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from pdezoo import Points
from solvers import (
    COORDINATEWISE,
    CollapsedJets,
    Estimator,
    Field,
    NeuralSolver,
    RidgeNetwork,
    Solver,
    exact_atoms,
    register,
)

# Added to the diagonal of WᵀW, in units of its mean eigenvalue. It is above the float32 rounding of the factorisation even
# where W has rank one.
_JITTER = 1e-5


@dataclass(frozen=True)
class ForwardLaplacian(Estimator):
    """Computes Δu and |∇u|² exactly, in forward mode with the second-order stream collapsed."""

    unbiased: ClassVar[bool] = True
    accepts_lazy_coordinates: ClassVar[bool] = True
    atoms: ClassVar[tuple[type, ...]] = (*Estimator.atoms, *COORDINATEWISE)

    def __call__(self, field: Field, atoms: tuple, points: Points, key: PRNGKeyArray) -> dict:
        """Computes the atoms exactly, {atom: (B,)}; `key` is not used."""
        return exact_atoms(field, atoms, points, forward_trace)


def forward_trace(field: Field, network: RidgeNetwork, z: Array) -> tuple[Array, Array]:
    """Returns (Δn, |∇n|²), each (B,), by one collapsed pass along the rows of a matrix R with RᵀR = WᵀW."""
    jets = network.head(field.params, CollapsedJets(z, _rows(field, network)[:, None], jnp.zeros_like(z)))
    return jets.second[:, 0], jnp.sum(jets.first[..., 0] ** 2, axis=0)


def _rows(field: Field, network: RidgeNetwork) -> Array:
    """Returns R with RᵀR = WᵀW, shape (K, h): W itself for d < 2h, and otherwise a Cholesky factor, K = h."""
    gram = network.gram(field.params, field.dim)
    width = gram.shape[0]
    if field.dim < 2 * width:
        return network.rows(field.params, jnp.arange(field.dim))
    return jnp.linalg.cholesky(gram + _JITTER * jnp.trace(gram) / width * jnp.eye(width)).T


@register("forward-laplacian")
def forward_laplacian() -> Solver:
    """The exact Laplacian in one forward pass along min(d, h) directions; Adam. Li et al. 2024."""
    return NeuralSolver("forward-laplacian", ForwardLaplacian())
