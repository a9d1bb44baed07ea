"""`pdezoo asv export` and `import`: records as asv results, and results of the asv suites as records.

A record holds more than an asv result can: docs/harness.md has the mapping and what is lost in each direction.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from benchmarks.records.asv_results import UNREADABLE, by_cell, load, result_files
from benchmarks.records.canonical import sha256
from benchmarks.records.checkout import ROOT, git_or_none
from benchmarks.records.environment import source_state
from benchmarks.records.errors import UserError
from benchmarks.records.files import save
from benchmarks.records.metrics import Metrics, asv_forms, from_asv, in_asv
from benchmarks.records.record import Cause, Cell, Environment, Record, Status
from benchmarks.records.store import Store, latest
from benchmarks.records.text import clip

_COLUMNS = ("result", "params", "version")
_SETTLED = "records"  # asv's name for the environment of exported records


def export(store: Path, folder: Path) -> None:
    """Writes the records of a store as an asv project of its own, for `asv publish`, `compare` and `show`.

    Raises UserError if `folder` has something in it already, or no record was made by a known, unchanged commit.
    """
    if folder.exists() and any(folder.iterdir() if folder.is_dir() else [folder]):
        raise UserError(f"{folder} exists and is not an empty folder; name a new one")
    records = list(Store.reading(store).read().records.values())
    usable = [r for r in records if r.environment.commit is not None and not r.environment.dirty]
    if not usable:
        raise UserError(f"none of the {len(records)} records in {store} was made by a commit that is known")
    cells = {r.cell.identity: r.cell for r in sorted(usable, key=lambda r: r.cell.label)}
    configuration = {"version": 1, "project": "pdezoo", "repo": str(ROOT), "branches": ["HEAD"]}
    folders = {"results_dir": "results", "html_dir": "html", "env_dir": "env", "benchmark_dir": str(ROOT)}
    _write(folder / "asv.conf.json", configuration | folders)
    _write(folder / "results" / "benchmarks.json", _benchmarks(cells))
    for (machine, commit), group in _groups(usable).items():
        where = folder / "results" / machine
        _write(where / "machine.json", _machine(machine, group[0].environment) | {"version": 1})
        _write(where / f"{commit[:8]}-{_SETTLED}.json", _results(machine, commit, group, cells))
    left = len(records) - len(usable)
    told = f"; {left} were left out, whose commit is not known or had been changed" if left else ""
    print(f"{len(usable)} records exported{told}\nnext: cd {folder} && asv publish")


def _groups(records: Iterable[Record]) -> dict[tuple[str, str], list[Record]]:
    """Groups records by asv's name for their machine and by their commit."""
    groups: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        groups[_machine_name(record.environment), str(record.environment.commit)].append(record)
    return groups


def _machine_name(environment: Environment) -> str:
    """Returns a readable name, different for machines whose speeds must not be compared."""
    words = re.sub(r"[^a-z0-9]+", "-", environment.machine.lower()).strip("-")[:60]
    return f"{words}-{sha256(environment.machine)[:8]}"


def _machine(name: str, environment: Environment) -> dict[str, Any]:
    return {
        "machine": name,
        "os": environment.os,
        "cpu": environment.cpu,
        "num_cpu": str(environment.cpu_count),
        "ram": str(environment.memory or ""),
        "arch": "",
        "gpu": "none" if environment.platform == "cpu" else environment.device,
    }


def _label(cell: Cell) -> str:
    """Returns a cell's label, with enough of its identity to tell hyperparameters and protocols apart."""
    return f"{cell.label} {cell.identity[:12]}"


def _benchmarks(cells: dict[str, Cell]) -> dict[str, Any]:
    labels = [repr(_label(cell)) for cell in cells.values()]
    common = {
        "type": "track",
        "version": "1",
        "code": "",
        "timeout": 60,
        "param_names": ["cell"],
        "params": [labels],
    }
    tracks = {
        f"records.{form.name}": common | {"name": f"records.{form.name}", "unit": form.unit}
        for form in asv_forms().values()
    }
    return tracks | {"version": 2}


def _results(machine: str, commit: str, group: list[Record], cells: dict[str, Cell]) -> dict[str, Any]:
    newest, environment = latest(group), group[0].environment
    labels = [[repr(_label(cell)) for cell in cells.values()]]
    columns = {
        f"records.{form.name}": [[_value(newest.get(identity), name) for identity in cells], labels, "1"]
        for name, form in asv_forms().items()
    }
    return {
        "commit_hash": commit,
        "date": _commit_time(commit) or min(int(r.start.timestamp() * 1000) for r in group),
        "env_name": _SETTLED,
        "python": environment.python,
        "requirements": {},
        "env_vars": {},
        "params": _machine(machine, environment) | {"python": environment.python},
        "result_columns": list(_COLUMNS),
        "results": columns,
        "durations": {},
        "version": 2,
    }


def _value(record: Record | None, metric: str) -> float | None:
    """Returns a metric in asv's form: None (null in JSON) means failed to asv, and NaN means skipped."""
    if record is None or record.status is Status.UNSUPPORTED:
        return math.nan
    if record.status is not Status.OK:
        return None
    value = in_asv(metric, record.metrics)
    return math.nan if value is None else value


def _commit_time(commit: str) -> int | None:
    seconds = git_or_none("show", "--no-patch", "--format=%ct", commit)
    return int(seconds) * 1000 if seconds and seconds.isdigit() else None


def _write(path: Path, value: Any) -> None:
    save(path, json.dumps(value, indent=1).encode())  # asv's files have NaN, which strict JSON forbids


@dataclass(frozen=True)
class SuiteResult:
    """What asv stored of one cell of the suites at one commit: numbers in asv's form, by the names of our metrics."""

    cell: str
    numbers: dict[str, float | None]


def import_(results: Path, store: Path) -> int:
    """Adds what the asv suites measured to a store, and returns the exit status: 1 if a file could not be read.

    Only results of commits whose `pdezoo` and `solvers` equal those of this checkout are taken: asv stores names alone, and
    only equal sources say which problem and which hyperparameters they meant. Raises UserError if there is no such folder.
    """
    paths = result_files(results)
    target, count, left, damaged = Store.writing(store), 0, Counter[str](), 0
    for path in paths:
        try:
            records, reasons = _records(path)
        except (*UNREADABLE, ValidationError) as error:
            print(f"skipped {path}: {clip(str(error), 200)}", file=sys.stderr)
            damaged += 1
            continue
        left.update(reasons)
        for record in records:
            target.add(record)
            count += 1
    print(f"{count} cells imported")
    for reason, times in left.items():
        print(f"{times} left out: {reason}", file=sys.stderr)
    return 1 if damaged else 0


def _records(path: Path) -> tuple[list[Record], list[str]]:
    """Returns the records made of a result file, and the reasons why its other cells make none. Raises ValueError and others
    for a file that is not one of asv's.
    """
    stored = load(path)
    results = _suite_results(stored)
    commit = str(stored["commit_hash"])
    if not _same_sources(commit):
        return [], [f"{commit[:8]} has another pdezoo or other solvers than this checkout"] * len(results)
    environment = _environment(stored)
    made = [_record(one, environment, stored) for one in results]
    return [m for m in made if isinstance(m, Record)], [m for m in made if isinstance(m, str)]


def _suite_results(stored: dict[str, Any]) -> list[SuiteResult]:
    """Returns every cell for which some suite, at the present version, has a result that was not skipped."""
    from benchmarks import suite

    numbers: dict[str, dict[str, float | None]] = defaultdict(dict)
    for name, form in asv_forms().items():
        row = dict(zip(stored["result_columns"], stored["results"].get(form.benchmark, []), strict=False))
        if row.get("version") == suite.Cross.version:
            for cell, value in by_cell(row):
                if value is None or math.isfinite(value):
                    numbers[cell][name] = value
    return [SuiteResult(cell, by_name) for cell, by_name in numbers.items()]


def _record(result: SuiteResult, environment: Environment, stored: dict[str, Any]) -> Record | str:
    """Returns the record of a cell, or the reason why there is none."""
    from benchmarks import suite

    numbers = result.numbers
    if "relative_l2" not in numbers:
        return "no error was measured: the suite Accuracy was not run on it"
    try:
        cell = suite.cell_of(result.cell)
    except (NotImplementedError, ValueError) as error:
        return clip(str(error), 200)
    failed = numbers["relative_l2"] is None
    return Record(
        cell=cell,
        status=Status.ERROR if failed else Status.OK,
        cause=Cause.NO_RECORD if failed else None,
        reason="it failed under asv, which keeps no reason" if failed else "",
        metrics=Metrics() if failed else from_asv(numbers),
        environment=environment,
        start=datetime.fromtimestamp(int(stored["date"]) / 1000, UTC),
        duration=numbers.get("train_seconds") or 0.0,
    )


def _environment(stored: dict[str, Any]) -> Environment:
    about = {key: clip(str(value), 200) for key, value in stored["params"].items()}
    gpu = about.get("gpu", "none")
    cpu = about.get("cpu") or about["machine"]
    return Environment(
        platform="cpu" if gpu in ("", "none") else "gpu",
        device=cpu if gpu in ("", "none") else gpu,
        python=_version(str(stored["python"])),
        os=about.get("os") or "unknown",
        cpu=cpu,
        cpu_count=int(about["num_cpu"]) if about.get("num_cpu", "").isdigit() else 1,
        memory=int(about["ram"]) if about.get("ram", "").isdigit() else None,
        commit=stored["commit_hash"],
        dirty=False,
    )


def _version(python: str) -> str:
    """Returns the version of Python, or "unknown" where asv stored a path: it does so for the Python it runs in itself."""
    return python if re.fullmatch(r"[0-9.]{1,20}", python) else "unknown"


def _same_sources(commit: str) -> bool:
    """Whether `pdezoo` and `solvers` at a commit are those of this checkout, file for file."""
    if not re.fullmatch(r"[0-9a-f]{7,64}", commit) or source_state()[1] is not False:
        return False
    trees = [
        git_or_none("rev-parse", f"{c}:{folder}")
        for folder in ("pdezoo", "solvers")
        for c in (commit, "HEAD")
    ]
    return None not in trees and trees[0] == trees[1] and trees[2] == trees[3]
