"""The Kadomtsev-Petviashvili equations KP-I and KP-II, with line solitons, two solitons and a lump."""

from __future__ import annotations

from typing import Any

from sympy import Rational, sech

from pdezoo import PDE, Box, D, Exact, Side, boundary_data, register, t, u, x, y
from pdezoo.families.solitons import two_phase_curvature


@register("kp", variants=("line-soliton", "two-solitons", "lump"))
def kp(variant: str = "line-soliton") -> PDE:
    """(u_t + 6 u u_x + u_xxx)_x + 3 σ² u_yy = 0 in 2D, σ² = 1 (KP-II; lump: σ² = −1, KP-I).

    Kadomtsev and Petviashvili 1970; the lump: Manakov et al. 1977. Initial and boundary data are hard.
    """
    solution, sign, (wide, high, horizon) = _SOLUTIONS[variant]
    # In x: the three conditions of KdV (u at both ends, u_x at the right one) and one for the inverse ∂_x. At low wavenumbers
    # u_tx + 3σ²u_yy = 0 is a wave equation whose second time is −x for σ² = 1 and x for σ² = −1: its characteristic
    # datum belongs at the right end or at the left one. In y it takes one condition at each end, at t = 0 one.
    across = Side(x, -wide, wide, 1, 3) if sign > 0 else Side(x, -wide, wide, 2, 2)
    return PDE(
        operator=D(D(u, t) + 6 * u * D(u, x) + D(u, x, x, x), x) + 3 * sign * D(u, y, y),
        domain=Box(2, (-wide, -high), (wide, high), horizon),
        ansatz=boundary_data(solution, (Side(t, 0, horizon, 1, 0), across, Side(y, -high, high, 1, 1))),
        solution=Exact(solution),
        source=0,
        baselines={"persistence": solution.xreplace({t: 0})},
    )


def phase(k: Any, l: Any, sign: int, start: Any) -> Any:
    """A phase θ = k x + l y + ω t + δ with ω = −k³ − 3σ² l²/k, where σ² is `sign` and δ is `start`."""
    return k * x + l * y - (k**3 + 3 * sign * l**2 / k) * t + start


def line_soliton(theta: Any) -> Any:
    """The line soliton u = (k²/2) sech²(θ/2), a solution for either sign of σ²."""
    return D(theta, x) ** 2 / 2 * sech(theta / 2) ** 2


def coupling(first: Any, second: Any, sign: int) -> Any:
    """The coupling A₁₂ = (K (k₁−k₂)² − σ² C²)/(K (k₁+k₂)² − σ² C²), K = k₁²k₂², C = k₁l₂ − k₂l₁."""
    (k1, l1), (k2, l2) = ((D(theta, x), D(theta, y)) for theta in (first, second))
    scale, cross = k1**2 * k2**2, sign * (k1 * l2 - k2 * l1) ** 2
    return (scale * (k1 - k2) ** 2 - cross) / (scale * (k1 + k2) ** 2 - cross)


def two_solitons(first: Any, second: Any, sign: int) -> Any:
    """The solution 2 ∂_xx ln(1 + e^θ₁ + e^θ₂ + A₁₂ e^(θ₁+θ₂)) of two phases. It has no singularities where A₁₂ > 0."""
    return 2 * two_phase_curvature(first, second, coupling(first, second, sign))


def lump(a: Any, b: Any) -> Any:
    """The lump u = 4 (−X² + b²Y² + 1/b²)/(X² + b²Y² + 1/b²)² of KP-I, whose peak is 4b².

    Its coordinates are X = x + a y + 3 (a² − b²) t and Y = y + 6 a t.
    """
    along, aside = x + a * y + 3 * (a**2 - b**2) * t, y + 6 * a * t
    rest = b**2 * aside**2 + 1 / b**2
    return 4 * (rest - along**2) / (rest + along**2) ** 2


_THIRD = Rational(1, 3)
_PAIR = phase(1, _THIRD, 1, 1), phase(2, -_THIRD, 1, 2)
_SOLUTIONS = {
    "line-soliton": (line_soliton(phase(Rational(3, 2), Rational(1, 2), 1, 1)), 1, (3.0, 2.0, 1.0)),
    "two-solitons": (two_solitons(*_PAIR, 1), 1, (4.0, 3.0, 0.5)),
    "lump": (lump(Rational(1, 8), Rational(1, 2)), -1, (4.0, 4.0, 3.0)),
}
"""For each variant its solution, σ² and its box: the bounds of |x| and |y|, and the horizon."""
