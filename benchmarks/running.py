"""`pdezoo run`, `sweep` and `replay`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from benchmarks import display
from benchmarks.cluster import Cluster, connect
from benchmarks.environment import host_environment
from benchmarks.errors import UserError
from benchmarks.forecast import Forecaster
from benchmarks.inspecting import make, print_json
from benchmarks.isolate import Place, isolate
from benchmarks.library import library, names
from benchmarks.matrix import Request, expand, load, unique
from benchmarks.parsing import dimensions, duration, hyperparameter, require_known, seeds, size, whole
from benchmarks.plan import Job, keep_off_accelerators, resolve
from benchmarks.protocol import Protocol, protocol
from benchmarks.record import Metrics, Record, Status
from benchmarks.store import Store, read_record
from benchmarks.sweep import Journal, Sweep, Todo, places, todo

_EXACT = ("relative_l2", "relative_l1", "loss", "steps")


def adjusted(name: str, **options: str | None) -> Protocol:
    """The named protocol with what the command line changes of it."""
    read = {
        "steps": lambda text: whole(text, "the number of steps", 1, 10**12),
        "batch": lambda text: whole(text, "the batch", 1, 10**9),
        "wall_limit": duration,
        "memory_limit": size,
    }
    return protocol(name).but(**{key: read[key](text) for key, text in options.items() if text is not None})


def requests(
    pde: str, solver: str, dim: str | None, seed_text: str, instance: str, settings: list[str], used: Protocol
) -> list[Request]:
    """The cells of one problem and one solver. Raises UserError for anything that cannot be meant."""
    pdes, solvers = names()
    require_known("problem", pde, pdes)
    require_known("solver", solver, solvers)
    given = tuple(hyperparameter(text) for text in settings)
    chosen, own = seeds(seed_text), whole(instance, "an instance seed", 0, 2**31 - 1)
    dims = dimensions(dim) if dim is not None else [_only_dimension(pde)]
    for d in dims:
        _require_dimension(pde, d)
    return unique(Request(pde, d, own, solver, given, used, seed) for d in dims for seed in chosen)


def _require_dimension(pde: str, dim: int) -> None:
    """A dimension that the problem cannot have is a mistake here, while in a sweep it is a row."""
    keep_off_accelerators()
    lib = library()
    try:
        lib.make_pde(pde, dim=dim)
    except lib.bad_dimension as error:
        raise UserError(str(error)) from None
    except Exception:  # the contribution is broken: planning meets this again and makes the row
        return


def _only_dimension(pde: str) -> int:
    keep_off_accelerators()
    return make(pde, None).dim


def matrix_requests(path: Path, wall_limit: str | None, memory_limit: str | None) -> list[Request]:
    """The cells of a matrix file, under other limits if the command line gives some."""
    matrix = load(path)
    limits = {
        "wall_limit": wall_limit and duration(wall_limit),
        "memory_limit": memory_limit and size(memory_limit),
    }
    found = expand(matrix, *names())
    changes = {key: value for key, value in limits.items() if value}
    return [r.under(**changes) for r in found]


def measure_all(
    asked: Sequence[Request],
    root: Path,
    workers: str | None,
    redo: str | None,
    as_json: bool,
    strict: bool = False,
    cluster: str | None = None,
    budget: float | None = None,
) -> int:
    """Measure what is left and print the rows. 1 if a cell failed or, with `strict`, is unsupported.

    After `budget` seconds the cells in flight are stopped; they and those not begun are left for the next call.

    `cluster` is the address of a Dask scheduler; `workers` then says how many cells may be under way, by default
    as many as the cluster has threads.
    """
    with _where(workers, cluster) as (used, remote):
        store = Store.writing(root)
        work, known = _planned(asked, store, redo)
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
    return 0 if all(record.status in accepted for record in records) else 1


@contextmanager
def _where(workers: str | None, cluster: str | None) -> Iterator[tuple[list[Place], Cluster | None]]:
    """The places cells are measured at: on this machine, or so many threads that wait for a cluster."""
    count = None if workers is None else whole(workers, "the number of workers", 1, 10_000)
    if cluster is None:
        yield places(count or 1), None
        return
    with connect(cluster) as remote:
        yield [Place()] * (count or remote.threads), remote


def _planned(asked: Sequence[Request], store: Store | None, redo: str | None) -> tuple[Todo, list[Record]]:
    keep_off_accelerators()
    contents = store.read() if store else None
    for damage in contents.damaged if contents else ():
        print(f"skipped {damage.path.name}: {damage.reason}", file=sys.stderr)
    records = list(contents.records.values()) if contents else []
    return todo(resolve(asked, library()), records, redo), records


def _measured(
    work: Todo,
    store: Store,
    used: list[Place],
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
    with display.following(cells, len(used), known) as screen:
        records = Sweep(store, used, (journal, screen), execute).run(work.jobs, budget)
    journal.close()  # not after an interrupt: `pdezoo status` then shows what is left
    return records


def _print_records(records: Sequence[Record]) -> None:
    """A table, and below it why cells failed."""
    console = display.stdout()
    table = Table()
    for head in ("problem", "d", "solver", "seed", "status", "rel. L2", "skill", "vs affine", "it/s", "peak"):
        table.add_column(head, overflow="fold", justify="left" if head in ("problem", "solver") else "right")
    records = sorted(records, key=lambda r: (r.cell.problem.name, r.cell.problem.dim))
    for record in records:
        table.add_row(*map(Text, _cells(record)), style=_style(record))
    console.print(table)
    for record in records:
        if record.status is not Status.OK:
            line = Text(f"{record.cell.label}: {display.outcome(record)}", style=_style(record))
            console.print(line, Text(f"  {record.status.message}", style="bright_black"), sep="\n")


def _style(record: Record) -> str:
    return "" if record.status is Status.OK else display.COLOURS[record.status]


def _cells(record: Record) -> tuple[str, ...]:
    cell, metrics = record.cell, record.metrics
    error, rate = (
        "–" if value is None else f"{value:.3g}" for value in (metrics.relative_l2, metrics.steps_per_second)
    )
    skills = (display.signed(metrics.skill), display.signed(metrics.skill_affine))
    identity = (cell.problem.name, f"{cell.problem.dim:,}", cell.solver.name, str(cell.seed))
    return (*identity, str(record.status), error, *skills, rate, display.size(metrics.peak_bytes))


def dry_run(
    asked: Sequence[Request], root: Path, workers: str | None, redo: str | None, as_json: bool
) -> None:
    """Print the cells that are left, and what the records so far say they will take."""
    with _where(workers, None) as (used, _):
        count = len(used)
    work, known = _planned(asked, Store.reading(root) if root.exists() else None, redo)
    forecaster = Forecaster(known)
    rows = [_forecast(job, forecaster) for job in work.jobs]
    total = forecaster.remaining([job.cell for job in work.jobs], count)
    if as_json:
        print_json({"done": len(work.done), "seconds": total, "cells": rows})
        return
    table = Table("problem", "d", "solver", "seed", "predicted time", "predicted memory", "limits")
    for row in rows:
        limits = f"{display.seconds(row['wall_limit'])}, {display.size(row['memory_limit'])}"
        predicted = (display.seconds(row["seconds"]), display.size(row["peak_bytes"]))
        table.add_row(row["problem"], f"{row['dim']:,}", row["solver"], str(row["seed"]), *predicted, limits)
    display.stdout().print(table)
    left = f"{len(rows)} cells to measure, {len(work.done)} done"
    print(f"{left}; about {display.seconds(total)} with {count} worker(s)" if total else left)


def _forecast(job: Job, forecaster: Forecaster) -> dict[str, Any]:
    cell, predicted = job.cell, forecaster(job.cell)
    return {
        "identity": cell.identity,
        "problem": cell.problem.name,
        "dim": cell.problem.dim,
        "solver": cell.solver.name,
        "hyperparameters": cell.solver.hyperparameters,
        "seed": cell.seed,
        "seconds": 0.0 if job.outcome else predicted.seconds,
        "peak_bytes": 0 if job.outcome else predicted.peak_bytes,
        "foregone": str(job.outcome.status) if job.outcome else None,
        "wall_limit": cell.protocol.wall_limit,
        "memory_limit": cell.protocol.memory_limit,
    }


def replay(name: str, root: Path, as_json: bool) -> int:
    """Measure a record's cell again; 1 if what it says does not come out again. The store is not changed."""
    path = Path(name)
    old = read_record(path) if path.suffix == ".json" else Store.reading(root).find(name)
    print(f"measuring {old.cell.label} again …", file=sys.stderr)
    new = isolate(old.cell)
    verdict = reproduces(old, new)
    if as_json:
        print_json(verdict | {"old": old.model_dump(mode="json"), "new": new.model_dump(mode="json")})
    else:
        print(verdict["words"])
        for key, pair in verdict["differences"].items():
            print(f"  {key}: {pair[0]} then, {pair[1]} now")
    return 0 if verdict["reproduces"] else 1


def reproduces(old: Record, new: Record) -> dict[str, Any]:
    """Same bits: yes. Different bits on another machine or version: yes, within a tenth of the error."""
    differences = {k: pair for k, pair in _pairs(old.metrics, new.metrics).items() if pair[0] != pair[1]}
    here = host_environment()
    same_place = (old.environment.machine, old.environment.jax) == (
        new.environment.machine,
        new.environment.jax,
    )
    exact = old.status == new.status and not differences
    close = old.status == new.status and _close(old.metrics.relative_l2, new.metrics.relative_l2)
    if exact:
        words = "It reproduces, bit for bit."
    elif close and not same_place:
        words = f"It reproduces within a tenth of the error, on {here.machine} with jax {here.jax}."
    else:
        words = f"It does not reproduce: {old.status} then, {new.status} now."
    return {"reproduces": exact or (close and not same_place), "words": words, "differences": differences}


def _pairs(old: Metrics, new: Metrics) -> dict[str, tuple[Any, Any]]:
    return {key: (getattr(old, key), getattr(new, key)) for key in _EXACT}


def _close(old: float | None, new: float | None) -> bool:
    if old is None or new is None:
        return old is new
    return abs(old - new) <= 0.1 * max(old, new)
