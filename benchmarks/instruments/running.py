"""Runs an instrument from the command line: prints its rows as they come, and keeps them as a reading where one asks for it."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.execution.load import Bystanders
from benchmarks.execution.measure import environment
from benchmarks.planning.subjects import subjects
from benchmarks.records.errors import UserError
from benchmarks.records.reading import FOLDER, Reading, Row
from benchmarks.records.record import now

_HOW = ("json", "store")


def parser(name: str, doc: str | None) -> argparse.ArgumentParser:
    """Returns a parser of the arguments that every instrument has: `--json`, and `--store`, the folder of records to add to."""
    made = argparse.ArgumentParser(
        prog=f"python -m benchmarks.instruments.{name}", description=(doc or "").split("\n")[0]
    )
    made.add_argument("--json", action="store_true", help="write the rows as JSON")
    made.add_argument(
        "--store", type=Path, help=f"keep what was measured in the folder {FOLDER} of this store"
    )
    return made


class Watch:
    """Begins to look at the clock and at what else the machine does when it is made, and makes a reading at the end."""

    def __init__(self) -> None:
        self._start, self._clock, self._bystanders = now(), time.perf_counter(), Bystanders()

    def reading(self, instrument: str, arguments: Mapping[str, Any], rows: Iterable[Row]) -> Reading:
        """Returns what the instrument of that name measured since, asked with `arguments`."""
        return Reading(
            instrument=instrument,
            arguments=dict(arguments),
            rows=tuple(rows),
            environment=environment(subjects().start("float32")),
            start=self._start,
            duration=time.perf_counter() - self._clock,
            bystanders=self._bystanders.cores,
        )


def run(
    name: str, options: argparse.Namespace, measure: Callable[[argparse.Namespace], Iterable[Row]]
) -> int:
    """Runs `measure(options)`, shows the rows that it yields, and keeps them. Returns the exit status: 2 for a bad argument."""
    rows: list[Row] = []
    watch = Watch()
    try:
        for row in measure(options):
            rows.append(row)
            if not options.json:
                print(_line(row), flush=True)
        if options.store is not None:
            given = {key: value for key, value in vars(options).items() if key not in _HOW}
            print(watch.reading(name, given, rows).keep(options.store / FOLDER), file=sys.stderr)
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    if options.json:
        json.dump(rows, sys.stdout, indent=2)
    return 0


def _line(row: Row) -> str:
    return "  ".join(f"{name} {_shown(value)}" for name, value in row.items())


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
