"""Forecasts the time and memory of cells from the records of similar ones, which are better than any cost model of ours."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from benchmarks.records.protocol import Protocol
from benchmarks.records.record import Cell, Record, Status


@dataclass(frozen=True)
class Forecast:
    """Predicted seconds and peak bytes of a cell; None where nothing comparable was measured."""

    seconds: float | None
    peak_bytes: int | None


class Forecaster:
    """Forecasts a cell by the medians over the most similar records: those of its solver and protocol, at the nearest dimension,
    preferably of the same problem and with the same hyperparameters.

    Where its solver was measured under other protocols alone, the records of these are taken, each as long as it would have been
    with the cell's steps, seconds of training and limit.
    """

    def __init__(self, records: Iterable[Record]):
        self._seen: dict[str, list[tuple[Record, str]]] = defaultdict(list)  # with the protocol's fingerprint
        self._forecasts: dict[str, Forecast] = {}
        for record in records:
            if record.cell.problem.fingerprint is not None:
                self._seen[record.cell.solver.row].append((record, record.cell.protocol.fingerprint))

    def __call__(self, cell: Cell) -> Forecast:
        if cell.identity not in self._forecasts:
            self._forecasts[cell.identity] = self._of(cell)
        return self._forecasts[cell.identity]

    def _of(self, cell: Cell) -> Forecast:
        like, used = self._seen.get(cell.solver.row, []), cell.protocol.fingerprint
        if not like:
            return Forecast(None, None)
        distances = [(protocol != used, *_distance(cell, record)) for record, protocol in like]
        nearest = min(distances)
        chosen = [record for (record, _), at in zip(like, distances, strict=True) if at == nearest]
        peaks = [r.metrics.peak_bytes for r in chosen if r.metrics.peak_bytes is not None]
        other_protocol = nearest[0]
        durations = [_seconds_under(cell.protocol, r) if other_protocol else r.duration for r in chosen]
        return Forecast(statistics.median(durations), int(statistics.median(peaks)) if peaks else None)

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


def _distance(cell: Cell, record: Record) -> tuple[bool, float, bool, bool]:
    """Returns how far a record is from a cell, compared in this order: unsupported on another problem, which says nothing of this
    one, |log d/d′|, another problem, other hyperparameters.
    """
    other = record.cell
    elsewhere = cell.problem.name != other.problem.name
    return (
        elsewhere and record.status is Status.UNSUPPORTED,
        abs(math.log(cell.problem.dim / other.problem.dim)),
        elsewhere,
        cell.solver.hyperparameters != other.solver.hyperparameters,
    )


def _seconds_under(used: Protocol, record: Record) -> float:
    """Returns the seconds that the measurement of a record would have taken under another protocol.

    What was not training is as it was; a training takes the steps of `used` at the record's speed, or its seconds if these are
    over before.
    """
    trained, speed = record.metrics.train_seconds, record.metrics.steps_per_second
    if trained is None:
        return record.duration
    training = min(used.steps / speed if speed else trained, used.seconds or math.inf)
    return min(max(record.duration - trained, 0.0) + training, used.wall_limit or math.inf)
