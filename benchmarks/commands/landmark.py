"""`pdezoo landmark`: compares what the compiler plans for some cells with what it planned at the last landmark.

Bytes and operations of a compiled step are the compiler's own account, the same in every process, so that a loss of speed or
memory that comes of more work is seen in seconds, on a busy machine too. They depend on the version of jaxlib and on the
number of cores, by which they are kept. A landmark is `benchmarks/landmark.json`; `--update` makes a new one.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import suite
from benchmarks.planning.subjects import keep_off_accelerators
from benchmarks.records.canonical import readable
from benchmarks.records.checkout import ROOT
from benchmarks.records.environment import core_count
from benchmarks.records.errors import UserError
from benchmarks.records.files import save

FILE = ROOT / "benchmarks" / "landmark.json"
TOLERANCE = 0.05
CELLS = (
    "allen-cahn/two-body d=100 stde",
    "allen-cahn/two-body d=100 forward-laplacian",
    "allen-cahn/two-body d=100 sdze",
    "allen-cahn/two-body d=100 sdze-replay",
    "allen-cahn/two-body d=100 spring",
    "allen-cahn/two-body d=10000 stde",
    "poisson/sin-three-body d=1000 hte",
    "semilinear-heat/soft d=100 stde",
    "hjb-lqg/soft-min d=100 stde",
    "kdv/one-soliton d=1 stde",
)

Plans = dict[str, dict[str, float]]


def landmark(update: bool, path: Path = FILE, cells: Sequence[str] = CELLS) -> int:
    """Prints what has grown since the landmark. Returns the exit status: 1 if bytes or operations of a cell did by more than 5 %.

    With `update` the plans of this code become the landmark for the jaxlib and the number of cores at hand. Where there is none for
    them, nothing is compared, and that is said. Raises UserError for a landmark that cannot be read.
    """
    keep_off_accelerators()
    kept = _read(path)
    key = f"jaxlib {importlib.metadata.version('jaxlib')}, {core_count()} cores"
    if key not in kept and not update:
        there = "; ".join(sorted(kept)) or "none"
        print(
            f"there is no landmark for {key}, and nothing to compare with (there: {there}); --update makes one"
        )
        return 0
    now = {cell: planned(cell) for cell in cells}
    if update:
        save(path, (readable(kept | {key: now}) + "\n").encode())
        print(f"{path.name}: {len(now)} cells for {key}")
        return 0
    grown = changes(kept[key], now)
    for line in grown:
        print(line, file=sys.stderr)
    print(f"{len(now)} cells compared for {key}: {len(grown)} grew by more than {TOLERANCE:.0%}")
    return 1 if grown else 0


def planned(cell: str) -> dict[str, float]:
    """Returns the bytes and operations of a cell's compiled step. Raises NotImplementedError where there is none."""
    compiled = suite.compiled(cell)
    plan = {"compiled_bytes": compiled.bytes, "flops": compiled.flops}
    return {name: float(value) for name, value in plan.items() if value is not None}


def changes(before: Plans, now: Plans) -> list[str]:
    """Returns a line for every number that grew beyond the tolerance, and for every cell that the landmark lacks."""
    lines = []
    for cell, plan in now.items():
        if cell not in before:
            lines.append(f"{cell}: not in the landmark; --update adds it")
        for name, value in plan.items():
            then = before.get(cell, {}).get(name)
            if then and value > then * (1 + TOLERANCE):
                lines.append(f"{cell}: {name} {then:,.0f} → {value:,.0f} ({value / then - 1:+.1%})")
    return lines


def _read(path: Path) -> dict[str, Plans]:
    try:
        kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}; `pdezoo landmark --update` makes another") from None
    if not isinstance(kept, dict):
        raise UserError(f"{path} is no landmark; `pdezoo landmark --update` makes another")
    return kept
