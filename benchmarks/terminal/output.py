"""Writes to standard output, for people and programs, and to files that were asked for."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.records.canonical import readable
from benchmarks.records.files import save


def stdout() -> Console:
    """Returns a console for tables on standard output, as wide as the terminal, or 160 characters where there is none."""
    return Console() if sys.stdout.isatty() else Console(width=160)


def print_json(value: Any) -> None:
    """Prints a value as indented JSON, with only ASCII characters where the encoding of standard output lacks others."""
    text = readable(value)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        text = readable(value, ascii_only=True)
    print(text)


def write_file(path: Path, content: bytes) -> None:
    """Writes a file, makes its folder if need be, and says so on standard error. Raises UserError where that fails."""
    save(path, content)
    print(f"wrote {path} ({len(content):,} bytes)", file=sys.stderr)
