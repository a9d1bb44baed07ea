"""The pages of solvers: what the row is made of, the papers behind it, and where it wins and fails."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.leaderboard.bibliography import citations, entries
from benchmarks.leaderboard.markup import Cell, Html, joined, tag
from benchmarks.leaderboard.overview import Table, metric_cell, row_class
from benchmarks.leaderboard.ranking import Group, Row
from benchmarks.leaderboard.tables import described, rank
from benchmarks.planning.subjects import subjects
from benchmarks.records.metrics import METRICS
from benchmarks.records.record import Record, Status
from benchmarks.records.text import clip
from benchmarks.site.page import (
    SOLVERS,
    Page,
    bullets,
    definitions,
    inline_code,
    lines,
    prose,
    solver_address,
)
from benchmarks.site.problems import other
from benchmarks.site.sources import Sources

_REASON = 160  # characters of a reason in a table; the record has all of it


def pages(sources: Sources) -> Iterator[Page]:
    """Yields the page that lists all solvers, and the page of each."""
    yield _index(sources)
    for name in sources.solvers:
        yield solver_page(name, sources)


def _index(sources: Sources) -> Page:
    known, standing = sources.methods, {s.solver: s for s in sources.standings}
    measured = {row.solver for group in sources.board.groups for row in group.rows}
    heads = ("solver", "what it is", "first", "ranked", "measured")
    rows = tuple(
        (
            Cell(name, sources.solver_link(SOLVERS)(name)),
            Cell(known.get(name, GONE).replace("`", ""), class_="note"),
            *_counts(standing.get(name)),
            Cell("yes" if name in measured else "owed", class_="" if name in measured else "owed"),
        )
        for name in sources.solvers
    )
    table = Table("All solvers", heads, rows, frozenset({"first", "ranked"}))
    words = "How often it is first and ranked is counted over the headline tables, one for each problem."
    return Page(SOLVERS, "All solvers", lines("# Solvers", tag("p", words), table.html))


def _counts(standing: Any) -> tuple[Cell, Cell]:
    if standing is None:
        return Cell("–"), Cell("–")
    return Cell(str(standing.first), order=standing.first), Cell(str(standing.ranked), order=standing.ranked)


GONE = "Registered no longer."


def solver_page(name: str, sources: Sources) -> Page:
    """Returns the page of a solver. One that has records and is no longer registered has no settings."""
    address = solver_address(name)
    found = [(group, row) for group in sources.board.groups for row in group.rows if row.solver == name]
    failed = [r for r in sources.records if r.cell.solver.row == name and r.status is not Status.OK]
    parts = [
        f"# {name}",
        *_what_it_is(name, sources),
        *_papers(name),
        "## Where it wins",
        _wins(found, sources, address),
        "## Where it fails, and why",
        _failures(failed, sources, address),
        "## All rows",
        _rows(name, found, sources, address),
    ]
    return Page(address, name, lines(*parts))


def _what_it_is(name: str, sources: Sources) -> Iterator[str]:
    if name not in sources.methods:
        yield tag("p", GONE)
        return
    yield prose(sources.methods[name])
    yield "## Settings"
    yield tag("p", inline_code(f"As registered; `pdezoo run PROBLEM {name} --set NAME=VALUE` changes one."))
    yield definitions(_settings(subjects().make_solver(name).hyperparameters()))


def _settings(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for part, value in values.items():
        if isinstance(value, Mapping):
            rest = [tag("code", f"{key} = {_value(of)}") for key, of in value.items() if key != "kind"]
            yield part, joined([value.get("kind", ""), *rest], " ")
        else:
            yield part, tag("code", _value(value))


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        inner = ", ".join(f"{key} = {_value(of)}" for key, of in value.items() if key != "kind")
        return f"{value.get('kind', '')}({inner})"
    return str(value)


def _papers(name: str) -> Iterator[str]:
    papers = citations(name)
    if papers:
        yield "## Sources"
        yield bullets(papers)
        yield tag("details", tag("summary", "BibTeX"), tag("pre", "\n\n".join(entries({name}))))


def _wins(found: list[tuple[Group, Row]], sources: Sources, page: str) -> Html:
    """Returns the headline tables in which the solver has rank 1, and who shares it."""
    won = [
        (group, row)
        for group, row in found
        if row.rank == 1 and sources.headlines.get(group.problem) is group
    ]
    if not won:
        return tag("p", "In no headline table does it have rank 1.")
    return bullets(
        joined(
            [other(group.problem, page, sources), f", d = {group.dim:,}{_shared(group, row)}{_easy(group)}"]
        )
        for group, row in won
    )


def _shared(group: Group, row: Row) -> str:
    others = len(group.leaders) - 1
    if not others:
        rivals = sum(r.rank is not None for r in group.rows) - 1
        return f": alone, before {rivals} ranked" if rivals else ": the only ranked row"
    return f": together with {others} other{'s' if others > 1 else ''}"


def _easy(group: Group) -> str:
    return "; degenerate, so that it counts for nothing" if group.degenerate else ""


def _failures(failed: list[Record], sources: Sources, page: str) -> Html:
    if not failed:
        return tag("p", "No record of it is a failure.")
    alike: dict[tuple[Status, str, str], list[Record]] = defaultdict(list)
    for record in failed:
        alike[record.status, record.cell.problem.name, record.reason].append(record)
    rows = tuple(
        (
            Cell(problem, sources.problem_link(page)(problem)),
            Cell(", ".join(f"{d:,}" for d in sorted({r.cell.problem.dim for r in records}))),
            Cell(str(status), class_="bad", title=status.message),
            Cell(str(len(records)), order=len(records)),
            Cell(clip(reason, _REASON), class_="note", title=reason),
        )
        for (status, problem, reason), records in sorted(alike.items(), key=lambda item: item[0])
    )
    heads = ("problem", "d", "status", "records", "reason")
    return Table("Records that are failures", heads, rows, frozenset({"records"})).html


def _rows(name: str, found: list[tuple[Group, Row]], sources: Sources, page: str) -> Html:
    if not found:
        return tag("p", "Nothing of it is measured yet: every row is owed.")
    shown = ("relative_l2", "skill", "steps_per_second", "compiled_bytes")
    metric_heads = tuple(METRICS[metric].head for metric in shown)
    heads = ("problem", "d", "rank", *metric_heads, "replicates", "settings", "protocol", "note")
    rows = tuple(
        (
            Cell(group.problem, sources.problem_link(page)(group.problem)),
            Cell(f"{group.dim:,}", order=group.dim),
            Cell(rank(row), order=row.rank),
            *(metric_cell(row, metric) for metric in shown),
            Cell(f"{row.n_ok}/{row.n}", order=row.n_ok),
            Cell(row.label.removeprefix(row.solver).strip(" ()") or "–", title=row.hyperparameters),
            Cell(f"{group.protocol.name} {group.protocol.fingerprint[:8]}", title=described(group.protocol)),
            Cell(row.note, class_="note"),
        )
        for group, row in found
    )
    numeric = frozenset({"d", "rank", *metric_heads, "replicates"})
    classes = tuple(row_class(row) for _, row in found)
    return Table(f"All rows of {name}", heads, rows, numeric, classes=classes).html
