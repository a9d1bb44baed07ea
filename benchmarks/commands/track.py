"""`pdezoo track`: lists the tracks, measures one, and tells how much of it is measured."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.leaderboard.ranking import result_digest
from benchmarks.planning.forecast import Forecaster
from benchmarks.planning.resolve import Job, resolve
from benchmarks.planning.subjects import keep_off_accelerators, subjects
from benchmarks.planning.tracks import Track, known, track
from benchmarks.records.record import Record, Status
from benchmarks.records.store import latest
from benchmarks.records.units import seconds
from benchmarks.terminal.output import print_json, stdout
from benchmarks.terminal.records import read


def members(chosen: Track, records: Iterable[Record]) -> tuple[list[Job], list[Record]]:
    """Returns the cells of a track, and the records that belong to it: those of its cells, the newest of each."""
    keep_off_accelerators()
    jobs = resolve(chosen.requests(), subjects())
    wanted = {job.cell.identity for job in jobs}
    return jobs, [record for identity, record in latest(records).items() if identity in wanted]


def show_list(as_json: bool) -> None:
    """Prints every track: its name, what it is called, and how many cells it asks for."""
    counts = [(one, len(one.requests())) for one in map(track, known())]
    if as_json:
        print_json([{"name": t.name, "title": t.title, "cells": count} for t, count in counts])
        return
    table = Table("track", "what it is", "cells")
    for one, count in counts:
        table.add_row(one.name, one.title, f"{count:,}")
    stdout().print(table)


def status(name: str, root: Path, as_json: bool) -> None:
    """Prints what of a track is measured under `root`, by problem, and the hash of these records.

    Raises UserError for an unknown track.
    """
    chosen = track(name)
    records = list(read(root).records.values()) if root.is_dir() else []
    jobs, measured = members(chosen, records)
    summary = _summary(chosen, jobs, measured, Forecaster(records))
    if as_json:
        print_json(summary)
        return
    print(f"{chosen.name}: {chosen.title}\n\n{chosen.about.strip()}\n")
    table = Table("problem", "d", "cells", "measured", "failed", "owed")
    for row in summary["problems"]:
        numbers = (row["cells"], row["measured"], row["failed"], row["owed"])
        table.add_row(row["problem"], f"{row['dim']:,}", *map(str, numbers))
    stdout().print(table)
    left = f", about {seconds(summary['seconds_left'])} with one worker" if summary["seconds_left"] else ""
    print(f"{summary['measured']} of {summary['cells']} cells measured, {summary['owed']} owed{left}")
    if summary["result_set"]:
        print(f"result set sha256:{summary['result_set']}")


def _summary(
    chosen: Track, jobs: list[Job], measured: list[Record], forecaster: Forecaster
) -> dict[str, Any]:
    """Returns the numbers of a status. A cell that is known to be impossible counts as measured: its row says why."""
    by_identity = {record.cell.identity: record for record in measured}
    counts: dict[tuple[str, int], Counter[str]] = defaultdict(Counter)
    left = []
    for job in jobs:
        place = counts[job.cell.problem.name, job.cell.problem.dim]
        record = by_identity.get(job.cell.identity)
        place["cells"] += 1
        if record is None and job.outcome is None:
            place["owed"] += 1
            left.append(job.cell)
        else:
            place["measured"] += 1
            failed = record is not None and record.status not in (Status.OK, Status.UNSUPPORTED)
            place["failed"] += failed
    kinds = ("cells", "measured", "failed", "owed")
    problems = [
        {"problem": problem, "dim": dim, **{kind: count[kind] for kind in kinds}}
        for (problem, dim), count in counts.items()
    ]
    return {
        "track": chosen.name,
        "digest": chosen.digest(),
        **{kind: sum(row[kind] for row in problems) for kind in kinds},
        "seconds_left": forecaster.remaining(left, 1) if left else 0.0,
        "result_set": result_digest(measured) if measured else None,
        "problems": problems,
    }
