"""A ground state of many coupled oscillators, as an equation for the logarithm of its wave function."""

from __future__ import annotations

from pdezoo import PDE, EulerDerivative, GradNormSq, Laplacian, few_body, register, u


@register("schroedinger", variants=("two-body-wide", "sin-three-body"))
def schroedinger(dim: int, variant: str = "sin-three-body", seed: int = 0) -> PDE:
    """Δu − 2 x·∇u − |∇u|² = |x|² − V on a ball, where ψ = exp(−|x|²/2 − u) solves −Δψ + Vψ = dψ.

    The ball has the radius √d. Without V − |x|² it is the ground state of d oscillators, of energy d. The potential is the one that
    keeps this eigenvalue with the few-body sum S of the variant, u = (1 − |x|²/d) S. ψ is given on the sphere, as exp(−d/2); it
    is the only such solution, since the quotient of another one by ψ > 0 obeys a maximum principle.
    """
    return few_body(Laplacian(u) - 2 * EulerDerivative(u) - GradNormSq(u), dim, variant, seed)
