"""The pages of tracks: what each is for, how much of it is measured, and the tables of its cells alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from benchmarks.leaderboard import tables
from benchmarks.leaderboard.markup import Cell, tag
from benchmarks.leaderboard.overview import Table, rows_table
from benchmarks.leaderboard.ranking import leaderboard
from benchmarks.planning.tracks import Count, Track, counts, known, members, track
from benchmarks.records.record import Record
from benchmarks.site.page import TRACKS, Page, address_of_track, lines, prose, relative
from benchmarks.site.sources import Sources

_NUMBERS = ("cells", "measured", "failed", "owed")
OWED = "Nothing of it is measured yet: every cell is owed."


def pages(sources: Sources) -> Iterator[Page]:
    """Yields the page that lists the tracks, and the page of each; none for a site about some problems only."""
    if not sources.registered <= set(sources.problems):
        return
    tracks = [(one, members(one.requests(), sources.records)) for one in map(track, known())]
    yield _index(tracks)
    for one, found in tracks:
        yield page_of_track(one, found, sources)


def _index(tracks: list[tuple[Track, dict[int, Record]]]) -> Page:
    rows = [
        (
            Cell(one.name, relative(address_of_track(one.name), TRACKS)),
            Cell(one.title),
            *_totals(counts(one.requests(), found)),
        )
        for one, found in tracks
    ]
    heads = ("track", "what it is", *_NUMBERS)
    told = "Named, versioned sets of cells that are measured and published together. A cell that failed is measured."
    table = Table("The tracks and how much of them is measured", heads, tuple(rows), frozenset(_NUMBERS))
    return Page(TRACKS, "All tracks", lines("# Tracks", tag("p", told), table.html))


def page_of_track(one: Track, found: Mapping[int, Record], sources: Sources) -> Page:
    """Returns the page of a track: what it is for, what of it is measured, and the tables of its records.

    `found` has these by the place of their cells among its requests.
    """
    address = address_of_track(one.name)
    link = sources.problem_link(address)
    rows = [
        (Cell(count.problem, link(count.problem)), Cell(f"{count.dim:,}", order=count.dim), *_totals([count]))
        for count in counts(one.requests(), found)
    ]
    heads = ("problem", "d", *_NUMBERS)
    board = leaderboard(found.values(), one.ranked)
    parts = [
        f"# {one.name}",
        tag("p", one.title, class_="lead"),
        prose(one.about.strip()),
        tag("p", f"Run it with pdezoo track run {one.name}; cite it with pdezoo cite {one.name}."),
        "## What is measured",
        Table(f"Cells of {one.name}", heads, tuple(rows), frozenset({"d", *_NUMBERS})).html,
        tag("p", f"Result set sha256:{board.digest}" if found else OWED, class_="caption"),
    ]
    for group in board.groups:
        parts += [
            f"## {tables.title(group)}",
            tag("p", tables.caption(group), class_="caption"),
            rows_table(group, tables.title(group), sources.solver_link(address)).html,
        ]
    return Page(address, one.name, lines(*parts))


def _totals(of_some: list[Count]) -> tuple[Cell, ...]:
    sums = [sum(getattr(count, name) for count in of_some) for name in _NUMBERS]
    return tuple(Cell(f"{number:,}", order=number) for number in sums)
