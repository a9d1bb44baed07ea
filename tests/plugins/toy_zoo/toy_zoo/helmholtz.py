from pdezoo import PDE, Ball, Coefficients, Exact, Laplacian, X, register, u, window_sum


@register("toy-helmholtz", variants=("weak", "strong"))
def helmholtz(dim: int, variant: str = "weak", seed: int = 0) -> PDE:
    """Δu + k u = g on the unit ball, u = 0 on the sphere."""
    ball, k = Ball(dim), {"weak": 1, "strong": 10}[variant]
    target = ball.vanishing().factor * window_sum(X[0] * X[1], coefficients=Coefficients(seed))
    return PDE(operator=Laplacian(u) + k * u, domain=ball, ansatz=ball.vanishing(), solution=Exact(target))
