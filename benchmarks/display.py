"""Progress on standard error: a bar for each cell in flight on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from rich import progress as bars  # not its names: asv takes a class called Time… for a benchmark
from rich.console import Console
from rich.text import Text

from benchmarks.forecast import Forecaster
from benchmarks.record import Cell, Moment, Record, Status

COLOURS = {
    Status.OK: "green",
    Status.DIVERGED: "red",
    Status.OOM: "magenta",
    Status.TIMEOUT: "yellow",
    Status.UNSUPPORTED: "bright_black",
    Status.ERROR: "red",
}
_LINE_SECONDS = 10.0


def seconds(value: float | None) -> str:
    """A duration for people: "8 s", "3 min", "2.5 h"."""
    if value is None:
        return "?"
    if value < 100:
        return f"{value:.3g} s"
    return f"{value / 60:.0f} min" if value < 6_000 else f"{value / 3600:.1f} h"


def size(value: float | None) -> str:
    """Bytes for people, in decimal units."""
    if value is None:
        return "?"
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} GB"


def signed(value: float | None) -> str:
    """A skill: three decimals are enough, and a disaster needs none. What rounds to zero has no sign."""
    if value is None:
        return "–"
    if abs(value) < 10:
        return f"{round(value, 3) + 0.0:.3f}"
    return f"{value:.0f}" if abs(value) < 1e5 else f"{value:.0e}"


def outcome(record: Record) -> str:
    """What a record says, in one line."""
    metrics = record.metrics
    if record.status is not Status.OK:
        return f"{record.status}: {record.reason.splitlines()[0][:160]}"
    speed = f", {metrics.steps_per_second:,.0f} it/s" if metrics.steps_per_second else ""
    skill = f", skill {signed(metrics.skill)}" if metrics.skill is not None else ""
    return f"ok: error {metrics.relative_l2:.3g}{skill}{speed}, {seconds(record.duration)}"


def stdout() -> Console:
    """Standard output for tables: as wide as the terminal, and wide enough for a table where there is none."""
    return Console() if sys.stdout.isatty() else Console(width=160)


class Lines:
    """Follows a sweep in plain lines: every cell's end, and a sign of life from the long ones."""

    def __init__(self, cells: list[Cell], workers: int, forecaster: Forecaster, console: Console):
        self._left = {cell.identity: cell for cell in cells}
        self._total, self._workers, self._forecaster = len(cells), workers, forecaster
        self._console, self._spoke = console, time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return None

    def started(self, cell: Cell) -> None:
        return None

    def moved(self, cell: Cell, moment: Moment, steps: int) -> None:
        if time.monotonic() - self._spoke > _LINE_SECONDS:
            self._say(f"  {cell.label}: {_moved(moment, steps)}")

    def finished(self, record: Record) -> None:
        self._left.pop(record.cell.identity, None)
        done = self._total - len(self._left)
        eta = self._forecaster.remaining(self._left.values(), self._workers)
        left = f", {seconds(eta)} left" if eta and self._left else ""
        self._say(f"[{done}/{self._total}{left}] {record.cell.label}: {outcome(record)}")

    def _say(self, line: str) -> None:
        self._spoke = time.monotonic()
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


class Bars:
    """Follows a sweep on a terminal: one bar over all cells, one for each cell in flight."""

    def __init__(self, cells: list[Cell], workers: int, forecaster: Forecaster, console: Console):
        columns = (
            bars.TextColumn("{task.description}", markup=False),
            bars.BarColumn(bar_width=24),
            bars.TextColumn("{task.completed:.0f}/{task.total:.0f}", markup=False),
            bars.TextColumn("{task.fields[note]}", markup=False),
            bars.TimeElapsedColumn(),
        )
        self._progress = bars.Progress(*columns, console=console, transient=True)
        self._left = {cell.identity: cell for cell in cells}
        self._workers, self._forecaster = workers, forecaster
        self._all = self._progress.add_task("cells", total=len(cells), note="")
        self._tasks: dict[str, bars.TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._progress.stop()

    def started(self, cell: Cell) -> None:
        task = self._progress.add_task(cell.label, total=cell.protocol.steps, note="starting, compiling")
        self._tasks[cell.identity] = task

    def moved(self, cell: Cell, moment: Moment, steps: int) -> None:
        task = self._tasks[cell.identity]
        self._progress.update(task, completed=moment.step, total=steps, note=_moved(moment, steps))

    def finished(self, record: Record) -> None:
        identity = record.cell.identity
        self._left.pop(identity, None)
        if identity in self._tasks:
            self._progress.remove_task(self._tasks.pop(identity))
        eta = self._forecaster.remaining(self._left.values(), self._workers)
        note = f"{seconds(eta)} left" if eta and self._left else ""
        self._progress.update(self._all, advance=1, note=note)
        line = Text(f"{record.cell.label}: ") + Text(outcome(record), style=COLOURS[record.status])
        self._progress.console.print(line, highlight=False)


def following(cells: list[Cell], workers: int, records: list[Record]) -> Lines | Bars:
    """The display that suits standard error, knowing from `records` how long cells take."""
    console = Console(stderr=True)
    kind = Bars if sys.stderr.isatty() else Lines
    return kind(cells, workers, Forecaster(records), console)


def _moved(moment: Moment, steps: int) -> str:
    speed = moment.steps_per_second
    rate = f"{speed:,.0f} it/s" if speed else ""
    loss = f"loss {moment.loss:.3g}" if moment.loss is not None else ""
    error = f"error {moment.relative_l2:.3g}" if moment.relative_l2 is not None else ""
    left = f"{seconds((steps - moment.step) / speed)} left" if speed else ""
    return "  ".join(part for part in (f"step {moment.step:,}", rate, loss, error, left) if part)
