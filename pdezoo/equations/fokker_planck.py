from __future__ import annotations

from dataclasses import replace

from sympy import Add, Expr, Rational, exp, log, pi, sqrt

from pdezoo import (
    PDE,
    Coefficients,
    Diffusion,
    Dt,
    EulerDerivative,
    Exact,
    Gaussian,
    GradNormSq,
    Laplacian,
    X,
    d,
    initial,
    r2,
    register,
    t,
    u,
    window_sum,
)

_SIZES = (Rational(1, 2), Rational(3, 4), Rational(1), Rational(5, 4))
"""How far the initial clouds lie from the origin; unequal."""


@register("fokker-planck", variants=("anisotropic", "log-density"))
def fokker_planck(dim: int, variant: str = "anisotropic", seed: int = 0) -> PDE:
    """p_t = ∇·(x p) + Σ D_i ∂²p/∂x_i²: the Ornstein-Uhlenbeck process dX = −X dt + √(2D) dW from four Gaussian clouds.

    p itself is of the order e^−d. `anisotropic` solves for u = p/p∞, p∞ the stationary density; `log-density` for u = ln p.
    """
    return _ratio(dim, seed) if variant == "anisotropic" else _log_density(dim, seed)


def _ratio(dim: int, seed: int) -> PDE:
    """u = p/p∞ solves Kolmogorov's backward equation u_t = Σ D_i u_ii − x·∇u, p∞ ∝ exp(−Σ x_i²/2D_i), D_i = c_i².

    Clouds of stationary shape about m_k = D b_k have u = Σ_k w_k exp(e^−t b_k·x − e^−2t Σ D_i b_ki²/2).
    """
    diffusion = Coefficients(seed, stream=0)
    weights = window_sum(1, coefficients=((diffusion, 0), (diffusion, 0)))
    solution = (
        Add(*(_cloud_ratio(size, diffusion, Coefficients(seed, k + 1)) for k, size in enumerate(_SIZES))) / 4
    )
    return PDE(
        operator=Dt(u) - Diffusion(u, weights) + EulerDerivative(u),
        domain=Gaussian(dim, horizon=1.0),
        ansatz=initial(solution.subs(t, 0)),
        solution=Exact(solution),
        source=0,
    )


def _cloud_ratio(size: Expr, diffusion: Coefficients, place: Coefficients) -> Expr:
    """b = size · normal numbers/√d."""
    along = size / sqrt(d) * window_sum(X[0], coefficients=place)
    squares = ((place, 0), (place, 0), (diffusion, 0), (diffusion, 0))
    shift = size**2 / d * window_sum(1, coefficients=squares)
    return exp(exp(-t) * along - exp(-2 * t) * shift / 2)


def _log_density(dim: int, seed: int) -> PDE:
    """u = ln p, D = 1: u_t = Δu + |∇u|² + x·∇u + d, from clouds of variance 1/2 about m_k, |m_k| ≈ 1/2 … 5/4.

    p = Σ_k w_k N(e^−t m_k, σ²), σ² = 1 − e^−2t/2.
    """
    variance = 1 - exp(-2 * t) / 2
    radial = -r2 / (2 * variance) - d / 2 * log(2 * pi * variance)
    clouds = (_cloud(size, Coefficients(seed, k), variance) for k, size in enumerate(_SIZES))
    solution = radial + log(Add(*clouds) / 4)
    plain = initial(solution.subs(t, 0))
    return PDE(
        operator=Dt(u) - Laplacian(u) - GradNormSq(u) - EulerDerivative(u),
        domain=Gaussian(dim, horizon=1.0, scale=float(dim)),
        ansatz=replace(plain, factor=d * plain.factor),
        solution=Exact(solution),
        source=d,
    )


def _cloud(size: Expr, place: Coefficients, variance: Expr) -> Expr:
    """N(e^−t m, σ²) over N(0, σ²), m = size · normal numbers/√d."""
    along = size / sqrt(d) * window_sum(X[0], coefficients=place)
    shift = size**2 / d * window_sum(1, coefficients=((place, 0), (place, 0)))
    return exp((exp(-t) * along - exp(-2 * t) * shift / 2) / variance)
