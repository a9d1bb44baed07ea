"""Null predictors as rows: what no training at all achieves. Oracles use the solution, which no solver may; a baseline does not."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from pdezoo import PDE, TestSet, fit_nulls
from solvers import FitStatus, Result, Solver, register
from solvers.hyperparameters import require_known
from solvers.training import require_numbers, require_problem


@dataclass(frozen=True)
class _NullSolver(Solver):
    """A null predictor called `null`; steps, seed and batch do not matter to it."""

    name: str
    null: str

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

    def fit(
        self,
        pde: PDE,
        *,
        steps: int = 0,
        seed: int = 0,
        batch: int = 100,
        test: TestSet | None = None,
        progress: Any = None,
        seconds: float | None = None,
        evaluations: int = 10,
    ) -> Result:
        """Takes the predictor of a test set, by default one of the usual size, and measures its errors there.

        The numbers of a training are checked as those of any solver are (`Solver.fit`), and then do not matter.
        """
        require_numbers(steps, batch, seed, evaluations, seconds)
        require_problem(pde, test)
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


class Oracle(_NullSolver):
    """A null predictor that is fitted on the exact solution: a reference line, never ranked."""

    sees_solution: ClassVar[bool] = True


class Baseline(_NullSolver):
    """A null predictor that uses the data of the problem alone, and is ranked like any solver."""

    sees_solution: ClassVar[bool] = False


@register("null-zero")
def null_zero() -> Solver:
    """u = b: the ansatz with the zero network; a baseline, since it uses no solution."""
    return Baseline("null-zero", "zero")


@register("null-constant")
def null_constant() -> Solver:
    """u = b + C a, C fitted on the exact solution."""
    return Oracle("null-constant", "constant")


@register("null-affine")
def null_affine() -> Solver:
    """u = b + a (C + w·x), C and w fitted on the exact solution."""
    return Oracle("null-affine", "affine")
