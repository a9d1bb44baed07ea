from __future__ import annotations

from types import MappingProxyType

from sympy import Max, Min, Rational

from pdezoo import PDE, Diffusion, Dt, EulerDerivative, coordinate_max, r2, register, u
from pdezoo.families.pricing import UNIT, GeometricTube, priced
from pdezoo.references import Value

_VOLATILITY, _DRIFT, _RATE = Rational(1, 5), Rational(1, 50), Rational(1, 50)
_LOSS = Rational(1, 3)  # of the claim at default, 1 − δ
_LOW, _HIGH = Rational(1, 50), Rational(1, 5)  # intensities of default
_FROM, _TO = 50, 70  # prices between which the intensity falls from high to low
_VALUES = MappingProxyType(
    {
        10: Value(71.925, 1e-2, "multilevel Picard, three levels of eight samples"),
        100: Value(
            57.300, 1e-2, "multilevel Picard, E, Han and Jentzen 2017; three levels of eight samples agree"
        ),
    }
)


@register("default-risk")
def default_risk(dim: int) -> PDE:
    """u_t + (σ²/2) Σ x_i² u_ii + μ x·∇u − Q(u) u/3 − R u = 0, u(1, x) given: default risk. E et al. 2017.

    A claim to the cheapest of d shares, of which δ = 2/3 is left if its issuer defaults. That has an intensity Q(u), which falls
    linearly from 0.2 at u = 50 to 0.02 at u = 70, and is constant beyond; σ = 0.2, μ = R = 0.02. Prices of shares are written
    as −100 x_i, so that the cheapest has the largest x_i: u(1, x) = −100 max x_i, and u is known at t = 0, x_i = −1. The
    equation is the same for x and −x.
    """
    intensity = Max(_LOW, Min(_HIGH, _HIGH - (_HIGH - _LOW) * (u - _FROM) / (_TO - _FROM)))
    diffusion = _VOLATILITY**2 / 2 * Diffusion(u, r2) + _DRIFT * EulerDerivative(u)
    return priced(
        Dt(u) + diffusion - _LOSS * intensity * u - _RATE * u,
        GeometricTube(dim, 1.0, float(_VOLATILITY), float(_DRIFT), start=-1.0, scale=float(UNIT)),
        -UNIT * coordinate_max,
        _VALUES,
        "default-risk",
    )
