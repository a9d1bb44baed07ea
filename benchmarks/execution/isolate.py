"""Measures a cell in a fresh child process under wall-clock and memory limits, and makes a record whatever happens to it.

The memory limit on the host is enforced by watching the resident memory of the child and its descendants and
killing them when it is passed: JAX reserves far more address space than it uses, so RLIMIT_AS cannot be used.
On an accelerator the limit is emulated: XLA's allocator gets that share of the device. Where the share is not known
beforehand, the child itself sees to the limit (`benchmarks.execution.measure`).
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

import psutil
from pydantic import ValidationError

from benchmarks.execution import measure
from benchmarks.execution.load import turn
from benchmarks.execution.nursery import CELL, LOG, Child, forked
from benchmarks.records.checkout import ROOT
from benchmarks.records.environment import host_environment, limited
from benchmarks.records.errors import UserError
from benchmarks.records.outcome import lacks_device_memory
from benchmarks.records.record import Cause, Cell, Environment, Moment, Record, Status, now, parse
from benchmarks.records.text import clip

POLL_SECONDS = 0.05
_LARGEST_FRACTION = 0.95  # of a device's memory: the driver and CUDA's context need some
MEASURE = (sys.executable, "-P", "-m", "benchmarks.execution.measure")
NURSERY = (sys.executable, "-P", "-m", "benchmarks.execution.nursery")
Report = Callable[[Moment, int], None]


@dataclass(frozen=True)
class Slot:
    """Where a child runs: its command, the cores it is pinned to (None for all), and environment variables, such as those that
    say which devices it may see. A slot that is `alone` has the machine to itself, as far as other cells go.

    `nursery` is the command of a process that forks such children, which spares them the imports; None where each is started anew.
    """

    command: tuple[str, ...] = MEASURE
    nursery: tuple[str, ...] | None = None
    cores: frozenset[int] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    alone: bool = False


@dataclass(frozen=True)
class _Ending:
    """How the child ended, as seen from outside: its exit code, the seconds it took, why it was stopped, if it was, and how often
    the kernel killed a process for want of memory meanwhile.
    """

    code: int
    seconds: float
    stopped: tuple[Status, Cause, str] | None = None
    kernel_kills: int = 0


class Stopped(Exception):
    """Raised when a measurement is called off; there is then no record."""


def isolate(
    cell: Cell, slot: Slot | None = None, report: Report | None = None, stop: Event | None = None
) -> Record:
    """Measures a cell in a child process and returns its record. `report(moment, steps)` is called as the training advances.

    Nothing that the child does raises an exception here. When `stop` is set the child is killed and Stopped is raised.
    Raises UserError where no folder for temporary files can be made.
    """
    slot, stop = slot or Slot(), stop or Event()
    host = slot_environment(slot)
    with turn(slot.alone, stop), scratch() as folder:
        start = now()
        ending = _run(cell, slot, host, folder, report or (lambda moment, steps: None), stop)
        log = _tail(folder / LOG)
        record = _written(folder, cell)
        if record is not None:  # it is the last thing a child writes, so the measurement was complete
            return record if record.status is Status.OK else record.model_copy(update={"log_tail": log})
        status, cause, reason = ending.stopped or _post_mortem(ending, log)
        return Record(
            cell=cell,
            status=status,
            cause=cause,
            reason=clip(reason, 4_000),
            log_tail=log,
            last=_last_moment(folder),
            environment=_told(folder) or host,
            start=start,
            duration=ending.seconds,
        )


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """Makes a temporary folder, such as one in which a child leaves its log, progress and record. Raises UserError where it
    cannot.
    """
    try:
        folder = tempfile.TemporaryDirectory(prefix="pdezoo-cell-", ignore_cleanup_errors=True)
    except OSError as error:
        reason = f"a folder for temporary files cannot be made ({clip(error.strerror or str(error), 200)})"
        raise UserError(f"{reason}; make room, or set TMPDIR to one that can be written") from None
    with folder:
        yield Path(folder.name)


def slot_environment(slot: Slot) -> Environment:
    """Returns the environment of a child in that slot, as far as it is known before the child has started."""
    host = host_environment(slot.environment.get("CUDA_VISIBLE_DEVICES"))
    cores = len(slot.cores) if slot.cores else host.cpu_count
    return host.model_copy(update={"cpu_count": cores, "memory_limit": limited(host.platform)})


def _run(cell: Cell, slot: Slot, host: Environment, folder: Path, report: Report, stop: Event) -> _Ending:
    clock, kills = time.monotonic(), _kernel_kills()
    with contextlib.ExitStack() as stack:
        try:
            (folder / CELL).write_text(cell.model_dump_json(), encoding="utf-8")
            (folder / LOG).touch()
            child = stack.enter_context(_child(slot, _environment(cell, slot, host), folder, stop))
        except OSError as error:
            stopped = (Status.ERROR, Cause.EXIT, f"the child process could not be started: {error}")
            return _Ending(code=-1, seconds=time.monotonic() - clock, stopped=stopped)
        stack.callback(_kill, child)
        _pin(child, slot)
        outcome = _watch(child, cell, host, folder, report, stop, clock)
    assert child.returncode is not None
    return _Ending(child.returncode, time.monotonic() - clock, outcome, _kernel_kills() - kills)


@contextlib.contextmanager
def _child(
    slot: Slot, environment: dict[str, str], folder: Path, stop: Event
) -> Iterator[Child | subprocess.Popen]:
    """Starts the child that measures the cell in the folder: forked where the slot has a nursery and that can do it.

    Raises OSError where it cannot be started, and Stopped where `stop` is set before it is.
    """
    if slot.nursery is not None:
        with forked(slot.nursery, environment, folder, stop) as child:
            if stop.is_set() and child is None:
                raise Stopped
            if child is not None:
                yield child
                return
    environment = environment | {measure.PARENT: str(os.getpid())}
    with (folder / CELL).open("rb") as told, (folder / LOG).open("ab") as log:
        yield subprocess.Popen(
            [*slot.command, str(folder)],
            stdin=told,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )


def _watch(
    child: Child | subprocess.Popen,
    cell: Cell,
    host: Environment,
    folder: Path,
    report: Report,
    stop: Event,
    clock: float,
) -> tuple[Status, Cause, str] | None:
    """Waits for the child. Returns None if it ended by itself, else the status, cause and reason for which it must be stopped.

    Raises Stopped when `stop` is set.
    """
    protocol = cell.protocol
    seen: int | None = None
    told: Environment | None = None
    while child.poll() is None:
        if stop.is_set():
            raise Stopped
        if protocol.wall_limit is not None and time.monotonic() - clock > protocol.wall_limit:
            reason = f"stopped at the wall-clock limit of {protocol.wall_limit:g} s"
            return Status.TIMEOUT, Cause.WALL_LIMIT, reason
        told = told or _told(folder)
        memory_limit = protocol.memory_limit if (told or host).platform == "cpu" else None
        used = _tree_bytes(child.pid) if memory_limit is not None else 0
        if memory_limit is not None and used > memory_limit:
            reason = f"stopped at {used:,} bytes of resident memory, over the limit of {memory_limit:,}"
            return Status.OOM, Cause.HOST_LIMIT, reason
        seen = _follow(folder, seen, report)
        time.sleep(POLL_SECONDS)
    return None


def _post_mortem(ending: _Ending, log: str) -> tuple[Status, Cause, str]:
    """Returns the status, cause and reason for a child that nobody stopped and that left no usable record."""
    final = next((line for line in reversed(log.splitlines()) if line.strip()), "no output")
    if ending.code == -signal.SIGKILL and ending.kernel_kills > 0:
        return Status.OOM, Cause.HOST_KILL, "killed by the kernel: the machine ran out of memory"
    if (ending.code >= 0 or ending.code == -signal.SIGABRT) and lacks_device_memory(log):
        return Status.OOM, Cause.DEVICE, f"the device ran out of memory ({final})"
    if ending.code < 0:
        name = _signal_name(-ending.code)
        return Status.ERROR, Cause.SIGNAL, f"killed by {name}, which did not come from the limits ({final})"
    if re.match(r"(\w+\.)*(ImportError|ModuleNotFoundError)\b", final):
        return Status.ERROR, Cause.IMPORT, final
    if ending.code != 0:
        return Status.ERROR, Cause.EXIT, f"the process ended with exit status {ending.code} ({final})"
    return Status.ERROR, Cause.NO_RECORD, f"the process ended well but left no valid record ({final})"


def _environment(cell: Cell, slot: Slot, host: Environment) -> dict[str, str]:
    """Returns the environment variables of a child: no compilation cache but its slot's, and the memory limit for XLA.

    The limit is a fraction of the device's memory. It stands for whatever the user has set of XLA's allocator, which another
    allocator or a second fraction would contradict.
    """
    environment = child_environment() | {"JAX_ENABLE_COMPILATION_CACHE": "false"}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    environment |= slot.environment
    limit = cell.protocol.memory_limit
    if host.platform != "cpu" and limit is not None and host.device_memory:
        for name in ("XLA_PYTHON_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_ALLOCATOR"):
            environment.pop(name, None)
        fraction = min(_LARGEST_FRACTION, limit / host.device_memory)
        environment["XLA_CLIENT_MEM_FRACTION"] = f"{math.floor(fraction * 1e6) / 1e6:.6f}"
    return environment


def sharing_programs(folder: Path) -> dict[str, str]:
    """Returns the environment variables of children that keep what they compile in a folder, for others that need the same."""
    return {
        "JAX_ENABLE_COMPILATION_CACHE": "true",
        "JAX_COMPILATION_CACHE_DIR": str(folder),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


def child_environment() -> dict[str, str]:
    """Returns the environment variables of this process, changed so that a child can import this package from anywhere and
    writes UTF-8.
    """
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    path = os.pathsep.join(path for path in paths if path)
    return dict(os.environ) | {"PYTHONPATH": path, "PYTHONIOENCODING": "utf-8:backslashreplace"}


def _pin(child: Child | subprocess.Popen, slot: Slot) -> None:
    if slot.cores and hasattr(psutil.Process, "cpu_affinity"):
        try:
            psutil.Process(child.pid).cpu_affinity(sorted(slot.cores))
        except psutil.Error:  # it is gone already; its end tells why
            return


def _kill(child: Child | subprocess.Popen) -> None:
    """Kills the child's whole process group, also if the child itself has ended: it may have left descendants."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _tree_bytes(pid: int) -> int:
    """Returns the resident bytes of a process and all its descendants."""
    try:
        root = psutil.Process(pid)
        family = [root, *root.children(recursive=True)]
    except psutil.Error:
        return 0
    return sum(_resident(process) for process in family)


def _resident(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.Error:
        return 0


def _kernel_kills() -> int:
    """Returns how often the kernel has killed a process for want of memory since it booted; 0 where that cannot be known."""
    counters = Path("/proc/vmstat")
    lines = counters.read_text().splitlines() if counters.is_file() else []
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _told(folder: Path) -> Environment | None:
    """Returns the environment that the child has told by a file; None as long as its JAX has not started."""
    try:
        return Environment.model_validate_json((folder / measure.ENVIRONMENT).read_bytes())
    except (OSError, ValueError):
        return None


def _written(folder: Path, cell: Cell) -> Record | None:
    try:
        record = parse((folder / measure.RECORD).read_bytes())
    except (OSError, ValueError):
        return None
    return record if record.cell == cell else None


def _follow(folder: Path, seen: int | None, report: Report) -> int | None:
    """Reports the child's progress if its file has changed since the time `seen` (ns), and returns the time of the change."""
    try:
        changed = (folder / measure.PROGRESS).stat().st_mtime_ns
    except OSError:
        return seen
    progress = _progress(folder) if changed != seen else None
    if progress is not None:
        report(*progress)
    return changed


def _last_moment(folder: Path) -> Moment | None:
    progress = _progress(folder)
    return progress[0] if progress else None


def _progress(folder: Path) -> tuple[Moment, int] | None:
    try:
        content = json.loads((folder / measure.PROGRESS).read_bytes())
        return Moment.model_validate(content["moment"]), int(content["steps"])
    except (OSError, ValueError, KeyError, TypeError, ValidationError):
        return None


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - 60_000))
            return clip(log.read().decode("utf-8", "replace").strip(), 16_000, end=True)
    except OSError:
        return ""
