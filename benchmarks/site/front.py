"""The pages about all problems at once: the front page, the papers' tables, and the same front table as a Markdown file."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.leaderboard import profile, tables
from benchmarks.leaderboard.markup import Cell, Html, joined, tag
from benchmarks.leaderboard.overview import Table, problems_table, standings_table
from benchmarks.leaderboard.published import Comparison, comparisons, published
from benchmarks.planning.subjects import reference_value
from benchmarks.site.page import FRONT, GALLERY, PAPERS, PROBLEMS, SOLVERS, Page, anchor, lines
from benchmarks.site.sources import Sources

LEAD = (
    "PDEs with known solutions, crossed with the methods that claim to solve them. Every number here comes from a record of one "
    "measured cell; what is not measured is said to be owed."
)
HEADLINE = (
    "One row for each problem, from its headline table: the one of its tables, which differ in dimension, protocol and machine, "
    "that has most ranked rows. The best row is the first of those that share rank 1. Its error is the median over the replicates "
    "with their range; beside it are the errors of the best constant and of the best affine function, which know the solution. "
    "A star marks times beside other work. On a problem that is marked degenerate an affine function is within 1 % of the solution."
)
LEADERS = (
    "Counted over the headline tables in which two rows or more have a rank and that are not degenerate. A solver stands there by "
    "its row as registered. A cell in which it was not measured, or has no rank, is within no factor of the best: the counts say "
    "what is known, and are no judgement of what was not tried."
)


def front_page(sources: Sources) -> Page:
    """Returns the front page: the best row of every problem, and who leads over all of them."""
    problems = problems_table(
        sources.headlines, sources.problems, sources.problem_link(FRONT), sources.solver_link(FRONT)
    )
    ways = joined(
        [
            anchor("all problems", PROBLEMS, FRONT),
            anchor("all solvers", SOLVERS, FRONT),
            anchor("the papers' tables beside ours", PAPERS, FRONT),
            anchor("pictures of solutions", GALLERY, FRONT),
        ],
        ", ",
    )
    parts = [
        "# pdezoo",
        tag("p", LEAD, class_="lead"),
        tag("p", "See ", ways, "."),
        "## The best row of every problem",
        tag("p", HEADLINE),
        problems.html,
        "## Who leads over the whole zoo",
        tag("p", LEADERS),
        *_leaders(sources),
        tag("p", result_set(sources), class_="caption"),
    ]
    return Page(FRONT, "Leaderboard", lines(*parts), wide=True)


def _leaders(sources: Sources) -> Iterable[str]:
    found = sources.standings
    if not found:
        yield tag("p", "No table has two ranked rows yet, so that nobody leads.")
        return
    yield standings_table(found, sources.solver_link(FRONT)).html
    title = tag("figcaption", f"Performance profiles of the first {min(len(found), profile.MOST)}")
    yield tag("figure", Html(profile.svg(found)), title, class_="drawing")


def result_set(sources: Sources) -> str:
    """Returns how many records the pages are made of, and the hash that names them."""
    return f"{sources.board.records:,} records. Result set sha256:{sources.board.digest}"


def papers_page(sources: Sources) -> Page:
    """Returns the page of the papers' tables, every printed number beside ours, with the owed ones marked."""
    cells = [cell for cell in published() if not cell.problem or cell.problem in sources.problems]
    found = comparisons(sources.board, cells, reference_value)
    papers: dict[str, list[Comparison]] = {}
    for comparison in found:
        origin = f"{comparison.published.paper}, table {comparison.published.table}"
        papers.setdefault(origin, []).append(comparison)
    owed = sum(comparison.status.startswith("owed") for comparison in found)
    measured = sum(comparison.ours is not None for comparison in found)
    parts = [
        "# The papers' tables beside ours",
        tag("p", tables.BESIDE),
        tag("p", f"{len(found):,} comparisons: {measured:,} with a number of ours, {owed:,} owed."),
        *(part for origin, members in papers.items() for part in _paper(origin, members, sources)),
    ]
    return Page(PAPERS, "Papers", lines(*parts), wide=True)


def _paper(origin: str, members: list[Comparison], sources: Sources) -> Iterable[str]:
    texts = [{k: v for k, v in row.items() if k != "paper"} for row in tables.beside_cells(members)]
    heads, problem, solver = tuple(texts[0]), sources.problem_link(PAPERS), sources.solver_link(PAPERS)
    orders: dict[str, list[float | None]] = {
        "d": [c.published.dim for c in members],
        "printed": [c.published.number for c in members],
        "ours": [c.ours for c in members],
        "ours / printed": [c.ratio for c in members],
    }
    links = {
        "problem": [problem(c.published.problem) for c in members],
        "our row": [solver(c.published.solver) for c in members],
    }
    rows = tuple(
        tuple(
            Cell(
                text[head],
                links[head][k] if head in links else "",
                orders[head][k] if head in orders else None,
                "note" if head in ("note", "on") else "",
            )
            for head in heads
        )
        for k, text in enumerate(texts)
    )
    classes = tuple("owed" if c.status.startswith("owed") else "" for c in members)
    yield f"## {origin}"
    yield Table(f"Printed numbers of {origin}", heads, rows, frozenset(orders), classes=classes).html
