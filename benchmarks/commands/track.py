"""`pdezoo track`: lists the tracks, shows what is in one, measures it, and tells how much of it is measured."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil
from rich.table import Table

from benchmarks.commands import sweep
from benchmarks.leaderboard.ranking import result_digest
from benchmarks.leaderboard.tables import described
from benchmarks.planning import pace
from benchmarks.planning.forecast import Forecaster
from benchmarks.planning.matrix import Request
from benchmarks.planning.resolve import named, recordable
from benchmarks.planning.subjects import keep_off_accelerators
from benchmarks.planning.tracks import Track, counts, known, members, track
from benchmarks.records.errors import UserError
from benchmarks.records.files import save
from benchmarks.records.metrics import METRICS
from benchmarks.records.record import Record
from benchmarks.records.units import seconds
from benchmarks.terminal.output import print_json, stdout
from benchmarks.terminal.parsing import duration
from benchmarks.terminal.records import read

_COMPARED, _BRISK, _ALIKE = 3, 50.0, 1.25
"""Rows that are measured again before a table of steps is continued, the steps a second that they take at least, and by what
factor the speeds may differ.
"""


def show_list(root: Path, as_json: bool) -> None:
    """Prints every track: its name, what it is called, its cells, how many have a record under `root`, and the time of the rest."""
    keep_off_accelerators()
    records = _records(root)
    found = [(one, _summary(one, records)) for one in map(track, known())]
    if as_json:
        kept = ("cells", "measured", "seconds_left")
        print_json([{"name": t.name, "title": t.title} | {key: s[key] for key in kept} for t, s in found])
        return
    table = Table("track", "what it is", "cells", "measured", "left, with one worker")
    for one, summary in found:
        left = seconds(summary["seconds_left"]) if summary["owed"] else "–"
        table.add_row(one.name, one.title, f"{summary['cells']:,}", f"{summary['measured']:,}", left)
    stdout().print(table)


def show(name: str, check: bool, as_json: bool) -> int:
    """Prints what a track is for, what it ranks and what it crosses.

    With `check` its cells are made and compared with those that it was published with. Returns the exit status: 1 if they are
    others. Raises UserError for an unknown track.
    """
    keep_off_accelerators()
    chosen = track(name)
    parts = [_crossed(part) for part in chosen.by_part()]
    now = chosen.cells_now() if check else None
    if as_json:
        about = chosen.model_dump(include={"title", "about", "ranked", "cells"})
        print_json({"track": chosen.name} | about | {"digest": chosen.digest(), "now": now, "parts": parts})
    else:
        print(f"{_headed(chosen)}\nRanked by the {METRICS[chosen.ranked].title}.\n")
        for part in parts:
            print(_in_words(part))
        print(f"{len(chosen.requests()):,} cells, {_published(chosen)}")
    if now is None:
        return 0
    if chosen.cells is None:
        print(f'cells = "{now}" in its file publishes it', file=sys.stderr)
        return 0
    if _told_if_changed(chosen, now):
        return 1
    print("they are those that it was published with", file=sys.stderr)
    return 0


def _published(chosen: Track) -> str:
    return "not published" if chosen.cells is None else f"published as sha256:{chosen.cells}"


def _crossed(part: Sequence[Request]) -> dict[str, Any]:
    """Returns what a part of a track crosses, each name once, and in words how its cells are measured."""
    rows = dict.fromkeys((r.solver, ", ".join(f"{k}={v}" for k, v in r.hyperparameters)) for r in part)
    return {
        "problems": list(dict.fromkeys(r.problem for r in part)),
        "dims": list(dict.fromkeys(r.dim for r in part)),
        "solvers": [f"{solver} ({given})" if given else solver for solver, given in rows],
        "replicates": len(dict.fromkeys((r.instance, r.seed) for r in part)),
        "protocol": described(part[0].protocol),
        "cells": len(part),
    }


def _in_words(part: dict[str, Any]) -> str:
    lines = (
        f"{', '.join(part['problems'])}",
        f"  d = {', '.join(f'{dim:,}' for dim in part['dims'])}",
        f"  by {', '.join(part['solvers'])}",
        f"  {part['protocol']}; replicates: {part['replicates']}; cells: {part['cells']:,}\n",
    )
    return "\n".join(lines)


def run(
    name: str,
    root: Path,
    workers: str | None,
    redo: str | None,
    as_json: bool,
    dry_run: bool = False,
    cluster: str | None = None,
    budget: str | None = None,
    exclusive: bool = False,
) -> int:
    """Measures the cells of a track that have no record, as `sweep.measure_all` does, or with `dry_run` prints them.

    Cells that are not those that the track was published with are measured too, and that is said. Returns the exit status: 1 if a
    cell failed. Raises UserError for an unknown track.
    """
    keep_off_accelerators()
    chosen = track(name)
    if unsized := chosen.unsized():
        first = f"{unsized[0][2]} on {unsized[0][0]} at d = {unsized[0][1]:,}"
        raise UserError(
            f"{name} has no number of steps for {len(unsized)} of its rows, the first {first}; "
            f"`pdezoo track pace {name}` measures them"
        )
    _told_if_changed(chosen, chosen.cells_now())
    if dry_run:
        sweep.dry_run(chosen.requests(), root, workers, redo, as_json)
        return 0
    until = None if budget is None else duration(budget)
    return sweep.measure_all(
        chosen.requests(), root, workers, redo, as_json, cluster=cluster, budget=until, exclusive=exclusive
    )


def measure_pace(
    name: str, root: Path, budget: str | None, programs: Path | None = None, workers: str | None = None
) -> int:
    """Measures how many steps the seconds of a track are worth on this machine, a core to each cell, and writes the table.

    One cell is measured at a time, on the last core, or `workers` cells, each on its own. Records are kept in a store of their
    own, `root`; a row is measured again only where other work was seen on its core. Compiled programs are kept in `programs`, and
    found there the next time.

    Returns the exit status: 1 if rows are still missing. Raises UserError for a track without `nominal_seconds`, for a published
    one whose table would change, and where processes cannot be bound to a core.
    """
    keep_off_accelerators()
    chosen = track(name)
    asked = pace.probes(chosen.requests())
    if not asked:
        raise UserError(
            f"the steps of {chosen.name} stand in its file; a track with nominal_seconds has a pace"
        )
    before = _records(root)
    known = pace.worth(chosen.requests(), before)
    owed = [one for one in asked if pace.key(one) not in known]
    until = None if budget is None else duration(budget)
    if owed:
        measured = [one for one in asked if pace.key(one) in known]
        _require_same_speed(measured, pace.rates(before), root, programs)
    with _on_one_core() if workers is None else nullcontext():
        sweep.measure_all(owed, root, workers, "all", False, budget=until, programs=programs)
    steps = pace.worth(chosen.requests(), _records(root))
    if chosen.cells is not None and steps != chosen.steps():
        raise UserError(f"{chosen.name} is published with other steps; copy its file to a new version")
    save(chosen.table, pace.written(steps).encode())
    left = len(chosen.unsized())
    print(f"{chosen.table.name}: {len(steps)} rows, {left} missing", file=sys.stderr)
    return 1 if left else 0


def _require_same_speed(
    measured: Sequence[Request], before: Mapping[pace.Key, float], root: Path, programs: Path | None
) -> None:
    """Measures a few of the known rows again. Raises UserError where this machine is not as fast as that of the records."""
    again = [one for one in measured if before.get(pace.key(one), 0.0) >= _BRISK][:_COMPARED]
    if not again:
        return
    with tempfile.TemporaryDirectory() as folder, _on_one_core():
        sweep.measure_all(again, Path(folder), None, "all", False, programs=programs)
        ratio = pace.relative_speed(before, pace.rates(_records(Path(folder))))
    if ratio is not None and not 1 / _ALIKE <= ratio <= _ALIKE:
        raise UserError(
            f"{root} was begun on a machine on which these rows ran at {1 / ratio:.2f} times the speed of now; a table is made "
            "on one machine: measure it all here with a new --store, or go on there"
        )


@contextmanager
def _on_one_core() -> Iterator[None]:
    """Keeps this process, and the children that it starts meanwhile, on the last of its cores, where the system lets it."""
    me = psutil.Process()
    if not hasattr(me, "cpu_affinity"):
        raise UserError("the pace of a track is measured on one core, to which this system binds no process")
    before = me.cpu_affinity()
    me.cpu_affinity(before[-1:])
    try:
        yield
    finally:
        me.cpu_affinity(before)


def _told_if_changed(chosen: Track, now: str) -> bool:
    """Says on standard error if a published track has other cells by now, and returns whether it has."""
    if chosen.cells in (None, now):
        return False
    print(
        f"{chosen.name} was published with the cells sha256:{chosen.cells}, and has sha256:{now} now: "
        "a problem or a default of a solver has changed since, and older records of it do not belong to it any more; "
        "docs/tracks.md says how to publish a new version",
        file=sys.stderr,
    )
    return True


def status(name: str, root: Path, as_json: bool) -> None:
    """Prints what of a track is measured under `root`, by problem, and the hash of these records.

    Raises UserError for an unknown track.
    """
    chosen = track(name)
    keep_off_accelerators()
    summary = _summary(chosen, _records(root))
    if as_json:
        print_json(summary)
        return
    print(_headed(chosen))
    table = Table("problem", "d", "cells", "measured", "failed", "owed")
    for row in summary["problems"]:
        numbers = (row["cells"], row["measured"], row["failed"], row["owed"])
        table.add_row(row["problem"], f"{row['dim']:,}", *map(str, numbers))
    stdout().print(table)
    left = f", about {seconds(summary['seconds_left'])} with one worker" if summary["seconds_left"] else ""
    print(f"{summary['measured']} of {summary['cells']} cells measured, {summary['owed']} owed{left}")
    if summary["result_set"]:
        print(f"result set sha256:{summary['result_set']}")


def _headed(chosen: Track) -> str:
    return f"{chosen.name}: {chosen.title}\n\n{chosen.about.strip()}\n"


def _records(root: Path) -> list[Record]:
    return list(read(root).records.values()) if root.is_dir() else []


def _summary(chosen: Track, records: list[Record]) -> dict[str, Any]:
    """Returns the numbers of a status, with the seconds that what is owed will take, judging by the records."""
    requests = chosen.requests()
    found = members(requests, records)
    by_problem = [asdict(count) | {"owed": count.owed} for count in counts(requests, found)]
    owed, _ = recordable(request for k, request in enumerate(requests) if k not in found)
    return {
        "track": chosen.name,
        "digest": chosen.digest(),
        **{kind: sum(row[kind] for row in by_problem) for kind in ("cells", "measured", "failed", "owed")},
        "seconds_left": Forecaster(records).remaining(map(named, owed), 1),
        "result_set": result_digest(found.values()) if found else None,
        "problems": by_problem,
    }
