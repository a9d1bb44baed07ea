"""Lock files, by which sweeps claim cells, so that no two measure one at once, and by which a sweep that died is recognised.

A lock belongs to the open file of a process: the kernel releases it when the process ends, however it ends, so a crash leaves
no claim behind; at most it leaves an empty file, which claims nothing. On a file system without locks nothing is claimed: two
sweeps that reach a cell at the same moment then both measure it, and both records are kept.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

FOLDER = ".sweeps"
"""Where in a store sweeps keep what they tell each other."""


class Held(Exception):
    """Raised where the lock is held already, by another process or through another open file of this one."""


@contextlib.contextmanager
def claim(root: Path, identity: str) -> Iterator[bool]:
    """Claims a cell, by its identity, in the store at `root` until the block ends. Gives False if another sweep has the cell.

    Where files cannot be locked the claim is granted without a lock.
    """
    path = root / FOLDER / f"{identity}.claim"
    try:
        handle = _take(path)
    except Held:
        yield False
        return
    try:
        yield True
    finally:
        if handle is not None:
            with contextlib.suppress(OSError):  # the name goes before the lock: see _take
                path.unlink(missing_ok=True)
            os.close(handle)


def _take(path: Path) -> int | None:
    """The open and locked file at `path`; None where there are no locks. Raises Held if somebody has it."""
    while True:
        try:
            path.parent.mkdir(exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError:  # a full disk, or a file of another user's
            return None
        try:
            if not lock(handle):
                os.close(handle)
                return None
            if _is_at(handle, path):
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # whoever had it was done with it, and has removed it since it was opened here


def _is_at(handle: int, path: Path) -> bool:
    """Returns whether the open file is still the one at `path`, and has not been removed or replaced."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except OSError:
        return False


def lock(handle: int, shared: bool = False) -> bool:
    """Locks an open file, given by its descriptor, until it is closed; a `shared` lock lets others share it.

    Returns False where the system or the file system has no locks. Raises Held if the file is locked already.
    """
    if fcntl is None:
        return False
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Held from None
    except OSError:  # this file system has no locks
        return False
    return True


def is_locked(path: Path) -> bool | None:
    """Returns whether somebody holds the lock of a file; None where that cannot be known."""
    if fcntl is None:
        return None
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(handle)
    return False
