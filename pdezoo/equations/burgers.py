"""The viscous Burgers equation on an interval: a shock that moves, and two that meet."""

from __future__ import annotations

from typing import Any

from sympy import Rational, exp

from pdezoo import PDE, Box, D, Exact, Side, boundary_data, register, t, u, x

_VISCOSITY = Rational(1, 10)


@register("burgers", variants=("shock", "merging-shocks"))
def burgers(variant: str = "shock") -> PDE:
    """u_t + u u_x = 0.1 u_xx in one dimension: a shock that moves, and two that meet. Burgers 1948.

    The merging shocks meet at t = 1 and go on as one. By the transformation of Cole and Hopf u = −2ν φ_x/φ with φ_t = ν
    φ_xx; φ is a sum of exponentials exp(k x + ν k² t + δ), each of them a level of u, −2ν k, and two neighbours a shock of
    width about 1/|k₁ − k₂|. Initial and boundary data are hard.
    """
    phases = [(3, 0), (-6, 0)] if variant == "shock" else [(5, 0), (1, Rational(12, 5)), (-5, 0)]
    solution = cole_hopf(phases)
    left, right, horizon = -3.0, 3.0, 2.0
    return PDE(
        operator=D(u, t) + u * D(u, x) - _VISCOSITY * D(u, x, x),
        domain=Box(1, left, right, horizon),
        ansatz=boundary_data(solution, (Side(t, 0, horizon, 1, 0), Side(x, left, right, 1, 1))),
        solution=Exact(solution),
        source=0,
        baselines={"persistence": solution.xreplace({t: 0})},
    )


def cole_hopf(phases: list[tuple[int, Any]]) -> Any:
    """−2ν φ_x/φ for φ = Σ exp(k x + ν k² t + δ) over the pairs (k, δ)."""
    terms = [(k, exp(k * x + _VISCOSITY * k**2 * t + shift)) for k, shift in phases]
    return -2 * _VISCOSITY * sum(k * term for k, term in terms) / sum(term for _, term in terms)
