"""Writes files in one step, so that a reader never sees half of one."""

from __future__ import annotations

import contextlib
from pathlib import Path

from benchmarks.records.errors import UserError


def write_whole(path: Path, content: bytes) -> None:
    """Replaces the file at `path` in one step, so that a reader sees the old file or the new one.

    Raises OSError where it cannot be written, for instance on a full disk, and then leaves nothing behind.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def save(path: Path, content: bytes) -> None:
    """Writes a file that a person asked for, and its folder if need be. Raises UserError where that fails."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
    except (OSError, ValueError) as error:  # ValueError: no file can have that name
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"{path} cannot be written ({reason})") from None
