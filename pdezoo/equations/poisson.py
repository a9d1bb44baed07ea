from __future__ import annotations

from pdezoo import FEW_BODY, PDE, Laplacian, few_body, register, u


@register("poisson", variants=FEW_BODY)
def poisson(dim: int, variant: str = "two-body", seed: int = 0) -> PDE:
    """Δu = g on the ball, u = 0 on the sphere. Hu et al. 2024, Shi et al. 2024."""
    return few_body(Laplacian(u), dim, variant, seed)
