"""`pdezoo status`, `leaderboard`, `compare` and `merge`: what the records say."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from benchmarks.display import COLOURS, seconds, stdout
from benchmarks.errors import UserError
from benchmarks.forecast import Forecaster
from benchmarks.inspecting import print_json
from benchmarks.leaderboard import Leaderboard
from benchmarks.leaderboard import leaderboard as make_leaderboard
from benchmarks.measure import write_whole
from benchmarks.papers import Beside, beside, published
from benchmarks.record import Cell, Record, Status
from benchmarks.store import Contents, Damage, Store
from benchmarks.sweep import Plan, State, journals, latest

FORMATS = ("text", "html", "md", "csv", "latex", "json", "png")
# What `compare` looks at: the measure, and whether more of it is worse.
_COMPARED = {"steps_per_second": False, "relative_l2": True, "compiled_bytes": True, "compile_seconds": True}


def read(root: Path) -> Contents:
    """The records under `root`; damaged files are told on standard error and skipped."""
    contents = Store.reading(root).read()
    _tell_damage(contents.damaged)
    return contents


def _tell_damage(damaged: Iterable[Damage]) -> None:
    for damage in damaged:
        print(f"skipped {damage.path.name[:80]!r}: {damage.reason}", file=sys.stderr)


def leaderboard(shape: str, output: Path | None, against: str | None, pattern: str, root: Path) -> None:
    """Write the leaderboard in one of FORMATS, to a file or to standard output."""
    if shape not in FORMATS:
        raise UserError(f"a format is one of {', '.join(FORMATS)}, got {shape[:40]!r}")
    if against not in (None, "published"):
        raise UserError(f"a leaderboard can be set against 'published', got {str(against)[:40]!r}")
    if shape == "png" and output is None:
        raise UserError("a figure needs a file: --output leaderboard.png")
    chosen = [r for r in read(root).records.values() if fnmatchcase(r.cell.problem.name, pattern)]
    if not chosen:
        raise UserError(f"there are no records of {pattern[:60]!r} in {root}; `pdezoo run` makes some")
    board = make_leaderboard(chosen)
    cells = beside(board, published()) if against else []
    if shape == "text" and output is None:
        _print_tables(board, cells)
    else:
        _write(_rendered(shape, board, cells), output)


def _print_tables(board: Leaderboard, cells: list[Beside]) -> None:
    from benchmarks import render

    console = stdout()
    for part in render.terminal(board, cells):
        console.print(part)


def _rendered(shape: str, board: Leaderboard, cells: list[Beside]) -> bytes:
    from benchmarks import figure, page, render

    makers: dict[str, Callable[[], str | bytes]] = {
        "text": lambda: _as_text(board, cells),
        "html": lambda: page.html(board, cells),
        "md": lambda: render.markdown(board, cells),
        "csv": lambda: render.comma_separated(board),
        "latex": lambda: render.latex(board, cells),
        "json": lambda: render.as_json(board, cells) + "\n",
        "png": lambda: figure.png(figure.comparable(board.groups), figure.series_names(board.groups)),
    }
    made = makers[shape]()
    return made if isinstance(made, bytes) else made.encode("utf-8")


def _as_text(board: Leaderboard, cells: list[Beside]) -> str:
    from benchmarks import render

    console = Console(width=160, color_system=None)
    with console.capture() as captured:
        for part in render.terminal(board, cells):
            console.print(part)
    return captured.get()


def write_file(path: Path, content: bytes) -> None:
    """Write a file that was asked for, its folder too, and say so. Raises UserError where it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror or error})") from None
    print(f"wrote {path} ({len(content):,} bytes)", file=sys.stderr)


def _write(content: bytes, output: Path | None) -> None:
    if output is None:
        sys.stdout.buffer.write(content)
    else:
        write_file(output, content)


@dataclass(frozen=True)
class _Progress:
    """Where a sweep stands: its cells' newest records, the ones in flight, and the seconds left."""

    plan: Plan
    state: State
    records: dict[str, Record]
    remaining: float | None

    def standing(self, cell: Cell) -> str:
        record = self.records.get(cell.identity)
        if record is not None:
            return str(record.status)
        return "running" if self.state.alive and cell.identity in self.state.running else "pending"


def status(root: Path, as_json: bool) -> None:
    """Print a tree of every sweep that runs or was killed, and of the records if there is none."""
    store = Store.reading(root)
    contents = read(root)
    newest = latest(contents.records.values())
    found = [_progress(plan, state, newest) for _, plan, state in journals(store)]
    if as_json:
        rows = [_status_row(digest, record) for digest, record in sorted(contents.records.items())]
        damaged = [{"file": d.path.name, "reason": d.reason} for d in contents.damaged]
        print_json({"sweeps": [_sweep_row(p) for p in found], "records": rows, "damaged": damaged})
        return
    console = stdout()
    for progress in found:
        console.print(_sweep_tree(progress))
    console.print(
        _tree(
            f"{root}: {len(contents.records)} records",
            [(r.cell, str(r.status), r.reason) for r in newest.values()],
        )
    )


def _progress(plan: Plan, state: State, newest: dict[str, Record]) -> _Progress:
    left = [cell for cell in plan.cells if cell.identity not in newest]
    return _Progress(plan, state, newest, Forecaster(newest.values()).remaining(left, state.workers))


def _status_row(digest: str, record: Record) -> dict[str, Any]:
    cell = record.cell
    return {
        "digest": digest,
        "identity": cell.identity,
        "problem": cell.problem.name,
        "dim": cell.problem.dim,
        "solver": cell.solver.name,
        "seed": cell.seed,
        "status": str(record.status),
        "cause": None if record.cause is None else str(record.cause),
        "reason": record.reason,
    }


def _sweep_row(progress: _Progress) -> dict[str, Any]:
    state = progress.state
    standing = Counter(progress.standing(cell) for cell in progress.plan.cells)
    return {
        "alive": state.alive,
        "pid": state.pid,
        "host": state.host,
        "cells": dict(standing),
        "seconds": progress.remaining,
    }


def _sweep_tree(progress: _Progress) -> Tree:
    state, total = progress.state, len(progress.plan.cells)
    done = sum(cell.identity in progress.records for cell in progress.plan.cells)
    verb = "runs" if state.alive else "was stopped"
    left = f", about {seconds(progress.remaining)} left" if progress.remaining else ""
    heading = f"sweep {state.pid} on {state.host} {verb}: {done} of {total} cells{left}"
    if not state.alive:
        heading += "; the same command goes on from there"
    rows = [(cell, progress.standing(cell), _doing(progress, cell)) for cell in progress.plan.cells]
    return _tree(heading, rows)


def _doing(progress: _Progress, cell: Cell) -> str:
    running = progress.state.running.get(cell.identity)
    if cell.identity in progress.records:
        return progress.records[cell.identity].reason
    if running is None or not progress.state.alive:
        return ""
    step = (
        f"step {running.step:,} of {running.steps:,}, " if running.step is not None and running.steps else ""
    )
    return f"{step}since {seconds(time.time() - running.since)}"


def _tree(heading: str, rows: list[tuple[Cell, str, str]]) -> Tree:
    """Problems, then dimensions with their counts, then whatever is not simply done or waiting."""
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
    first = detail.splitlines()[0][:200] if detail else ""
    return Text(f"{cell.solver.name} seed {cell.seed}: ") + Text(standing, style=style) + Text(f" {first}")


def compare(before: str, after: str, factor: str, root: Path, as_json: bool) -> int:
    """Print what changed between two commits by more than `factor`; 1 if something became worse."""
    try:
        bound = float(factor)
    except ValueError:
        bound = 0.0
    if not 1.0 <= bound < 1e6:
        raise UserError(f"--factor is a number from 1 such as 1.1, got {factor[:40]!r}")
    records = list(read(root).records.values())
    old, new = (_of_commit(revision, records) for revision in (before, after))
    shared = sorted(old.keys() & new.keys())
    if not shared:
        raise UserError(f"no cell was measured by both {before[:40]} and {after[:40]} on one machine")
    changes = [c for key in shared for c in _changes(old[key], new[key], bound)]
    if as_json:
        print_json({"cells": len(shared), "changes": changes})
    else:
        _print_changes(changes, len(shared), bound)
    return 1 if any(change["worse"] for change in changes) else 0


def _of_commit(revision: str, records: list[Record]) -> dict[tuple[str, str], Record]:
    """The newest record of every cell and machine made by a commit, given as git names it or by its hash."""
    commit = _resolved(revision)
    members = [r for r in records if r.environment.commit and r.environment.commit.startswith(commit)]
    if not members:
        known = sorted({r.environment.commit[:12] for r in records if r.environment.commit})
        raise UserError(
            f"no record was made by {revision[:40]!r}; there are {', '.join(known[:8]) or 'none'}"
        )
    members.sort(key=lambda r: (r.start, r.digest))
    return {(r.cell.identity, r.environment.machine): r for r in members}


def _resolved(revision: str) -> str:
    """The commit's hash where git knows the revision; else the revision itself, a hash's beginning."""
    command = ["git", "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, ValueError, subprocess.SubprocessError):
        return revision
    return done.stdout.strip() if done.returncode == 0 and done.stdout.strip() else revision


def _changes(old: Record, new: Record, bound: float) -> list[dict[str, Any]]:
    found = []
    if old.status != new.status:
        found.append(_change(new, "status", str(old.status), str(new.status), new.status is not Status.OK))
    for measure, more_is_worse in _COMPARED.items():
        a, b = getattr(old.metrics, measure), getattr(new.metrics, measure)
        if a and b and max(a / b, b / a) > bound:
            found.append(_change(new, measure, a, b, (b > a) == more_is_worse))
    return found


def _change(record: Record, what: str, old: Any, new: Any, worse: bool) -> dict[str, Any]:
    return {"cell": record.cell.label, "what": what, "before": old, "after": new, "worse": worse}


def _print_changes(changes: list[dict[str, Any]], count: int, bound: float) -> None:
    table = Table("cell", "what", "before", "after", "")
    for change in changes:
        shown = [f"{v:.4g}" if isinstance(v, float) else str(v) for v in (change["before"], change["after"])]
        verdict = Text("worse", "red") if change["worse"] else Text("better", "green")
        table.add_row(Text(change["cell"]), Text(change["what"]), *map(Text, shown), verdict)
    if changes:
        stdout().print(table)
    print(f"{count} cells compared, {len(changes)} changes beyond a factor of {bound:g}")


def merge(others: list[Path], root: Path, as_json: bool) -> int:
    """Copy records; 1 if some files were not records."""
    stores = [Store.reading(other) for other in others]
    added, damaged = Store.writing(root).merge(stores)
    _tell_damage(damaged)
    if as_json:
        print_json({"added": added, "skipped": [{"file": str(d.path), "reason": d.reason} for d in damaged]})
    else:
        print(f"{added} new records in {root}")
    return 1 if damaged else 0
