from __future__ import annotations

from pdezoo import PDE, Dt, Exact, Gaussian, GradNorm1, Laplacian, X, d, register, t, terminal, u, window_sum


@register("hjb-lin")
def hjb_lin(dim: int) -> PDE:
    """u_t + Δu − (1/d) Σ|∂u/∂x_i| = −2, u(1, x) = Σ x_i. Hu et al. 2024, Shi et al. 2024.

    The exponent of |∂u/∂x_i| is 1.
    """
    data = window_sum(X[0])
    return PDE(
        operator=Dt(u) + Laplacian(u) - GradNorm1(u) / d,
        domain=Gaussian(dim, horizon=1.0),
        ansatz=terminal(data, 1),
        solution=Exact(data + 1 - t),
        source=-2,
    )
