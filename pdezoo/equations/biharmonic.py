from __future__ import annotations

from pdezoo import PDE, Biharmonic, few_body, register, u


@register("biharmonic", variants=("two-body", "two-body-wide", "sin-three-body"))
def biharmonic(dim: int, variant: str = "sin-three-body", seed: int = 0) -> PDE:
    """Δ²u = g on the ball, u = ∂u/∂n = 0 on the sphere. After Hu et al. 2024, with the few-body solutions.

    Hu et al. pose it on another domain, the annulus 1 < |x| < 2, so that their errors are not errors of this problem.
    """
    return few_body(Biharmonic(u), dim, variant, seed, clamped=True)
