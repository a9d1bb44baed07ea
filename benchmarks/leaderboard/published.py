"""The numbers the papers print, set beside ours. They are never ranked: other machines, other instances."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files

from benchmarks.leaderboard.ranking import Group, Leaderboard, Row
from benchmarks.records.metrics import METRICS

_FILE = files("benchmarks") / "published" / "published.csv"
_PRINTED = {metric.printed: name for name, metric in METRICS.items() if metric.printed}
"""The papers' word → our metric."""


@dataclass(frozen=True)
class Published:
    """One printed cell. `value` is what the paper prints: a number, or OOM, TBD, diverged."""

    paper: str
    table: str
    problem: str
    dim: int
    solver: str
    metric: str
    value: str
    unit: str
    hardware: str

    @property
    def number(self) -> float | None:
        try:
            return float(self.value)
        except ValueError:
            return None


@dataclass(frozen=True)
class Comparison:
    """A printed cell and our cell of the same problem, dimension and solver; `ours` is None without one."""

    published: Published
    ours: float | None
    status: str
    machine: str
    protocol: str

    @property
    def ratio(self) -> float | None:
        """Ours over theirs."""
        theirs = self.published.number
        return self.ours / theirs if self.ours is not None and theirs else None


def published() -> list[Published]:
    """Every printed cell that ships with the package."""
    with _FILE.open(encoding="utf-8") as file:
        return [
            Published(
                row["paper"],
                row["table"],
                row["pde"],
                int(row["dim"]),
                row["solver"],
                row["metric"],
                row["value"],
                row["unit"],
                row["hardware"],
            )
            for row in csv.DictReader(file)
        ]


def comparisons(board: Leaderboard, cells: Iterable[Published]) -> list[Comparison]:
    """Printed cells of the problems and dimensions on the leaderboard, each beside ours, if there is one."""
    beside = []
    for cell in cells:
        for group in board.groups:
            if cell.metric in _PRINTED and (group.problem, group.dim) == (cell.problem, cell.dim):
                beside.append(_beside(cell, group))
    return beside


def _beside(cell: Published, group: Group) -> Comparison:
    row = next((row for row in group.rows if row.solver == cell.solver), None)
    ours = _ours(cell, row) if row else None
    status = str(row.status) if row else "not measured"
    return Comparison(cell, ours, status, group.machine, group.protocol.name)


def _ours(cell: Published, row: Row) -> float | None:
    """Our median, in the unit that the papers print."""
    name = _PRINTED[cell.metric]
    median = row.median(name)
    return None if median is None else median * METRICS[name].unit.scale
