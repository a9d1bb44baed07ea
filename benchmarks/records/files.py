"""Files that are replaced whole, so that a reader never sees half of one."""

from __future__ import annotations

from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Replace `path` in one step, so that a reader sees the old file or the new one."""
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    part.replace(path)
