"""Sets the numbers that papers print beside ours. They are never ranked: they come from other machines and instances."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files

from benchmarks.leaderboard.ranking import Group, Leaderboard, Row
from benchmarks.records.metrics import METRICS

_FILE = files("benchmarks") / "published" / "published.csv"
_PRINTED = {metric.printed: name for name, metric in METRICS.items() if metric.printed}
"""Maps the papers' words for metrics to our names."""


@dataclass(frozen=True)
class Published:
    """One number in a table of a paper. `value` is what is printed there: a number in `unit`, or a word such as OOM, TBD or
    diverged.
    """

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
        """The printed value as a number, in the paper's unit; None if a word is printed instead."""
        try:
            return float(self.value)
        except ValueError:
            return None


@dataclass(frozen=True)
class Comparison:
    """A printed number and `ours`: our median for the same problem, dimension and solver, in the paper's unit; None if there is
    none, with the reason in `status`.
    """

    published: Published
    ours: float | None
    status: str
    machine: str
    protocol: str

    @property
    def ratio(self) -> float | None:
        """Our number divided by the printed one; None if one of them is missing."""
        theirs = self.published.number
        return self.ours / theirs if self.ours is not None and theirs else None


def published() -> list[Published]:
    """Returns every printed number that ships with the package."""
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
    """Returns the printed numbers for problems and dimensions on the leaderboard, each beside ours, once for every group that
    matches.
    """
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
    """Returns our median in the unit that the papers print; None if it is not finite."""
    name = _PRINTED[cell.metric]
    median = row.median(name)
    return None if median is None else median * METRICS[name].unit.scale
