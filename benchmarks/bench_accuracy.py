"""Suite of asv: the accuracy that a short training reaches. asv takes lower numbers as better, so it tracks 1 − skill."""

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
    """Trains once for each cell: all metrics are read from one record, which is kept in a folder of asv's, a failed one too."""

    def setup_cache(self) -> None:
        """Does nothing, but that it exists makes asv run all metrics of the suite in one working folder, where records are kept."""

    def setup(self, cell: str) -> None:
        """Skips what this commit cannot measure: asv shows as skipped what raises NotImplementedError."""
        suite.pair(cell)

    def track_relative_l2(self, cell: str) -> float:
        """Returns the relative L2 error on the test set at the end of the training."""
        return _lower_is_better(_trained(cell), "relative_l2")

    def track_error_over_constant_null(self, cell: str) -> float:
        """Returns 1 − skill: the relative L2 error divided by the error of the best constant function."""
        return _lower_is_better(_trained(cell), "skill")

    def track_seconds_to_train(self, cell: str) -> float:
        """Returns the seconds of training, without compilation and evaluations."""
        return _lower_is_better(_trained(cell), "train_seconds")

    track_relative_l2.unit = _unit("relative_l2")  # type: ignore[attr-defined]
    track_error_over_constant_null.unit = _unit("skill")  # type: ignore[attr-defined]
    track_seconds_to_train.unit = _unit("train_seconds")  # type: ignore[attr-defined]


def _trained(cell: str) -> Record:
    """Returns the record of a cell, measured now if the working folder has none. Raises RuntimeError if the cell failed."""
    asked = suite.cell_of(cell)
    path = Path(f"{asked.identity}.json")
    if not path.exists():
        write_whole(path, measure(asked).content)
    record = parse(path.read_bytes())
    if record.status is not Status.OK:
        raise RuntimeError(f"{record.status}: {record.reason}")
    return record


def _lower_is_better(record: Record, name: str) -> float:
    """Returns a metric in asv's form, where lower is better. Raises RuntimeError if the record does not have it."""
    value = in_asv(name, record.metrics)
    if value is None:
        raise RuntimeError(f"the record has no {name}")
    return value
