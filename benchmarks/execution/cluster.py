"""Measures cells as tasks of an existing Dask scheduler, for `pdezoo sweep --cluster ADDRESS`.

A worker measures one cell in a child process of its own, as `benchmarks.execution.isolate` does anywhere, and returns the
record's bytes; the client alone writes to the store. Nothing here imports Dask until a cluster is asked for.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from threading import Event
from typing import Any

from benchmarks.execution.isolate import MEASURE, Slot, Stopped, isolate
from benchmarks.records.environment import host_environment
from benchmarks.records.errors import UserError
from benchmarks.records.record import Cause, Cell, Record, Status, now, parse
from benchmarks.records.text import clip
from benchmarks.records.units import size

CONNECT_SECONDS = 10.0
WORKER_SECONDS = 60.0
_POLL_SECONDS = 0.05
_STOP_SECONDS = 2.0


@dataclass(frozen=True)
class Cluster:
    """A connection to a Dask scheduler that has workers.

    `threads` is the number of threads of all workers, `offered` the most that any one of them declares of each resource, and
    `stop_name` names the signal that calls this sweep off. `command` replaces the program that measures a cell, for tests.
    """

    client: Any
    threads: int
    offered: dict[str, float]
    stop_name: str
    command: tuple[str, ...] | None = None

    def needs(self, cell: Cell) -> dict[str, float]:
        """Returns the resources that a worker must have free for a cell: one GPU, and the cell's memory limit in bytes, each only
        if some worker declares that resource.
        """
        limit = cell.protocol.memory_limit
        wanted = {"GPU": 1.0} | ({"MEMORY": float(limit)} if limit is not None else {})
        return {name: amount for name, amount in wanted.items() if name in self.offered}

    def require_room(self, cells: Iterable[Cell]) -> None:
        """Raises UserError if no worker is large enough for a cell: its task would wait for ever."""
        for cell in cells:
            for name, amount in self.needs(cell).items():
                if amount > self.offered[name]:
                    limits = f"{name}={amount:g}, the largest worker declares {self.offered[name]:g}"
                    hint = f"declare more, or lower --memory-limit (now {size(cell.protocol.memory_limit)})"
                    raise UserError(f"{cell.label} needs {limits}; {hint}")

    def execute(self, cell: Cell, slot: Slot, report: Callable[..., None], stop: Event) -> Record:
        """Measures a cell on a worker and returns its record. If several workers are lost with it, the record says so.

        Raises Stopped when `stop` is set, and UserError if the scheduler is lost or a worker cannot run this package. `slot` and
        `report` are not used: the worker has places of its own, and progress does not travel.
        """
        future = self.client.submit(
            measured,
            cell.model_dump_json(),
            self.stop_name,
            self.command,
            key=f"pdezoo-{cell.identity[:16]}-{secrets.token_hex(4)}",
            resources=self.needs(cell) or None,
            pure=False,
        )
        begin = time.monotonic()
        while future.status == "pending":
            if stop.is_set():
                self._call_off(future)
                raise Stopped
            time.sleep(_POLL_SECONDS)
        return self._record(future, cell, time.monotonic() - begin)

    def _record(self, future: Any, cell: Cell, seconds: float) -> Record:
        if future.status == "finished":
            return parse(future.result())
        if future.status != "error":
            raise UserError(f"the scheduler was lost ({future.status}); the same command goes on from there")
        error = future.exception()
        if type(error).__name__ == "KilledWorker":
            return _lost(cell, error, seconds)
        words = clip(f"{type(error).__name__}: {error}", 300)
        raise UserError(f"a worker cannot measure ({words}); is the same pdezoo installed there?")

    def _call_off(self, future: Any) -> None:
        """Cancels the task if it waits, and signals the workers to end what runs. The scheduler may be gone already."""
        from distributed import Event as Signal

        with contextlib.suppress(Exception):
            future.cancel(asynchronous=False)
            Signal(self.stop_name, client=self.client).set()


@contextlib.contextmanager
def connect(address: str, command: tuple[str, ...] | None = None) -> Iterator[Cluster]:
    """Connects to the Dask scheduler at `address`, such as tcp://host:8786, until the block ends.

    Raises UserError if Dask is not installed, if no scheduler answers, or if it has no worker after a minute.
    """
    try:
        from distributed import Client
    except ImportError:
        raise UserError("--cluster needs Dask: pip install 'pdezoo[cluster]'") from None
    try:
        client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False, name="pdezoo")
    except (OSError, ValueError) as error:
        words = clip(str(error), 200)
        raise UserError(
            f"there is no Dask scheduler at {clip(address, 80)!r}, such as tcp://host:8786 ({words})"
        ) from None
    try:
        workers = _workers(client, address)
        resources = [worker.get("resources") or {} for worker in workers]
        offered = {name: max(r.get(name, 0.0) for r in resources) for r in resources for name in r}
        threads = sum(worker["nthreads"] for worker in workers)
        yield Cluster(client, threads, offered, f"pdezoo-stop-{secrets.token_hex(8)}", command)
    finally:
        client.close()


def _workers(client: Any, address: str) -> list[dict[str, Any]]:
    from distributed import TimeoutError as Late

    try:
        client.wait_for_workers(1, timeout=WORKER_SECONDS)
    except Late:
        reason = f"the scheduler at {address} has no worker after {WORKER_SECONDS:g} s"
        raise UserError(f"{reason}; start some, or let an adaptive cluster keep at least one") from None
    return list(client.scheduler_info(n_workers=-1)["workers"].values())


def measured(cell: str, stop_name: str, command: tuple[str, ...] | None) -> bytes:
    """Runs on a worker: measures the cell, given in JSON, in a child process and returns the bytes of its record."""
    slot = Slot(command=command or MEASURE)
    return isolate(Cell.model_validate_json(cell), slot, stop=_CalledOff(stop_name)).content


class _CalledOff(Event):
    """An event that is set once the client has called the sweep off, for which the scheduler is asked every two seconds."""

    def __init__(self, name: str):
        super().__init__()
        from distributed import Event as Signal

        self._signal, self._next = Signal(name), time.monotonic() + _STOP_SECONDS

    def is_set(self) -> bool:
        """Returns whether to stop. If the scheduler cannot be asked, the cell's wall-clock limit still ends it."""
        if not super().is_set() and time.monotonic() >= self._next:
            self._next = time.monotonic() + _STOP_SECONDS
            with contextlib.suppress(Exception):
                if self._signal.is_set():
                    self.set()
        return super().is_set()


def _lost(cell: Cell, error: Any, seconds: float) -> Record:
    return Record(
        cell=cell,
        status=Status.ERROR,
        cause=Cause.NO_RECORD,
        reason=clip(f"the Dask workers that measured it were lost ({error})", 4_000),
        environment=host_environment(),
        start=now(),
        duration=seconds,
    )
