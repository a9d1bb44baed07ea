"""Makes of records groups of comparable rows, with ranks and their intervals. `tables`, `html` and `figure` render them.

A group has the cells of one problem fingerprint, protocol fingerprint and machine. A row is a solver with its hyperparameters;
its numbers are medians over the training seeds, where a seed that failed counts as the table of metrics says: with an infinite
error, which is not left out. Only rows with a skill above 0 are ranked. The null predictors are fitted to the solution, which no
solver may see, and are shown without a rank.
"""

from __future__ import annotations

import hashlib
import json
import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks.records.metrics import METRICS, Errors, skill
from benchmarks.records.protocol import Protocol
from benchmarks.records.record import Environment, Record, Status
from benchmarks.records.store import latest

DEGENERATE_BELOW = 1e-2
MIN_SEEDS_FOR_INTERVAL = 3
_RESAMPLES = 2_000
_COVERAGE = (5.0, 95.0)


@dataclass(frozen=True)
class Summary:
    """The median, least and largest of a metric over the `n` seeds that have a value."""

    median: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Row:
    """A solver with its hyperparameters on one problem: `n` seeds, of which `n_ok` did not fail.

    `label` tells rows of one solver apart. `status` and `reason` are those of the worst seed. `is_null` says that the solver
    uses the exact solution: it is shown, and never ranked. `cut_short` says how many steps were taken where the training
    budget ended first. `interval` is the 90 % bootstrap interval of the rank.
    """

    solver: str
    label: str
    hyperparameters: str
    n: int
    n_ok: int
    status: Status
    reason: str
    metrics: dict[str, Summary]
    is_null: bool = False
    cut_short: str = ""
    rank: int | None = None
    interval: tuple[int, int] | None = None

    def median(self, metric: str) -> float | None:
        """Returns the median of a metric over all seeds tried; None if it is not finite."""
        summary = self.metrics.get(metric)
        return summary.median if summary and math.isfinite(summary.median) else None

    @property
    def error(self) -> float | None:
        """The median relative L2 error; None if it is not finite."""
        return self.median("relative_l2")

    @property
    def skill(self) -> float | None:
        """The median skill against the best constant; None if it is not finite."""
        return self.median("skill")

    @property
    def skill_affine(self) -> float | None:
        """The median skill against the best affine function; None if it is not finite."""
        return self.median("skill_affine")

    @property
    def note(self) -> str:
        """The remarks that a reader must know before quoting the row: failures, lack of skill, an early end."""
        if self.is_null:
            return "fitted on the solution: not ranked"
        if self.error is None:
            return f"{self.status}: {self.reason}" if self.reason else str(self.status)
        parts = [f"{self.n - self.n_ok} of {self.n} seeds failed"] if self.n_ok < self.n else []
        if self.skill is not None and self.skill <= 0:
            parts.append("no better than a constant: unranked")
        elif self.skill_affine is not None and self.skill_affine <= 0:
            parts.append("a linear model does as well")
        parts += [self.cut_short] if self.cut_short else []
        if (probe := self.median("relative_point")) is not None:
            parts.append(f"at the probe {probe:.2g}")
        return "; ".join(parts)


@dataclass(frozen=True)
class Group:
    """Rows that may be compared, since they share a problem instance, a protocol and a machine. `nulls` has the errors of the null
    predictors by name.
    """

    problem: str
    dim: int
    instance: int
    fingerprint: str | None
    protocol: Protocol
    machine: str
    environments: tuple[Environment, ...]
    nulls: dict[str, Errors]
    rows: tuple[Row, ...]

    @property
    def degenerate(self) -> bool:
        """Whether an affine function explains the solution to better than 1 %."""
        return "affine" in self.nulls and self.nulls["affine"].relative_l2 < DEGENERATE_BELOW

    @property
    def best(self) -> Row | None:
        """The first row of rank 1; None if no row is ranked."""
        return next((row for row in self.rows if row.rank == 1), None)


@dataclass(frozen=True)
class Leaderboard:
    """All groups, the SHA-256 of the result set (equal sets of records have equal ones anywhere), and the number of records."""

    groups: tuple[Group, ...]
    digest: str
    records: int


def leaderboard(records: Iterable[Record]) -> Leaderboard:
    """Makes a leaderboard of the newest record of every cell on every machine."""
    used = _newest(records)
    grouped: dict[tuple, list[Record]] = defaultdict(list)
    for record in used:
        grouped[_group_key(record)].append(record)
    groups = tuple(_group(members) for _, members in sorted(grouped.items()))
    return Leaderboard(groups, result_digest(used), len(used))


def result_digest(records: Iterable[Record]) -> str:
    """Returns the SHA-256 of the sorted digests of a set of records."""
    return hashlib.sha256("\n".join(sorted({record.digest for record in records})).encode()).hexdigest()


def _newest(records: Iterable[Record]) -> list[Record]:
    by_machine: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        by_machine[record.environment.machine].append(record)
    return [record for members in by_machine.values() for record in latest(members).values()]


def _group_key(record: Record) -> tuple:
    problem = record.cell.problem
    instance = (problem.name, problem.dim, problem.seed, problem.fingerprint or "")
    return *instance, record.cell.protocol.fingerprint, record.environment.machine


def _group(records: Sequence[Record]) -> Group:
    first = records[0]
    nulls: dict[str, Errors] = {}
    for record in records:
        nulls |= record.nulls
    rows: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        rows[(record.cell.solver.row, _settings(record))].append(record)
    measured = [_row(members) for members in rows.values()]
    run = {record.null for record in records}
    missing = [_null_row(name, errors, nulls) for name, errors in nulls.items() if name not in run]
    problem = first.cell.problem
    return Group(
        problem=problem.name,
        dim=problem.dim,
        instance=problem.seed,
        fingerprint=problem.fingerprint,
        protocol=first.cell.protocol,
        machine=first.environment.machine,
        environments=tuple(dict.fromkeys(record.environment for record in records)),
        nulls=nulls,
        rows=tuple(_ranked(_labelled(measured + missing), _seed_errors(rows))),
    )


def _row(records: Sequence[Record]) -> Row:
    worst = max(records, key=lambda r: list(Status).index(r.status))
    summaries = {name: _summary(name, records) for name in METRICS}
    return Row(
        solver=records[0].cell.solver.row,
        label=records[0].cell.solver.row,
        hyperparameters=_settings(records[0]),
        n=len(records),
        n_ok=sum(record.status is Status.OK for record in records),
        status=worst.status,
        reason=worst.reason,
        metrics={name: summary for name, summary in summaries.items() if summary is not None},
        is_null=any(record.is_null for record in records),
        cut_short=_cut_short(records),
    )


def _cut_short(records: Sequence[Record]) -> str:
    """Returns how many steps were taken where the training budget in seconds ended first; else ""."""
    asked = records[0].cell.protocol.steps
    taken = [r.metrics.steps for r in records if r.status is Status.OK and r.metrics.steps is not None]
    if not taken or records[0].cell.protocol.seconds is None or min(taken) >= asked:
        return ""
    return f"{statistics.median_low(taken):,} of {asked:,} steps in the time given"


def _summary(metric: str, records: Sequence[Record]) -> Summary | None:
    """Summarises a metric over the seeds; None where no seed has a finite value."""
    counted = [_counted(metric, record) for record in records]
    known = [value for value in counted if value is not None]
    if not any(math.isfinite(value) for value in known):
        return None
    return Summary(statistics.median(known), min(known), max(known), len(known))


def _counted(metric: str, record: Record) -> float | None:
    """Returns the value of a metric that enters the summary over seeds for this record: infinite for the error of a failed one."""
    return METRICS[metric].counted(getattr(record.metrics, metric), record.status is Status.OK)


def _null_row(name: str, errors: Errors, nulls: dict[str, Errors]) -> Row:
    """Returns the row of a null predictor that was not run as a solver; its errors are measured with every cell."""
    numbers = {
        "relative_l2": errors.relative_l2,
        "relative_l1": errors.relative_l1,
        "skill": skill(errors.relative_l2, nulls.get("constant")),
        "skill_affine": skill(errors.relative_l2, nulls.get("affine")),
    }
    metrics = {key: Summary(value, value, value, 1) for key, value in numbers.items() if value is not None}
    solver = f"null-{name}"  # as it is registered
    return Row(solver, solver, "{}", 1, 1, Status.OK, "", metrics, is_null=True)


def _settings(record: Record) -> str:
    return json.dumps(record.cell.solver.hyperparameters, sort_keys=True)


def _labelled(rows: list[Row]) -> list[Row]:
    """Labels rows of one solver by the hyperparameters in which they differ."""
    same = Counter(row.solver for row in rows)
    return [row if same[row.solver] == 1 else replace(row, label=_told_apart(row, rows)) for row in rows]


def _told_apart(row: Row, rows: list[Row]) -> str:
    others = [_flat(json.loads(other.hyperparameters)) for other in rows if other.solver == row.solver]
    own = _flat(json.loads(row.hyperparameters))
    differing = [key for key in own if len({json.dumps(other.get(key)) for other in others}) > 1]
    return f"{row.solver} ({', '.join(f'{key}={own[key]}' for key in differing)})"


def _flat(settings: dict[str, Any]) -> dict[str, Any]:
    """Flattens hyperparameters: {"estimator": {"samples": 8}} → {"samples": 8}, with the part's name where it is needed to tell two
    apart.
    """
    flat: dict[str, Any] = {}
    for part, value in settings.items():
        inner = value if isinstance(value, dict) else {part: value}
        flat |= {(key if key not in flat else f"{part}.{key}"): v for key, v in inner.items()}
    return flat


def _seed_errors(rows: dict[tuple[str, str], list[Record]]) -> dict[tuple[str, str], list[float]]:
    """Returns the errors of all seeds of every row; a seed without one counts as failed, with an infinite error."""
    return {key: [_error(record) for record in records] for key, records in rows.items()}


def _error(record: Record) -> float:
    counted = _counted("relative_l2", record)
    return math.inf if counted is None else counted


def _ranked(rows: list[Row], errors: dict[tuple[str, str], list[float]]) -> list[Row]:
    """Ranks and sorts rows: the ranked by error, then the unranked by error, the null predictors, and those without an error."""
    eligible = [r for r in rows if not r.is_null and r.error is not None and (r.skill or 0.0) > 0.0]
    eligible.sort(key=lambda row: (row.error, row.label))
    medians = [row.error for row in eligible]
    intervals = rank_intervals([errors[(row.solver, row.hyperparameters)] for row in eligible])
    ranked = [
        replace(row, rank=1 + medians.index(row.error), interval=interval)
        for row, interval in zip(eligible, intervals, strict=True)
    ]
    rest = [row for row in rows if row not in eligible]
    rest.sort(key=lambda r: (r.error is None, r.is_null, math.inf if r.error is None else r.error, r.label))
    return ranked + rest


def rank_intervals(errors: Sequence[Sequence[float]]) -> list[tuple[int, int] | None]:
    """Returns a 90 % bootstrap interval of each row's rank, by resampling its errors over seeds: `errors[i]` are those of row i.

    All are None if some row has fewer than MIN_SEEDS_FOR_INTERVAL seeds. The resampling is deterministic, so that the same
    records give the same page.
    """
    if not errors or min(len(seeds) for seeds in errors) < MIN_SEEDS_FOR_INTERVAL:
        return [None] * len(errors)
    random = np.random.default_rng(0)
    medians = np.stack(
        [np.median(random.choice(np.asarray(e), (_RESAMPLES, len(e))), axis=1) for e in errors], axis=1
    )
    ranks = 1 + (medians[:, None, :] < medians[:, :, None]).sum(axis=2)
    low, high = np.percentile(ranks, _COVERAGE, axis=0, method="nearest")
    return [(int(a), int(b)) for a, b in zip(low, high, strict=True)]
