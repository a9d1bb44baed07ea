from __future__ import annotations

from sympy import Rational, exp

from pdezoo import (
    PDE,
    Ansatz,
    Diffusion,
    Dt,
    EulerDerivative,
    Exact,
    Gaussian,
    at_time,
    d,
    r2,
    register,
    t,
    u,
)

_RATE, _VOLATILITY = Rational(1, 20), Rational(2, 5)


@register("black-scholes-barenblatt")
def black_scholes_barenblatt(dim: int) -> PDE:
    """u_t + (σ²/2) Σ x_i² u_ii − r (u − x·∇u) = 0, u(1, x) = |x|², r = 0.05, σ = 0.4.

    Raissi 2018, Shi et al. 2024. Under the papers' ansatz u = |x|² (1 + (T − t) n), all that is left for the network n to
    learn is a function of t.
    """
    growth = exp((_RATE + _VOLATILITY**2) * (1 - t))
    return PDE(
        operator=Dt(u) + _VOLATILITY**2 / 2 * Diffusion(u, r2) - _RATE * (u - EulerDerivative(u)),
        domain=Gaussian(dim, horizon=1.0, scale=float(dim)),
        ansatz=Ansatz((1 - t) * r2, r2, (at_time(1.0),)),
        solution=Exact(growth * r2),
        source=0,
        nulls={"function-of-time": d * growth},
    )
