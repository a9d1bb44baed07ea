"""The Hamilton-Jacobi-Bellman equation with terminal value |x|₁: as it was published, and corrected."""

from __future__ import annotations

from sympy import Expr, Rational, erf, erfc, exp, log, pi, sqrt

from pdezoo import (
    PDE,
    Ansatz,
    Box,
    Dt,
    Exact,
    Gaussian,
    GradNormSq,
    Laplacian,
    X,
    at_time,
    d,
    register,
    t,
    terminal,
    u,
    window_sum,
)

_SUM = window_sum(X[0])  # |x|₁ on the unit box
_CLAIMED = _SUM + 1 - t
_LEAKING = Ansatz(
    1, _CLAIMED
)  # u = n + |x|₁ + 1 − t: the claimed solution itself, and nothing holds at t = 1
_TERMINAL = terminal(_SUM, 1)
_CAVEAT = (
    "As printed, with the coefficient 1/100 at any d: u = |x|₁ + 1 − t leaves u_t + Δu − 0.01 |∇u|² = −1 − d/100, "
    "which is −2 at d = 100 only. The ansatz holds no terminal condition and contains the claimed solution."
)


@register("hjb", variants=("corrected", "corrected-leaking", "printed", "whole-space"))
def hjb(dim: int, variant: str = "corrected") -> PDE:
    """u_t + Δu − |∇u|²/d = −2, u(1, x) = |x|₁: printed (Zhao et al. 2023), corrected, and on R^d.

    `printed` has the coefficient 1/100 at every d and an ansatz that contains the solution (a leak); `corrected-leaking`
    has 1/d and the same ansatz; `corrected` is without the leak; `whole-space` is posed on R^d, where the kinks of |x|₁
    diffuse and u is another function.
    """
    if variant == "whole-space":
        return _whole_space(dim)
    if variant == "printed":
        return _on_the_box(dim, Rational(1, 100), _LEAKING, _CAVEAT)
    return _on_the_box(dim, 1 / d, _TERMINAL if variant == "corrected" else _LEAKING)


def _operator(coefficient: Expr) -> Expr:
    return Dt(u) + Laplacian(u) - coefficient * GradNormSq(u)


def _on_the_box(dim: int, coefficient: Expr, ansatz: Ansatz, caveat: str = "") -> PDE:
    """Makes the problem on [0, 1]^d with terminal data only: without boundary values its solution is not unique."""
    return PDE(
        operator=_operator(coefficient),
        domain=Box(dim, horizon=1.0),
        ansatz=ansatz,
        solution=Exact(_CLAIMED),
        source=-2,
        caveat=caveat,
    )


def _whole_space(dim: int) -> PDE:
    """Makes the problem on R^d, where u = 2τ − d Σ ln h(x_i, τ), τ = 1 − t, by the transform of Hopf and Cole.

    v = Π h(x_i, τ) solves v_t + Δv = 0. The kinks of |x|₁ diffuse at once, so the offset of the ansatz is the diffused
    data E |x + √(2τ) Z|₁, Z standard normal. With the offset |x|₁, residuals sampled off the kinks would not see them:
    they would be those of the wrong solution |x|₁ + 1 − t.
    """
    data = window_sum(_diffused(X[0], 1 - t))
    return PDE(
        operator=_operator(1 / d),
        domain=Gaussian(dim, horizon=1.0),
        ansatz=Ansatz(1 - t, data, (at_time(1.0),)),
        solution=Exact(2 * (1 - t) - dim * window_sum(log(_transformed(X[0], 1 - t, Rational(1, dim))))),
        source=-2,
    )


def _transformed(x: Expr, time: Expr, k: Expr) -> Expr:
    """The average h = E exp(−k |x + √(2τ) Z|) = e^{k²τ} [e^{−kx} erfc((2kτ − x)/2√τ) + e^{kx} erfc((2kτ + x)/2√τ)]/2."""
    left, right = ((2 * k * time + sign * x) / (2 * sqrt(time)) for sign in (-1, 1))
    return exp(k**2 * time) * (exp(-k * x) * erfc(left) + exp(k * x) * erfc(right)) / 2


def _diffused(x: Expr, time: Expr) -> Expr:
    """The average E |x + √(2τ) Z| = x erf(x/2√τ) + 2 √(τ/π) e^{−x²/4τ}."""
    return x * erf(x / (2 * sqrt(time))) + 2 * sqrt(time / pi) * exp(-(x**2) / (4 * time))
