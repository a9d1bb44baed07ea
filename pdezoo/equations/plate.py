"""The bending of a clamped square plate."""

from __future__ import annotations

from sympy import Rational, exp, pi, sin

from pdezoo import PDE, Box, D, Exact, Side, boundary_data, register, u, x, y


@register("plate")
def plate() -> PDE:
    """u_xxxx + 2 u_xxyy + u_yyyy = g on a square, u = ∂u/∂n = 0 on its edges: Kirchhoff's clamped plate.

    u is the deflection and g the load over the bending stiffness, that of u = e^{x/2} sin² πx sin² 2πy: two bulges, the larger ones
    on the right. A made-up solution, since those of simple loads on a clamped plate are infinite series (Timoshenko and
    Woinowsky-Krieger 1959, section 44).
    """
    solution = exp(Rational(1, 2) * x) * sin(pi * x) ** 2 * sin(2 * pi * y) ** 2
    return PDE(
        operator=D(u, x, x, x, x) + 2 * D(u, x, x, y, y) + D(u, y, y, y, y),
        domain=Box(2, 0.0, 1.0, scale=1_000.0),
        ansatz=boundary_data(solution, (Side(x, 0.0, 1.0, 2, 2), Side(y, 0.0, 1.0, 2, 2))),
        solution=Exact(solution),
    )
