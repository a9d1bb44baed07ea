"""Rows of STDE (Shi et al. 2024) with sparse directions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from pdezoo import PDE, Points
from solvers import (
    Axes,
    CollapsedJets,
    DoubleSampledLoss,
    Estimator,
    Field,
    ForwardGradient,
    GradientEnhancedLoss,
    Network,
    NeuralSolver,
    OffsetMLP,
    RidgeNetwork,
    Solver,
    exact_atoms,
    register,
)
from solvers.estimators.stde import STDE


@dataclass(frozen=True)
class ExactGradientSTDE(Estimator):
    """STDE of the network alone: Δu = Δb + a (d/K) Σ_{i∈I} ∂²_i n + 2 ∇a·∇n + n Δa, with ∇a·∇n exact by one tangent along Wᵀ∇a.

    On a ball ∇a = −2x/R², and Wᵀx is known. STDE as published samples that term too, d·∂_i a ∂_i n, at more variance. |∇u|²
    has its exact cross terms, and |∇n|² is estimated along the same axes. Raises ValueError for fewer than one sample.
    """

    samples: int = 16
    unbiased: ClassVar[bool] = True
    accepts_lazy_coordinates: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise ValueError(f"samples is the number of sampled axes, at least 1, got {self.samples}")

    def __call__(self, field: Field, atoms: tuple, points: Points, key: PRNGKeyArray) -> dict:
        """Estimates the atoms, {atom: (B,)}, along `samples` axes that `key` draws."""
        axes = Axes.draw(key, self.samples, field.dim)

        def trace(field: Field, network: RidgeNetwork, z: Array) -> tuple[Array, Array]:
            rows = axes.rows(network, field.params)[:, None]
            jets = network.head(field.params, CollapsedJets(z, rows, jnp.zeros_like(z)))
            first = jnp.sum(jets.first[..., 0] ** 2, axis=0)
            return axes.weight * jets.second[:, 0], axes.weight * first

        return exact_atoms(field, atoms, points, trace)

    def unsupported(self, pde: PDE, network: Network) -> str | None:
        """Returns a reason where the network has no linear first map, so that ∇a·∇n is not cheap, or the operator has
        other atoms; else None.
        """
        if not isinstance(network, RidgeNetwork):
            return "it takes ∇a·∇n from the first linear map of a ridge network; this network has none"
        return super().unsupported(pde, network)


@register("stde")
def stde() -> Solver:
    """Sparse STDE: K axes by collapsed Taylor mode; Adam. Shi et al. 2024."""
    return NeuralSolver("stde", STDE())


@register("stde-exact-gradient")
def stde_exact_gradient() -> Solver:
    """Sparse STDE of the network alone, the ansatz' first-order term exact: less variance; Adam."""
    return NeuralSolver("stde-exact-gradient", ExactGradientSTDE())


@register("stde-offset-input")
def stde_offset_input() -> Solver:
    """Sparse STDE of the network alone, which also reads the ansatz' known part b(x, t); Adam."""
    return NeuralSolver("stde-offset-input", ExactGradientSTDE(), network=OffsetMLP())


@register("stde-unbiased")
def stde_unbiased() -> Solver:
    """Sparse STDE, the loss from two independent sets of axes (unbiased); Adam. Shi et al. 2024."""
    return NeuralSolver("stde-unbiased", STDE(), loss=DoubleSampledLoss())


@register("stde-unbiased-one-factor")
def stde_unbiased_one_factor() -> Solver:
    """The unbiased loss, gradient through one factor only: half the memory of a reverse pass; Adam."""
    return NeuralSolver("stde-unbiased-one-factor", STDE(), loss=DoubleSampledLoss(both_factors=False))


@register("stde-gradient-enhanced")
def stde_gradient_enhanced() -> Solver:
    """Sparse STDE, the squared residual and its squared gradient along sampled axes; Adam. Yu et al. 2022."""
    return NeuralSolver("stde-gradient-enhanced", STDE(), loss=GradientEnhancedLoss())


@register("stde-forward-gradient")
def stde_forward_gradient() -> Solver:
    """Sparse STDE, no reverse mode anywhere: Adam on forward gradients. Baydin et al. 2022."""
    return NeuralSolver("stde-forward-gradient", STDE(), trainer=ForwardGradient())
