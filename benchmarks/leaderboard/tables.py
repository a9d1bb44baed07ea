"""Renders a leaderboard as a terminal table, Markdown, LaTeX, CSV or JSON. Everything that comes from a record is escaped."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks.leaderboard.figure import instances
from benchmarks.leaderboard.intervals import COVERAGE, MIN_REPLICATES
from benchmarks.leaderboard.published import VALUE, Comparison
from benchmarks.leaderboard.ranking import BY_ERROR, Group, Kind, Leaderboard, Reference, Row, Summary
from benchmarks.records.canonical import readable
from benchmarks.records.metrics import METRICS, finite
from benchmarks.records.protocol import Protocol
from benchmarks.records.units import number, percent
from benchmarks.terminal.format import COLOURS

if TYPE_CHECKING:
    import pandas
    from rich.console import RenderableType


@dataclass(frozen=True)
class Column:
    """A column of every rendered table: its head and its text for a row. Only `narrow` columns are shown on a terminal."""

    head: str
    text: Callable[[Row], str]
    is_number: bool = True
    narrow: bool = True


def rank(row: Row) -> str:
    """Returns the rank as text, with the ranks that the row may have where these are several; a dash for an unranked row."""
    if row.rank is None or row.ranks is None:
        return "–"
    low, high = row.ranks
    return f"{row.rank}" if low == high else f"{row.rank} [{low}–{high}]"


def test_set(row: Row) -> str:
    """Returns the error of the test set as text: a relative standard error, with ≈ before an estimate."""
    if row.test_set_error is None:
        return "–"
    return f"{'' if row.test_set_error.measured else '≈ '}{percent(row.test_set_error.relative)}"


def _skill(row: Row) -> str:
    """Returns the skill as text, with its interval where there are enough replicates."""
    text = METRICS["skill"].text(row.skill)
    if row.skill is None or row.skill_interval is None or not math.isfinite(row.skill_interval[0]):
        return text
    if row.kind is Kind.ORACLE:  # among them the reference itself
        return text
    low, high = map(METRICS["skill"].text, row.skill_interval)
    return text if low == high else f"{text} [{low}–{high}]"


def text_of(row: Row, name: str) -> str:
    """Writes a metric of a row: the median over seeds, with the range if the metric is `ranged`, and a star beside other work."""
    metric, median, summary = METRICS[name], row.median(name), row.metrics.get(name)
    star = "*" if metric.timed and row.in_competition and median is not None else ""
    if median is None or summary is None or not metric.ranged or summary.low == summary.high:
        return metric.text(median) + star
    return f"{metric.text(median)} [{metric.text(summary.low)}–{metric.text(summary.high)}]{star}"


def _columns() -> tuple[Column, ...]:
    """Returns the columns: rank and name, the metrics that have a head with the error of the test set after the error, and what
    must be known.
    """
    metrics = {
        name: Column(
            metric.head, _skill if name == "skill" else partial(text_of, name=name), narrow=metric.narrow
        )
        for name, metric in METRICS.items()
        if metric.head
    }
    return (
        Column("rank", rank),
        Column("solver", lambda row: row.label, is_number=False),
        metrics.pop("relative_l2"),
        Column("test set ±", test_set),
        *metrics.values(),
        Column("replicates", lambda row: f"{row.n_ok}/{row.n}"),
        Column("note", lambda row: row.note, is_number=False),
    )


COLUMNS = _columns()
_SHOWN = (
    "Relative L2 error on a fixed test set at the end of training: median and range over the replicates; a failed one counts as an "
    'infinite error. "test set ±" is the relative standard error of that number that comes of measuring at so many points; '
    "≈ marks an estimate, 1/√points, for records that do not have it. "
    f"Skill is 1 − error / error of the best constant, with its {COVERAGE:.0%} interval. "
)
_BY_ERROR = (
    f"A row is ranked if it has {MIN_REPLICATES} replicates or more, none failed or cut off before its schedule ended, and the "
    "interval of its skill is above 0. Rank k means that k − 1 ranked rows have a smaller error beyond the resolution: the "
    "interval of the paired differences and the error of the test set. "
)
_TIES = (
    "Rows that cannot be told apart share a rank; in brackets are the ranks that a row may have. Null predictors need no training: "
    "oracles use the solution and are references, baselines do not and are ranked. A star marks times beside other work, which are "
    "no comparison. Peak memory is the accelerator's; on a CPU it "
    "is the whole process's, some 350 MB of it the interpreter's and JAX's own. Cells of different problem, protocol or machine "
    "are never ranked together."
)


def explanation(by: str = BY_ERROR) -> str:
    """Returns what the tables of a leaderboard mean whose rows are ranked by a metric."""
    return _SHOWN + (_BY_ERROR if by == BY_ERROR else _ranked_by(by)) + _TIES


def _ranked_by(by: str) -> str:
    metric = METRICS[by]
    alone = " and no other work was seen beside it" if metric.timed else ""
    return (
        f"Here rows are ranked by their {metric.title}, and need no skill: a row is ranked if it has {MIN_REPLICATES} replicates "
        f"or more, none failed{alone}. Rank k means that k − 1 ranked rows are better by the interval of the paired differences. "
    )


def title(group: Group) -> str:
    """Returns the title of a group: its problem, dimension and, unless it is 0 alone, the instances."""
    return f"{group.problem}, d = {group.dim:,}{instances(group)}"


def described(protocol: Protocol) -> str:
    """Describes a protocol in one line, with its training budget in seconds, under which slow solvers do not take all steps."""
    return (
        f"protocol {protocol.name}: {protocol.budget}, batch {protocol.batch:,}, "
        f"{protocol.test_size:,} test points, {protocol.dtype} ({protocol.comparable[:8]})"
    )


def caption(group: Group) -> str:
    """Returns the caption of a group: protocol, machine, problem fingerprints, what a replicate is, what ranks if that is not the
    error, and what to beware of.
    """
    parts = [described(group.protocol), group.machine, fingerprints(group, 8), repetition(group)]
    parts += [f"ranked by {METRICS[group.ranked_by].title}"] if group.ranked_by != BY_ERROR else []
    warnings = {Reference.ZERO: EXACT_CONSTANT, Reference.NONE: EXACT_ANSATZ}
    parts += [warnings[group.reference]] if group.reference in warnings else []
    return " · ".join(parts + ([DEGENERATE] if group.degenerate else []))


def fingerprints(group: Group, digits: int) -> str:
    """Names the instances of a group by that many digits of their fingerprints."""
    if not group.fingerprints:
        return "problem could not be made"
    known = dict.fromkeys(fingerprint[:digits] for fingerprint in group.fingerprints)
    return f"problem{'s' if len(known) > 1 else ''} {', '.join(known)}"


def repetition(group: Group) -> str:
    """Says what a replicate of a group is."""
    if len(set(group.fingerprints)) > 1:
        return "replicates: instance k with training seed k"
    if len(group.instances) > 1:
        return "replicates: training seeds, the problem being the same for every instance seed"
    return "replicates: training seeds on one instance, of which alone the intervals speak"


EXACT_CONSTANT = "a constant is exact here: skill and ranks are against the zero network"
EXACT_ANSATZ = "the ansatz with a zero network is exact here: nothing is ranked"
DEGENERATE = "degenerate: an affine function is within 1 % of the solution"


def beside_cells(cells: Iterable[Comparison]) -> list[dict[str, str]]:
    """Returns the comparisons as rows of text by column heads."""
    return [
        {
            "paper": f"{cell.published.paper}, table {cell.published.table}",
            "the paper's row": cell.published.row,
            "problem": cell.published.problem or "–",
            "d": f"{cell.published.dim:,}",
            "our row": cell.published.title if cell.published.solver else "–",
            "metric": f"{cell.published.metric} [{cell.published.unit}]",
            "printed": cell.published.value,
            "ours": "–" if cell.ours is None else _beside_number(cell),
            "ours / printed": "–" if cell.ratio is None else f"{cell.ratio:.4g} ×",
            "status": cell.status,
            "on": f"{cell.published.hardware or 'unknown'} | {cell.where or '–'}",
            "note": "" if cell.published.note in cell.status else cell.published.note,
        }
        for cell in cells
    ]


def _beside_number(cell: Comparison) -> str:
    """Writes our number: with as many digits as papers print where it is a value of the solution."""
    return f"{cell.ours:.7g}" if cell.published.metric == VALUE else number(cell.ours)


BESIDE = (
    "Every number that the papers print, beside the same row here, with the hyperparameters as registered or as named: measured, "
    "owed, or without a counterpart. A ratio stands only where both numbers are of one kind; speed and memory were printed for an "
    "accelerator, and are not set against a process on a CPU. Nothing here is ranked: machines, instances and networks differ."
)


def terminal(board: Leaderboard, cells: list[Comparison]) -> list[RenderableType]:
    """Returns one rich table for each group and one for `cells`. Entries are Text, so that no name can be read as markup."""
    from rich.text import Text

    rendered: list[RenderableType] = [_terminal_table(group) for group in board.groups]
    if cells:
        rendered.append(_terminal_cells(beside_cells(cells)))
    return [*rendered, Text(f"{explanation(board.ranked_by)}\n{_footer(board)}", style="bright_black")]


def _terminal_table(group: Group) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title(group)), caption=Text(caption(group)), title_justify="left")
    shown = [column for column in COLUMNS if column.narrow]
    for column in shown:
        table.add_column(column.head, justify="right" if column.is_number else "left", overflow="fold")
    for row in group.rows:
        style = (
            "bright_black"
            if row.kind is Kind.ORACLE
            else "bold"
            if row.rank == 1
            else COLOURS[row.status] * (not row.n_ok)
        )
        table.add_row(*(Text(column.text(row)) for column in shown), style=style)
    return table


def _terminal_cells(cells: list[dict[str, str]]) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text("Beside the papers (not ranked: other machines)"), title_justify="left")
    for head in cells[0]:
        table.add_column(head, overflow="fold")
    for cell in cells:
        table.add_row(*map(Text, cell.values()))
    return table


def markdown(board: Leaderboard, cells: list[Comparison]) -> str:
    """Returns the leaderboard in GitHub's Markdown, escaped so that no name or reason ends its cell or becomes HTML."""
    parts = ["# Leaderboard", explanation(board.ranked_by)]
    for group in board.groups:
        rows = [{column.head: column.text(row) for column in COLUMNS} for row in group.rows]
        parts += [f"## {markdown_text(title(group))}", markdown_text(caption(group)), markdown_table(rows)]
    if cells:
        parts += ["## Beside the papers", BESIDE, markdown_table(beside_cells(cells))]
    return "\n\n".join([*parts, _footer(board)]) + "\n"


def markdown_table(rows: list[dict[str, str]]) -> str:
    """Returns rows of text by heads as a table in GitHub's Markdown, escaped. All rows have the heads of the first."""
    heads = list(rows[0])
    lines = [heads, ["---"] * len(heads), *([markdown_text(text) for text in row.values()] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def markdown_text(text: str) -> str:
    """Returns text in one line, so that nothing of it is read as Markdown or HTML."""
    entities = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_|\[\]#])", r"\\\1", " ".join(entities.split()))


_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "–": "--",
    "×": r"$\times$",
    "−": "$-$",
    "·": r"$\cdot$",
}


def latex(board: Leaderboard, cells: list[Comparison]) -> str:
    """Returns one LaTeX table, in the style of booktabs, for each group and one for `cells`."""
    tables = []
    for group in board.groups:
        rows = [{column.head: column.text(row) for column in COLUMNS} for row in group.rows]
        tables.append(_latex_table(rows, f"{title(group)}. {caption(group)}"))
    if cells:
        tables.append(_latex_table(beside_cells(cells), "Beside the papers"))
    return "% needs \\usepackage{booktabs}\n" + "\n".join(tables) + f"% {_footer(board)}\n"


def _latex_table(rows: list[dict[str, str]], words: str) -> str:
    head, *body = [list(map(_latex_text, cells)) for cells in [list(rows[0]), *(r.values() for r in rows)]]
    lines = [" & ".join(cells) + r" \\" for cells in body]
    columns = "l" * len(head)
    begin = rf"\begin{{table}}\caption{{{_latex_text(words)}}}\begin{{tabular}}{{{columns}}}\toprule"
    middle = " & ".join(head) + r" \\ \midrule"
    return "\n".join([begin, middle, *lines, r"\bottomrule\end{tabular}\end{table}", ""])


def _latex_text(text: str) -> str:
    return "".join(_LATEX.get(mark, mark) for mark in " ".join(text.split()))


def frame(board: Leaderboard) -> pandas.DataFrame:
    """Returns a data frame with one line for each row of each group, and numbers that are not formatted."""
    import pandas

    return pandas.DataFrame([_flat(group, row) for group in board.groups for row in group.rows])


def comma_separated(board: Leaderboard) -> str:
    """Returns the leaderboard as CSV. A text that a spreadsheet would take for a formula gets an apostrophe before it."""
    return frame(board).map(_no_formula).to_csv(index=False)


def _no_formula(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t" and value else value


_NOTHING = Summary(math.nan, math.nan, math.nan, 0)


def _flat(group: Group, row: Row) -> dict[str, Any]:
    low, high = row.ranks or (None, None)
    skill_low, skill_high = row.skill_interval or (None, None)
    precision = row.test_set_error
    flat: dict[str, Any] = {
        "problem": group.problem,
        "dim": group.dim,
        "instance": " ".join(map(str, group.instances)),
        "fingerprint": " ".join(dict.fromkeys(group.fingerprints)) or None,
        "degenerate": group.degenerate,
        "protocol": group.protocol.name,
        "protocol_fingerprint": group.protocol.comparable,
        "machine": group.machine,
        "solver": row.solver,
        "hyperparameters": row.hyperparameters,
        "kind": str(row.kind),
        "ranked_by": row.ranked_by,
        "rank": row.rank,
        "rank_low": low,
        "rank_high": high,
        "replicates": row.n,
        "replicates_ok": row.n_ok,
        "skill_against": str(row.reference),
        "skill_interval_low": finite(skill_low),
        "skill_interval_high": finite(skill_high),
        "test_set_error_used": precision and precision.relative,
        "test_set_error_is_measured": precision and precision.measured,
        "status": str(row.status),
        "note": row.note,
    }
    for name in METRICS:
        summary = row.metrics.get(name, _NOTHING)
        values = {"": summary.median, "_low": summary.low, "_high": summary.high}
        flat |= {f"{name}{end}": finite(value) for end, value in values.items()}
    return flat


def as_json(board: Leaderboard, cells: list[Comparison]) -> str:
    """Returns everything that the other formats show as JSON, with numbers that are not formatted."""
    rows = [_flat(group, row) for group in board.groups for row in group.rows]
    content = {"result_set": board.digest, "records": board.records, "rows": rows}
    return readable(content | ({"published": beside_cells(cells)} if cells else {}))


def _footer(board: Leaderboard) -> str:
    return f"{board.records:,} records, result set sha256:{board.digest}"
