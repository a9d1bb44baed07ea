from __future__ import annotations

from sympy import tanh

from pdezoo import PDE, register, u
from pdezoo.families.semilinear import Semilinear, manufactured, radial
from pdezoo.references import HEAT

_HEAT = Semilinear("semilinear heat", (1 - u**2) / (1 + u**2), tanh)


@register("semilinear-heat", variants=("hard", "soft", "manufactured"))
def semilinear_heat(dim: int, variant: str = "hard", seed: int = 0) -> PDE:
    """u_t + Δu + (1 − u²)/(1 + u²) = g, u(0.3, x) given. Beck et al. 2021; Shi et al. 2024."""
    if variant == "manufactured":
        return manufactured(_HEAT, dim, seed)
    return radial(_HEAT, HEAT, dim, hard=variant == "hard")
