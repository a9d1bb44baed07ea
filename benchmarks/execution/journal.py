"""What a running sweep plans and measures, written beside its records for `pdezoo status`."""

from __future__ import annotations

import contextlib
import os
import platform
import secrets
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import psutil
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from benchmarks.planning.matrix import MAX_CELLS
from benchmarks.records.fields import Digest, Label
from benchmarks.records.files import write_whole
from benchmarks.records.record import Cell, Moment, Record
from benchmarks.records.store import Store

HEARTBEAT_SECONDS = 1.0
_FOLDER = ".sweeps"


class Running(BaseModel):
    """A cell in flight; `since` in seconds since 1970."""

    model_config = ConfigDict(extra="forbid")
    since: float
    step: int | None = None
    steps: int | None = None
    loss: float | None = None


class JournalState(BaseModel):
    """What a sweep that runs, or was killed, was measuring at its last beat (seconds since 1970)."""

    model_config = ConfigDict(extra="forbid")
    pid: Annotated[int, Field(ge=1, lt=2**31)]
    host: Label
    workers: Annotated[int, Field(ge=1, lt=2**20)]
    beat: float
    running: dict[Digest, Running] = {}

    @property
    def alive(self) -> bool:
        """Whether its process still runs; on another host, whether it gave a sign of life this minute."""
        if self.host == _host():
            return psutil.pid_exists(self.pid)
        return time.time() - self.beat < 60.0


class JournalPlan(BaseModel):
    """Every cell of a sweep, those that were done before included."""

    model_config = ConfigDict(extra="forbid")
    cells: Annotated[list[Cell], Field(max_length=MAX_CELLS)]


class Journal:
    """Writes what a sweep plans and measures to `.sweeps` in the store, for `pdezoo status`."""

    def __init__(self, store: Store, cells: Iterable[Cell], workers: int):
        folder = store.root / _FOLDER
        folder.mkdir(exist_ok=True)
        plan = JournalPlan(cells=list(cells))
        _forget_covered(store, {cell.identity for cell in plan.cells})
        self._path = folder / f"{secrets.token_hex(8)}.state"
        self._state = JournalState(pid=os.getpid(), host=_host(), workers=workers, beat=time.time())
        self._next = 0.0
        write_whole(self._path.with_suffix(".plan"), plan.model_dump_json().encode())
        self._save()

    def started(self, cell: Cell) -> None:
        self._state.running[cell.identity] = Running(since=time.time())
        self._save()

    def moved(self, cell: Cell, moment: Moment, steps: int) -> None:
        running = self._state.running[cell.identity]
        running.step, running.steps, running.loss = moment.step, steps, moment.loss
        if time.monotonic() >= self._next:
            self._save()

    def finished(self, record: Record) -> None:
        self._state.running.pop(record.cell.identity, None)
        self._save()

    def close(self) -> None:
        """The sweep has ended by itself: the records tell the rest."""
        _forget(self._path)

    def _save(self) -> None:
        self._next = time.monotonic() + HEARTBEAT_SECONDS
        self._state.beat = time.time()
        write_whole(self._path, self._state.model_dump_json().encode())


def journals(store: Store) -> list[tuple[Path, JournalPlan, JournalState]]:
    """The sweeps of a store that run or were killed, newest first. Whatever cannot be read is left out."""
    known = []
    for path in (store.root / _FOLDER).glob("*.state"):
        with contextlib.suppress(OSError, ValidationError):
            plan = JournalPlan.model_validate_json(path.with_suffix(".plan").read_bytes())
            known.append((path, plan, JournalState.model_validate_json(path.read_bytes())))
    return sorted(known, key=lambda journal: -journal[2].beat)


def _forget_covered(store: Store, identities: set[str]) -> None:
    """Remove what killed sweeps left behind, where a new one takes over all of their cells."""
    for path, plan, state in journals(store):
        if not state.alive and identities.issuperset(cell.identity for cell in plan.cells):
            _forget(path)


def _forget(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.with_suffix(".plan").unlink(missing_ok=True)


def _host() -> str:
    return platform.node()[:200] or "unknown"
