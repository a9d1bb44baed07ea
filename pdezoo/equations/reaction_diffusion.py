from __future__ import annotations

from sympy import Min, Rational, exp, sin, sqrt

from pdezoo import PDE, BrownianTube, Dt, Exact, Laplacian, X, d, register, t, terminal, u, window_sum

_HORIZON = 1
_SHIFT = Rational(3, 5)


@register("reaction-diffusion")
def reaction_diffusion(dim: int) -> PDE:
    """u_t + Δu + min{1, (u − u*)²} = 0, u* = 1.6 + sin(Σ x_i/√2d) e^((t − 1)/2). E et al. 2017.

    From Gobet and Turkedjiev 2017. E, Han and Jentzen write it for y = x/√2, as u_t + ½ Δu + min{1, (u − u*)²} = 0 with
    sin(λ Σ y_i), λ = 1/√d, on paths W_t; in x these are the paths √2 W_t. u(1, x) is given, and u(0, 0) = 1.6. The operator
    contains the solution, where the reaction and its slope are 0: to first order about u* it is the heat equation.
    """
    solution = 1 + _SHIFT + sin(window_sum(X[0]) / sqrt(2 * d)) * exp((t - _HORIZON) / Rational(2))
    return PDE(
        operator=Dt(u) + Laplacian(u) + Min(1, (u - solution) ** 2),
        domain=BrownianTube(dim, float(_HORIZON)),
        ansatz=terminal(solution.subs(t, _HORIZON), _HORIZON),
        solution=Exact(solution),
        source=0,
        probe=(0.0, 0.0),
    )
