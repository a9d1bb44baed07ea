"""How many steps of each cell of a track its seconds are worth.

A budget of seconds is a different number of steps on every machine, and on one machine beside other work: programs on the cores
of a small machine slow each other down, each by another factor. A track with `nominal_seconds` therefore has a table of steps
beside its file, `NAME.csv`, made of records of single trainings, each with a core of the reference machine to itself.
"""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.planning.matrix import Request, unique
from benchmarks.records.errors import UserError
from benchmarks.records.protocol import MAX_COUNT
from benchmarks.records.record import Record
from benchmarks.records.store import latest
from benchmarks.terminal.parsing import whole

PROBE_SECONDS = 1.0
"""How long a cell is trained to find its speed, its first steps not counted."""
PROBE_WALL_LIMIT = 600.0
"""How many seconds a probe may take in all. Where single steps take minutes that is more than a cell of a track has."""
_HEADS = ("problem", "dim", "solver", "steps")

Key = tuple[str, int, str]
"""A problem, a dimension, and a solver with the hyperparameters that it is given."""


def key(request: Request) -> Key:
    """Returns the row of the table that a request belongs to: all instances and seeds share it."""
    return request.problem, request.dim, _row(request.solver, dict(request.hyperparameters))


def _row(solver: str, given: Mapping[str, Any]) -> str:
    settings = ", ".join(f"{name}={value}" for name, value in sorted(given.items()))
    return f"{solver} ({settings})" if settings else solver


def is_sized(request: Request) -> bool:
    """Whether its steps come from the table."""
    return request.protocol.nominal_seconds is not None


def sized(requests: Iterable[Request], steps: Mapping[Key, int]) -> list[Request]:
    """Returns the requests with the steps of the table, as far as it has them."""
    return [
        replace(one, protocol=replace(one.protocol, steps=steps.get(key(one), one.protocol.steps)))
        if is_sized(one)
        else one
        for one in requests
    ]


def missing(requests: Iterable[Request], steps: Mapping[Key, int]) -> list[Key]:
    """Returns what the table lacks, each once."""
    return [k for k in dict.fromkeys(key(one) for one in requests if is_sized(one)) if k not in steps]


def probes(requests: Iterable[Request]) -> list[Request]:
    """Returns the cells whose speeds make the table: a short training of each on instance 0, at the same batch and test set."""
    changes = {
        "steps": 1_000_000,
        "seconds": PROBE_SECONDS,
        "nominal_seconds": None,
        "wall_limit": PROBE_WALL_LIMIT,
    }
    asked = (replace(one, instance=0, seed=0) for one in requests if is_sized(one))
    return unique(replace(one, protocol=one.protocol.but(**changes)) for one in asked)


def worth(requests: Sequence[Request], records: Iterable[Record]) -> dict[Key, int]:
    """Returns the table that the records of `probes` make: seconds times steps per second, to two digits, and at least 1.

    A cell that takes no steps, that a solver does not support or that failed is worth 1: it is a row for its reason. Records
    beside which other work was seen on the cell's core do not count.
    """
    nominal = {key(one): one.protocol.nominal_seconds or 0.0 for one in requests if is_sized(one)}
    wanted = {(key(one), one.protocol.fingerprint) for one in probes(requests)}
    return {
        k: _rounded(nominal[k] * (record.metrics.steps_per_second or 0.0))
        for k, record in _alone(records)
        if (k, record.cell.protocol.fingerprint) in wanted
    }


def rates(records: Iterable[Record]) -> dict[Key, float]:
    """Returns the steps per second of the records whose core was theirs alone, by their rows."""
    return {k: rate for k, record in _alone(records) if (rate := record.metrics.steps_per_second)}


def _alone(records: Iterable[Record]) -> Iterator[tuple[Key, Record]]:
    """Yields the latest record of every cell whose core was its alone, with the row that it belongs to."""
    for record in latest(record for record in records if not record.shared_its_cores).values():
        cell = record.cell
        yield (cell.problem.name, cell.problem.dim, _row(cell.solver.name, cell.solver.given)), record


def relative_speed(before: Mapping[Key, float], now: Mapping[Key, float]) -> float | None:
    """Returns the median over rows measured twice of the rate now over that before; None where there is none."""
    twice = [now[k] / before[k] for k in now if k in before]
    return statistics.median(twice) if twice else None


def _rounded(steps: float) -> int:
    """Returns a number of steps with two digits, at least 1."""
    if steps < 1:
        return 1
    unit = 10.0 ** max(0, math.floor(math.log10(steps)) - 1)
    return min(MAX_COUNT, int(round(steps / unit) * unit))


def written(steps: Mapping[Key, int]) -> str:
    """Returns the table as CSV, sorted."""
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(_HEADS)
    rows.writerows((*k, count) for k, count in sorted(steps.items()))
    return out.getvalue()


def read_steps(path: Path) -> dict[Key, int]:
    """Reads a table; without a file there is an empty one. Raises UserError for a file that is none."""
    if not path.exists():
        return {}
    rows = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))
    if tuple(rows.fieldnames or ()) != _HEADS:
        raise UserError(f"{path.name} has the columns {', '.join(_HEADS)}, got {rows.fieldnames}")
    count = lambda text: whole(text, f"a number of steps in {path.name}", 1, MAX_COUNT)
    return {(row["problem"], int(row["dim"]), row["solver"]): count(row["steps"]) for row in rows}
