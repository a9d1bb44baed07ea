"""Rows of STDE (Shi et al. 2024) with sparse directions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from pdezoo import PDE, GradNormSq, Points
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
    ReadoutStart,
    RidgeNetwork,
    Solver,
    exact_atoms,
    register,
)
from solvers.estimators.exact import squared_gradient
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


@dataclass(frozen=True)
class FullGradientSTDE(STDE):
    """STDE of Δu, with |∇u|² from the full gradient, which a ridge network gives at the cost of WᵀW and one reverse pass.

    STDE as published samples second derivatives alone. |∇u|² along K axes is unbiased too, at more variance. A network that
    is no ridge network costs d tangents. Raises ValueError for fewer than one sample.
    """

    def __call__(self, field: Field, atoms: tuple, points: Points, key: PRNGKeyArray) -> dict:
        """Estimates the atoms, {atom: (B,)}; |∇u|² and partial derivatives in x, y, t are exact."""
        gradient = tuple(a for a in atoms if isinstance(a, GradNormSq))
        values = super().__call__(field, tuple(a for a in atoms if a not in gradient), points, key)
        if not gradient:
            return values
        exact = exact_atoms(field, gradient, points, _gradient_trace)
        return values | {a: exact[a] for a in gradient}


def _gradient_trace(field: Field, network: RidgeNetwork, z: Array) -> tuple[Array, Array]:
    """Returns zeros in place of Δn, of which nothing is taken, and |∇n|², each (B,)."""
    square = squared_gradient(field, network, z)
    return jnp.zeros_like(square), square


@dataclass(frozen=True)
class ScaledGradientEnhancedLoss(GradientEnhancedLoss):
    """The mean of r̂² + weight · (1/d) Σ_j (∂r̂/∂x_j)² over `axes` sampled axes: gPINN as STDE's code weights it.

    In expectation the second term is weight · J/d² · |∇r̂|² for J axes, where `GradientEnhancedLoss` has weight · |∇r̂|². Raises
    ValueError where that does.
    """

    def factor(self, axes: Axes) -> float:
        """Returns what the sum of squared derivatives along the sampled axes is multiplied by, beside the weight: 1/d."""
        return 1 / axes.dim


@register("stde")
def stde() -> Solver:
    """Sparse STDE: K axes by collapsed Taylor mode; Adam. Shi et al. 2024."""
    return NeuralSolver("stde", STDE())


@register("stde-lsq")
def stde_lsq() -> Solver:
    """Sparse STDE; Adam from a read-out that was fitted to the residuals by least squares."""
    return NeuralSolver("stde-lsq", STDE(), start=ReadoutStart())


@register("stde-full-gradient")
def stde_full_gradient() -> Solver:
    """Sparse STDE of Δu, |∇u|² from the full gradient, as published; Adam. Shi et al. 2024."""
    return NeuralSolver("stde-full-gradient", FullGradientSTDE())


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
    """Sparse STDE, gradient-enhanced along sampled axes, weighted as published; Adam. Shi et al. 2024."""
    return NeuralSolver("stde-gradient-enhanced", STDE(), loss=ScaledGradientEnhancedLoss())


@register("stde-gradient-enhanced-unscaled")
def stde_gradient_enhanced_unscaled() -> Solver:
    """Sparse STDE, gradient-enhanced without bias along sampled axes; Adam. Yu et al. 2022."""
    return NeuralSolver("stde-gradient-enhanced-unscaled", STDE(), loss=GradientEnhancedLoss())


@register("stde-forward-gradient")
def stde_forward_gradient() -> Solver:
    """Sparse STDE, no reverse mode anywhere: Adam on forward gradients. Baydin et al. 2022."""
    return NeuralSolver("stde-forward-gradient", STDE(), trainer=ForwardGradient())
