"""Campaigns: matrices in the order of their importance, measured as far as a time budget goes and resumed later.

A campaign is a folder of matrix files; the order of their names is the order of the work. Where a machine is lent for minutes at a
time, `pdezoo campaign papers --budget 9m` is run until nothing is left.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.planning.matrix import Request, expand, load, unique
from benchmarks.planning.subjects import broken, families, names
from benchmarks.records.checkout import ROOT
from benchmarks.records.errors import UserError

FOLDER = ROOT / "benchmarks" / "campaigns"


def known() -> list[str]:
    """Returns the names of the campaigns that come with the suite."""
    return sorted(path.name for path in FOLDER.iterdir() if path.is_dir())


def requests(name: str, max_dim: int | None = None, steps: int | None = None) -> list[Request]:
    """Returns the cells of a campaign, matrix after matrix, up to dimension `max_dim` and with `steps` training steps, if given.

    A cell that several matrices ask for comes once, where the first of them has it. `name` is one of `known()` or a folder. Raises
    UserError if it is neither, if the folder has no matrix, or if all cells have larger dimensions.
    """
    about = (*names(), families(), *broken())
    every = [r for path in _matrices(name) for r in expand(load(path), *about)]
    small = [r for r in every if max_dim is None or r.dim <= max_dim]
    if not small:
        least = min(r.dim for r in every)
        raise UserError(f"the campaign begins at d = {least:,}, got --max-dim {max_dim:,}")
    return unique(small if steps is None else (r.under(steps=steps) for r in small))


def _matrices(name: str) -> list[Path]:
    folder = FOLDER / name if name in known() else Path(name)
    matrices = sorted(folder.glob("*.toml")) if folder.is_dir() else []
    if not matrices:
        raise UserError(
            f"a campaign is one of {', '.join(known())}, or a folder of matrix files, got {name[:60]!r}"
        )
    return matrices
