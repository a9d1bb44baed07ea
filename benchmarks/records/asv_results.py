"""Reads what asv stored: one file for a commit on a machine, with the values of every benchmark for every cell."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.records.errors import UserError
from benchmarks.records.text import clip

KEPT = "asv"
"""The folder of a store that has asv's results of the landmarks."""
_MAX_BYTES = 100_000_000
UNREADABLE = (OSError, ValueError, KeyError, TypeError, SyntaxError, RecursionError)
"""What reading a file raises that is not one of asv's results."""


@dataclass(frozen=True)
class AsvResults:
    """One commit on one machine. `date` is the commit's, in milliseconds since 1970, and `cpu` and `os` are the machine's.

    `columns` has, for every benchmark, the version that asv gave it, and the value of every cell: None for what failed, NaN
    for what was skipped or not asked for.
    """

    commit: str
    date: int
    machine: str
    cpu: str
    os: str
    columns: Mapping[str, tuple[str, Mapping[str, float | None]]]


def read_file(path: Path) -> AsvResults:
    """Reads one file of asv's. Raises one of `UNREADABLE` for any other."""
    stored = load(path)
    machine, cpu, os = (clip(str(stored["params"].get(key, "")), 200) for key in ("machine", "cpu", "os"))
    columns = {}
    for name, values in stored["results"].items():
        row = dict(zip(stored["result_columns"], values, strict=False))
        if len(row.get("params", ())) == 1:  # the suites have one parameter
            columns[str(name)] = (str(row.get("version")), dict(by_cell(row)))
    return AsvResults(
        str(stored["commit_hash"]),
        int(stored["date"]),
        machine,
        cpu,
        os,
        columns,
    )


def load(path: Path) -> dict[str, Any]:
    """Returns the JSON of one of asv's files. Raises ValueError for a file that is too large or none, and OSError."""
    if path.stat().st_size > _MAX_BYTES:
        raise ValueError(f"it has more than {_MAX_BYTES:,} bytes")
    stored = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(stored, dict):
        raise ValueError("it holds no object")
    return stored


def by_cell(row: Mapping[str, Any]) -> Iterator[tuple[str, float | None]]:
    """Yields the name and value of every cell of a benchmark. One that failed as a whole has a single null for all."""
    (axis,) = row["params"]
    cells = [str(ast.literal_eval(str(value))) for value in axis]
    values = row["result"] if isinstance(row["result"], list) else [None] * len(cells)
    for cell, value in zip(cells, values, strict=True):
        yield cell, None if value is None else float(value)


def result_files(folder: Path) -> list[Path]:
    """Returns the files of results below a folder of asv's, of all machines. Raises UserError where there is no such folder."""
    if not folder.is_dir():
        raise UserError(f"there are no asv results at {folder}; `pdezoo history` makes some in .asv/results")
    return sorted(path for path in folder.glob("*/*.json") if path.name != "machine.json")
