"""The page of the history: what a step costs at each landmark, and which of them changed it, from asv's results."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from benchmarks.leaderboard.history import TOLERANCE, Change, Series, changes, in_order, series, shown, svg
from benchmarks.leaderboard.markup import Cell, Html, tag
from benchmarks.leaderboard.overview import Table
from benchmarks.records.asv_results import AsvResults
from benchmarks.site.page import HISTORY, Page, lines
from benchmarks.site.sources import Sources

WORDS = (
    "What asv measured at the landmarks of this project: commits that changed how a step is made. Bytes and operations are the "
    "compiler's own account of one training step, the same in every process; times need an idle machine. A line is a cell of the "
    "cross, and begins where its problem and its solver first existed."
)
OWED = "Nothing is measured yet: pdezoo history --landmarks does it."


def pages(sources: Sources) -> Iterator[Page]:
    """Yields the page of the history; none for a site about some problems only."""
    if sources.registered <= set(sources.problems):
        yield history_page(sources.history)


def history_page(results: tuple[AsvResults, ...]) -> Page:
    """Returns the page: for each machine its changes, and for each benchmark a drawing and a table."""
    machines = in_order(results)
    parts = [part for found in machines.values() for part in _machine(found)]
    text = lines("# History", tag("p", WORDS, class_="lead"), *(parts or [tag("p", OWED)]))
    return Page(HISTORY, "History", text, wide=True)


def _machine(results: list[AsvResults]) -> Iterator[str]:
    commits = [one.commit for one in results]
    found = series(results)
    yield f"## {results[-1].machine}"
    yield tag("p", f"{results[-1].cpu}, {results[-1].os}; {len(commits)} commits.", class_="caption")
    told = sorted(changes(found), key=lambda change: commits.index(change.commit))
    yield f"### Changes of more than {TOLERANCE:.0%}"
    yield _changes(told).html if told else tag("p", "None.")
    groups: dict[str, list[Series]] = defaultdict(list)
    for one in found:
        groups[one.benchmark].append(one)
    for members in groups.values():
        yield from _benchmark(members, commits)


def _benchmark(members: list[Series], commits: list[str]) -> Iterator[str]:
    title = members[0].quantity.capitalize()
    told = [change.series for change in changes(members)]
    moved = [one for one in members if one in told]
    yield f"### {title}"
    if moved:
        label = f"{title} of the {len(moved)} cells that changed, at {len(commits)} commits, over the first value of each"
        caption = tag("figcaption", f"The {len(moved)} of {len(members)} cells that changed.")
        yield tag("figure", Html(svg(moved, commits, label)), caption, class_="drawing")
    heads = ("cell", *(commit[:8] for commit in commits))
    rows = tuple((Cell(one.cell), *_values(one, commits)) for one in members)
    yield Table(f"{title} at every commit", heads, rows, frozenset(heads[1:])).html


def _values(one: Series, commits: list[str]) -> list[Cell]:
    known = dict(one.points)
    return [Cell(shown(known[c]), order=known[c]) if c in known else Cell("–") for c in commits]


def _changes(told: list[Change]) -> Table:
    heads = ("commit", "cell", "what", "before", "after", "after / before")
    rows = tuple(
        (
            Cell(change.commit[:8]),
            Cell(change.series.cell),
            Cell(change.series.quantity),
            *(Cell(shown(v), order=v) for v in (change.was, change.now, change.ratio)),
        )
        for change in told
    )
    return Table("Changes from landmark to landmark", heads, rows, frozenset(heads[3:]))
