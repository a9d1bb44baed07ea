"""Hamilton-Jacobi-Bellman values: u_t + Δu - μ|∇u|² = const by a quadrature or a scaled error function.

The equation is linear in v = exp(-μu) (the Hopf-Cole transform), so u = -(1/μ) ln v, and v is a Gaussian average.
``tau`` is the time to go, T - t.  All functions are vectorised and in float64; they use logarithms where a number
could overflow.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import erfcx

from pdezoo.references.mean_field import Array, power_average


def log_cost_value(dim: int, x_norm_sq: ArrayLike, tau: ArrayLike, mu: float = 1.0) -> Array:
    """Solves u_t + Δu - μ|∇u|² = 0 with terminal cost u(T, x) = ln((1 + |x|²)/2), at |x|² = ``x_norm_sq``.

        u = -(1/μ) ln E exp(-μ g(X)) = ln(λ/2) - (1/μ) ln C,   X = x + √(2τ) Z,   λ = 1 + |x|² + 2τd,
        C = λ^μ E (1 + |X|²)^-μ  (see ``power_average``; C → 1 as d grows).

    ``x_norm_sq`` and ``tau`` broadcast.
    Error ≤ 3e-15 max(1, |u|)/min(1, μ) against 30-digit quadrature, μ = 0.05..100, τ ≤ 100, d ≤ 10⁷.
    Raises ValueError for dim < 1, negative |x|² or τ, or μ outside (0, 100].
    """
    log_factor, base = power_average(dim, mu, 1.0, x_norm_sq, tau)
    return np.log(base / 2) - log_factor / mu


def hopf_cole_coordinate(x: ArrayLike, tau: ArrayLike, kappa: float) -> Array:
    """Computes -(1/κ) ln h(x, τ) with h = E exp(-κ|x + √(2τ) Z|), Z ~ N(0, 1): the part of one coordinate.

    ``hopf_cole_l1`` sums it over coordinates; ``x`` and ``tau`` broadcast.

    With z = |x|/(2√τ) and q = κ√τ the closed form in exp and erfc becomes, by erfc y = exp(-y²) erfcx y,

        h = exp(-z²) [erfcx(q - z) + erfcx(q + z)]/2                                             (z ≤ q)
        h = exp(κ²τ - κ|x|) (1 + exp(-(z - q)²) [erfcx(z + q) - erfcx(z - q)]/2)                  (z > q)

    so no argument of erfcx is negative and nothing overflows; τ = 0 gives |x|.
    Absolute error ≤ 1e-15 (1 + 1/κ + |x|) against 60 digits, κ = 1e-3..10³, z + q ≤ 10⁶.
    Raises ValueError for κ ≤ 0 or τ < 0.
    """
    if not kappa > 0:
        raise ValueError(f"expected a positive coefficient kappa, got {kappa}")
    size, time = np.broadcast_arrays(np.abs(np.asarray(x, float)), np.asarray(tau, float))
    if np.any(time < 0):
        raise ValueError(f"expected a non-negative time to go, got {time.min()}")
    root = np.sqrt(time)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        z = size / (2 * root)
        near, far = _near(z, kappa * root), _far(z, kappa * root)
        value = np.where(z <= kappa * root, near / kappa, size - kappa * time - far / kappa)
    return np.where(time > 0, value, size)


def _near(z: Array, q: Array) -> Array:
    """Computes -ln h where z ≤ q; where z > q the result is finite and meaningless."""
    z = np.minimum(z, q)
    return z**2 - np.log((erfcx(q - z) + erfcx(q + z)) / 2)


def _far(z: Array, q: Array) -> Array:
    """Computes ln h + κ|x| - κ²τ where z > q; where z ≤ q the result is finite and meaningless.

    The gap z - q may be cut off at 40, since exp(-40²) is zero in float64.
    """
    gap = np.clip(z - q, 0.0, 40.0)
    return np.log1p(np.exp(-(gap**2)) * (erfcx(gap + 2 * q) - erfcx(gap)) / 2)


def hopf_cole_l1(x: ArrayLike, tau: ArrayLike, kappa: float) -> Array:
    """Solves u_t + Δu - κ|∇u|² = -2 on R^d with u(T, x) = |x|₁:  u = 2τ - (1/κ) Σ_i ln h(x_i, τ).

    ``x`` has shape (..., d), ``tau`` has shape (...) or is a scalar; returns shape (...).
    |x|₁ + 1 - t satisfies the equation away from the kinks of |x|₁ only.  The kinks diffuse, so u differs from it.
    """
    time = np.asarray(tau, float)
    return 2 * time + hopf_cole_coordinate(x, time[..., None], kappa).sum(axis=-1)
