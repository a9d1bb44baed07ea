"""Hamilton-Jacobi-Bellman equations of linear-quadratic-Gaussian control, with four kinds of terminal cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
from sympy import Add, Expr, Integer, Rational, exp, log, sqrt

from pdezoo import (
    PDE,
    Ansatz,
    BrownianTube,
    Coefficients,
    Dt,
    Exact,
    Formula,
    Gaussian,
    GradNormSq,
    Laplacian,
    Reference,
    X,
    d,
    r2,
    register,
    t,
    terminal,
    u,
    window_sum,
)
from pdezoo.references import log_cost_value

_OPERATOR = Dt(u) + Laplacian(u) - GradNormSq(u)
_TO_GO = 1 - t
_SLOPES = tuple(Rational(1, 2) + Rational(2 * k, 7) for k in range(8))
"""Sizes a_k ≈ |p_k| of the slopes. They are unequal: with equal ones the solution would be g − |p|² τ, known from the data."""


@register("hjb-lqg", variants=("soft-min", "mixture", "quadratic", "log"))
def hjb_lqg(dim: int, variant: str = "soft-min", seed: int = 0) -> PDE:
    """u_t + Δu − |∇u|² = 0, u(1, x) a cost: linear-quadratic-Gaussian control. E, Han and Jentzen 2017.

    The variants are terminal costs; that of the paper is `log`. It is sampled here on paths from the origin, x ~ N(0, 2t);
    Hu et al. 2024 and Shi et al. 2024 sample and test it on x ~ N(0, I).
    """
    if variant == "log":
        return _log_cost(dim)
    if variant == "quadratic":
        return _closed_form(dim, _quadratic, size=d)
    curvatures = (0,) * 8 if variant == "soft-min" else (4, 3, 2, 1, 1, 2, 3, 4)
    return _closed_form(dim, lambda time: _soft_min(seed, curvatures, time))


def _closed_form(dim: int, value: Callable[[Expr], Expr], size: Expr = Integer(1)) -> PDE:  # noqa: B008
    """Makes the problem with u* = value(T − t), and so u(T, x) = value(0). `size` is the order of magnitude of u."""
    return PDE(
        operator=_OPERATOR,
        domain=Gaussian(dim, horizon=1.0, scale=float(size.xreplace({d: Integer(dim)}))),
        ansatz=_terminal(value(Integer(0)), size),
        solution=Exact(value(_TO_GO)),
        source=0,
    )


def _terminal(cost: Expr, size: Expr) -> Ansatz:
    plain = terminal(cost, 1)
    return replace(plain, factor=size * plain.factor)


def _quadratic(time: Expr) -> Expr:
    """The value |x|²/(2(1 + 2τ)) + (d/2) ln(1 + 2τ) at the time to go τ, for the terminal cost g = |x|²/2."""
    return r2 / (2 * (1 + 2 * time)) + d / 2 * log(1 + 2 * time)


def _soft_min(seed: int, curvatures: tuple[int, ...], time: Expr) -> Expr:
    """The value −ln Σ_k w_k exp(−q_k), where e^{−q_k} solves v_t + Δv = 0 and q_k = A_k |x|²/2 − p_k·x at τ = 0:

        q_k = (A_k |x|²/2 − p_k·x − τ |p_k|²)/(1 + 2 A_k τ) + (d/2) ln(1 + 2 A_k τ).

    Here A_k = α_k/d with the given curvatures α_k; p_k = a_k c^(k)/√d with standard normal c^(k), so that |p_k| ≈ a_k; and
    w_k ∝ exp(−a_k²/2), so that every term dominates somewhere. Since |p_k| and d A_k are of order 1, the exponents do not
    grow with d: they stay within ±25, and the sum needs no rescaling.
    """
    parts = (_part(seed, k, alpha, time) for k, alpha in enumerate(curvatures))
    return log(Add(*(exp(-(a**2) / 2) for a in _SLOPES))) - log(Add(*parts))


def _part(seed: int, k: int, alpha: int, time: Expr) -> Expr:
    size, c = _SLOPES[k], Coefficients(seed, stream=k)
    growth = 1 + 2 * Rational(alpha) / d * time
    along = size / sqrt(d) * window_sum(X[0], coefficients=c)
    slope_square = size**2 / d * window_sum(1, coefficients=((c, 0), (c, 0)))
    shape = (Rational(alpha, 2) / d * r2 - along - time * slope_square) / growth
    return exp(-(size**2) / 2 - shape - d / 2 * log(growth))


def _log_cost(dim: int) -> PDE:
    """Makes the problem with the cost g = ln((1 + |x|²)/2), sampled on paths √2 W_t from the origin: papers report u(0, 0).

    The baseline `mean-cost` is u ≈ ln((1 + |x|² + 2dτ)/2), the cost of the mean of |X_T|².
    """

    return PDE(
        operator=_OPERATOR,
        domain=BrownianTube(dim, horizon=1.0),
        ansatz=terminal(log((1 + r2) / 2), 1),
        solution=Reference(
            Formula("value of the logarithmic cost", partial(_log_cost_value, dim)),
            1e-14,
            "one-dimensional quadrature",
        ),
        source=0,
        baselines={"mean-cost": log((1 + r2 + 2 * d * _TO_GO) / 2)},
        probe=(0.0, 0.0),
    )


def _log_cost_value(dim: int, x: np.ndarray, time: np.ndarray) -> np.ndarray:
    return log_cost_value(dim, np.sum(x * x, axis=1), np.maximum(1.0 - time, 0.0))
