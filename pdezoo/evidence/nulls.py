"""Null predictors: what no training at all achieves, and so what an error means.

They use the solution, which no solver may: `zero` (u = b), `constant` (u = b + C a), `affine`
(u = b + a (C + w·x)), C and w by least squares on the test set itself, and the closed forms a problem declares.
With a handful of parameters against thousands of points, fitting on the test set flatters a null by less
than a part in a thousand, and errs on the side that asks more of a solver.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import sympy as sp

from ..lowering.lowered import lower
from ..lowering.points import Points, in_float64
from ..pde import PDE
from ..solution import Formula
from .testset import TestSet, columns

DEGENERATE = 1e-2
"""A problem on which the affine null predictor has a smaller relative L2 error than this is degenerate."""


@dataclass(frozen=True)
class Null:
    """A null predictor: u ≈ expr, a SymPy expression or a Formula; `parameters` were fitted."""

    name: str
    pde: PDE
    expr: Any
    parameters: int

    def predict(self, points: Points) -> np.ndarray:
        """Its values, float64, shape (B,)."""
        if isinstance(self.expr, Formula):
            return self.expr.values(points)
        function = lower((self.expr,), self.pde.dim)
        return in_float64(jax.jit(lambda p: function(p)[0]), points)


def fit_nulls(test: TestSet) -> dict[str, Null]:
    """All null predictors of the test set's problem, by name."""
    return {name: null for name, (null, _) in _fitted(test).items()}


def null_errors(test: TestSet) -> dict[str, dict[str, float]]:
    """Their relative L2 and L1 errors, by name."""
    return {name: test.errors_of(values) for name, (_, values) in _fitted(test).items()}


def degenerate(errors: dict[str, dict[str, float]]) -> bool:
    """Whether an affine function, or less, solves the problem for practical purposes."""
    return min(errors["constant"]["relative_l2"], errors["affine"]["relative_l2"]) < DEGENERATE


def _fitted(test: TestSet) -> dict[str, tuple[Null, np.ndarray]]:
    pde, table = test.pde, test.table
    factor, offset = pde.ansatz.factor, pde.ansatz.offset
    affine = [(sp.Integer(1), np.ones(test.size))]
    affine += [(e, table[k]) for k, e in columns(pde).items() if k.startswith("affine")]
    found = {}
    for name, features in (("zero", []), ("constant", affine[:1]), ("affine", affine)):
        weights, fit = _least_squares(
            [table["factor"] * f for _, f in features], test.exact - table["offset"]
        )
        shape = sp.Add(*(sp.Float(w, 17) * e for w, (e, _) in zip(weights, features, strict=True)))
        null = Null(name, pde, offset + factor * shape, len(features))
        found[name] = (null, table["offset"] + fit)
    for name, expr in pde.exact_nulls.items():
        found[name] = (Null(name, pde, expr, 0), table[f"null {name}"])
    return found


def _least_squares(features: list[np.ndarray], target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if not features:
        return np.zeros(0), np.zeros_like(target)
    matrix = np.stack(features, axis=1)
    size = np.linalg.norm(matrix, axis=0)
    size[size == 0] = 1
    weights = np.linalg.lstsq(matrix / size, target, rcond=1e-12)[0] / size
    return weights, matrix @ weights
