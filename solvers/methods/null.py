"""Null predictors as rows: what no training at all achieves. They use the solution, which no solver may."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from pdezoo import PDE, TestSet, fit_nulls
from solvers import FitStatus, Result, Solver, register
from solvers.hyperparameters import require_known


@dataclass(frozen=True)
class NullSolver(Solver):
    """A null predictor fitted on the exact solution; steps, seed and batch do not matter to it."""

    name: str
    null: str
    sees_solution: ClassVar[bool] = True

    def hyperparameters(self) -> dict[str, Any]:
        """Returns which null predictor it is, {"null": name}."""
        return {"null": self.null}

    def with_hyperparameters(self, **changes: Any) -> Self:
        """Raises BadHyperparameter for any change, since another predictor has another name; without one, returns the
        solver itself.
        """
        require_known(self.name, changes, ())
        return self

    def unsupported(self, pde: PDE) -> str | None:
        """Returns None: a null predictor exists for every problem."""
        return None

    def fit(self, pde: PDE, *, steps: int = 0, test: TestSet | None = None, **_: Any) -> Result:
        """Fits the predictor on a test set, by default one of the usual size, and measures its errors there."""
        begin = time.perf_counter()
        test = test or TestSet(pde)
        null = fit_nulls(test)[self.null]
        errors = test.errors(null.predict)
        seconds = time.perf_counter() - begin
        return Result(
            status=FitStatus.OK,
            reason="",
            steps=0,
            loss=None,
            history=[],
            seconds=seconds,
            compile_seconds=None,
            steps_per_second=None,
            compiled_bytes=None,
            errors=errors,
            forward_evaluations=0,
            predict=null.predict,
            solver=self,
            pde=pde,
        )


@register("null-zero")
def null_zero() -> Solver:
    """u = b: the ansatz with the zero network."""
    return NullSolver("null-zero", "zero")


@register("null-constant")
def null_constant() -> Solver:
    """u = b + C a, C fitted on the exact solution."""
    return NullSolver("null-constant", "constant")


@register("null-affine")
def null_affine() -> Solver:
    """u = b + a (C + w·x), C and w fitted on the exact solution."""
    return NullSolver("null-affine", "affine")
