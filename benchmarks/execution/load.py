"""Measures how busy a machine is with other things, and lets a measurement wait until it is alone among ours.

A speed is worth something only if nothing else ran meanwhile. Every cell records how many cores others kept busy while it
trained; a cell that is to be timed waits until no other cell runs on this machine, and no other one begins before it is over.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import psutil

from benchmarks.execution import claims

_POLL_SECONDS = 0.1
_PATIENCE = 1.0  # seconds, after which the user is told what is waited for


class Bystanders:
    """Measures, from its making on, how many cores were kept busy by anything but this process and the children it waited for.

    Time that a hypervisor gave to other machines counts too.
    """

    def __init__(self) -> None:
        self._bound = _bound()
        self._begin = (time.monotonic(), _busy(), _busy(self._bound), _own())

    @property
    def cores(self) -> float | None:
        """The mean number of cores that others kept busy until now; None where the system does not say, or no time has passed."""
        wall, busy, _, own = self._gone()
        return max(0.0, busy - own) / wall if _busy() > 0 and wall > 0 else None

    @property
    def of_its_cores(self) -> float | None:
        """The mean number that others kept busy of the cores to which this process is bound; None where it is bound to none."""
        wall, _, busy, own = self._gone()
        return max(0.0, busy - own) / wall if self._bound and wall > 0 else None

    def _gone(self) -> tuple[float, ...]:
        now = (time.monotonic(), _busy(), _busy(self._bound), _own())
        return tuple(later - then for later, then in zip(now, self._begin, strict=True))


def _bound() -> tuple[int, ...]:
    """Returns the cores to which this process is bound; none where it may run on all, or the system does not say."""
    me = psutil.Process()
    cores = me.cpu_affinity() if hasattr(me, "cpu_affinity") else []
    return tuple(cores) if len(cores) < (psutil.cpu_count() or 0) else ()


def _busy(cores: tuple[int, ...] | None = None) -> float:
    """Returns the processor seconds that this machine, or some of its cores, or others on its hardware, worked since it started."""
    every = [psutil.cpu_times()] if cores is None else [psutil.cpu_times(percpu=True)[core] for core in cores]
    idle = ("idle", "iowait", "guest", "guest_nice")
    return sum(seconds for times in every for kind, seconds in times._asdict().items() if kind not in idle)


def _own() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


@contextlib.contextmanager
def turn(alone: bool, stop: Event) -> Iterator[None]:
    """Waits until a cell may be measured on this machine: beside others that do not ask to be alone, or alone.

    The lock belongs to an open file, so that a crash leaves nothing behind. Where files cannot be locked nobody waits. Gives up
    waiting when `stop` is set.
    """
    path = Path(tempfile.gettempdir()) / "pdezoo-measuring.lock"
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError:  # a full disk, or a file of another user's
        yield
        return
    try:
        _wait(handle, alone, stop)
        yield
    finally:
        os.close(handle)


def _wait(handle: int, alone: bool, stop: Event) -> None:
    begin, told = time.monotonic(), False
    while not stop.is_set():
        try:
            claims.lock(handle, shared=not alone)
            return
        except claims.Held:
            if not told and time.monotonic() - begin > _PATIENCE:
                told = True
                print(
                    "waiting: a cell is being measured on this machine, and one of both is to be alone",
                    file=sys.stderr,
                )
        stop.wait(_POLL_SECONDS)
