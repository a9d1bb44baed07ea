from __future__ import annotations

from sympy import sin

from pdezoo import FEW_BODY, PDE, Laplacian, few_body, register, u


@register("sine-gordon", variants=FEW_BODY)
def sine_gordon(dim: int, variant: str = "two-body", seed: int = 0) -> PDE:
    """Δu + sin u = g on the ball, u = 0 on the sphere. Hu et al. 2024, Shi et al. 2024."""
    return few_body(Laplacian(u) + sin(u), dim, variant, seed)
