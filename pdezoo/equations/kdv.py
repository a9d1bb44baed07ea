from sympy import Rational, exp, log, sech, sqrt

from pdezoo import PDE, Box, D, Exact, Side, boundary_data, register, t, u, x


@register("kdv", variants=("one-soliton", "two-solitons"))
def kdv(variant: str = "one-soliton") -> PDE:
    """u_t + 6 u u_x + u_xxx = 0 in one space dimension. Korteweg and de Vries 1895; two solitons: Hirota 1971."""
    solution = soliton(1, -2) if variant == "one-soliton" else two_solitons(1, Rational(3, 2), 4, 0)
    left, right, horizon = (-10.0, 10.0, 3.0)
    # third order in x: u at both ends and u_x on the right, where waves would enter
    sides = (Side(t, 0, horizon, 1, 0), Side(x, left, right, 1, 2))
    return PDE(
        operator=D(u, t) + 6 * u * D(u, x) + D(u, x, x, x),
        domain=Box(1, left, right, horizon),
        ansatz=boundary_data(solution, sides),
        solution=Exact(solution),
        source=0,
    )


def soliton(speed: object, start: object) -> object:
    """(c/2) sech²(√c (x − c t − x₀)/2)."""
    return speed / 2 * sech(sqrt(speed) / 2 * (x - speed * t - start)) ** 2  # type: ignore[operator]


def two_solitons(k1: object, k2: object, shift1: object, shift2: object) -> object:
    """2 ∂_xx ln F, F = 1 + e^θ₁ + e^θ₂ + A e^(θ₁+θ₂), θ_i = k_i x − k_i³ t + δ_i, A = ((k₁ − k₂)/(k₁ + k₂))²."""
    first, second = (k * x - k**3 * t + s for k, s in ((k1, shift1), (k2, shift2)))  # type: ignore[operator]
    together = ((k1 - k2) / (k1 + k2)) ** 2  # type: ignore[operator]
    return 2 * D(log(1 + exp(first) + exp(second) + together * exp(first + second)), x, x)
