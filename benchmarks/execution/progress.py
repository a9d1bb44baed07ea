"""Shows the progress of a sweep on standard error: a bar for each cell in flight on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from rich import progress as bars  # not its names: asv takes a class called Time… for a benchmark
from rich.console import Console
from rich.text import Text

from benchmarks.planning.forecast import Forecaster
from benchmarks.records.record import Cell, Moment, Record
from benchmarks.records.units import seconds
from benchmarks.terminal.format import COLOURS, outcome

_LINE_SECONDS = 10.0
_AWAITED = "another sweep measures it; its record is waited for"


class Lines:
    """Follows a sweep in plain lines: one when a cell ends, and one every ten seconds from the cells that take long."""

    def __init__(self, cells: list[Cell], workers: int, forecaster: Forecaster, console: Console):
        self._left = {cell.identity: cell for cell in cells}
        self._total, self._workers, self._forecaster = len(cells), workers, forecaster
        self._console, self._spoke = console, time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return None

    def started(self, cell: Cell) -> None:
        """Prints nothing: only the end of a cell, and a long wait for it, are worth a line."""

    def awaited(self, cell: Cell) -> None:
        """Prints that the record of the cell is expected from another sweep."""
        self._say(f"  {cell.label}: {_AWAITED}")

    def moved(self, cell: Cell, moment: Moment, steps: int) -> None:
        """Prints how far the training is, if nothing has been printed for ten seconds."""
        if time.monotonic() - self._spoke > _LINE_SECONDS:
            self._say(f"  {cell.label}: {_moved(moment, steps)}")

    def finished(self, record: Record) -> None:
        """Prints how the cell ended, how many have, and the time that is left."""
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
        """Adds a bar for the cell."""
        task = self._progress.add_task(cell.label, total=cell.protocol.steps, note="starting, compiling")
        self._tasks[cell.identity] = task

    def awaited(self, cell: Cell) -> None:
        """Prints, above the bars, that the record of the cell is expected from another sweep."""
        self._progress.console.print(f"{cell.label}: {_AWAITED}", markup=False, highlight=False)

    def moved(self, cell: Cell, moment: Moment, steps: int) -> None:
        """Moves the cell's bar to its step and shows speed, loss and error."""
        task = self._tasks[cell.identity]
        self._progress.update(task, completed=moment.step, total=steps, note=_moved(moment, steps))

    def finished(self, record: Record) -> None:
        """Removes the cell's bar, moves the bar of all cells, and prints how the cell ended."""
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
    """Returns the display that suits standard error; it forecasts from `records` how long the cells will take."""
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
