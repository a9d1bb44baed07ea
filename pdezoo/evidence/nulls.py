"""Null predictors: the errors that are reached without any training, against which a solver's errors are judged.

With the ansatz u = b + a n they are `zero` (u = b), `constant` (u = b + C a), `affine` (u = b + a (C + w·x)), and the
closed forms that a problem declares. They are of two kinds, by whether they use the exact solution u*.

- Oracles use it: `constant` and `affine`, and what a problem declares as `nulls`. C and w are fitted to u* by least squares
  on the test set itself. With a handful of parameters and thousands of points that flatters a null predictor by less than a
  part in a thousand, and so asks slightly more of a solver.
- Baselines do not: `zero`, which is the ansatz alone, and what a problem declares as `baselines`, closed forms of its data such
  as the source, the initial or the terminal values. A solver that a baseline beats is of no use on that problem.
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
    """A null predictor u ≈ `expr`, a SymPy expression or a `Formula`; `parameters` is the number of fitted coefficients."""

    name: str
    pde: PDE
    expr: Any
    parameters: int

    @property
    def sees_solution(self) -> bool:
        """Whether the predictor uses the exact solution."""
        return self.name not in self.pde.baseline_names

    def predict(self, points: Points) -> np.ndarray:
        """Evaluates the predictor at points in double precision; returns float64 of shape (B,)."""
        if isinstance(self.expr, Formula):
            return self.expr.values(points)
        function = lower((self.expr,), self.pde.dim)
        return in_float64(jax.jit(lambda p: function(p)[0]), points)


def fit_nulls(test: TestSet) -> dict[str, Null]:
    """Fits all null predictors of the test set's problem, and returns them by name."""
    return {name: null for name, (null, _) in _fitted(test).items()}


def null_errors(test: TestSet) -> dict[str, dict[str, float]]:
    """Computes the errors of all null predictors on the test set, as `TestSet.errors_of` does: {name: {error: value}}."""
    return {name: test.errors_of(values) for name, (_, values) in _fitted(test).items()}


def degenerate(errors: dict[str, dict[str, float]]) -> bool:
    """Whether `constant` or `affine` has a relative L2 error below `DEGENERATE`: no network is needed to solve the problem."""
    return min(errors["constant"]["relative_l2"], errors["affine"]["relative_l2"]) < DEGENERATE


def _fitted(test: TestSet) -> dict[str, tuple[Null, np.ndarray]]:
    pde, table = test.pde, test.table
    factor, offset = pde.ansatz.factor, pde.ansatz.offset
    affine = [(sp.Integer(1), np.ones(test.size))]
    affine += [(e, table[k]) for k, e in columns(pde).items() if k.startswith("affine")]
    fitted = {}
    for name, features in (("zero", []), ("constant", affine[:1]), ("affine", affine)):
        weights, fit = _least_squares(
            [table["factor"] * f for _, f in features], test.exact - table["offset"]
        )
        shape = sp.Add(*(sp.Float(w, 17) * e for w, (e, _) in zip(weights, features, strict=True)))
        null = Null(name, pde, offset + factor * shape, len(features))
        fitted[name] = (null, table["offset"] + fit)
    for name, expr in pde.exact_nulls.items():
        fitted[name] = (Null(name, pde, expr, 0), table[f"null {name}"])
    return fitted


def _least_squares(features: list[np.ndarray], target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if not features:
        return np.zeros(0), np.zeros_like(target)
    matrix = np.stack(features, axis=1)
    size = np.linalg.norm(matrix, axis=0)
    size[size == 0] = 1
    weights = np.linalg.lstsq(matrix / size, target, rcond=1e-12)[0] / size
    return weights, matrix @ weights
