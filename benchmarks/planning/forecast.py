"""Forecasts the time and memory of cells from the records of similar ones, which are better than any cost model of ours."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from benchmarks.records.record import Cell, Record


@dataclass(frozen=True)
class Forecast:
    """Predicted seconds and peak bytes of a cell; None where nothing comparable was measured."""

    seconds: float | None
    peak_bytes: int | None


class Forecaster:
    """Forecasts a cell by the medians over the most similar records: those of its solver and protocol, at the nearest dimension,
    preferably of the same problem and with the same hyperparameters.
    """

    def __init__(self, records: Iterable[Record]):
        self._seen: dict[tuple[str, str], list[Record]] = defaultdict(list)
        for record in records:
            if record.cell.problem.fingerprint is not None:
                self._seen[_key(record.cell)].append(record)

    def __call__(self, cell: Cell) -> Forecast:
        like = self._seen.get(_key(cell), [])
        if not like:
            return Forecast(None, None)
        nearest = min(_distance(cell, record) for record in like)
        chosen = [record for record in like if _distance(cell, record) == nearest]
        peaks = [r.metrics.peak_bytes for r in chosen if r.metrics.peak_bytes is not None]
        seconds = statistics.median(record.duration for record in chosen)
        return Forecast(seconds, int(statistics.median(peaks)) if peaks else None)

    def remaining(self, cells: Iterable[Cell], workers: int) -> float | None:
        """Returns the seconds that so many workers need for `cells`; None if no cell has a similar record.

        A cell without a similar record counts as the median of the others.
        """
        predicted = [self(cell).seconds for cell in cells]
        known = [seconds for seconds in predicted if seconds is not None]
        if predicted and not known:
            return None
        usual = statistics.median(known) if known else 0.0
        return sum(usual if seconds is None else seconds for seconds in predicted) / max(1, workers)


def _key(cell: Cell) -> tuple[str, str]:
    return cell.solver.row, cell.protocol.fingerprint


def _distance(cell: Cell, record: Record) -> tuple[float, bool, bool]:
    """Returns how far a record is from a cell, compared in this order: |log d/d′|, another problem, other hyperparameters."""
    other = record.cell
    return (
        abs(math.log(cell.problem.dim / other.problem.dim)),
        cell.problem.name != other.problem.name,
        cell.solver.hyperparameters != other.solver.hyperparameters,
    )
