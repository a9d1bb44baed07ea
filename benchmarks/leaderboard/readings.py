"""Tables of Markdown pages that are made from the readings of instruments.

    <!-- readings
    instrument = "step_cost"
    arguments = {batch = 100}
    where = {dim = [10_000, 100_000], row = ["stde", "sdze"]}
    rows = ["dim", "row"]
    show = ["seconds", "ratio"]
    heads = {seconds = "s a step"}
    -->
    | dim | row | … |
    <!-- end of readings -->

The comment is TOML. `instrument` names the instrument, `arguments` what it was asked, if it was asked several things. `where`
chooses rows by their values and orders them, `rows` are the values that name a row, `columns` one whose values become
columns, `show` the values shown, and `heads` what stands above them instead of their names. Of several readings those of the
newest code are taken.
"""

from __future__ import annotations

import statistics
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from benchmarks.records.errors import UserError
from benchmarks.records.reading import Reading, Row
from benchmarks.records.text import clip
from benchmarks.records.units import size

TIMED = ("plain_step", "step_cost", "replay_cost")
"""The instruments that measure time, which other work on the machine lengthens."""

_KEYS = {"instrument", "arguments", "where", "rows", "columns", "show", "heads"}


def readings_table(comment: str, readings: Iterable[Reading]) -> list[str]:
    """Returns the lines of a table, and of the remarks below it.

    Raises UserError for a comment that cannot be followed, tomllib.TOMLDecodeError for one that is no TOML.
    """
    spec = tomllib.loads(comment)
    if unknown := spec.keys() - _KEYS:
        raise UserError(f"a comment has {', '.join(sorted(_KEYS))}, got {clip(min(unknown), 60)!r}")
    chosen = _newest(spec, list(readings))
    where: dict[str, list[Any]] = {
        k: v if isinstance(v, list) else [v] for k, v in spec.get("where", {}).items()
    }
    keys, show, heads, column = (
        spec.get("rows", []),
        spec.get("show", []),
        spec.get("heads", {}),
        spec.get("columns"),
    )
    cells: dict[tuple[Any, ...], dict[tuple[Any, str], list[Any]]] = defaultdict(lambda: defaultdict(list))
    for row in (row for reading in chosen for row in reading.rows):
        if all(row.get(key) in wanted for key, wanted in where.items()):
            _require(row, [*keys, *show, *([column] if column else [])])
            for name in show:
                cells[tuple(row[k] for k in keys)][row[column] if column else None, name].append(row[name])
    if not cells:
        raise UserError("no row is chosen")
    places = [where.get(key, []) for key in keys]
    order = sorted(
        cells, key=lambda names: [p.index(n) if n in p else 0 for p, n in zip(places, names, strict=True)]
    )
    across = list(dict.fromkeys(at for row in cells.values() for at in row))
    titles = [_title(column, at, name, len(show), heads) for at, name in across]
    lines = [_line([*(heads.get(key, key) for key in keys), *titles])]
    lines.append(_line(["---"] * (len(keys) + len(titles))))
    for names in order:
        shown = [_spread(name, cells[names].get((at, name), [])) for at, name in across]
        lines.append(_line([*(_text(key, name) for key, name in zip(keys, names, strict=True)), *shown]))
    return [*lines, *_remarks(chosen)]


def _newest(spec: dict[str, Any], readings: list[Reading]) -> list[Reading]:
    """Returns the readings that the comment asks for, of the code of the newest of them, on its machine."""
    asked = spec.get("arguments", {})
    fitting = [
        reading
        for reading in readings
        if reading.instrument == spec.get("instrument")
        and all(reading.arguments.get(key) == value for key, value in asked.items())
    ]
    if not fitting:
        raise UserError(f"no reading of {clip(str(spec.get('instrument')), 60)!r} with the arguments {asked}")
    newest = max(fitting, key=lambda reading: reading.start)
    if different := [r for r in fitting if r.arguments != newest.arguments]:
        raise UserError(
            f"readings of {newest.instrument} were asked {newest.arguments} and {different[0].arguments}: name one"
        )
    alike = (newest.environment.commit, newest.environment.machine)
    return [r for r in fitting if (r.environment.commit, r.environment.machine) == alike]


def _require(row: Row, names: list[str]) -> None:
    if missing := [name for name in names if name not in row]:
        raise UserError(f"a row has {', '.join(row)}, and no {clip(str(missing[0]), 60)!r}")


def _title(column: str | None, at: Any, name: str, shown: int, heads: dict[str, str]) -> str:
    head = heads.get(name, name)
    if column is None:
        return head
    return _text(column, at) if shown == 1 else f"{_text(column, at)}: {head}"


def _spread(name: str, values: list[Any]) -> str:
    """Returns the lowest, median and highest of three values or more, or all of them; a dash where there are none."""
    known = [value for value in values if value is not None]
    if not known:
        return "–"
    if not all(isinstance(value, int | float) for value in known):
        return ", ".join(dict.fromkeys(_text(name, value) for value in known))
    ordered = sorted(known)
    ends = [ordered[0], statistics.median(ordered), ordered[-1]] if len(ordered) > 2 else ordered
    return ", ".join(dict.fromkeys(_text(name, value) for value in ends))


def _text(name: str, value: Any) -> str:
    """Returns a value as people write it: three digits, thousands with commas, bytes with their unit."""
    if isinstance(value, str):
        return f"`{value}`" if name == "row" else value
    if name.endswith("bytes"):
        return size(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.3g}" if abs(value) < 1_000 else f"{value:,.0f}"


def _line(parts: Iterable[str]) -> str:
    return "| " + " | ".join(part.replace("|", "\\|") for part in parts) + " |"


def _remarks(readings: list[Reading]) -> Iterator[str]:
    """Yields how many readings there are, where they were taken, and whether the machine did anything else meanwhile."""
    newest = readings[-1]
    commit = (newest.environment.commit or "unknown")[:7]
    runs = f"{len(readings)} runs" if len(readings) > 1 else "one run"
    spread = "; lowest, median and highest" if len(readings) > 2 else ""
    yield ""
    yield f"{runs} of `{newest.instrument}` at commit {commit}{spread}; {newest.environment.machine}."
    busy = [r.bystanders for r in readings if r.in_competition and r.bystanders is not None]
    if busy and newest.instrument in TIMED:
        yield f"Others kept up to {max(busy):.1f} cores busy meanwhile: seconds are upper bounds."
