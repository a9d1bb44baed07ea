"""Measures many cells with worker threads, each with one child process at a time; a sweep can be resumed at any moment.

A cell that has a record in the store is done, whichever code or process made it. A sweep keeps no other state: one
that is killed loses only the cells in flight, and running it again completes it. The files
under `.sweeps` tell `pdezoo status` what was planned and what is being measured; while they are locked, they
tell other sweeps which cells are taken (`benchmarks.execution.claims`).
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import psutil

from benchmarks.execution.claims import claim
from benchmarks.execution.isolate import MEASURE, NURSERY, Slot, Stopped, isolate, slot_environment
from benchmarks.planning.resolve import Job
from benchmarks.records.environment import host_environment, visible_gpus
from benchmarks.records.errors import UserError
from benchmarks.records.record import Cell, Moment, Record, Status
from benchmarks.records.store import Store, latest

REDO = ("failed", "all")
_SETTLED = (Status.OK, Status.UNSUPPORTED)
_AWAIT_SECONDS = 0.2


class Listener(Protocol):
    """What follows a sweep: its methods are called as cells begin, advance and end, from several threads but one at a time."""

    def started(self, cell: Cell) -> None:
        """Called when this sweep begins to measure a cell."""

    def awaited(self, cell: Cell) -> None:
        """Called once for a cell that another sweep is measuring, when this one has to wait for its record."""

    def moved(self, cell: Cell, moment: Moment, steps: int) -> None:
        """Called as the training of a cell advances: `moment` is its latest point, `steps` the number of steps in all."""

    def finished(self, record: Record) -> None:
        """Called when a cell has a record, from this sweep or from another one."""


@dataclass(frozen=True)
class Todo:
    """What a sweep has to do: the jobs that are left, and the records of the cells that are done already."""

    jobs: tuple[Job, ...]
    done: tuple[Record, ...]


def todo(jobs: Iterable[Job], records: Iterable[Record], redo: str | None = None) -> Todo:
    """Splits jobs into those to measure and those that have a record. `redo` "failed" measures failed cells again, "all" every
    cell. Raises UserError for any other value.
    """
    if redo is not None and redo not in REDO:
        raise UserError(f"--redo is one of {', '.join(REDO)}, got {redo[:40]!r}")
    known = {} if redo == "all" else latest(records)
    if redo == "failed":
        known = {identity: r for identity, r in known.items() if r.status in _SETTLED}
    distinct = {job.cell.identity: job for job in jobs}
    left = tuple(job for identity, job in distinct.items() if identity not in known)
    return Todo(left, tuple(known[identity] for identity in distinct if identity in known))


def slots(workers: int) -> list[Slot]:
    """Returns one slot for each worker, with its share of the cores and, if there are accelerators, one of them.

    Children are forked on Linux, where the libraries that were imported before allow it.

    Raises UserError for more workers than cores or, if there are any, accelerators: two cells on one of them would take its time
    and its memory from each other, so that neither speed nor "out of memory" would be the cell's own.
    """
    cores = sorted(psutil.Process().cpu_affinity()) if hasattr(psutil.Process, "cpu_affinity") else []
    if workers > max(1, len(cores) or os.cpu_count() or 1):
        raise UserError(f"there are {len(cores)} cores, got {workers} workers; try --workers {len(cores)}")
    devices = visible_gpus() if host_environment().platform == "gpu" else []
    if devices and workers > len(devices):
        raise UserError(
            f"there are GPUs for {len(devices)} worker(s), got {workers}: cells that share one take its memory and time from each "
            f"other; try --workers {len(devices)}, or JAX_PLATFORMS=cpu"
        )
    nursery = NURSERY if sys.platform == "linux" else None
    return [
        Slot(MEASURE, nursery, _share(cores, i, workers), _device(i, workers, devices))
        for i in range(workers)
    ]


def _share(cores: list[int], index: int, workers: int) -> frozenset[int] | None:
    each = len(cores) // workers
    return frozenset(cores[index * each : (index + 1) * each]) if workers > 1 and each else None


def _device(index: int, workers: int, devices: list[str]) -> dict[str, str]:
    return {"CUDA_VISIBLE_DEVICES": devices[index]} if devices and workers > 1 else {}


@dataclass
class Sweep:
    """Runs jobs: `slots` are the places at which cells are measured, one thread each, and records go to the store.

    `execute(cell, slot, report, stop)` measures one cell and returns its record; `listeners` are told of all that happens.
    """

    store: Store
    slots: list[Slot]
    listeners: tuple[Listener, ...] = ()
    execute: Callable[..., Record] = isolate
    _stop: threading.Event = field(default_factory=threading.Event, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _before: frozenset[str] = field(default=frozenset(), init=False)
    _added: dict[str, Record] = field(default_factory=dict, init=False)
    _told: set[str] = field(default_factory=set, init=False)
    _ended: list[Record] = field(default_factory=list, init=False)
    _failure: Exception | None = field(default=None, init=False)

    def run(
        self, jobs: Iterable[Job], budget: float | None = None, known: Collection[str] | None = None
    ) -> list[Record]:
        """Measures every job and returns the records in the order in which the cells ended.

        A cell that another sweep is measuring is left to it, and measured here only if that sweep ends without a record. A
        record counts as another sweep's if its digest is not in `known`, the digests in the store when the jobs were planned
        (by default when they are begun). On an interrupt, and after `budget` seconds, the cells in flight are stopped; what
        is finished is in the store. Raises StoreError if the store cannot be written any more.
        """
        waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
        for job in jobs:
            waiting.put(job)
        self._before = frozenset(self.store.read().records if known is None else known)
        threads = [threading.Thread(target=self._work, args=(waiting, slot)) for slot in self.slots]
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

    def _work(self, waiting: queue.SimpleQueue[Job], slot: Slot) -> None:
        awaited: set[str] = set()
        while not self._stop.is_set():
            try:
                job = waiting.get_nowait()
                with claim(self.store.root, job.cell.identity) as ours:
                    if ours:
                        self._one(job, slot)
                if not ours:  # the others first
                    waiting.put(job)
                    self._await(job.cell, awaited)
            except (queue.Empty, Stopped):
                return
            except Exception as error:  # not the cell's: the store went away, or a listener failed
                self._failure = self._failure or error
                self._stop.set()

    def _await(self, cell: Cell, awaited: set[str]) -> None:
        """Have patience with a cell that came round before: only such are left then, or few others. Say so the first time."""
        came_before = cell.identity in awaited
        awaited.add(cell.identity)
        if came_before:
            with self._lock:
                new = cell.identity not in self._told
                self._told.add(cell.identity)
            if new:
                self._tell("awaited", cell)
            self._stop.wait(_AWAIT_SECONDS)

    def _one(self, job: Job, slot: Slot) -> None:
        """Ends a claimed cell: with the record of another sweep that has finished it meanwhile, or by measuring it."""
        record = self._by_another(job.cell)
        if record is None:
            self._tell("started", job.cell)
            report = partial(self._tell, "moved", job.cell)
            record = job.foregone(slot_environment(slot)) or self.execute(job.cell, slot, report, self._stop)
            self.store.add(record)
        self._ended.append(record)
        self._tell("finished", record)

    def _by_another(self, cell: Cell) -> Record | None:
        """Returns the newest record of a cell that another sweep has added since this one began; None if there is none."""
        with self._lock:
            self._added |= self.store.read(skip=self._before | self._added.keys()).records
            return latest(self._added.values()).get(cell.identity)

    def _tell(self, event: str, *what: Any) -> None:
        with self._lock:
            for listener in self.listeners:
                getattr(listener, event)(*what)
