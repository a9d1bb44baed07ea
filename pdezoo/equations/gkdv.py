from __future__ import annotations

from typing import Any

from sympy import Rational, sech, sqrt

from pdezoo import PDE, Box, D, Exact, register, t, u, x
from pdezoo.equations.kdv import channel, narrow


@register("gkdv", variants=("p1", "p2", "p3", "gradient-enhanced"))
def gkdv(variant: str = "p2") -> PDE:
    """u_t + (p+1)(p+2)/2 uᵖ u_x + u_xxx = 0; `gradient-enhanced`: KdV with 0.0025 u_xxx, its residual r together with r_x and r_t.

    All p here are below the critical 4, where solitons cease to be stable: Weinstein 1986. The gradient-enhanced loss is
    that of Yu et al. 2022; ∂_x r and ∂_t r are derived from the operator, and 0.01 is the weight of their squares.
    """
    if variant == "gradient-enhanced":
        return narrow(enhanced=(x, t), enhanced_weight=0.01)
    p, (left, right, horizon) = int(variant[1:]), (-6.0, 6.0, 2.0)
    solution = soliton(p, 1, -1)
    return PDE(
        operator=D(u, t) + Rational((p + 1) * (p + 2), 2) * u**p * D(u, x) + D(u, x, x, x),
        domain=Box(1, left, right, horizon),
        ansatz=channel(solution, left, right, horizon),
        solution=Exact(solution),
        source=0,
        nulls={"persistence": solution.xreplace({t: 0})},
    )


def soliton(p: int, speed: Any, start: Any) -> Any:
    """(c sech²(p √c (x − c t − x₀)/2))^(1/p), as a power of sech, which is positive: no roots of negative numbers."""
    theta = p * sqrt(speed) / 2 * (x - speed * t - start)
    return speed ** Rational(1, p) * sech(theta) ** Rational(2, p)
