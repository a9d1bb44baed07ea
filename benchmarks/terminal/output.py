"""Where text goes: standard output for people and programs, and files that were asked for."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.records.canonical import readable
from benchmarks.records.files import save


def stdout() -> Console:
    """Standard output for tables: as wide as the terminal, and wide enough for a table where there is none."""
    return Console() if sys.stdout.isatty() else Console(width=160)


def print_json(value: Any) -> None:
    """Readable JSON on standard output."""
    print(readable(value))


def write_file(path: Path, content: bytes) -> None:
    """Write a file that was asked for, its folder too, and say so. Raises UserError where it cannot be written."""
    save(path, content)
    print(f"wrote {path} ({len(content):,} bytes)", file=sys.stderr)
