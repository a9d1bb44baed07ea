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
    """Readable JSON on standard output; escaped where the terminal or pipe lacks a character, so that nothing is lost."""
    text = readable(value)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        text = readable(value, ascii_only=True)
    print(text)


def write_file(path: Path, content: bytes) -> None:
    """Write a file that was asked for, its folder too, and say so. Raises UserError where it cannot be written."""
    save(path, content)
    print(f"wrote {path} ({len(content):,} bytes)", file=sys.stderr)
