"""The Korteweg-de Vries equation on an interval, with closed-form solitons and hard initial and boundary data."""

from __future__ import annotations

from typing import Any

from sympy import Rational, sech, sqrt

from pdezoo import PDE, Ansatz, Box, D, Exact, Side, boundary_data, register, t, u, x
from pdezoo.families.solitons import two_phase_curvature


@register("kdv", variants=("one-soliton", "two-solitons", "narrow"))
def kdv(variant: str = "one-soliton") -> PDE:
    """u_t + 6 u u_x + u_xxx = 0 in one dimension; `narrow`: u_t + u u_x + 0.0025 u_xxx = 0.

    Korteweg and de Vries 1895; two solitons: Hirota 1971. The coefficient 0.0025 is that of the literature on
    gradient-enhanced PINNs (Yu et al. 2022). Boundary and initial data are hard.
    """
    if variant == "narrow":
        return narrow()
    solution = soliton(1, -2) if variant == "one-soliton" else two_solitons(1, 2, 2, 6)
    left, right, horizon = (-10.0, 10.0, 3.0) if variant == "one-soliton" else (-6.0, 6.0, 1.0)
    return PDE(
        operator=D(u, t) + 6 * u * D(u, x) + D(u, x, x, x),
        domain=Box(1, left, right, horizon),
        ansatz=channel(solution, left, right, horizon),
        solution=Exact(solution),
        source=0,
        baselines={"persistence": solution.xreplace({t: 0})},
    )


def narrow(**changes: Any) -> PDE:
    """Makes KdV with a small dispersion, u_t + u u_x + β u_xxx = 0 with β = 0.0025, on −1 < x < 1, 0 < t < 1.

    The solution 3c sech²(√(c/β)(x − c t − x₀)/2), c = 1/3, has amplitude 1 and width 2√(β/c) = 0.17. `changes` are further
    arguments of `PDE`.
    """
    beta, speed, start = Rational(1, 400), Rational(1, 3), Rational(-1, 6)
    solution = 3 * speed * sech(sqrt(speed / beta) / 2 * (x - speed * t - start)) ** 2
    return PDE(
        operator=D(u, t) + u * D(u, x) + beta * D(u, x, x, x),
        domain=Box(1, -1.0, 1.0, 1.0),
        ansatz=channel(solution, -1.0, 1.0, 1.0),
        solution=Exact(solution),
        source=0,
        baselines={"persistence": solution.xreplace({t: 0})},
        **changes,
    )


def channel(solution: Any, left: float, right: float, horizon: float) -> Ansatz:
    """Makes an ansatz that holds u at t = 0, u at both ends of left < x < right, and u_x at the right end.

    Dispersive waves have group velocity −3k² and enter at the right end, which needs the second condition. With these
    data KdV is well posed on an interval (Bona, Sun and Zhang 2003).
    """
    return boundary_data(solution, (Side(t, 0, horizon, 1, 0), Side(x, left, right, 1, 2)))


def soliton(speed: Any, start: Any) -> Any:
    """The soliton (c/2) sech²(√c (x − c t − x₀)/2), where c is `speed` and x₀ is `start`."""
    return speed / 2 * sech(sqrt(speed) / 2 * (x - speed * t - start)) ** 2


def two_solitons(k1: Any, k2: Any, shift1: Any, shift2: Any) -> Any:
    """Hirota's two-soliton solution 2 ∂_xx ln F with F = 1 + e^θ₁ + e^θ₂ + A e^(θ₁+θ₂).

    The phases are θ_i = k_i x − k_i³ t + δ_i, and A = ((k₁ − k₂)/(k₁ + k₂))². `shift1` and `shift2` are the δ_i.
    """
    first, second = (k * x - k**3 * t + s for k, s in ((k1, shift1), (k2, shift2)))
    return 2 * two_phase_curvature(first, second, Rational(k1 - k2, k1 + k2) ** 2)
