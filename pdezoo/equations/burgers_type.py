from __future__ import annotations

from sympy import Rational, exp, sqrt

from pdezoo import PDE, BrownianTube, Drift, Dt, Exact, Laplacian, X, d, register, t, terminal, u, window_sum

_HORIZON = Rational(1, 5)


@register("burgers-type")
def burgers_type(dim: int) -> PDE:
    """u_t + Δu + √2 (u − (2 + d)/(2d)) Σ_i ∂u/∂x_i = 0, u(0.2, x) given. Chassagneux 2014.

    The solution is 1/(1 + e^−s) with s = t + Σ x_i/√2. E, Han and Jentzen 2017 write it for y = d x/√2, as
    u_t + (d²/2) Δu + d (u − (2 + d)/(2d)) Σ_i ∂u/∂y_i = 0, and solve it for u(0, 0) = 1/2 on paths d W_t. In x these are the
    paths √2 W_t, on which s has a deviation of √(d t).
    """
    solution = 1 / (1 + exp(-t - window_sum(X[0]) / sqrt(2)))
    return PDE(
        operator=Dt(u) + Laplacian(u) + sqrt(2) * (u - (2 + d) / (2 * d)) * Drift(u, d),
        domain=BrownianTube(dim, float(_HORIZON)),
        ansatz=terminal(solution.subs(t, _HORIZON), _HORIZON),
        solution=Exact(solution),
        source=0,
        probe=(0.0, 0.0),
    )
