"""Closed forms that several soliton equations share, written so that no exponential can overflow in float32."""

from __future__ import annotations

from typing import Any

from sympy import tanh

from pdezoo import D, x


def two_phase_slope(first: Any, second: Any, coupling: Any) -> Any:
    """∂_x ln F, F = 1 + e^θ₁ + e^θ₂ + A e^(θ₁+θ₂), A > 0: half of Hirota's two-soliton potential.

    F = (1 + e^θ₁)(1 + e^θ₂)(1 + (A − 1) σ(θ₁) σ(θ₂)), whose last factor lies between 1 and A.
    """
    one, two = logistic(first), logistic(second)
    together = (coupling - 1) * one * two
    return D(first, x) * one + D(second, x) * two + D(together, x) / (1 + together)


def logistic(theta: Any) -> Any:
    """e^θ/(1 + e^θ)."""
    return (1 + tanh(theta / 2)) / 2
