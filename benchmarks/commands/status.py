"""`pdezoo status`: shows sweeps that run or were killed, and what the records say."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.text import Text
from rich.tree import Tree

from benchmarks.execution.journal import JournalPlan, JournalState, Sighting, journals
from benchmarks.planning.forecast import Forecaster
from benchmarks.records.record import Cell, Record, Status
from benchmarks.records.store import Store, latest
from benchmarks.records.text import first_line
from benchmarks.records.units import seconds
from benchmarks.terminal.format import COLOURS
from benchmarks.terminal.output import print_json, stdout
from benchmarks.terminal.records import read


@dataclass(frozen=True)
class _Progress:
    """Where a sweep stands: its plan and last state, whether it runs (`alive`), the newest records by cell identity, and the
    seconds left as far as they can be predicted.
    """

    plan: JournalPlan
    state: JournalState
    alive: bool
    records: dict[str, Record]
    remaining: float | None

    def standing(self, cell: Cell) -> str:
        """Returns the status of a cell's record, or "running" or "pending" if it has none."""
        record = self.records.get(cell.identity)
        if record is not None:
            return str(record.status)
        return "running" if self.alive and cell.identity in self.state.running else "pending"


def status(root: Path, as_json: bool) -> None:
    """Prints a tree of every sweep that runs or was killed, and a tree of the newest records; or both as JSON."""
    store = Store.reading(root)
    contents = read(root)
    newest = latest(contents.records.values())
    sweeps = [_progress(sighting, newest) for sighting in journals(store)]
    if as_json:
        rows = [_status_row(digest, record) for digest, record in sorted(contents.records.items())]
        damaged = [{"file": d.path.name, "reason": d.reason} for d in contents.damaged]
        print_json({"sweeps": [_sweep_row(p) for p in sweeps], "records": rows, "damaged": damaged})
        return
    console = stdout()
    for progress in sweeps:
        console.print(_sweep_tree(progress))
    console.print(
        _tree(
            f"{root}: {len(contents.records)} records",
            [(r.cell, str(r.status), r.reason) for r in newest.values()],
        )
    )


def _progress(sighting: Sighting, newest: dict[str, Record]) -> _Progress:
    _, plan, state, alive = sighting
    left = [cell for cell in plan.cells if cell.identity not in newest]
    return _Progress(plan, state, alive, newest, Forecaster(newest.values()).remaining(left, state.workers))


def _status_row(digest: str, record: Record) -> dict[str, Any]:
    cell = record.cell
    return {
        "digest": digest,
        "identity": cell.identity,
        "problem": cell.problem.name,
        "dim": cell.problem.dim,
        "solver": cell.solver.row,
        "seed": cell.seed,
        "status": str(record.status),
        "cause": None if record.cause is None else str(record.cause),
        "reason": record.reason,
    }


def _sweep_row(progress: _Progress) -> dict[str, Any]:
    state = progress.state
    standing = Counter(progress.standing(cell) for cell in progress.plan.cells)
    return {
        "alive": progress.alive,
        "pid": state.pid,
        "host": state.host,
        "cells": dict(standing),
        "seconds": progress.remaining,
    }


def _sweep_tree(progress: _Progress) -> Tree:
    state, total = progress.state, len(progress.plan.cells)
    done = sum(cell.identity in progress.records for cell in progress.plan.cells)
    verb = "runs" if progress.alive else "was stopped"
    left = f", about {seconds(progress.remaining)} left" if progress.remaining else ""
    heading = f"sweep {state.pid} on {state.host} {verb}: {done} of {total} cells{left}"
    if not progress.alive:
        heading += "; the same command goes on from there"
    rows = [(cell, progress.standing(cell), _doing(progress, cell)) for cell in progress.plan.cells]
    return _tree(heading, rows)


def _doing(progress: _Progress, cell: Cell) -> str:
    running = progress.state.running.get(cell.identity)
    if cell.identity in progress.records:
        return progress.records[cell.identity].reason
    if running is None or not progress.alive:
        return ""
    step = (
        f"step {running.step:,} of {running.steps:,}, " if running.step is not None and running.steps else ""
    )
    return f"{step}since {seconds(time.time() - running.since)}"


def _tree(heading: str, rows: list[tuple[Cell, str, str]]) -> Tree:
    """Returns a tree of problems, of their dimensions with the number of cells in each state, and of the cells that are neither
    finished nor pending.
    """
    tree = Tree(Text(heading, style="bold"))
    problems: dict[str, dict[int, list[tuple[Cell, str, str]]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        problems[row[0].problem.name][row[0].problem.dim].append(row)
    for problem, dims in sorted(problems.items()):
        branch = tree.add(Text(problem))
        for dim, members in sorted(dims.items()):
            counts = Counter(standing for _, standing, _ in members)
            words = ", ".join(f"{count} {standing}" for standing, count in sorted(counts.items()))
            leaf = branch.add(Text(f"d = {dim:,}: {words}"))
            for cell, standing, detail in members:
                if standing not in ("ok", "pending"):
                    leaf.add(_line(cell, standing, detail))
    return tree


def _line(cell: Cell, standing: str, detail: str) -> Text:
    style = COLOURS[Status(standing)] if standing in set(Status) else "cyan"
    return (
        Text(f"{cell.solver.row} seed {cell.seed}: ")
        + Text(standing, style=style)
        + Text(f" {first_line(detail, 200)}")
    )
