"""Many cells on this machine: worker threads, each with one child process at a time, resumable at any moment.

A cell that has a record in the store is done, whichever code or process made it. Nothing else is state: a
sweep that is killed loses the cells in flight and no other, and running it again completes it. The files
under `.sweeps` only tell `pdezoo status` what was planned and what is being measured.
"""

from __future__ import annotations

import contextlib
import os
import platform
import queue
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Protocol

import psutil
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from benchmarks.environment import gpu_count, host_environment
from benchmarks.errors import UserError
from benchmarks.isolate import MEASURE, Place, Stopped, isolate, place_environment
from benchmarks.matrix import MAX_CELLS
from benchmarks.measure import write_whole
from benchmarks.plan import Job
from benchmarks.record import Cell, Digest, Label, Moment, Record, Status
from benchmarks.store import Store

REDO = ("failed", "all")
HEARTBEAT_SECONDS = 1.0
_FOLDER = ".sweeps"
_SETTLED = (Status.OK, Status.UNSUPPORTED)


class Listener(Protocol):
    """Whoever wants to follow a sweep. Called from several threads."""

    def started(self, cell: Cell) -> None: ...

    def moved(self, cell: Cell, moment: Moment, steps: int) -> None: ...

    def finished(self, record: Record) -> None: ...


@dataclass(frozen=True)
class Todo:
    """What a sweep has to do: the jobs left, and the records that made the others unnecessary."""

    jobs: tuple[Job, ...]
    done: tuple[Record, ...]


def latest(records: Iterable[Record]) -> dict[str, Record]:
    """The newest record of every cell, by the cell's identity."""
    found: dict[str, Record] = {}
    for record in sorted(records, key=lambda r: (r.start, r.digest)):
        found[record.cell.identity] = record
    return found


def todo(jobs: Iterable[Job], records: Iterable[Record], redo: str | None = None) -> Todo:
    """Which jobs are left. `redo` "failed" asks again for cells that failed, "all" for every cell."""
    if redo is not None and redo not in REDO:
        raise UserError(f"--redo is one of {', '.join(REDO)}, got {redo[:40]!r}")
    known = {} if redo == "all" else latest(records)
    if redo == "failed":
        known = {identity: r for identity, r in known.items() if r.status in _SETTLED}
    distinct = {job.cell.identity: job for job in jobs}
    left = tuple(job for identity, job in distinct.items() if identity not in known)
    return Todo(left, tuple(known[identity] for identity in distinct if identity in known))


def places(workers: int, command: tuple[str, ...] = MEASURE) -> list[Place]:
    """One place for each worker: its share of the cores and, if there are accelerators, one of them."""
    cores = sorted(psutil.Process().cpu_affinity()) if hasattr(psutil.Process, "cpu_affinity") else []
    if workers > max(1, len(cores) or os.cpu_count() or 1):
        raise UserError(f"there are {len(cores)} cores, got {workers} workers; try --workers {len(cores)}")
    devices = gpu_count() if host_environment().platform == "gpu" else 0
    return [Place(command, _share(cores, i, workers), _device(i, workers, devices)) for i in range(workers)]


def _share(cores: list[int], index: int, workers: int) -> frozenset[int] | None:
    each = len(cores) // workers
    return frozenset(cores[index * each : (index + 1) * each]) if workers > 1 and each else None


def _device(index: int, workers: int, devices: int) -> dict[str, str]:
    if devices == 0 or workers == 1:
        return {}
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(devices)))).split(",")
    shared = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"} if workers > devices else {}
    return {"CUDA_VISIBLE_DEVICES": visible[index % devices]} | shared


@dataclass
class Sweep:
    """The jobs of one run: the store they go to, the places they run at, and who listens."""

    store: Store
    places: list[Place]
    listeners: tuple[Listener, ...] = ()
    execute: Callable[..., Record] = isolate
    _stop: threading.Event = field(default_factory=threading.Event, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _before: frozenset[str] = field(default=frozenset(), init=False)
    _added: dict[str, Record] = field(default_factory=dict, init=False)
    _ended: list[Record] = field(default_factory=list, init=False)
    _failure: Exception | None = field(default=None, init=False)

    def run(self, jobs: Iterable[Job], budget: float | None = None) -> list[Record]:
        """Measure every job and return the records, in the order they ended.

        A cell that another sweep finished meanwhile is not measured again. On an interrupt, and after `budget` seconds,
        the cells in flight are stopped; what is finished is in the store. Raises OSError if the store goes away.
        """
        waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
        for job in jobs:
            waiting.put(job)
        self._before = frozenset(self.store.read().records)
        threads = [threading.Thread(target=self._work, args=(waiting, place)) for place in self.places]
        alarm = threading.Timer(threading.TIMEOUT_MAX if budget is None else budget, self._stop.set)
        alarm.daemon = True
        for thread in (*threads, alarm):
            thread.start()
        try:
            for thread in threads:
                thread.join()
        finally:  # after an interrupt
            alarm.cancel()
            self._stop.set()
            for thread in threads:
                thread.join()
        if self._failure is not None:
            raise self._failure
        return self._ended

    def _work(self, waiting: queue.SimpleQueue[Job], place: Place) -> None:
        while not self._stop.is_set():
            try:
                self._one(waiting.get_nowait(), place)
            except (queue.Empty, Stopped):
                return
            except Exception as error:  # not the cell's: the store went away, or a listener failed
                self._failure = self._failure or error
                self._stop.set()

    def _one(self, job: Job, place: Place) -> None:
        record = self._by_another(job.cell)
        if record is None:
            self._tell("started", job.cell)
            report = partial(self._tell, "moved", job.cell)
            record = job.foregone(place_environment(place)) or self.execute(
                job.cell, place, report, self._stop
            )
            self.store.add(record)
        self._ended.append(record)
        self._tell("finished", record)

    def _by_another(self, cell: Cell) -> Record | None:
        """The record of `cell` that a sweep beside this one has added since this one began."""
        with self._lock:
            self._added |= self.store.read(skip=self._before | self._added.keys()).records
            return latest(self._added.values()).get(cell.identity)

    def _tell(self, event: str, *what: Any) -> None:
        with self._lock:
            for listener in self.listeners:
                getattr(listener, event)(*what)


class Running(BaseModel):
    """A cell in flight; `since` in seconds since 1970."""

    model_config = ConfigDict(extra="forbid")
    since: float
    step: int | None = None
    steps: int | None = None
    loss: float | None = None


class State(BaseModel):
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


class Plan(BaseModel):
    """Every cell of a sweep, those that were done before included."""

    model_config = ConfigDict(extra="forbid")
    cells: Annotated[list[Cell], Field(max_length=MAX_CELLS)]


class Journal:
    """Writes what a sweep plans and measures to `.sweeps` in the store, for `pdezoo status`."""

    def __init__(self, store: Store, cells: Iterable[Cell], workers: int):
        folder = store.root / _FOLDER
        folder.mkdir(exist_ok=True)
        plan = Plan(cells=list(cells))
        _forget_covered(store, {cell.identity for cell in plan.cells})
        self._path = folder / f"{secrets.token_hex(8)}.state"
        self._state = State(pid=os.getpid(), host=_host(), workers=workers, beat=time.time())
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


def journals(store: Store) -> list[tuple[Path, Plan, State]]:
    """The sweeps of a store that run or were killed, newest first. Whatever cannot be read is left out."""
    found = []
    for path in (store.root / _FOLDER).glob("*.state"):
        with contextlib.suppress(OSError, ValidationError):
            plan = Plan.model_validate_json(path.with_suffix(".plan").read_bytes())
            found.append((path, plan, State.model_validate_json(path.read_bytes())))
    return sorted(found, key=lambda journal: -journal[2].beat)


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
