"""Estimates from first and second derivatives along directions, and what rules them out."""

from __future__ import annotations

import jax.numpy as jnp

from pdezoo import (
    PDE,
    Diffusion,
    GradNorm1,
    GradNormSq,
    Laplacian,
    Points,
    multi_index,
    u,
    window_sums,
)

from ..derivatives.directions import Axes, Directions
from ..derivatives.field import Field
from ..networks.base import Network, OffsetNetwork, RidgeNetwork
from .base import Atoms, Values, cheap_atoms

COORDINATEWISE = (GradNorm1, Diffusion)
"""Atoms that treat every coordinate by itself: they can be summed along axes, but not along other directions."""


def by_directions(field: Field, atoms: Atoms, points: Points, directions: Directions) -> Values:
    """Estimates Δu ≈ w Σ_k ∂²u/∂v_k² and |∇u|² ≈ w Σ_k (∂u/∂v_k)²: unbiased if w Σ_k E[v_k v_kᵀ] = I.

    Along axes it estimates Σ_i |∂_i u| and weighted second derivatives in the same way. u, time derivatives and drifts
    are exact. Returns {atom: (B,)}.
    """
    values = cheap_atoms(field, tuple(a for a in atoms if a != u), points)
    if any(a == u or isinstance(a, Laplacian | GradNormSq | GradNorm1) for a in atoms):
        jets = field.second_order(points, directions)
        values |= {
            u: jets.value,
            Laplacian(u): directions.weight * jets.second,
            GradNormSq(u): directions.weight * jnp.sum(jets.first**2, axis=0),
            GradNorm1(u): directions.weight * jnp.sum(jnp.abs(jets.first), axis=0),
        }
    if isinstance(directions, Axes):
        for atom in (a for a in atoms if isinstance(a, Diffusion)):
            weights = field.problem.weights_of(atom).columns(points, directions.indices).T
            jets = field.second_order(points, directions, weights)
            values[atom] = directions.weight * jets.second
    return values


def partial_derivatives(field: Field, atoms: Atoms, points: Points) -> Values:
    """Computes the partial derivatives ∂^α u that low-dimensional operators are made of, exactly, by one planned jet:
    {atom: (B,)}.
    """
    indices = {a: multi_index(a, field.dim) for a in atoms}
    values = field.partials(points, tuple(sorted(set(indices.values()))))
    return {a: values[index] for a, index in indices.items()}


def dense_unsupported(pde: PDE, network: Network) -> str | None:
    """Returns the reason why dense random directions cannot be used on a problem; None if they can."""
    sums = {s for e in (pde.ansatz.factor, pde.ansatz.offset) for s in window_sums(e)}
    if any(s.width > 1 for s in sums):
        return "its ansatz has window sums wider than one coordinate; use sparse directions (stde)"
    return None


def shifts_unsupported(network: Network) -> str | None:
    """Returns the reason why a network cannot be evaluated at shifted points by shifting Wᵀx; None if it can."""
    if not isinstance(network, RidgeNetwork):
        return "it shifts the first linear map of a ridge network; this network has none"
    if isinstance(network, OffsetNetwork):
        return "it shifts the first linear map of a ridge network; this network reads the ansatz' offset too, which is not linear"
    return None
