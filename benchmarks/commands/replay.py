"""`pdezoo replay`: measures a record's cell again and says whether it reproduces."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from benchmarks.execution.isolate import isolate
from benchmarks.records.environment import host_environment
from benchmarks.records.metrics import METRICS, Metrics
from benchmarks.records.record import Cell, Record
from benchmarks.records.store import Store, read_record
from benchmarks.terminal.output import print_json


def replay(name: str, root: Path, as_json: bool) -> int:
    """Measures a record's cell again and prints the verdict; the store is not changed. `name` is a file, or the beginning of a
    digest in the store at `root`.

    Returns the exit status: 1 if the record does not reproduce. Raises UserError if there is no such record.
    """
    path = Path(name)
    old = read_record(path) if path.suffix == ".json" else Store.reading(root).find(name)
    print(f"measuring {old.cell.label} again …", file=sys.stderr)
    new = isolate(_as_trained(old))
    verdict = reproduces(old, new)
    if as_json:
        print_json(verdict | {"old": old.model_dump(mode="json"), "new": new.model_dump(mode="json")})
    else:
        print(verdict["words"])
        for key, pair in verdict["differences"].items():
            print(f"  {key}: {pair[0]} then, {pair[1]} now")
    return 0 if verdict["reproduces"] else 1


def _as_trained(record: Record) -> Cell:
    """Returns the cell with the number of steps that its budget of time turned into, since another calibration finds another."""
    cell, planned = record.cell, record.metrics.planned_steps
    if planned is None or cell.protocol.seconds is None:
        return cell
    return cell.model_copy(update={"protocol": cell.protocol.but(steps=planned, seconds=None)})


def reproduces(old: Record, new: Record) -> dict[str, Any]:
    """Returns whether a second measurement reproduces the first, with the reason in words and the metrics that differ.

    It does if status and all exact metrics agree bit for bit, or, on another machine or version of JAX, if the status agrees
    and the relative L2 errors differ by at most a tenth of the larger one.
    """
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
    return {key: (getattr(old, key), getattr(new, key)) for key, metric in METRICS.items() if metric.exact}


def _close(old: float | None, new: float | None) -> bool:
    if old is None or new is None:
        return old is new
    return abs(old - new) <= 0.1 * max(old, new)
