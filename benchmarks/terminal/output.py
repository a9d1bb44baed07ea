"""Where text goes: standard output for people and programs, and files that were asked for."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.records.errors import UserError
from benchmarks.records.files import write_whole


def stdout() -> Console:
    """Standard output for tables: as wide as the terminal, and wide enough for a table where there is none."""
    return Console() if sys.stdout.isatty() else Console(width=160)


def print_json(value: Any) -> None:
    """Readable JSON on standard output."""
    print(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False))


def write_file(path: Path, content: bytes) -> None:
    """Write a file that was asked for, its folder too, and say so. Raises UserError where it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror or error})") from None
    print(f"wrote {path} ({len(content):,} bytes)", file=sys.stderr)
