"""`pdezoo pages`: makes the tables of Markdown pages from records and readings, or says which pages differ from them."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.leaderboard.pages import rewritten
from benchmarks.records.errors import UserError
from benchmarks.records.files import write_whole
from benchmarks.records.reading import FOLDER, read_readings
from benchmarks.terminal.records import read


def pages(paths: list[Path], check: bool, root: Path) -> int:
    """Writes the tables of the pages anew from the records under `root`; with `check` it only compares.

    Returns the exit status: 1 if `check` found a page that differs. Raises UserError for a page that cannot be read, and for a
    table that no record belongs to.
    """
    records = list(read(root).records.values())
    readings = read_readings(root / FOLDER)
    stale = []
    for path in paths:
        try:
            before = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{path} cannot be read: {error}; name Markdown pages") from None
        try:
            after = rewritten(before, records, readings)
        except UserError as error:
            raise UserError(f"{path}, {error}") from None
        if after != before:
            stale.append(path)
            if not check:
                write_whole(path, after.encode())
    for path in stale:
        print(f"{path}: {'differs from the records' if check else 'written'}", file=sys.stderr)
    return 1 if check and stale else 0
