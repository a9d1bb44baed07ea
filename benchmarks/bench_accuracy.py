"""asv: what a short training reaches. Lower is better, everywhere: 1 − skill, not skill."""

from __future__ import annotations

from pathlib import Path

from benchmarks import suite
from benchmarks.execution.measure import measure
from benchmarks.records.files import write_whole
from benchmarks.records.metrics import asv_forms, in_asv
from benchmarks.records.record import Record, Status, parse


def _unit(name: str) -> str:
    return asv_forms()[name].unit


class Accuracy(suite.Cross):
    """One training for all metrics of a cell: its record, a failed one too, waits in the suite's own folder."""

    def setup_cache(self) -> None:
        """Give the metrics a common working folder."""

    def setup(self, problem: str, solver: str, dim: int) -> None:
        suite.pair(problem, solver, dim)

    def track_relative_l2(self, problem: str, solver: str, dim: int) -> float:
        return _lower_is_better(_trained(problem, solver, dim), "relative_l2")

    def track_error_over_constant_null(self, problem: str, solver: str, dim: int) -> float:
        return _lower_is_better(_trained(problem, solver, dim), "skill")

    def track_seconds_to_train(self, problem: str, solver: str, dim: int) -> float:
        return _lower_is_better(_trained(problem, solver, dim), "train_seconds")

    track_relative_l2.unit = _unit("relative_l2")  # type: ignore[attr-defined]
    track_error_over_constant_null.unit = _unit("skill")  # type: ignore[attr-defined]
    track_seconds_to_train.unit = _unit("train_seconds")  # type: ignore[attr-defined]


def _trained(problem: str, solver: str, dim: int) -> Record:
    """The record of the cell, measured if it is not in the working folder. Raises RuntimeError if it failed."""
    cell = suite.cell(problem, solver, dim)
    path = Path(f"{cell.identity}.json")
    if not path.exists():
        write_whole(path, measure(cell).content)
    record = parse(path.read_bytes())
    if record.status is not Status.OK:
        raise RuntimeError(f"{record.status}: {record.reason}")
    return record


def _lower_is_better(record: Record, name: str) -> float:
    """A metric as asv has it. Raises RuntimeError if the record has none."""
    value = in_asv(name, record.metrics)
    if value is None:
        raise RuntimeError(f"the record has no {name}")
    return value
