"""Files that are replaced whole, so that a reader never sees half of one."""

from __future__ import annotations

from pathlib import Path

from benchmarks.records.errors import UserError


def write_whole(path: Path, content: bytes) -> None:
    """Replace `path` in one step, so that a reader sees the old file or the new one."""
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    part.replace(path)


def save(path: Path, content: bytes) -> None:
    """Write a file that a person asked for, its folder too. Raises UserError where it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror or error})") from None
