"""`pdezoo merge`: copies the records of other stores into one."""

from __future__ import annotations

from pathlib import Path

from benchmarks.records.store import Store
from benchmarks.terminal.output import print_json
from benchmarks.terminal.records import tell_damage


def merge(others: list[Path], root: Path, as_json: bool) -> int:
    """Copies the records of other stores into the store at `root`. Returns the exit status: 1 if some files were not records."""
    stores = [Store.reading(other) for other in others]
    added, damaged = Store.writing(root).merge(stores)
    tell_damage(damaged)
    if as_json:
        print_json({"added": added, "skipped": [{"file": str(d.path), "reason": d.reason} for d in damaged]})
    else:
        print(f"{added} new records in {root}")
    return 1 if damaged else 0
