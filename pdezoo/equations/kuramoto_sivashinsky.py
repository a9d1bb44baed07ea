"""The Kuramoto-Sivashinsky equation on an interval: fourth derivatives, and a front that moves without changing its shape."""

from __future__ import annotations

from sympy import Rational, sqrt, tanh

from pdezoo import PDE, Box, D, Exact, Side, boundary_data, register, t, u, x


@register("kuramoto-sivashinsky")
def kuramoto_sivashinsky() -> PDE:
    """u_t + u u_x + u_xx + u_xxxx = 0 in one dimension: a travelling front. Kuramoto and Tsuzuki 1976.

    u = c + (15/19) √(11/19) (11 tanh³ s − 9 tanh s), s = ½ √(11/19) (x − c t − x₀), here with c = 1 and x₀ = −3. Initial
    data, and u and u_x at both ends, are hard, with which the equation is well posed on an interval.
    """
    speed, start, root = Rational(1), -3, sqrt(Rational(11, 19))
    wave = tanh(root / 2 * (x - speed * t - start))
    solution = speed + Rational(15, 19) * root * (11 * wave**3 - 9 * wave)
    left, right, horizon = -10.0, 10.0, 2.0
    return PDE(
        operator=D(u, t) + u * D(u, x) + D(u, x, x) + D(u, x, x, x, x),
        domain=Box(1, left, right, horizon),
        ansatz=boundary_data(solution, (Side(t, 0, horizon, 1, 0), Side(x, left, right, 2, 2))),
        solution=Exact(solution),
        source=0,
        baselines={"persistence": solution.xreplace({t: 0})},
    )
