"""Semilinear parabolic problems u_t + Δu + f(u) = g with u(T, x) given, T = 0.3: the terminal form of the papers.

The papers' problems (Beck et al. 2021, deep splitting; Hu et al. 2024; Shi et al. 2024) have no source, and are usually judged by
u(0, 0) alone. For radial data the solution is computed here on the whole domain (`references.radial_solution`). The
`manufactured` variants have sources and closed forms; neither their terminal values nor their sources give the solution
away.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import sympy as sp

from ..ansatz import Ansatz, terminal
from ..calculus.atoms import Dt, Laplacian, u
from ..calculus.collective import Coefficients, X, d, r2, t, window_sum
from ..condition import Condition
from ..domain import BrownianTube, Gaussian
from ..pde import PDE
from ..references import Reaction, mean_field, radial_solution
from ..solution import Exact, Formula, Reference

HORIZON = 0.3
RADIAL_ERROR = 1e-12
"""The stated relative error of the radial references, larger than their measured bound in every dimension up to 10⁶."""

_TO_GO = sp.Rational(3, 10) - t


@dataclass(frozen=True)
class Semilinear:
    """A semilinear equation u_t + Δu + f(u) = g, with what makes its problems.

    `rate` is f(u), an expression in the unknown u. `from_wave` maps any expression v to a manufactured solution. `size` is
    the order of magnitude of u for radial data; it may contain d.
    """

    name: str
    rate: Any
    from_wave: Callable[[Any], Any]
    size: Any = 1

    @property
    def operator(self) -> Any:
        """The left-hand side u_t + Δu + f(u), an expression in the atoms of u."""
        return Dt(u) + Laplacian(u) + self.rate


def soft_condition(target: Any, size: float = 1.0) -> Condition:
    """The terminal term of the loss for v = u/size: 20 mean (v − g/size)² + 0.05 mean |∇(v − g/size)|².

    It has the form of the loss of Shi et al. 2024; the weights of their code differ from these by a factor d/20.
    """
    return Condition(HORIZON, target, weight=20 / size**2, gradient_weight=0.05 / size**2)


def radial(problem: Semilinear, reaction: Reaction, dim: int, hard: bool) -> PDE:
    """Makes the problem with u(T, x) = 5/(10 + 2|x|²): held by the ansatz if `hard`, else a term of the loss as in the papers.

    Points follow paths √2 W_t from the origin, and the papers report u(0, 0), so (0, 0) is the probe. The null predictor
    `mean-field` is the formula Φ_{T−t}(P_{T−t} g), which first averages over the Gaussian and then lets the mean react.
    """
    data = 5 / (10 + 2 * r2)
    size = float(sp.sympify(problem.size).xreplace({d: sp.Integer(dim)}))
    exact, averaged = _radial_formulas(problem.name, reaction, dim)
    plain = terminal(data, HORIZON) if hard else Ansatz()
    return PDE(
        operator=problem.operator,
        domain=BrownianTube(dim, HORIZON, scale=size),
        ansatz=replace(plain, factor=problem.size * plain.factor),
        solution=Reference(
            exact, RADIAL_ERROR, "radial collocation for the defect of the mean-field formula"
        ),
        source=0,
        conditions=() if hard else (soft_condition(data, size),),
        baselines={"terminal": data, "mean-field": averaged},
        probe=(0.0, 0.0),
    )


def _radial_formulas(name: str, reaction: Reaction, dim: int) -> tuple[Formula, Formula]:
    solution, averaged = _RadialSolution(dim, reaction), _MeanField(dim, reaction)
    return Formula(f"{name} radial solution", solution), Formula(f"{name} mean field", averaged)


@dataclass(frozen=True)
class _RadialSolution:
    """u(x, t) by collocation; an object and not a local function, so that a problem can be pickled."""

    dim: int
    reaction: Reaction

    def __call__(self, x: np.ndarray, time: np.ndarray) -> np.ndarray:
        solution = radial_solution(self.dim, self.reaction, HORIZON)
        return solution.value(np.sum(x * x, axis=1), to_go(HORIZON, time))


@dataclass(frozen=True)
class _MeanField:
    """Φ_{T−t}(P_{T−t} g)."""

    dim: int
    reaction: Reaction

    def __call__(self, x: np.ndarray, time: np.ndarray) -> np.ndarray:
        return mean_field(self.dim, self.reaction, np.sum(x * x, axis=1), to_go(HORIZON, time))


def to_go(horizon: float, time: np.ndarray) -> np.ndarray:
    """The time to go max(T − t, 0), float64. It is cut off at zero because a float32 time may be rounded up beyond T."""
    return np.maximum(horizon - time, 0.0)


def manufactured(problem: Semilinear, dim: int, seed: int) -> PDE:
    """Makes the problem whose solution is u* = `from_wave`(v) with v = cos(ωτ) S₁ + sin(ωτ) S₂, τ = T − t, ω = π/2T.

    S_k = (2/√d) Σ c_i sin(x_i x_{i+1} x_{i+2}) with independent coefficients for S₁ and S₂. The terminal value depends on
    S₁ only and u(0, x) on S₂ only, so that neither gives the other away.
    """
    first, second = (_wave(Coefficients(seed, stream)) for stream in (0, 1))
    angle = sp.pi / sp.Rational(6, 10) * _TO_GO
    given = problem.from_wave(first)
    return PDE(
        operator=problem.operator,
        domain=Gaussian(dim, HORIZON, scale=10.0),
        ansatz=terminal(given, HORIZON),
        solution=Exact(problem.from_wave(sp.cos(angle) * first + sp.sin(angle) * second)),
        baselines={"persistence": given},
    )


def _wave(coefficients: Coefficients) -> Any:
    return 2 / sp.sqrt(d) * window_sum(sp.sin(X[0] * X[1] * X[2]), coefficients=coefficients)
