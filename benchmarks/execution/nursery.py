"""Forks the children that measure cells from a process that has imported JAX, so that they need not import it once more each.

A nursery is a process of its own for one set of environment variables. It has imported what all cells need and has started no
device: threads and devices do not survive a fork. For each request it forks a child, which is then a process like any other, with
an environment, a log and limits of its own. `Nursery` is the side of the harness, `serve` that of the process. Requests and answers
are lines: the folder of a cell; then the child's number, or "stale" where files that the process has imported have changed since;
and the child's exit status when it has ended. The process ends with the one that started it, and takes its child with it.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import select
import signal
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from threading import Event

from benchmarks.execution import measure
from benchmarks.planning.subjects import subjects
from benchmarks.records.checkout import ROOT
from benchmarks.records.environment import host_environment

CELL, LOG = "cell.json", "log"
_STALE = "stale"
_POLL_SECONDS = 0.02


class Child:
    """A child that a nursery has forked, with the part of `subprocess.Popen` that the harness uses."""

    def __init__(self, nursery: Nursery, pid: int):
        self._nursery, self.pid = nursery, pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Returns the exit status, or minus the signal that ended the child; None while it runs."""
        return self._ended(0.0)

    def wait(self) -> int:
        """Waits for the child's end and returns what `poll` then does."""
        while self._ended(_POLL_SECONDS) is None:
            pass
        assert self.returncode is not None
        return self.returncode

    def _ended(self, patience: float) -> int | None:
        if self.returncode is None:
            line = self._nursery.read(patience)
            if line == "":  # the nursery was killed, and its child with it
                self.returncode = -signal.SIGKILL
            elif line is not None:
                self.returncode = int(line)
        return self.returncode


class Nursery:
    """A process that forks children. `command` runs `serve`, with the environment variables `environment`."""

    def __init__(self, command: tuple[str, ...], environment: Mapping[str, str]):
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=dict(environment),
            start_new_session=True,
        )
        self._buffer = b""

    def fork(self, folder: Path, stop: Event) -> Child | None:
        """Forks a child for the cell in that folder. None if this process cannot: it failed, or what it imported has changed.

        Gives up waiting, with None, when `stop` is set.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{folder}\n".encode())
            self._process.stdin.flush()
        except OSError:
            return None
        line = None
        while line is None and not stop.is_set():
            line = self.read(_POLL_SECONDS)
        return Child(self, int(line)) if line and line.isdecimal() else None

    def read(self, patience: float) -> str | None:
        """Returns the next line of the process, without its end; None if none comes within `patience` seconds, and "" if none
        will come any more.
        """
        assert self._process.stdout is not None
        handle = self._process.stdout.fileno()
        while b"\n" not in self._buffer:
            if not select.select([handle], [], [], patience)[0]:
                return None
            more = os.read(handle, 4096)
            if not more:
                return ""
            self._buffer += more
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode()

    def close(self) -> None:
        """Ends the process. A child of it that still runs ends itself when it sees that."""
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):
                pipe.close()
        self._process.wait()


_Key = tuple[tuple[str, ...], tuple[tuple[str, str], ...]]
_idle: dict[_Key, list[Nursery]] = defaultdict(list)
_lock = threading.Lock()


@contextlib.contextmanager
def forked(
    command: tuple[str, ...], environment: Mapping[str, str], folder: Path, stop: Event
) -> Iterator[Child | None]:
    """Lends a child that measures the cell in the folder; None if no nursery can fork it, so that it must be started otherwise.

    The nursery is kept for the next cell with the same command and environment, if the child has ended by then.
    """
    key = command, tuple(sorted(environment.items()))
    nursery = _taken(key, environment)
    child = nursery.fork(folder, stop)
    if child is None and not stop.is_set():  # what it had imported has changed
        nursery.close()
        nursery = Nursery(command, environment)
        child = nursery.fork(folder, stop)
    try:
        yield child
    finally:
        if child is not None and child.returncode is not None:
            with _lock:
                _idle[key].append(nursery)
        else:
            nursery.close()


@atexit.register
def close_idle() -> None:
    """Ends the nurseries that wait for a next cell."""
    with _lock:
        for waiting in _idle.values():
            while waiting:
                waiting.pop().close()


def _taken(key: _Key, environment: Mapping[str, str]) -> Nursery:
    with _lock:
        waiting = _idle[key]
        return waiting.pop() if waiting else Nursery(key[0], environment)


def serve(run: Callable[[], object], packages: tuple[Path, ...]) -> None:
    """Forks a child for every folder that a line of standard input names, one after the other, until there are no more lines.

    A child has the folder's cell on standard input, writes to the folder's log, and calls `run()` in that folder's place: its
    name is the only argument, `sys.argv[1]`. Whoever calls this has imported what children need; a change of an imported file
    below one of the folders `packages` ends the service.
    """
    requests, answers = os.dup(0), os.dup(1)
    imported = _imported(packages)
    gc.collect()
    gc.freeze()  # what is shared stays shared
    buffer = b""
    while True:
        while b"\n" not in buffer:
            more = os.read(requests, 4096)
            if not more:
                return
            buffer += more
        line, _, buffer = buffer.partition(b"\n")
        if _imported(packages, imported) != imported:
            os.write(answers, f"{_STALE}\n".encode())
            return
        code = _child(run, line.decode(), requests, answers)
        os.write(answers, f"{code}\n".encode())


def _child(run: Callable[[], object], folder: str, requests: int, answers: int) -> int:
    """Forks a child, tells its number, and returns its exit status. Kills it when the harness is gone."""
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        os.setpgid(0, 0)
        os.close(requests)
        os.close(answers)
        _become(run, folder, parent)
    with contextlib.suppress(OSError):  # the child has done it, or is over
        os.setpgid(pid, pid)
    os.write(answers, f"{pid}\n".encode())
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if select.select([requests], [], [], _POLL_SECONDS)[
            0
        ]:  # nothing is asked meanwhile: the harness is gone
            with contextlib.suppress(OSError):
                os.killpg(pid, signal.SIGKILL)
            sys.exit(1)


def _become(run: Callable[[], object], folder: str, parent: int) -> None:
    """Runs the cell in this child, with a log of its own, and ends the process as an interpreter would."""
    status = 1
    try:
        log = os.open(Path(folder) / LOG, os.O_WRONLY | os.O_APPEND)
        os.dup2(os.open(Path(folder) / CELL, os.O_RDONLY), 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.environ[measure.PARENT] = str(parent)
        sys.argv[1:] = [folder]
        run()
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
        if error.code is not None and not isinstance(error.code, int):
            print(error.code, file=sys.stderr)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _imported(packages: tuple[Path, ...], among: Mapping[str, int] | None = None) -> dict[str, int]:
    """Maps the files below the folders that this process has imported, or those `among`, to the times of their last change."""
    if among is None:
        files = {str(getattr(module, "__file__", None) or "") for module in list(sys.modules.values())}
        among = dict.fromkeys((f for f in files if any(Path(f).is_relative_to(p) for p in packages)), 0)
    return {file: _changed(file) for file in among}


def _changed(file: str) -> int:
    try:
        return Path(file).stat().st_mtime_ns
    except OSError:
        return -1


def main() -> int:
    """Serves children that measure cells with the installed packages. Returns the exit status."""
    lib = subjects()
    with contextlib.suppress(Exception):  # a broken contribution is told by the cells that need it
        lib.make_pde("poisson/two-body", dim=2)
        lib.make_solver("stde")
    host_environment()  # the commit of what is imported, whatever is committed later
    serve(
        lambda: sys.exit(measure.main(lib=lib)), tuple(ROOT / p for p in ("pdezoo", "solvers", "benchmarks"))
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
