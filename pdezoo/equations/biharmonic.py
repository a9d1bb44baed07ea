from __future__ import annotations

from sympy import exp

from pdezoo import PDE, Annulus, Biharmonic, Coefficients, Exact, X, d, few_body, g, register, u, window_sum


@register(
    "biharmonic", variants=("two-body", "two-body-wide", "sin-three-body", "annulus", "annulus-clamped")
)
def biharmonic(dim: int, variant: str = "sin-three-body", seed: int = 0) -> PDE:
    """Δ²u = g on the ball, u = ∂u/∂n = 0 on the sphere. After Hu et al. 2024, with the few-body solutions.

    `annulus` is their problem: 1 < |x| < 2, u = 0 on both spheres, u* = (1 − |x|²)(4 − |x|²) S, S = Σ c_i exp(x_i x_{i+1} x_{i+2}).
    Its residual does not see two radial functions, for which Δ²v = 0 and v = 0 on both spheres: an equation of fourth order
    has two conditions on a boundary. `annulus-clamped` has ∂u/∂n = 0 there too, and the square of the factor before S.
    """
    if not variant.startswith("annulus"):
        return few_body(Biharmonic(u), dim, variant, seed, clamped=True)
    shell = Annulus(dim)
    many = window_sum(exp(X[0] * X[1] * X[2]), coefficients=Coefficients(seed))
    if variant == "annulus-clamped":
        ansatz = shell.clamped()
        return PDE(Biharmonic(u), shell, ansatz, Exact(16 * ansatz.factor * many))
    ansatz = shell.vanishing()
    leak = -ansatz.factor * g / (2 * d * (d + 2))  # Δ² of the factor is −2d(d + 2)
    return PDE(
        Biharmonic(u), shell, ansatz, Exact(-4 * ansatz.factor * many), baselines={"source-leak": leak}
    )
