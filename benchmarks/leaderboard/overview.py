"""The tables that open the leaderboard, for HTML and Markdown: the best row of every problem, and who leads over all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.leaderboard.markup import Cell, Html, table
from benchmarks.leaderboard.ranking import Group, Row
from benchmarks.leaderboard.standings import FACTORS, Standing
from benchmarks.leaderboard.tables import COLUMNS, DEGENERATE, markdown_text, text_of
from benchmarks.records.metrics import METRICS
from benchmarks.records.units import number

_MOST_NAMES = 3
NO_RANK = "no row is ranked"
UNMEASURED = "owed: no record"

Link = Callable[[str], str]
"""Returns the address of the page of a problem or solver; "" where there is none."""


@dataclass(frozen=True)
class Table:
    """A table to be written: its caption, heads, and rows of cells. `numeric` names the heads above numbers, `name` is the column
    that names a row, and `classes` has a class for each row where rows have one.
    """

    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    numeric: frozenset[str] = frozenset()
    name: int = 0
    classes: tuple[str, ...] = ()

    @property
    def html(self) -> Html:
        """The table as HTML."""
        return table(
            self.caption, self.heads, self.rows, numeric=self.numeric, name=self.name, classes=self.classes
        )

    @property
    def markdown(self) -> str:
        """The table in GitHub's Markdown, without its caption."""
        rows = [[_markdown(cell) for cell in row] for row in self.rows]
        lines = [[*self.heads], ["---:" if head in self.numeric else "---" for head in self.heads], *rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _markdown(cell: Cell) -> str:
    text = markdown_text(cell.text)
    return f"[{text}]({cell.link})" if cell.link else text


def problems_table(found: Mapping[str, Group], names: Iterable[str], problem: Link, solver: Link) -> Table:
    """Returns a row for every one of the `names`, and for every other problem that has a headline: its best ranked row, the null
    predictors, what the row cost, and how often it was measured.
    """
    rate = METRICS["steps_per_second"].head
    heads = (
        "problem",
        "d",
        "best ranked solver",
        "relative L2",
        "constant null",
        "affine null",
        rate,
        "training",
        "replicates",
        "ranked",
    )
    every = sorted({*names, *found})
    rows = [
        _unmeasured(name, problem) if name not in found else _headline(found[name], problem, solver)
        for name in every
    ]
    return Table(
        "The best ranked row of every problem", heads, tuple(rows), frozenset(heads) - {heads[0], heads[2]}
    )


def _unmeasured(name: str, problem: Link) -> tuple[Cell, ...]:
    dash = Cell("–")
    return Cell(name, problem(name)), dash, Cell(UNMEASURED, class_="owed"), *[dash] * 7


def _headline(group: Group, problem: Link, solver: Link) -> tuple[Cell, ...]:
    best = group.best
    ranked = sum(row.rank is not None for row in group.rows)
    nulls = [Cell(number(group.nulls.get(n)), order=group.nulls.get(n)) for n in ("constant", "affine")]
    first = (
        Cell(NO_RANK, class_="owed")
        if best is None
        else Cell(leaders(group), solver(best.solver), class_="names"),
        *([Cell("–")] if best is None else [metric_cell(best, "relative_l2")]),
    )
    cost = [
        Cell("–") if best is None else metric_cell(best, n) for n in ("steps_per_second", "train_seconds")
    ]
    flag = "degenerate" if group.degenerate else ""
    return (
        Cell(group.problem, problem(group.problem), class_=flag, title=DEGENERATE if flag else ""),
        Cell(f"{group.dim:,}", order=group.dim),
        *first,
        *nulls,
        *cost,
        Cell("–" if best is None else f"{best.n_ok}/{best.n}", order=None if best is None else best.n_ok),
        Cell(str(ranked), order=ranked),
    )


def leaders(group: Group) -> str:
    """Returns the rows of rank 1 of a group, with an equality sign where several cannot be told apart; the first few by name."""
    names = [row.label for row in group.leaders]
    rest = f" = {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return " = ".join(names[:_MOST_NAMES]) + rest


def metric_cell(row: Row, name: str) -> Cell:
    """Returns the cell of a metric of a row, sorted by its median."""
    return Cell(text_of(row, name), order=row.median(name))


def standings_table(found: Sequence[Standing], solver: Link) -> Table:
    """Returns a row for every standing, in that order: in how many cells the solver is first, near the best, and ranked."""
    near = [f"within {factor:g} ×" for factor in FACTORS]
    heads = ("solver", "first, alone or tied", *near, "ranked", "measured", "median rank")
    rows = [
        (
            Cell(s.solver, solver(s.solver)),
            *(
                Cell(str(n), order=n)
                for n in (s.first, *(s.within(f) for f in FACTORS), s.ranked, s.measured)
            ),
            Cell("–" if s.median_rank is None else f"{s.median_rank:g}", order=s.median_rank),
        )
        for s in found
    ]
    total = found[0].total if found else 0
    caption = (
        f"Who leads over the whole zoo: numbers of cells, of {total} in which two rows or more are ranked"
    )
    return Table(caption, heads, tuple(rows), frozenset(heads[1:]))


def rows_table(group: Group, caption: str, solver: Link) -> Table:
    """Returns all rows of a group, with the columns of every other rendering of the leaderboard."""
    heads = tuple(column.head for column in COLUMNS)
    by_head = {metric.head: name for name, metric in METRICS.items() if metric.head}
    names = [by_head.get(head) for head in heads]
    rows = []
    for row in group.rows:
        texts = [column.text(row) for column in COLUMNS]
        cells = [
            Cell(t, order=row.median(n)) if n else Cell(t, order=_order(h, row))
            for h, t, n in zip(heads, texts, names, strict=True)
        ]
        at = heads.index("solver")
        cells[at] = Cell(row.label, solver(row.solver), title=row.hyperparameters)
        cells[-1] = Cell(texts[-1], class_="note", title="" if row.n_ok else row.status.message)
        rows.append(tuple(cells))
    numeric = frozenset(column.head for column in COLUMNS if column.is_number)
    classes = tuple(row_class(row) for row in group.rows)
    return Table(caption, heads, tuple(rows), numeric, heads.index("solver"), classes)


def _order(head: str, row: Row) -> float | None:
    known = {"rank": row.rank, "replicates": row.n_ok}
    if head == "test set ±" and row.test_set_error is not None:
        return row.test_set_error.relative
    return known.get(head)


def row_class(row: Row) -> str:
    """Returns by what a row stands out: "null" for oracles, "failed" without an error, "first" for rank 1; else nothing."""
    if row.is_oracle:
        return "null"
    if row.error is None:
        return "failed"
    return "first" if row.rank == 1 else ""
