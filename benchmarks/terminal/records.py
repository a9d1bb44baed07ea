"""Reads a store for a command; damaged files are reported on standard error and skipped."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from benchmarks.records.store import Contents, Damage, Store


def read(root: Path) -> Contents:
    """Reads the store at `root`, and reports damaged files on standard error. Raises StoreError if there is no such folder."""
    contents = Store.reading(root).read()
    tell_damage(contents.damaged)
    return contents


def tell_damage(damaged: Iterable[Damage]) -> None:
    """Reports damaged files of a store on standard error, one a line, with the reasons."""
    for damage in damaged:
        print(f"skipped {damage.path.name[:80]!r}: {damage.reason}", file=sys.stderr)
