"""The Fokker-Planck equation of an Ornstein-Uhlenbeck process that starts from a mixture of four Gaussians."""

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
"""Approximate distances |b_k| or |m_k| of the four initial clouds from the origin. They are unequal."""


@register("fokker-planck", variants=("anisotropic", "log-density"))
def fokker_planck(dim: int, variant: str = "anisotropic", seed: int = 0) -> PDE:
    """p_t = ∇·(x p) + Σ D_i ∂²p/∂x_i², an Ornstein-Uhlenbeck process from four Gaussian clouds.

    p is the density of dX = −X dt + √(2D) dW. It is of the order e^−d, too small to be the unknown: `anisotropic` solves
    for u = p/p∞, where p∞ is the stationary density, and `log-density` for u = ln p with D = 1.
    """
    return _ratio(dim, seed) if variant == "anisotropic" else _log_density(dim, seed)


def _ratio(dim: int, seed: int) -> PDE:
    """Makes the problem of u = p/p∞, which solves Kolmogorov's backward equation u_t = Σ D_i u_ii − x·∇u.

    Here p∞ ∝ exp(−Σ x_i²/2D_i) and D_i = c_i². Where the initial clouds are copies of p∞ centred at m_k = D b_k, the
    solution is u = Σ_k w_k exp(e^−t b_k·x − e^−2t Σ D_i b_ki²/2).
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
    """One term of u without its weight: exp(e^−t b·x − e^−2t Σ D_i b_i²/2), b_i = size · c_i/√d with standard normal c_i."""
    along = size / sqrt(d) * window_sum(X[0], coefficients=place)
    squares = ((place, 0), (place, 0), (diffusion, 0), (diffusion, 0))
    shift = size**2 / d * window_sum(1, coefficients=squares)
    return exp(exp(-t) * along - exp(-2 * t) * shift / 2)


def _log_density(dim: int, seed: int) -> PDE:
    """Makes the problem of u = ln p with D = 1, which solves u_t = Δu + |∇u|² + x·∇u + d.

    The initial clouds have variance 1/2 and means m_k with |m_k| ≈ 1/2 … 5/4, so that p(t, ·) = Σ_k w_k N(e^−t m_k, σ²)
    with σ² = 1 − e^−2t/2.
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
    """The ratio of the densities N(e^−t m, σ²) and N(0, σ²), where m_i = size · c_i/√d with standard normal c_i."""
    along = size / sqrt(d) * window_sum(X[0], coefficients=place)
    shift = size**2 / d * window_sum(1, coefficients=((place, 0), (place, 0)))
    return exp((exp(-t) * along - exp(-2 * t) * shift / 2) / variance)
