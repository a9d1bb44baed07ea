"""A KdV-like equation in two dimensions, with kinks, two solitons and a lump by Hirota's method."""

from __future__ import annotations

from typing import Any

from sympy import Rational

from pdezoo import PDE, Box, D, Exact, Side, boundary_data, register, t, u, x, y
from pdezoo.families.solitons import logistic, two_phase_slope


@register("kdv2d", variants=("kink", "two-solitons", "lump"))
def kdv2d(variant: str = "kink") -> PDE:
    """u_ty + u_xxxy + 3 (u_y u_x)_x − u_xx + 2 u_yy = 0 in two dimensions. Pu and Chen 2024.

    Initial and boundary data are hard. The closed forms come of Hirota's method: u = 2 ∂_x ln f solves the equation where
    (D_t D_y + D_x³ D_y − D_x² + 2 D_y²) f·f = 0, with Hirota's bilinear operators D.
    """
    solution, (wide, high, horizon) = _SOLUTIONS[variant]
    # At low wavenumbers ∂_y(∂_t + 2∂_y)u = u_xx is a wave equation in which t and y both run forwards: waves enter at
    # y = low, where u and u_y are given, and the characteristic surface t = 0 takes u alone. In x, u_y follows KdV: u at
    # both ends, u_x at the right one.
    sides = (Side(t, 0, horizon, 1, 0), Side(x, -wide, wide, 1, 2), Side(y, -high, high, 2, 0))
    return PDE(
        operator=D(u, t, y) + D(u, x, x, x, y) + 3 * D(D(u, y) * D(u, x), x) - D(u, x, x) + 2 * D(u, y, y),
        domain=Box(2, (-wide, -high), (wide, high), horizon),
        ansatz=boundary_data(solution, sides),
        solution=Exact(solution),
        source=0,
        baselines={"persistence": solution.xreplace({t: 0})},
    )


def phase(k: Any, l: Any, start: Any) -> Any:
    """A phase θ = k x + l y + ω t + δ, where ω solves the dispersion relation P(k, l, ω) = 0 and δ is `start`."""
    return k * x + l * y + (-(k**3) + k**2 / l - 2 * l) * t + start


def kink(k: Any, l: Any, start: Any) -> Any:
    """The kink u = k (1 + tanh(θ/2)), which rises from 0 to 2k across the line θ = 0."""
    return 2 * k * logistic(phase(k, l, start))


def dispersion(k: Any, l: Any, omega: Any) -> Any:
    """The dispersion polynomial P(k, l, ω) = ω l + k³ l − k² + 2 l²: the bilinear form applied to a plane wave."""
    return omega * l + k**3 * l - k**2 + 2 * l**2


def coupling(first: Any, second: Any) -> Any:
    """The coupling A₁₂ = −P(p₁ − p₂)/P(p₁ + p₂) of two phases with p_i = (k_i, l_i, ω_i)."""
    p1, p2 = ([D(theta, c) for c in (x, y, t)] for theta in (first, second))
    ahead, apart = (dispersion(*(a + s * b for a, b in zip(p1, p2, strict=True))) for s in (1, -1))
    return -apart / ahead


def two_solitons(first: Any, second: Any) -> Any:
    """The solution 2 ∂_x ln(1 + e^θ₁ + e^θ₂ + A₁₂ e^(θ₁+θ₂)) of two phases. It has no singularities where A₁₂ > 0."""
    return 2 * two_phase_slope(first, second, coupling(first, second))


def lump(p: Any, q: Any) -> Any:
    """The rational solution u = 4 g/(g² + h² + c), with g and h linear in x, y and t. For p > 0 it decays like 1/|(x, y)|."""
    size = p**2 + q**2
    g = x + p * y + (p / size - 2 * p) * t
    h = q * y - (q / size + 2 * q) * t
    return 4 * g / (g**2 + h**2 + 3 * p * size / q**2)


_HALF = Rational(1, 2)
_SOLUTIONS = {
    "kink": (kink(3 * _HALF, Rational(1), 1), (2.0, 2.0, 1.0)),
    "two-solitons": (two_solitons(phase(1, _HALF, 0), phase(3 * _HALF, 2, 2)), (3.0, 2.0, 1.0)),
    "lump": (lump(_HALF, 1), (4.0, 2.0, 1.0)),
}
"""For each variant its solution and its box: the bounds of |x| and |y|, and the horizon."""
