from __future__ import annotations

from sympy import exp, sin, sqrt

from pdezoo import (
    PDE,
    Coefficients,
    Dt,
    Exact,
    Gaussian,
    Laplacian,
    X,
    d,
    initial,
    register,
    t,
    u,
    window_sum,
)


@register("heat")
def heat(dim: int, seed: int = 0) -> PDE:
    """u_t = Δu with u(0, x) = (8/√d) Σ c_i sin x_i sin x_{i+1} sin x_{i+2}: every term decays by e^−3t.

    No affine function knows anything of it, since a product of three sines is odd in each of its coordinates.
    """
    waves = 8 / sqrt(d) * window_sum(sin(X[0]) * sin(X[1]) * sin(X[2]), coefficients=Coefficients(seed))
    return PDE(
        operator=Dt(u) - Laplacian(u),
        domain=Gaussian(dim, horizon=0.5, scale=10.0),
        ansatz=initial(waves),
        solution=Exact(exp(-3 * t) * waves),
        source=0,
    )
