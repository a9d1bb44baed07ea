"""`pdezoo sweep`, and what all measuring commands share: they plan, measure what is left and print the rows."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from benchmarks.execution import progress
from benchmarks.execution.cluster import Cluster, connect
from benchmarks.execution.isolate import Slot, isolate, scratch, sharing_programs
from benchmarks.execution.journal import Journal
from benchmarks.execution.sweep import Sweep, Todo, slots, todo
from benchmarks.planning.forecast import Forecaster
from benchmarks.planning.matrix import Request, expand, load
from benchmarks.planning.resolve import Job, recordable, resolve
from benchmarks.planning.subjects import broken, families, keep_off_accelerators, names, subjects
from benchmarks.records import units
from benchmarks.records.errors import UserError
from benchmarks.records.fields import NAME_RULE
from benchmarks.records.metrics import METRICS, Metric
from benchmarks.records.record import Record, Status
from benchmarks.records.store import Store
from benchmarks.records.text import clip
from benchmarks.terminal import format, output
from benchmarks.terminal.output import print_json
from benchmarks.terminal.parsing import duration, size, whole


def matrix_requests(path: Path, wall_limit: str | None, memory_limit: str | None) -> list[Request]:
    """Returns the cells of a matrix file, with limits from the command line such as "10m" and "40GB" in place of its own.

    Raises UserError for a file that is no matrix, an unknown name and a bad limit.
    """
    matrix = load(path)
    limits = {
        "wall_limit": wall_limit and duration(wall_limit),
        "memory_limit": memory_limit and size(memory_limit),
    }
    changes = {key: value for key, value in limits.items() if value}
    return [request.under(**changes) for request in expand(matrix, *names(), families(), *broken())]


def measure_all(
    asked: Sequence[Request],
    root: Path,
    workers: str | None,
    redo: str | None,
    as_json: bool,
    strict: bool = False,
    cluster: str | None = None,
    budget: float | None = None,
    exclusive: bool = False,
    programs: Path | None = None,
) -> int:
    """Measures the cells that have no record in the store at `root` and prints the rows of all that were asked for.

    `redo` "failed" or "all" measures cells again. After `budget` seconds the cells in flight are stopped; they and those not
    begun are left for the next call. `cluster` is the address of a Dask scheduler; `workers` then says how many cells may be
    under way, by default as many as the cluster has threads. `exclusive` measures one cell at a time, and none of another sweep
    on this machine meanwhile, as speeds are measured. `programs` is a folder in which compiled programs are kept and looked for;
    without it, cells that are not exclusive share them for the time of the call.

    Returns the exit status: 1 if a cell failed, if a name was left out or, with `strict`, if a cell is unsupported.
    """
    with _where(workers, cluster, exclusive, programs) as (used, remote):
        store = Store.writing(root)
        work, known, left_out = _planned(asked, store, redo)
        if work.done:
            told = f"{len(work.done)} cell(s) have a record already; --redo all measures them again"
            print(told, file=sys.stderr)
        ended = _measured(work, store, used, known, remote, budget)
    left = len(work.jobs) - len(ended)
    if left:
        print(f"{left} cell(s) left: the time is over; the same command goes on", file=sys.stderr)
    records = [*work.done, *ended]
    if as_json:
        print_json([{"digest": r.digest} | r.model_dump(mode="json") for r in records])
    else:
        _print_records(records)
    accepted = {Status.OK} if strict else {Status.OK, Status.UNSUPPORTED}
    return 0 if all(record.status in accepted for record in records) and not left_out else 1


@contextmanager
def _where(
    workers: str | None, cluster: str | None, exclusive: bool = False, programs: Path | None = None
) -> Iterator[tuple[list[Slot], Cluster | None]]:
    """Gives one slot for each cell that may be under way at a time, and the cluster that measures them, None for this machine.

    Cells on this machine share what they compile, as replicates do, unless they are exclusive: their speed is then measured, and
    with it the time to compile.

    Raises UserError where cells are to be alone on the machine, and there is more than one worker or a cluster.
    """
    count = None if workers is None else whole(workers, "the number of workers", 1, 10_000)
    if exclusive and (cluster is not None or (count or 1) > 1):
        asked = "a cluster" if cluster is not None else f"{count} workers"
        raise UserError(f"--exclusive measures one cell at a time on this machine, got {asked}")
    if cluster is not None:
        with connect(cluster) as remote:
            yield [Slot()] * (count or remote.threads), remote
    elif exclusive:
        shared = {} if programs is None else sharing_programs(programs)
        yield (
            [replace(slot, environment={**slot.environment, **shared}, alone=True) for slot in slots(1)],
            None,
        )
    else:
        with scratch() as folder:
            shared = sharing_programs(programs or folder)
            yield [replace(s, environment={**s.environment, **shared}) for s in slots(count or 1)], None


def _planned(
    asked: Sequence[Request], store: Store | None, redo: str | None
) -> tuple[Todo, list[Record], list[str]]:
    """Returns what is to be done, the store's records, and the names that are left out because no record can hold them."""
    keep_off_accelerators()
    possible, left_out = recordable(asked)
    for name in left_out:
        print(f"left out {clip(name, 120)!r}: a record cannot hold that name; {NAME_RULE}", file=sys.stderr)
    if asked and not possible:
        raise UserError(f"a name has {NAME_RULE}, got {clip(left_out[0], 120)!r}; register it under another")
    contents = store.read() if store else None
    for damage in contents.damaged if contents else ():
        print(f"skipped {damage.path.name}: {damage.reason}", file=sys.stderr)
    records = list(contents.records.values()) if contents else []
    return todo(resolve(possible, subjects()), records, redo), records, left_out


def _measured(
    work: Todo,
    store: Store,
    used: list[Slot],
    known: list[Record],
    remote: Cluster | None,
    budget: float | None,
) -> list[Record]:
    cells = [job.cell for job in work.jobs]
    if not cells:
        return []
    if remote is not None:
        remote.require_room(job.cell for job in work.jobs if job.outcome is None)
    execute = isolate if remote is None else remote.execute
    journal = Journal(store, [*cells, *(record.cell for record in work.done)], len(used))
    with progress.following(cells, len(used), known) as screen:
        seen = {record.digest for record in known}
        records = Sweep(store, used, (journal, screen), execute).run(work.jobs, budget, seen)
    journal.close()  # not after an interrupt: `pdezoo status` then shows what is left
    return records


def _print_records(records: Sequence[Record]) -> None:
    """Prints a table of the cells and, below it, why those that failed did."""
    console = output.stdout()
    table = Table()
    for head in ("problem", "d", "solver", "seed", "status", *(metric.brief for metric in _shown().values())):
        table.add_column(head, overflow="fold", justify="left" if head in ("problem", "solver") else "right")
    records = sorted(records, key=lambda r: (r.cell.problem.name, r.cell.problem.dim))
    for record in records:
        table.add_row(*map(Text, _cells(record)), style=_style(record))
    console.print(table)
    if disturbed := [r.metrics.bystanders for r in records if r.in_competition and r.metrics.bystanders]:
        console.print(
            f"* Others kept up to {max(disturbed):.1f} cores busy meanwhile: such a speed is not compared; "
            "--exclusive waits for other cells."
        )
    for record in records:
        if record.status is not Status.OK:
            line = Text(f"{record.cell.label}: {format.outcome(record)}", style=_style(record))
            console.print(line, Text(f"  {record.status.message}", style="bright_black"), sep="\n")


def _style(record: Record) -> str:
    return "" if record.status is Status.OK else format.COLOURS[record.status]


def _cells(record: Record) -> tuple[str, ...]:
    cell = record.cell
    identity = (cell.problem.name, f"{cell.problem.dim:,}", cell.solver.row, cell.repetition)
    starred = "*" if record.in_competition else ""
    numbers = (
        metric.text(value) + (starred if metric.timed and value is not None else "")
        for name, metric in _shown().items()
        for value in [getattr(record.metrics, name)]
    )
    return (*identity, str(record.status), *numbers)


def _shown() -> dict[str, Metric]:
    """Returns the metrics that are columns of the table after a sweep: those with a `brief` head."""
    return {name: metric for name, metric in METRICS.items() if metric.brief}


def dry_run(
    asked: Sequence[Request], root: Path, workers: str | None, redo: str | None, as_json: bool
) -> None:
    """Prints the cells that are left, with the time and memory they will take, judging by the records so far."""
    with _where(workers, None) as (used, _):
        count = len(used)
    work, known, _ = _planned(asked, Store.reading(root) if root.exists() else None, redo)
    forecaster = Forecaster(known)
    rows = [_forecast(job, forecaster) for job in work.jobs]
    total = forecaster.remaining([job.cell for job in work.jobs], count)
    if as_json:
        print_json({"done": len(work.done), "seconds": total, "cells": rows})
        return
    table = Table("problem", "d", "solver", "seed", "predicted time", "predicted memory", "limits")
    for row in rows:
        limits = f"{units.seconds(row['wall_limit'])}, {units.size(row['memory_limit'])}"
        predicted = (units.seconds(row["seconds"]), units.size(row["peak_bytes"]))
        table.add_row(row["problem"], f"{row['dim']:,}", row["solver"], row["repetition"], *predicted, limits)
    output.stdout().print(table)
    left = f"{len(rows)} cells to measure, {len(work.done)} done"
    print(f"{left}; about {units.seconds(total)} with {count} worker(s)" if total else left)


def _forecast(job: Job, forecaster: Forecaster) -> dict[str, Any]:
    cell, predicted = job.cell, forecaster(job.cell)
    return {
        "identity": cell.identity,
        "problem": cell.problem.name,
        "dim": cell.problem.dim,
        "solver": cell.solver.row,
        "hyperparameters": cell.solver.hyperparameters,
        "instance": cell.problem.seed,
        "seed": cell.seed,
        "repetition": cell.repetition,
        "seconds": 0.0 if job.outcome else predicted.seconds,
        "peak_bytes": 0 if job.outcome else predicted.peak_bytes,
        "foregone": str(job.outcome.status) if job.outcome else None,
        "wall_limit": cell.protocol.wall_limit,
        "memory_limit": cell.protocol.memory_limit,
    }
