"""Sets the numbers that papers print beside ours. They are never ranked: they come from other machines and instances.

Every printed cell is listed, with what stands beside it: the row with the hyperparameters that the file names, by default the
solver as registered, wherever it was measured; or that the cell is owed; or why nothing of ours can stand there. A ratio is
given only where both numbers are of one kind: speed and memory were printed for an accelerator, and a process on a CPU is none.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from benchmarks.leaderboard.ranking import Group, Leaderboard, Row
from benchmarks.records.metrics import METRICS
from benchmarks.terminal.parsing import hyperparameter

_FILE = files("benchmarks") / "published" / "published.csv"
_PRINTED = {metric.printed: name for name, metric in METRICS.items() if metric.printed}
"""Maps the papers' words for metrics to our names."""
REFERENCE = "reference"
"""Stands for our reference solution where a paper prints the value of the solution at the probe."""
VALUE = "u(x0)"
UNITS = MappingProxyType({"it/s": 1.0, "MB": 1e-6, "MiB": 2.0**-20, "1": 1.0, "%": 100.0})
"""Maps units that papers print to the factor by which our numbers, in bytes and steps per second, are multiplied."""
_OF_AN_ACCELERATOR = frozenset({"speed", "peak-memory"})


@dataclass(frozen=True)
class Published:
    """One number in a table of a paper. `value` is what is printed there: a number in `unit`, or a word such as OOM, TBD or
    diverged.

    `row` is the paper's name of the row, and `solver` ours, with the `settings` that differ from the registered ones. `problem`
    and `solver` are "" where there is no counterpart; `note` then says why. `parameters` is the printed number of parameters.
    """

    paper: str
    table: str
    row: str
    problem: str
    dim: int
    solver: str
    settings: dict[str, Any]
    parameters: int | None
    metric: str
    value: str
    unit: str
    hardware: str
    note: str

    @property
    def number(self) -> float | None:
        """The printed value as a number, in the paper's unit; None if a word is printed instead."""
        try:
            return float(self.value)
        except ValueError:
            return None

    @property
    def title(self) -> str:
        """Our row, with its settings, or the paper's where there is none of ours."""
        shown = ", ".join(f"{name}={value}" for name, value in self.settings.items())
        return f"{self.solver} ({shown})" if shown else self.solver or self.row


@dataclass(frozen=True)
class Comparison:
    """A printed number and `ours`: our median for the same problem, dimension and row, in the paper's unit; None if there is none.

    `status` says how ours came about, or why there is none, and `where` on which machine and by which protocol. `comparable`
    says that both are of one kind.
    """

    published: Published
    ours: float | None
    status: str
    where: str = ""
    comparable: bool = False

    @property
    def ratio(self) -> float | None:
        """Our number divided by the printed one; None if one of them is missing or they are not of one kind."""
        theirs = self.published.number
        return self.ours / theirs if self.comparable and self.ours is not None and theirs else None


def published() -> list[Published]:
    """Returns every printed number that ships with the package."""
    with _FILE.open(encoding="utf-8") as file:
        return [_read(row) for row in csv.DictReader(file)]


def _read(row: dict[str, str]) -> Published:
    changed = {
        "dim": int(row["dim"]),
        "settings": dict(hyperparameter(text) for text in row["settings"].split()),
        "parameters": int(row["parameters"]) if row["parameters"] else None,
    }
    return Published(**{**row, **changed})  # type: ignore[arg-type]


def comparisons(
    board: Leaderboard,
    cells: Iterable[Published],
    reference: Callable[[str, int], float] | None = None,
) -> list[Comparison]:
    """Returns every printed number beside ours, once for each group in which its row was measured, and once if there is none.

    `reference` gives our value of the solution at the probe of a problem of that name and dimension.
    """
    return [beside for cell in cells for beside in _beside(cell, board, reference)]


def _beside(
    cell: Published, board: Leaderboard, reference: Callable[[str, int], float] | None
) -> list[Comparison]:
    if not cell.solver or not cell.problem:
        return [Comparison(cell, None, f"no counterpart: {cell.note}")]
    if cell.metric == VALUE:
        ours = None if reference is None else reference(cell.problem, cell.dim)
        return [Comparison(cell, ours, "computed" if reference else "not computed here", REFERENCE, True)]
    groups = [group for group in board.groups if (group.problem, group.dim) == (cell.problem, cell.dim)]
    measured = [(group, row) for group in groups for row in group.rows if _is_the_row(cell, row)]
    if measured:
        return [_measured(cell, group, row) for group, row in measured]
    others = {row.label for group in groups for row in group.rows if row.solver == cell.solver}
    return [Comparison(cell, None, f"owed; there is {', '.join(sorted(others))}" if others else "owed")]


def _is_the_row(cell: Published, row: Row) -> bool:
    """Whether a row is the cell's: its settings are those named, and nothing else was changed from the registered ones."""
    known = row.settings
    agrees = all(known.get(name) == value for name, value in cell.settings.items())
    return row.solver == cell.solver and agrees and set(row.given) <= set(cell.settings)


def _measured(cell: Published, group: Group, row: Row) -> Comparison:
    name = _PRINTED[cell.metric]
    median = row.median(name)
    ours = None if median is None else median * UNITS[cell.unit]
    status = f"measured, {row.n_ok}/{row.n} replicates" if row.n_ok else str(row.status)
    if row.n_ok and ours is None:
        status = f"owed: measured without {METRICS[name].title}"
    where = f"{group.machine}, protocol {group.protocol.name} ({group.protocol.fingerprint[:8]})"
    return Comparison(cell, ours, status, where, _is_of_one_kind(cell, group, row))


def _is_of_one_kind(cell: Published, group: Group, row: Row) -> bool:
    """Whether ours is a number of the kind that is printed: of an accelerator, of its allocator where it is memory, and of a
    machine without other work where it is speed.
    """
    if cell.metric not in _OF_AN_ACCELERATOR:
        return True
    if any(environment.platform == "cpu" for environment in group.environments):
        return False
    return row.peak_of == "device" if cell.metric == "peak-memory" else not row.in_competition
