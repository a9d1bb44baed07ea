"""Reading a store for a command: damaged files are told and skipped."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from benchmarks.records.store import Contents, Damage, Store


def read(root: Path) -> Contents:
    """The records under `root`; damaged files are told on standard error and skipped."""
    contents = Store.reading(root).read()
    tell_damage(contents.damaged)
    return contents


def tell_damage(damaged: Iterable[Damage]) -> None:
    for damage in damaged:
        print(f"skipped {damage.path.name[:80]!r}: {damage.reason}", file=sys.stderr)
