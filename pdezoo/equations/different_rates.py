from __future__ import annotations

from sympy import Max, Rational

from pdezoo import PDE, Diffusion, Dt, EulerDerivative, coordinate_max, r2, register, u
from pdezoo.families.pricing import UNIT, GeometricTube, priced
from pdezoo.references import DIFFERENT_RATES_VALUES

_VOLATILITY, _DRIFT = Rational(1, 5), Rational(3, 50)
_LENDING, _BORROWING = Rational(1, 25), Rational(3, 50)
_HORIZON = 0.5


@register("different-rates")
def different_rates(dim: int) -> PDE:
    """u_t + (σ²/2) Σ x_i² u_ii + max{R_b v, R_l v} = 0, v = x·∇u − u: two rates. Bergman 1995.

    A problem of E, Han and Jentzen 2017: an option on the dearest of d shares, bought at 120 and sold twice at 150, whose hedge
    borrows v at the rate R_b = 0.06 or lends −v at R_l = 0.04; σ = 0.2. Prices of shares are 100 x_i, so that
    u(½, x) = 100 (max{m − 1.2, 0} − 2 max{m − 1.5, 0}) with m = max x_i, and u is known at t = 0, x_i = 1. Points follow the
    authors' paths, of drift 0.06, on which u does not depend. They report 21.299 at d = 100, more than the value here by 0.6%.
    """
    borrowed = EulerDerivative(u) - u
    payoff = UNIT * (Max(coordinate_max - Rational(6, 5), 0) - 2 * Max(coordinate_max - Rational(3, 2), 0))
    return priced(
        Dt(u) + _VOLATILITY**2 / 2 * Diffusion(u, r2) + Max(_BORROWING * borrowed, _LENDING * borrowed),
        GeometricTube(dim, _HORIZON, float(_VOLATILITY), float(_DRIFT), scale=float(UNIT)),
        payoff,
        DIFFERENT_RATES_VALUES,
        "different-rates",
    )
