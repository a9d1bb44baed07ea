"""Few-body solutions on the ball: u = (1 − |x|²/R²) S(x), where S sums a kernel over windows of neighbouring coordinates.

`two-body` and `three-body` are the problems of Hu et al. 2024 and Shi et al. 2024 on the unit ball. Their solutions are
nearly affine at high d: a constant or an affine null predictor reaches errors that the papers report as results. So there
are two further variants on the ball of radius √d, where single coordinates are of size one and the kernels nonlinear:
`two-body-wide` (non-trivial, but its gradients span few directions) and `sin-three-body` (recommended: no affine or
quadratic predictor helps, and its gradients span about 0.6 d directions).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sympy as sp

from ..ansatz import Ansatz
from ..calculus.collective import Coefficients, X, d, g, window_sum
from ..domain import Ball
from ..pde import PDE
from ..solution import Exact

FEW_BODY = ("two-body", "three-body", "two-body-wide", "sin-three-body")

_a, _b, _c = X[:3]
_TWO_BODY = sp.sin(_a + sp.cos(_b) + _b * sp.cos(_a))


@dataclass(frozen=True)
class _Variant:
    kernel: Any
    amplitude: Any  # S = amplitude · Σ c_p kernel
    radius: Any


_VARIANTS = {
    "two-body": _Variant(_TWO_BODY, 1, 1),
    "three-body": _Variant(sp.exp(_a * _b * _c), 1, 1),
    "two-body-wide": _Variant(_TWO_BODY, 4 / sp.sqrt(d), sp.sqrt(d)),
    "sin-three-body": _Variant(sp.sin(_a * _b * _c), 8 / sp.sqrt(d), sp.sqrt(d)),
}


def few_body(operator: Any, dim: int, variant: str, seed: int, clamped: bool = False) -> PDE:
    """Makes the problem operator[u] = g on the ball with u = 0 on its surface and the solution u* = (1 − |x|²/R²) S.

    `variant` is one of `FEW_BODY`; `seed` draws the coefficients of S. Since Δu* = −(2d/R²) S + O(S), the source gives the
    solution away at high d: the problem declares u ≈ −R² (1 − |x|²/R²) g/(2d) as the baseline `source-leak`.
    `clamped` is for operators of fourth order: u = ∂u/∂n = 0 on the surface, u* = (1 − |x|²/R²)² S, and the leak is
    u ≈ R⁴ (1 − |x|²/R²)² g/(8d(d + 2)).
    """
    chosen = _VARIANTS[variant]
    ball = Ball(dim, chosen.radius)
    ansatz: Ansatz = ball.clamped() if clamped else ball.vanishing()
    square = sp.sympify(chosen.radius) ** 2
    leak = square**2 / (8 * d * (d + 2)) if clamped else -square / (2 * d)
    many = chosen.amplitude * window_sum(chosen.kernel, coefficients=Coefficients(seed))
    return PDE(
        operator=operator,
        domain=ball,
        ansatz=ansatz,
        solution=Exact(ansatz.factor * many),
        baselines={"source-leak": leak * ansatz.factor * g},
    )
