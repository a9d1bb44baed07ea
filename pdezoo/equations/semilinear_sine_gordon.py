from __future__ import annotations

from sympy import atan, exp, pi, sin

from pdezoo import PDE, d, register, u
from pdezoo.families.semilinear import Semilinear, manufactured, radial
from pdezoo.references import SINE

# u is of the order 1/d, so the network's output is divided by d; the papers solve for d·u, which is the same problem
_SINE_GORDON = Semilinear("semilinear Sine-Gordon", sin(u), lambda v: 4 * atan(exp(v)) - pi, size=1 / d)


@register("semilinear-sine-gordon", variants=("hard", "soft", "manufactured"))
def semilinear_sine_gordon(dim: int, variant: str = "hard", seed: int = 0) -> PDE:
    """u_t + Δu + sin u = g, u(0.3, x) given. Beck et al. 2021; Shi et al. 2024."""
    if variant == "manufactured":
        return manufactured(_SINE_GORDON, dim, seed)
    return radial(_SINE_GORDON, SINE, dim, hard=variant == "hard")
