"""STDE (Shi et al. 2024), sparse: second derivatives along K sampled axes by Taylor mode, collapsed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import sympy as sp
from jaxtyping import PRNGKeyArray

from pdezoo import Points

from ..derivatives.directions import Axes
from ..derivatives.field import Field
from .base import Estimator, is_low_dimensional
from .directional import COORDINATEWISE, by_directions, partial_derivatives


@dataclass(frozen=True)
class STDE(Estimator):
    """Estimates Δu ≈ (d/K) Σ_{i∈I} ∂²_i u, with I a random set of K axes shared by the batch.

    It is unbiased. Its variance is that of a sample, without replacement, of K of the d numbers d ∂²_i u:

        (1 − K/d)/K · Σ_i (d ∂²_i u − Δu)² / (d − 1).

    Raises ValueError for fewer than one sample.
    """

    samples: int = 16
    unbiased: ClassVar[bool] = True
    accepts_lazy_coordinates: ClassVar[bool] = True
    atoms: ClassVar[tuple[type, ...]] = (*Estimator.atoms, *COORDINATEWISE, sp.Derivative)

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise ValueError(f"samples is the number of sampled axes, at least 1, got {self.samples}")

    def __call__(self, field: Field, atoms: tuple, points: Points, key: PRNGKeyArray) -> dict:
        """Estimates the atoms, {atom: (B,)}; partial derivatives in x, y, t are exact."""
        if is_low_dimensional(atoms):
            return partial_derivatives(field, atoms, points)
        return by_directions(field, atoms, points, Axes.draw(key, self.samples, field.dim))
