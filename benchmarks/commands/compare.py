"""`pdezoo compare`: finds the metrics that changed between two commits, from the records of the same cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from benchmarks.records.checkout import git_or_none
from benchmarks.records.errors import UserError
from benchmarks.records.metrics import METRICS, Better
from benchmarks.records.record import Record, Status
from benchmarks.terminal.output import print_json, stdout
from benchmarks.terminal.records import read


def compare(before: str, after: str, factor: str, root: Path, as_json: bool) -> int:
    """Prints the metrics that changed between two commits by more than `factor`.

    Returns the exit status: 1 if something became worse. Raises UserError if `factor` is no number from 1 on, or no cell was
    measured by both commits on one machine.
    """
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
    """Returns the newest record that a commit made of every cell on every machine, by the cell's identity and the machine.

    Raises UserError if no record was made by that commit.
    """
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
    """Returns the hash of a commit where git knows the revision, and else the revision, as the beginning of a hash."""
    asked = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    return git_or_none(*asked, at=Path.cwd()) or revision


def _changes(old: Record, new: Record, bound: float) -> list[dict[str, Any]]:
    changes = []
    if old.status != new.status:
        changes.append(_change(new, "status", str(old.status), str(new.status), new.status is not Status.OK))
    for name, metric in METRICS.items():
        a, b = getattr(old.metrics, name), getattr(new.metrics, name)
        if metric.timed and (old.in_competition or new.in_competition):
            continue
        if metric.watched and a and b and max(a / b, b / a) > bound:
            changes.append(_change(new, name, a, b, (b > a) == (metric.better is Better.LOWER)))
    return changes


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
