from __future__ import annotations

from sympy import Rational, sin

from pdezoo import PDE, BrownianTube, Dt, Exact, GradNormSq, Laplacian, d, r2, register, t, terminal, u

_HORIZON = 1


@register("quadratic-gradient")
def quadratic_gradient(dim: int) -> PDE:
    """u_t + Δu + 2 |∇u|² = g, u = sin((1 − t + |x|²/2d)^0.4). E, Han and Jentzen 2017.

    u(1, x) is given. They write it for y = x/√2, as u_t + ½ Δu + |∇u|² = g with |y|²/d in the solution, on paths W_t; in x
    these are the paths √2 W_t. The source g is that of the solution. u(0, 0) = sin 1. A function of t and |x|² alone, it is
    two-dimensional whatever d is, and |x|² concentrates.
    """
    solution = sin((_HORIZON - t + r2 / (2 * d)) ** Rational(2, 5))
    return PDE(
        operator=Dt(u) + Laplacian(u) + 2 * GradNormSq(u),
        domain=BrownianTube(dim, float(_HORIZON)),
        ansatz=terminal(solution.subs(t, _HORIZON), _HORIZON),
        solution=Exact(solution),
        probe=(0.0, 0.0),
    )
