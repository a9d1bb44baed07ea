"""Makes of records groups of comparable rows, with ranks and ties. `tables`, `html` and `figure` render them.

A group has the cells of one problem, protocol and machine, and one kind of repetition: instance k with training seed k for
k = 0, 1, 2, …, or many training seeds on one instance. Where steps are worth equal times, their numbers may differ.

A row is a solver with its hyperparameters; its numbers are medians over the replicates, where a replicate that failed counts as the
table of metrics says: with an infinite error, which is not left out.

A row is ranked if it has `MIN_REPLICATES`, all of which ended well and with their schedules, and the interval of its skill is
above 0. Its rank is one more than the number of ranked rows whose error is smaller beyond the resolution, so that rows which
cannot be told apart share a rank; every pair is judged by the replicates that both have. Oracles, which use the solution, are
reference lines without a rank; baselines, which need no training and use no solution, are ranked like any solver.

Rows may be ranked by another metric, such as steps per second. A rank then needs no skill, since a cost is known of what learns
nothing too; but a time is the solver's own only where no other work was seen beside it.
"""

from __future__ import annotations

import hashlib
import json
import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from typing import Any

from benchmarks.leaderboard.intervals import MIN_REPLICATES, Interval, Replicate, Sample, of_ratio
from benchmarks.records.metrics import METRICS, Better, Errors, Metrics, PeakOf, skill
from benchmarks.records.protocol import Protocol
from benchmarks.records.record import Environment, Record, Status
from benchmarks.records.store import latest

BY_ERROR = "relative_l2"
"""The metric by which rows are ranked unless a track says otherwise."""
DEGENERATE_BELOW = 1e-2
EXACT_BELOW = 1e-7
"""A null predictor with a smaller relative L2 error is exact: float32, in which solvers compute, resolves no less."""


class Kind(StrEnum):
    """What a row is: a solver, or a null predictor that uses the solution (oracle) or does not (baseline)."""

    SOLVER = "solver"
    BASELINE = "baseline"
    ORACLE = "oracle"


class Reference(StrEnum):
    """The null predictor against which the skill of a group's rows is meant: the best constant, or the zero network where a
    constant is exact. There is none where both are exact, and it is unknown where none was measured.
    """

    CONSTANT = "constant"
    ZERO = "zero"
    NONE = "none"
    UNKNOWN = "unknown"

    @property
    def words(self) -> str:
        """What it is, in words."""
        return {"constant": "the best constant", "zero": "the zero network"}.get(
            self.value, "a null predictor"
        )


@dataclass(frozen=True)
class Summary:
    """The median, least and largest of a metric over the `n` replicates that have a value."""

    median: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class TestSetError:
    """The relative standard error of an error that comes of measuring at so many test points only.

    It is `measured`, or estimated as 1/√n from the number of test points n, in records of the time before it was.
    """

    __test__ = False  # not a pytest class

    relative: float
    measured: bool


@dataclass(frozen=True)
class Row:
    """A solver with its hyperparameters on one problem: `n` replicates, of which `n_ok` did not fail.

    `label` tells rows of one solver apart. `status` and `reason` are those of the worst replicate. `given` names the
    hyperparameters that were given, without which it is the solver as registered. `peak_of` says whose memory `peak_bytes` is,
    the device's or the process's. `in_competition` says that other work was seen beside a replicate, so that its times are not
    the solver's own; None that nobody looked. `cut_short` says how many steps were taken where the training budget ended first, and
    `annealed` that no schedule was cut off by that, which disqualifies a row.

    `reference` is the null predictor against which `skill` is meant. `skill_interval` has the ends of the 90 % interval of the
    skill; `beats_reference` and `beats_affine` say whether the error is below that of the reference, and of the best affine
    function, beyond the resolution. They are None where there are too few replicates. `rank` is shared by rows that cannot be
    told apart, and `ranks` has the lowest and highest rank that the row may have; `ranked_by` is the metric that decides.
    """

    solver: str
    label: str
    hyperparameters: str
    n: int
    n_ok: int
    status: Status
    reason: str
    metrics: dict[str, Summary]
    kind: Kind = Kind.SOLVER
    given: tuple[str, ...] = ()
    peak_of: PeakOf | None = None
    in_competition: bool | None = None
    test_set_error: TestSetError | None = None
    cut_short: str = ""
    annealed: bool = True
    reference: Reference = Reference.CONSTANT
    skill_interval: tuple[float, float] | None = None
    beats_reference: bool | None = None
    beats_affine: bool | None = None
    rank: int | None = None
    ranks: tuple[int, int] | None = None
    ranked_by: str = BY_ERROR

    def median(self, metric: str) -> float | None:
        """Returns the median of a metric over all replicates tried; None if it is not finite."""
        summary = self.metrics.get(metric)
        return summary.median if summary and math.isfinite(summary.median) else None

    @property
    def error(self) -> float | None:
        """The median relative L2 error; None if it is not finite."""
        return self.median("relative_l2")

    @property
    def settings(self) -> dict[str, Any]:
        """All hyperparameters by name, with the name of their part before it where it is needed to tell two apart."""
        return _flat(json.loads(self.hyperparameters))

    @property
    def skill(self) -> float | None:
        """The median skill against the reference of the group; None if it is not finite."""
        return self.median("skill")

    @property
    def is_oracle(self) -> bool:
        """Whether it uses the solution, so that it is a reference line and never ranked."""
        return self.kind is Kind.ORACLE

    @property
    def is_eligible(self) -> bool:
        """Whether the row can have a rank: enough replicates, none failed, no use of the solution, and skill above 0; by another
        metric than the error a value in every replicate, and no other work beside it where that is a time.
        """
        if self.kind is Kind.ORACLE or not self.n_ok == self.n >= MIN_REPLICATES:
            return False
        if self.ranked_by == BY_ERROR:
            return self.annealed and bool(self.beats_reference)
        summary = self.metrics.get(self.ranked_by)
        return summary is not None and summary.n == self.n and not self.is_disturbed

    @property
    def is_disturbed(self) -> bool:
        """Whether it is to be ranked by a time that was taken beside other work."""
        return METRICS[self.ranked_by].timed and bool(self.in_competition)

    @property
    def sort_key(self) -> float:
        """The median of what it is ranked by, the smaller the better; infinite where there is none."""
        median = self.median(self.ranked_by)
        if median is None:
            return math.inf
        return -median if METRICS[self.ranked_by].better is Better.HIGHER else median

    @property
    def note(self) -> str:
        """The remarks that a reader must know before quoting the row: why it has no rank, failures, an early end."""
        if self.kind is Kind.ORACLE:
            return "oracle: uses the solution"
        if self.error is None:
            return f"{self.status}: {self.reason}" if self.reason else str(self.status)
        parts = ["baseline"] if self.kind is Kind.BASELINE else []
        parts += ["pointwise: averaged at the test points alone"] if self.settings.get("pointwise") else []
        if self.n_ok < self.n:
            parts.append(f"{self.n - self.n_ok} of {self.n} replicates failed: unranked")
        if self.n < MIN_REPLICATES:
            parts.append(f"{self.n} of {MIN_REPLICATES} replicates: unranked")
        parts += ["other work beside it: unranked"] if self.is_disturbed else []
        parts += self._beside_nulls() if self.ranked_by == BY_ERROR else []
        parts += [self.cut_short] if self.cut_short else []
        if (probe := self.median("relative_point")) is not None:
            parts.append(f"at the probe {probe:.2g}")
        return "; ".join(parts)

    def _beside_nulls(self) -> list[str]:
        if self.reference is Reference.NONE:
            return ["the ansatz alone is exact: unranked"]
        if self.reference is Reference.UNKNOWN:
            return ["no null predictor beside it: unranked"]
        if self.n_ok < self.n or self.skill is None:
            return []
        if self.skill <= 0.0 or self.beats_reference is False:
            return [f"no better than {self.reference.words}: unranked"]
        affine = self.median("skill_affine")
        if self.beats_affine is False or (self.beats_affine is None and affine is not None and affine <= 0.0):
            return ["a linear model does as well"]
        return []


@dataclass(frozen=True)
class Group:
    """Rows that may be compared, since they share a problem, a protocol, a machine and the kind of repetition.

    `instances` are the seeds of the coefficients, with their `fingerprints`: one instance with many training seeds, or, where
    there are several, instance k with training seed k. `nulls` has the median relative L2 errors of the null predictors by
    name, and `reference` is the one against which skill is meant.
    """

    problem: str
    dim: int
    instances: tuple[int, ...]
    fingerprints: tuple[str, ...]
    protocol: Protocol
    machine: str
    environments: tuple[Environment, ...]
    nulls: dict[str, float]
    reference: Reference
    rows: tuple[Row, ...]

    @property
    def degenerate(self) -> bool:
        """Whether an affine function explains the solution to better than 1 %."""
        return self.nulls.get("affine", math.inf) < DEGENERATE_BELOW

    @property
    def ranked_by(self) -> str:
        """The metric by which its rows are ranked."""
        return self.rows[0].ranked_by

    @property
    def leaders(self) -> tuple[Row, ...]:
        """The rows of the best rank, which cannot be told apart."""
        ranked = [row for row in self.rows if row.rank is not None]
        return tuple(row for row in ranked if row.rank == ranked[0].rank)

    @property
    def best(self) -> Row | None:
        """The row of the best rank with the best median; None if no row is ranked."""
        return next(iter(self.leaders), None)


@dataclass(frozen=True)
class Leaderboard:
    """All groups, the SHA-256 of the result set (equal sets of records have equal ones anywhere), and the number of records."""

    groups: tuple[Group, ...]
    digest: str
    records: int

    @property
    def ranked_by(self) -> str:
        """The metric by which rows are ranked."""
        return self.groups[0].ranked_by if self.groups else BY_ERROR


def leaderboard(records: Iterable[Record], by: str = BY_ERROR) -> Leaderboard:
    """Makes a leaderboard of the newest record of every cell on every machine, without those of tuning instances, with rows ranked
    by the metric `by`.
    """
    used = newest(records)
    comparable: dict[tuple, list[Record]] = defaultdict(list)
    for record in used:
        comparable[_comparable(record)].append(record)
    groups = [_group(part, by) for _, members in sorted(comparable.items()) for part in _repetitions(members)]
    return Leaderboard(tuple(groups), result_digest(used), len(used))


def result_digest(records: Iterable[Record]) -> str:
    """Returns the SHA-256 of the sorted digests of a set of records."""
    return hashlib.sha256("\n".join(sorted({record.digest for record in records})).encode()).hexdigest()


def newest(records: Iterable[Record]) -> list[Record]:
    """Returns the newest record of every cell on every machine, without those of tuning instances."""
    by_machine: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        if not record.is_tuning:
            by_machine[record.environment.machine].append(record)
    return [record for members in by_machine.values() for record in latest(members).values()]


def _comparable(record: Record) -> tuple:
    problem = record.cell.problem
    return problem.name, problem.dim, record.cell.protocol.comparable, record.environment.machine


def _repetitions(records: Sequence[Record]) -> list[list[Record]]:
    """Splits records of one problem, protocol and machine into groups by how measurements are repeated.

    Records of instance k with training seed k are one group, if there are several such instances. All records of one instance
    and fingerprint are a group, unless they are in that one already; a record may be in both.
    """
    own_seed = _of_one_definition([r for r in records if r.cell.problem.seed == r.cell.seed])
    several = len({record.cell.problem.seed for record in own_seed}) > 1
    across = own_seed if several else []
    covered = {record.digest for record in across}
    single: dict[tuple[int, str], list[Record]] = defaultdict(list)
    for record in records:
        single[(record.cell.problem.seed, record.cell.problem.fingerprint or "")].append(record)
    left = [group for _, group in sorted(single.items()) if not covered.issuperset(r.digest for r in group)]
    return [*([across] if across else []), *left]


def _of_one_definition(records: Sequence[Record]) -> list[Record]:
    """Leaves out what was measured before the problem last changed, as the fingerprint of one of its instances shows."""
    began: dict[int, dict[str | None, Any]] = defaultdict(dict)
    for record in sorted(records, key=lambda r: r.start):
        began[record.cell.problem.seed].setdefault(record.cell.problem.fingerprint, record.start)
    changed = [max(starts.values()) for starts in began.values() if len(starts) > 1]
    return [record for record in records if not changed or record.start >= max(changed)]


@dataclass(frozen=True)
class _Outcome:
    """What one replicate of a row gave: the outcome of its record, or the errors of a null predictor measured beside others."""

    metrics: Metrics
    status: Status = Status.OK
    reason: str = ""

    def counted(self, metric: str) -> float | None:
        """The value of a metric that enters the summary over replicates: infinite for the error of one that failed."""
        return METRICS[metric].counted(getattr(self.metrics, metric), self.status is Status.OK)

    @property
    def error(self) -> float:
        """The relative L2 error; infinite where there is none."""
        counted = self.counted("relative_l2")
        return math.inf if counted is None else counted


_Outcomes = Mapping[Replicate, _Outcome]


def _replicate(record: Record) -> Replicate:
    return Replicate(record.cell.problem.fingerprint or "", record.cell.seed)


@dataclass(frozen=True)
class _Nulls:
    """The errors of the null predictors of a group by name and replicate, as they were measured beside every cell."""

    errors: Mapping[str, Mapping[Replicate, Errors]]
    test_size: int

    @classmethod
    def of(cls, records: Sequence[Record]) -> _Nulls:
        errors: dict[str, dict[Replicate, Errors]] = defaultdict(dict)
        for record in records:
            for name, found in record.nulls.items():
                errors[name][_replicate(record)] = found
        return cls(dict(errors), records[0].cell.protocol.test_size)

    @cached_property
    def medians(self) -> dict[str, float]:
        """The median relative L2 error of every null predictor."""
        return {
            name: statistics.median(e.relative_l2 for e in at.values()) for name, at in self.errors.items()
        }

    @property
    def reference(self) -> Reference:
        """The null predictor against which skill is meant, which has to be measured and inexact."""
        known = [
            (name, self.medians[name])
            for name in (Reference.CONSTANT, Reference.ZERO)
            if name in self.medians
        ]
        if not known:
            return Reference.UNKNOWN
        return next((name for name, error in known if error > EXACT_BELOW), Reference.NONE)

    def skill(self, name: str, error: float | None, replicate: Replicate) -> float | None:
        """Returns the skill of an error against a null predictor at the same replicate."""
        return skill(error, self.errors.get(name, {}).get(replicate))

    def outcome(self, name: str, replicate: Replicate) -> _Outcome:
        """Returns what a null predictor gave that was measured beside a solver."""
        errors = self.errors[name][replicate]
        metrics = Metrics(
            **errors.model_dump(),
            skill=self.skill("constant", errors.relative_l2, replicate),
            skill_affine=self.skill("affine", errors.relative_l2, replicate),
        )
        return _Outcome(metrics)

    def sample(self, name: str) -> Sample:
        """Returns the errors of a null predictor as a sample, to compare rows with; empty if it was not measured."""
        outcomes = {replicate: self.outcome(name, replicate) for replicate in self.errors.get(name, {})}
        return _sample(outcomes, _test_set_error(list(outcomes.values()), self.test_size))


def _group(records: Sequence[Record], by: str) -> Group:
    first, nulls = records[0], _Nulls.of(records)
    instances = dict(sorted({r.cell.problem.seed: r.cell.problem.fingerprint or "" for r in records}.items()))
    return Group(
        problem=first.cell.problem.name,
        dim=first.cell.problem.dim,
        instances=tuple(instances),
        fingerprints=tuple(filter(None, instances.values())),
        protocol=first.cell.protocol,
        machine=first.environment.machine,
        environments=tuple(dict.fromkeys(record.environment for record in records)),
        nulls=nulls.medians,
        reference=nulls.reference,
        rows=tuple(_ranked(_rows(records, nulls), nulls, by)),
    )


def _rows(records: Sequence[Record], nulls: _Nulls) -> list[tuple[Row, _Outcomes]]:
    """Returns a row for every solver with its hyperparameters, and one for every null predictor, whether it was run or not, each
    with what its replicates gave.
    """
    run: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        run[(record.cell.solver.row, _settings(record))].append(record)
    rows = [_row(members, nulls, _null_of(members[0], nulls)) for members in run.values()]
    beside = nulls.errors.keys() - {record.null for record in records}
    return rows + [_null_row(name, records, nulls) for name in sorted(beside)]


def _null_of(record: Record, nulls: _Nulls) -> dict[Replicate, _Outcome]:
    """Returns what the null predictor that a solver consists of gave at all replicates of the group; nothing for other solvers."""
    name = record.null
    return {r: nulls.outcome(name, r) for r in nulls.errors.get(name, {})} if name is not None else {}


def _row(
    records: Sequence[Record], nulls: _Nulls, beside: Mapping[Replicate, _Outcome]
) -> tuple[Row, _Outcomes]:
    """Returns the row of a solver that was run; `beside` has what is known of it at further replicates."""
    solver, protocol = records[0].cell.solver, records[0].cell.protocol
    kind = _kind(records)
    ran = {_replicate(r): _Outcome(r.metrics, r.status, r.reason) for r in records}
    row, outcomes = _of_outcomes(solver.row, _settings(records[0]), {**beside, **ran}, nulls, kind)
    given = min((tuple(sorted(record.cell.solver.given)) for record in records), key=len)
    annealed = not any(record.cut_short for record in records)
    short = _cut_short(list(ran.values()), protocol, annealed) if kind is Kind.SOLVER else ""
    peaks = {record.metrics.peak_of for record in records if record.metrics.peak_bytes is not None}
    looked = [known for record in records if (known := record.in_competition) is not None]
    told = replace(
        row,
        given=given,
        peak_of=peaks.pop() if len(peaks) == 1 else None,
        in_competition=any(looked) if looked else None,
        cut_short=short,
        annealed=annealed,
    )
    return told, outcomes


def _kind(records: Sequence[Record]) -> Kind:
    if any(record.is_oracle for record in records):
        return Kind.ORACLE
    return Kind.BASELINE if records[0].null is not None else Kind.SOLVER


def _null_row(name: str, records: Sequence[Record], nulls: _Nulls) -> tuple[Row, _Outcomes]:
    """Returns the row of a null predictor that was not run as a solver; its errors are measured with every cell."""
    is_baseline = all(record.is_baseline(name) for record in records if name in record.nulls)
    outcomes = {replicate: nulls.outcome(name, replicate) for replicate in nulls.errors[name]}
    settings, solver = json.dumps({"null": name}), f"null-{name}"  # as it is, or would be, registered
    return _of_outcomes(solver, settings, outcomes, nulls, Kind.BASELINE if is_baseline else Kind.ORACLE)


def _of_outcomes(
    solver: str, settings: str, outcomes: Mapping[Replicate, _Outcome], nulls: _Nulls, kind: Kind
) -> tuple[Row, _Outcomes]:
    """Returns a row that summarises what its replicates gave, and that."""
    if nulls.reference in (Reference.ZERO, Reference.NONE):  # records have their skill against the constant
        outcomes = {
            replicate: _beside_zero(outcome, replicate, nulls) for replicate, outcome in outcomes.items()
        }
    every = list(outcomes.values())
    worst = max(every, key=lambda outcome: list(Status).index(outcome.status))
    summaries = {name: _summary(name, every) for name in METRICS}
    precision = _test_set_error(every, nulls.test_size)
    row = Row(
        solver=solver,
        label=solver,
        hyperparameters=settings,
        n=len(every),
        n_ok=sum(outcome.status is Status.OK for outcome in every),
        status=worst.status,
        reason=worst.reason,
        metrics={name: summary for name, summary in summaries.items() if summary is not None},
        kind=kind,
        test_set_error=precision,
    )
    return row, outcomes


def _beside_zero(outcome: _Outcome, replicate: Replicate, nulls: _Nulls) -> _Outcome:
    value = nulls.skill(nulls.reference, outcome.metrics.relative_l2, replicate)
    return replace(outcome, metrics=outcome.metrics.model_copy(update={"skill": value}))


def _sample(outcomes: Mapping[Replicate, _Outcome], precision: TestSetError | None) -> Sample:
    errors = {replicate: outcome.error for replicate, outcome in outcomes.items()}
    return Sample(errors, 0.0 if precision is None else precision.relative)


def _test_set_error(outcomes: Sequence[_Outcome], test_size: int) -> TestSetError | None:
    """Returns the median over the replicates of what the size of the test set adds to the error, where it was measured, and else
    1/√n for `test_size` n.

    None where there is no error, or where it was measured at one point, of which nothing can be said.
    """
    ended = [outcome.metrics for outcome in outcomes if math.isfinite(outcome.error)]
    measured = [m.test_set_error for m in ended if m.test_set_error is not None]
    if measured:
        return TestSetError(statistics.median(measured), True)
    if not ended or any(m.mean_square is not None for m in ended):
        return None
    return TestSetError(1 / math.sqrt(test_size), False)


def _cut_short(outcomes: Sequence[_Outcome], protocol: Protocol, annealed: bool) -> str:
    """Returns how many steps were taken where the training budget in seconds ended first, and whether schedules ended with it;
    else "".
    """
    taken = [o.metrics.steps for o in outcomes if o.status is Status.OK and o.metrics.steps is not None]
    if not taken or protocol.seconds is None or min(taken) >= protocol.steps:
        return ""
    took = f"{statistics.median_low(taken):,} of {protocol.steps:,} steps in the time given"
    return took if annealed else f"{took}, cut off before its schedule ended: unranked"


def _summary(metric: str, outcomes: Sequence[_Outcome]) -> Summary | None:
    """Summarises a metric over the replicates; None where no replicate has a finite value."""
    counted = [outcome.counted(metric) for outcome in outcomes]
    known = [value for value in counted if value is not None]
    if not any(math.isfinite(value) for value in known):
        return None
    return Summary(statistics.median(known), min(known), max(known), len(known))


def _settings(record: Record) -> str:
    return json.dumps(record.cell.solver.hyperparameters, sort_keys=True)


def _labelled(rows: list[Row]) -> list[Row]:
    """Labels rows of one solver by the hyperparameters in which they differ."""
    same = Counter(row.solver for row in rows)
    return [row if same[row.solver] == 1 else replace(row, label=_told_apart(row, rows)) for row in rows]


def _told_apart(row: Row, rows: list[Row]) -> str:
    others = [other.settings for other in rows if other.solver == row.solver]
    own = row.settings
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


def _ranked(measured: Sequence[tuple[Row, _Outcomes]], nulls: _Nulls, by: str) -> list[Row]:
    """Judges, ranks and sorts rows: the ranked by rank, then the unranked by what ranks, oracles, and those without an error."""
    samples = [_sample(outcomes, row.test_set_error) for row, outcomes in measured]
    null, affine = nulls.sample(nulls.reference), nulls.sample("affine")
    rows = [
        _judged(row, of_ratio(sample, null), of_ratio(sample, affine), nulls.reference)
        for row, sample in zip(_labelled([row for row, _ in measured]), samples, strict=True)
    ]
    if by != BY_ERROR:
        rows = [replace(row, ranked_by=by) for row in rows]
        samples = [_costs(outcomes, by) for _, outcomes in measured]
    eligible = [k for k, row in enumerate(rows) if row.is_eligible]
    better = {k: [j for j in eligible if _is_below(samples[j], samples[k])] for k in eligible}
    for k in eligible:
        worse = sum(k in better[j] for j in eligible)
        ranks = (1 + len(better[k]), len(eligible) - worse)
        rows[k] = replace(rows[k], rank=ranks[0], ranks=ranks)
    return sorted(rows, key=_order)


def _costs(outcomes: _Outcomes, metric: str) -> Sample:
    """Returns a metric of every replicate as a sample of what is the better the smaller: its inverse where more is better."""
    turned = METRICS[metric].better is Better.HIGHER
    counted = {replicate: outcome.counted(metric) for replicate, outcome in outcomes.items()}
    return Sample({r: math.inf if v is None else _inverse(v) if turned else v for r, v in counted.items()})


def _inverse(value: float) -> float:
    return 1 / value if value else math.inf


def _judged(row: Row, to_null: Interval | None, to_affine: Interval | None, reference: Reference) -> Row:
    """Returns the row with its place beside the null predictors, from the intervals of ln(e/e₀)."""
    return replace(
        row,
        reference=reference,
        skill_interval=None if to_null is None else (1 - _exp(to_null.high), 1 - _exp(to_null.low)),
        beats_reference=None if to_null is None else to_null.below_zero,
        beats_affine=None if to_affine is None else to_affine.below_zero,
    )


def _exp(value: float) -> float:
    return math.exp(value) if value < 700 else math.inf


def _is_below(one: Sample, other: Sample) -> bool:
    """Whether the first row's sample is smaller, beyond the resolution, on the replicates that both have."""
    ratio = of_ratio(one, other)
    return ratio is not None and ratio.below_zero


def _order(row: Row) -> tuple:
    return (
        row.rank is None,
        row.rank or 0,
        row.error is None,
        row.kind is Kind.ORACLE,
        row.sort_key,
        row.label,
    )
