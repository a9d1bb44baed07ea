"""Closed forms that several soliton equations share, written so that no exponential overflows in float32."""

from __future__ import annotations

from typing import Any

from sympy import log, sech, sqrt, tanh

from ..calculus.atoms import D, x


def two_phase_slope(first: Any, second: Any, coupling: Any) -> Any:
    """∂_x ln F for F = 1 + e^θ₁ + e^θ₂ + A e^(θ₁+θ₂), half of Hirota's two-soliton potential; the coupling A is positive.

    Up to a constant factor, F = e^((θ₁+θ₂)/2) (√A cosh P + cosh M) with P = (θ₁ + θ₂ + ln A)/2 and M = (θ₁ − θ₂)/2. In
    these terms the slope is a quotient of bounded functions.
    """
    p, m, root = *_sum_and_difference(first, second, coupling), sqrt(coupling)
    upper = root * D(p, x) * tanh(p) * sech(m) + D(m, x) * tanh(m) * sech(p)
    return D(p, x) + upper / (root * sech(m) + sech(p))


def two_phase_curvature(first: Any, second: Any, coupling: Any) -> Any:
    """∂_xx ln F for the F of `two_phase_slope`, as a quotient of sums of positive terms: nothing cancels in its tails."""
    p, m, root = *_sum_and_difference(first, second, coupling), sqrt(coupling)
    px, mx = D(p, x), D(m, x)
    crossing = root * sech(p) * sech(m) * (px**2 + mx**2 - 2 * px * mx * tanh(p) * tanh(m))
    both = (coupling * px**2 + mx**2) * sech(p) ** 2 * sech(m) ** 2
    return (both + crossing) / (root * sech(m) + sech(p)) ** 2


def _sum_and_difference(first: Any, second: Any, coupling: Any) -> tuple[Any, Any]:
    return (first + second + log(coupling)) / 2, (first - second) / 2


def logistic(theta: Any) -> Any:
    """The logistic function e^θ/(1 + e^θ) = (1 + tanh(θ/2))/2, which does not overflow."""
    return (1 + tanh(theta / 2)) / 2
