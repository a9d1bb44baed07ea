"""`pdezoo track`: lists the tracks, and tells how much of one is measured."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.leaderboard.ranking import result_digest
from benchmarks.planning.forecast import Forecaster
from benchmarks.planning.resolve import resolve
from benchmarks.planning.subjects import keep_off_accelerators, subjects
from benchmarks.planning.tracks import Track, counts, known, members, track
from benchmarks.records.record import Record
from benchmarks.records.units import seconds
from benchmarks.terminal.output import print_json, stdout
from benchmarks.terminal.records import read


def show_list(as_json: bool) -> None:
    """Prints every track: its name, what it is called, and how many cells it asks for."""
    found = [(one, len(one.requests())) for one in map(track, known())]
    if as_json:
        print_json([{"name": t.name, "title": t.title, "cells": count} for t, count in found])
        return
    table = Table("track", "what it is", "cells")
    for one, count in found:
        table.add_row(one.name, one.title, f"{count:,}")
    stdout().print(table)


def status(name: str, root: Path, as_json: bool) -> None:
    """Prints what of a track is measured under `root`, by problem, and the hash of these records.

    Raises UserError for an unknown track.
    """
    chosen = track(name)
    records = list(read(root).records.values()) if root.is_dir() else []
    keep_off_accelerators()
    summary = _summary(chosen, records)
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


def _summary(chosen: Track, records: list[Record]) -> dict[str, Any]:
    """Returns the numbers of a status, with the seconds that what is owed will take, judging by the records."""
    requests = chosen.requests()
    found = members(requests, records)
    by_problem = [asdict(count) | {"owed": count.owed} for count in counts(requests, found)]
    owed = [request for k, request in enumerate(requests) if k not in found]
    left = [job.cell for job in resolve(owed, subjects()) if job.outcome is None]
    return {
        "track": chosen.name,
        "digest": chosen.digest(),
        **{kind: sum(row[kind] for row in by_problem) for kind in ("cells", "measured", "failed", "owed")},
        "seconds_left": Forecaster(records).remaining(left, 1) if left else 0.0,
        "result_set": result_digest(found.values()) if found else None,
        "problems": by_problem,
    }
