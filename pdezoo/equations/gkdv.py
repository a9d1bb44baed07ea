"""The generalised Korteweg-de Vries equation, and KdV trained with derivatives of its residual."""

from __future__ import annotations

from typing import Any

from sympy import Rational, sech, sqrt

from pdezoo import PDE, Box, D, Exact, register, t, u, x
from pdezoo.equations.kdv import channel, narrow


@register("gkdv", variants=("p1", "p2", "p3", "gradient-enhanced"))
def gkdv(variant: str = "p2") -> PDE:
    """u_t + (p+1)(p+2)/2 uᵖ u_x + u_xxx = 0; `gradient-enhanced`: KdV, its residual r with r_x and r_t.

    Every p here is below the critical power 4, from which on solitons are unstable (Weinstein 1986). `gradient-enhanced`
    is u_t + u u_x + 0.0025 u_xxx = 0 with the loss of Yu et al. 2022: r_x² and r_t², whose expressions are derived from
    the operator, are added to r² with the weight 0.01.
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
        baselines={"persistence": solution.xreplace({t: 0})},
    )


def soliton(p: int, speed: Any, start: Any) -> Any:
    """The soliton (c sech²(p √c (x − c t − x₀)/2))^(1/p), where c is `speed` and x₀ is `start`.

    It is written as a power of sech, which is positive, so that no root of a negative number can occur.
    """
    theta = p * sqrt(speed) / 2 * (x - speed * t - start)
    return speed ** Rational(1, p) * sech(theta) ** Rational(2, p)
