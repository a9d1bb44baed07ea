"""Resolves requests: makes each problem and solver, and from them cells with fingerprints and all hyperparameters."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from benchmarks.planning.matrix import Request
from benchmarks.planning.subjects import Subjects
from benchmarks.records.errors import UserError
from benchmarks.records.fields import is_name
from benchmarks.records.outcome import Outcome, failure
from benchmarks.records.record import Cause, Cell, Environment, ProblemKey, Record, SolverKey, Status, now
from benchmarks.records.text import clip


@dataclass(frozen=True)
class Job:
    """A cell to measure. `outcome` says how it ends if that is known beforehand, as for a problem that cannot be made."""

    cell: Cell
    outcome: Outcome | None = None

    def foregone(self, environment: Environment) -> Record | None:
        """Returns the record of a cell whose outcome is known beforehand; None for one that is to be measured."""
        if self.outcome is None:
            return None
        return Record(
            cell=self.cell,
            status=self.outcome.status,
            cause=self.outcome.cause,
            reason=clip(self.outcome.reason, 4_000),
            exception=self.outcome.exception,
            environment=environment,
            start=now(),
            duration=0.0,
        )


def recordable(requests: Iterable[Request]) -> tuple[list[Request], list[str]]:
    """Returns the requests whose names a record can hold, and the names that no record can, so that nothing could be kept."""
    good: list[Request] = []
    bad: dict[str, None] = {}
    for request in requests:
        unfit = [name for name in (request.problem, request.solver) if not is_name(name)]
        bad |= dict.fromkeys(unfit)
        good += [] if unfit else [request]
    return good, list(bad)


def named(request: Request) -> Cell:
    """Returns the cell of a request by its names: without the fingerprint and the defaults, which only making it would tell.

    That is enough to forecast it, and takes no time.
    """
    given = dict(request.hyperparameters)
    return Cell(
        problem=ProblemKey(name=request.problem, dim=request.dim, seed=request.instance),
        solver=SolverKey(name=request.solver, given=given, hyperparameters=given),
        protocol=request.protocol,
        seed=request.seed,
    )


def resolve(requests: Iterable[Request], lib: Subjects) -> list[Job]:
    """Returns one job for each request, in order. A problem or solver that cannot be made gives a job with that outcome.

    Raises UserError for hyperparameters that a solver does not take.
    """
    problems: dict[tuple[str, int, int], tuple[ProblemKey, Outcome | None]] = {}
    rows: dict[str, tuple[SolverKey, Outcome | None]] = {}
    jobs = []
    for request in requests:
        instance = (request.problem, request.dim, request.instance)
        row = repr((request.solver, request.hyperparameters))
        if instance not in problems:
            problems[instance] = _problem(*instance, lib)
        if row not in rows:
            rows[row] = _solver(request.solver, dict(request.hyperparameters), lib)
        problem, no_problem = problems[instance]
        solver, no_solver = rows[row]
        cell = Cell(problem=problem, solver=solver, protocol=request.protocol, seed=request.seed)
        jobs.append(Job(cell, no_problem or no_solver))
    return jobs


def _problem(name: str, dim: int, seed: int, lib: Subjects) -> tuple[ProblemKey, Outcome | None]:
    try:
        fingerprint = lib.make_pde(name, dim=dim, seed=seed).fingerprint
    except lib.bad_dimension as error:
        outcome = Outcome(Status.UNSUPPORTED, Cause.UNSUPPORTED, str(error))
    except (Exception, SystemExit) as error:  # a broken contribution is a row; the others go on
        outcome = failure(error)
    else:
        return ProblemKey(name=name, dim=dim, seed=seed, fingerprint=fingerprint), None
    return ProblemKey(name=name, dim=dim, seed=seed), outcome


def _solver(name: str, given: dict[str, Any], lib: Subjects) -> tuple[SolverKey, Outcome | None]:
    try:
        asked = SolverKey(name=name, given=given, hyperparameters=given)
    except ValidationError as error:
        reason = error.errors(include_url=False)[0]["msg"]
        raise UserError(f"{name}: these are no hyperparameters ({reason})") from None
    try:
        full = lib.make_solver(name, **given).hyperparameters()
        return SolverKey(name=name, given=given, hyperparameters=full), None
    except lib.bad_hyperparameter as error:
        raise UserError(str(error)) from None  # the message names the solver
    except (Exception, SystemExit) as error:  # a broken contribution is a row; the others go on
        return asked, failure(error)
