"""Tables of Markdown pages that are made from records: a comment says which ones, and `pdezoo pages` writes the lines below it.

    <!-- records
    problem = "*/two-body-wide"
    dim = 100
    steps = 1000
    rows = ["solver"]
    columns = "problem"
    show = ["relative_l2"]
    order = "relative_l2"
    -->
    | solver | … |
    <!-- end of records -->

The comment is TOML. `problem`, `dim`, `solver`, `steps`, `seconds`, `batch`, `test_size`, `device`, and the name of any
hyperparameter choose records: a value or a list of them, texts with globs; `seconds = false` are those without a budget of
time. Of the records of one cell that are chosen the newest counts. Those of tuning instances are shown where `instance` names
them. `rows` are the keys that name a row, `columns` one whose values become
columns, `show` metrics. `order` sorts rows by a metric; without it they stand as the solvers are listed in `solver`.
"""

from __future__ import annotations

import math
import re
import statistics
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from benchmarks.leaderboard.readings import readings_table
from benchmarks.records.errors import UserError
from benchmarks.records.metrics import METRICS, Better
from benchmarks.records.reading import Reading
from benchmarks.records.record import Record, Status
from benchmarks.records.store import latest
from benchmarks.records.text import clip

_BLOCK = re.compile(
    r"(?P<begin>^<!-- (?P<kind>records|readings)\n(?P<spec>.*?)^-->\n)(?P<table>.*?)(?P<end>^<!-- end of (?P=kind) -->$)",
    re.M | re.S,
)
_OURS = ("rows", "columns", "show", "order")
_CUT = "†"


def rewritten(page: str, records: Iterable[Record], readings: Iterable[Reading] = ()) -> str:
    """Returns a page with its tables made anew from records, and from the readings of instruments (`readings_table`).

    Raises UserError, with the line, for a comment that chooses none.
    """
    kept, readings = list(records), list(readings)

    def table(found: re.Match[str]) -> str:
        line = page.count("\n", 0, found.start()) + 1
        try:
            of_records = found["kind"] == "records"
            lines = (
                _table(_spec(found["spec"]), kept) if of_records else readings_table(found["spec"], readings)
            )
        except (UserError, tomllib.TOMLDecodeError) as error:
            raise UserError(f"line {line}: {error}") from None
        return found["begin"] + "\n" + "\n".join(lines) + "\n\n" + found["end"]

    return _BLOCK.sub(table, page)


@dataclass(frozen=True)
class _Spec:
    """What a comment asks for: the values that each key may have, and what is shown of the records."""

    wanted: Mapping[str, list[Any]]
    rows: list[str]
    columns: str | None
    show: list[str]
    order: str | None


def _spec(text: str) -> _Spec:
    given = tomllib.loads(text)
    rows, show = given.get("rows", ["solver"]), given.get("show", ["relative_l2"])
    columns, order = given.get("columns"), given.get("order")
    for name in [*show, *([order] if order else [])]:
        if name not in METRICS:
            raise UserError(f"a metric is one of {', '.join(METRICS)}, got {clip(str(name), 60)!r}")
    wanted = {k: v if isinstance(v, list) else [v] for k, v in given.items() if k not in _OURS}
    return _Spec(wanted, rows, columns, show, order)


def _table(spec: _Spec, records: list[Record]) -> list[str]:
    """Returns the lines of a Markdown table, and of the remarks below it. Raises UserError where no record is chosen."""
    reported = records if "instance" in spec.wanted else [r for r in records if not r.is_tuning]
    asked = (r for r in reported if all(_allowed(_value(r, k), v) for k, v in spec.wanted.items()))
    chosen = list(latest(asked).values())
    if not chosen:
        raise UserError("no record is chosen")
    cells: dict[tuple[Any, ...], dict[Any, list[Record]]] = defaultdict(lambda: defaultdict(list))
    for record in sorted(chosen, key=lambda r: r.cell.seed):
        column = None if spec.columns is None else _value(record, spec.columns)
        cells[tuple(_value(record, key) for key in spec.rows)][column].append(record)
    for members in (group for row in cells.values() for group in row.values()):
        _require_replicates(members, spec.rows)
    heads = sorted({c for row in cells.values() for c in row}, key=lambda head: _column_place(spec, head))
    titles = [_title(spec, name, head) for head in heads for name in spec.show]
    lines = [_line([*spec.rows, *titles]), _line(["---"] * (len(spec.rows) + len(titles)))]
    for key in sorted(cells, key=lambda k: _place(spec, k, cells[k].get(heads[0], []))):
        row = cells[key]
        shown = [_cell(name, row.get(head, [])) for head in heads for name in spec.show]
        lines.append(_line([*(_label(k, v) for k, v in zip(spec.rows, key, strict=True)), *shown]))
    return [*lines, *_remarks(chosen)]


def _line(parts: Iterable[str]) -> str:
    return "| " + " | ".join(parts) + " |"


def _label(key: str, value: Any) -> str:
    if value is None:
        return ""
    if key in ("solver", "problem"):
        return f"`{value}`"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _title(spec: _Spec, name: str, head: Any) -> str:
    """Returns the head of a column: the metric's, the column's value, or both where there are several of each."""
    metric = METRICS[name].head or METRICS[name].title
    if spec.columns is None:
        return metric
    key = {"dim": "d = ", "problem": "", "solver": ""}.get(spec.columns, f"{spec.columns} ")
    at = f"{key}{head:,}" if isinstance(head, int) else f"{key}{head}"
    return at if len(spec.show) == 1 else f"{at}: {metric}"


def _column_place(spec: _Spec, head: Any) -> tuple[Any, ...]:
    """Returns by what a column is sorted: its place in the list of what was asked for, then its value."""
    asked = spec.wanted.get(spec.columns or "", [])
    place = next((i for i, wanted in enumerate(asked) if _allowed(head, [wanted])), len(asked))
    return (
        place,
        head is not None,
        str(head) if isinstance(head, str) else "",
        0 if isinstance(head, str) else head or 0,
    )


def _place(spec: _Spec, key: tuple[Any, ...], members: list[Record]) -> tuple[Any, ...]:
    """Returns by what a row is sorted: its median in the first column, or its place in the list of solvers."""
    if spec.order:
        numbers = _numbers(spec.order, members)
        middle = statistics.median(numbers) if numbers else None
        sign = -1 if METRICS[spec.order].better is Better.HIGHER else 1
        return (middle is None, sign * (middle or 0.0), str(key))
    patterns = [str(p) for p in spec.wanted.get("solver", [])]
    solver = key[spec.rows.index("solver")] if "solver" in spec.rows else ""
    place = next((i for i, p in enumerate(patterns) if fnmatchcase(str(solver), p)), len(patterns))
    return (place, tuple((isinstance(k, str), k if isinstance(k, str) else float(k or 0)) for k in key))


def _cell(name: str, members: list[Record]) -> str:
    """Returns the lowest, median and highest value over the replicates, and how many steps were taken where a clock ended them."""
    if not members:
        return ""
    metric, numbers = METRICS[name], _numbers(name, members)
    if not any(math.isfinite(number) for number in numbers):
        return next(iter(sorted({str(r.status) for r in members if r.status is not Status.OK})), "–")
    ends = [numbers[0], statistics.median(numbers), numbers[-1]] if len(numbers) > 2 else numbers
    text = ", ".join(metric.text(value) for value in (ends[:1] if len(set(numbers)) == 1 else ends))
    taken = sorted(r.metrics.steps or 0 for r in members if r.cut_short)
    if taken and metric.failed is not None:
        span = f"{taken[0]:,}" if taken[0] == taken[-1] else f"{taken[0]:,} to {taken[-1]:,}"
        text += f" ({span} steps {_CUT})"
    return text


def _numbers(name: str, members: list[Record]) -> list[float]:
    counted = (METRICS[name].counted(getattr(r.metrics, name), r.status is Status.OK) for r in members)
    return sorted(value for value in counted if value is not None)


def _remarks(records: list[Record]) -> Iterator[str]:
    """Yields what a reader must know of the records: how many replicates they are, where they were measured, which ended early."""
    instances = {r.cell.problem.seed for r in records}
    seeds = {r.cell.seed for r in records}
    machines = sorted({r.environment.machine for r in records})
    spread = "lowest, median and highest" if len(seeds) > 2 else "all values"
    yield ""
    over = f"up to {len(seeds)} training seeds" if len(seeds) > 1 else "one training seed"
    of = f"{len(instances)} instances" if len(instances) > 1 else "one instance"
    yield f"{len(records)} records; {spread} over {over} on {of}; {'; '.join(machines)}."
    if any(r.cut_short for r in records):
        yield f"{_CUT} stopped by a budget of time before the schedules had ended: no number to quote."


def _require_replicates(members: list[Record], rows: list[str]) -> None:
    """Raises UserError where the records of one cell of a table are of different settings, which no median may mix."""
    kinds = {
        (str(r.cell.solver.hyperparameters), r.cell.protocol.comparable, r.cell.problem.fingerprint)
        for r in members
    }
    if len(kinds) > len({r.cell.problem.seed for r in members}):
        label = members[0].cell.label
        raise UserError(
            f"{label} was measured with different settings or protocols: choose among them, or name one in `rows`, now {rows}"
        )


def _allowed(value: Any, wanted: list[Any]) -> bool:
    return any(
        fnmatchcase(value, w)
        if isinstance(w, str) and isinstance(value, str)
        else value == w or (w is False and value is None)
        for w in wanted
    )


def _value(record: Record, key: str) -> Any:
    """Returns what a record has under a key: of its cell, its protocol, or a hyperparameter by the name of its field."""
    cell = record.cell
    known: dict[str, Any] = {
        "problem": cell.problem.name,
        "dim": cell.problem.dim,
        "instance": cell.problem.seed,
        "solver": cell.solver.row,
        "device": record.environment.device,
    }
    if key in known:
        return known[key]
    protocol = cell.protocol.as_dict()
    return protocol[key] if key in protocol else _hyperparameter(cell.solver.hyperparameters, key)


def _hyperparameter(values: Any, name: str) -> Any:
    """Returns the first value under that name, at any depth; None where there is none."""
    if not isinstance(values, Mapping):
        return None
    if name in values and not isinstance(values[name], Mapping):
        return values[name]
    inner = (_hyperparameter(value, name) for value in values.values())
    return next((value for value in inner if value is not None), None)
