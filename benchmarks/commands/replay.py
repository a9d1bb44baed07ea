"""`pdezoo replay`: measure a record's cell again and say whether it reproduces."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from benchmarks.execution.isolate import isolate
from benchmarks.records.environment import host_environment
from benchmarks.records.metrics import METRICS, Metrics
from benchmarks.records.record import Record
from benchmarks.records.store import Store, read_record
from benchmarks.terminal.output import print_json


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
    return {key: (getattr(old, key), getattr(new, key)) for key, metric in METRICS.items() if metric.exact}


def _close(old: float | None, new: float | None) -> bool:
    if old is None or new is None:
        return old is new
    return abs(old - new) <= 0.1 * max(old, new)
