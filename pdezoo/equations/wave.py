from __future__ import annotations

from math import sqrt

import sympy
from sympy import cosh, sinh

from pdezoo import PDE, Ansatz, Dt, Exact, Gaussian, Laplacian, X, at_time, d, register, t, u, window_sum


@register("wave")
def wave(dim: int) -> PDE:
    """u_tt = Δu on R^d, u(0, x) = Σ sinh x_i, u_t(0, x) = 0: u = cosh t Σ sinh x_i.

    The solution is that of the code of Shi et al. 2024, which has it on the unit ball, where sinh x is nearly x. The ansatz
    Σ sinh x_i + √d t² n has the right u and u_t at t = 0 for any n.
    """
    data = window_sum(sinh(X[0]))
    return PDE(
        operator=Dt(u, 2) - Laplacian(u),
        domain=Gaussian(dim, horizon=1.0, scale=sqrt(dim)),
        ansatz=Ansatz(sympy.sqrt(d) * t**2, data, (at_time(0.0),)),
        solution=Exact(cosh(t) * data),
        source=0,
    )
