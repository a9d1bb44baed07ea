"""What a running sweep plans and measures, written beside its records for `pdezoo status`."""

from __future__ import annotations

import contextlib
import os
import platform
import secrets
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, BinaryIO, NamedTuple

import psutil
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from benchmarks.execution.claims import FOLDER, is_locked, lock
from benchmarks.planning.matrix import MAX_CELLS
from benchmarks.records.fields import Digest, Label
from benchmarks.records.files import write_whole
from benchmarks.records.record import Cell, Moment, Record
from benchmarks.records.store import Store

HEARTBEAT_SECONDS = 1.0
_CLOCK_SECONDS = 2.0  # by which the system's account of when a process was started may change
_SILENT_SECONDS = 60.0


class Running(BaseModel):
    """A cell in flight; `since` in seconds since 1970."""

    model_config = ConfigDict(extra="forbid")
    since: float
    step: int | None = None
    steps: int | None = None
    loss: float | None = None


class JournalState(BaseModel):
    """What a sweep that runs, or was killed, was measuring at its last beat (seconds since 1970).

    `started` is when its process was, since numbers of processes are used again: in a container every sweep may be process 1.
    `boot` names the running kernel. `locked` says that the process holds a lock on the plan for as long as it lives.
    """

    model_config = ConfigDict(extra="forbid")
    pid: Annotated[int, Field(ge=1, lt=2**31)]
    host: Label
    workers: Annotated[int, Field(ge=1, lt=2**20)]
    beat: float
    running: dict[Digest, Running] = {}
    started: float | None = None
    boot: Label | None = None
    locked: bool = False


class JournalPlan(BaseModel):
    """Every cell of a sweep, those that were done before included."""

    model_config = ConfigDict(extra="forbid")
    cells: Annotated[list[Cell], Field(max_length=MAX_CELLS)]


class Sighting(NamedTuple):
    """A sweep that runs (`alive`) or was killed, as its journal shows it."""

    path: Path
    plan: JournalPlan
    state: JournalState
    alive: bool


class Journal:
    """Writes what a sweep plans and measures to `.sweeps` in the store, for `pdezoo status`.

    No measurement depends on it: where it cannot be written, for instance on a full disk, the sweep goes on without.
    """

    def __init__(self, store: Store, cells: Iterable[Cell], workers: int):
        plan = JournalPlan(cells=list(cells))
        self._path = store.root / FOLDER / f"{secrets.token_hex(8)}.state"
        self._state = JournalState(
            pid=os.getpid(),
            host=_host(),
            workers=workers,
            beat=time.time(),
            started=psutil.Process().create_time(),
            boot=_boot(),
        )
        self._next = 0.0
        self._locked: BinaryIO | None = None
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(exist_ok=True)
            _forget_covered(store, {cell.identity for cell in plan.cells})
            self._write_plan(plan)
        self._save()

    def _write_plan(self, plan: JournalPlan) -> None:
        """Write the plan, and keep it locked. It is locked before it has its name: nobody finds it unlocked."""
        path, part = self._path.with_suffix(".plan"), self._path.with_suffix(".part")
        file = part.open("xb")
        try:
            file.write(plan.model_dump_json().encode())
            file.flush()
            self._state.locked = lock(file.fileno())
            if not self._state.locked:
                file.close()
            part.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                file.close()
            part.unlink(missing_ok=True)
            raise
        self._locked = file

    def started(self, cell: Cell) -> None:
        self._state.running[cell.identity] = Running(since=time.time())
        self._save()

    def awaited(self, cell: Cell) -> None:
        """Another sweep measures it, and has a journal of its own."""

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
        with contextlib.suppress(OSError):
            _forget(self._path)
        if self._locked is not None:
            self._locked.close()

    def _save(self) -> None:
        self._next = time.monotonic() + HEARTBEAT_SECONDS
        self._state.beat = time.time()
        with contextlib.suppress(OSError):
            write_whole(self._path, self._state.model_dump_json().encode())


def journals(store: Store) -> list[Sighting]:
    """The sweeps of a store that run or were killed, newest first. Whatever cannot be read is left out."""
    known = []
    for path in (store.root / FOLDER).glob("*.state"):
        with contextlib.suppress(OSError, ValidationError):
            plan = JournalPlan.model_validate_json(path.with_suffix(".plan").read_bytes())
            state = JournalState.model_validate_json(path.read_bytes())
            known.append(Sighting(path, plan, state, _alive(path, state)))
    return sorted(known, key=lambda sighting: -sighting.state.beat)


def _alive(path: Path, state: JournalState) -> bool:
    """Whether a sweep still runs.

    The lock on its plan tells, wherever the sweep and this process see the same locks. Else its process does; and of a sweep on
    another host, whether it gave a sign of life this minute.
    """
    held = is_locked(path.with_suffix(".plan")) if state.locked else None
    if held:
        return True
    if held is False and state.boot is not None and state.boot == _boot():
        return False
    if state.host == _host():
        return _runs(state.pid, state.started)
    return time.time() - state.beat < _SILENT_SECONDS


def _runs(pid: int, started: float | None) -> bool:
    """Whether the process of that number is the one that was started then."""
    try:
        found = psutil.Process(pid).create_time()
    except psutil.Error:
        return False
    return started is None or abs(found - started) < _CLOCK_SECONDS


def _boot() -> str | None:
    """The running kernel's own name, the same in all of its containers; None where it has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()[:200] or None
    except (OSError, ValueError):
        return None


def _forget_covered(store: Store, identities: set[str]) -> None:
    """Remove what killed sweeps left behind, where a new one takes over all of their cells."""
    for path, plan, _, alive in journals(store):
        if not alive and identities.issuperset(cell.identity for cell in plan.cells):
            _forget(path)


def _forget(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.with_suffix(".plan").unlink(missing_ok=True)


def _host() -> str:
    return platform.node()[:200] or "unknown"
