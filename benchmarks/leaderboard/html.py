"""Renders the leaderboard as one HTML file, which loads nothing, can be read on a phone, and has a light and a dark style."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from benchmarks.leaderboard import figure
from benchmarks.leaderboard.markup import Html, tag
from benchmarks.leaderboard.overview import row_class
from benchmarks.leaderboard.published import Comparison
from benchmarks.leaderboard.ranking import BY_ERROR, Group, Leaderboard, Row
from benchmarks.leaderboard.tables import (
    BESIDE,
    COLUMNS,
    DEGENERATE,
    beside_cells,
    described,
    explanation,
    fingerprints,
    title,
)
from benchmarks.records.metrics import METRICS
from benchmarks.records.record import Environment, Status
from benchmarks.records.units import number

_CSP = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_CSS = """
:root { color-scheme: light dark; --ink: #1d2430; --paper: #ffffff; --soft: #f4f6f9; --faint: #8b95a5;
  --line: #dfe4ec; --accent: #2f6db5; --bad: #b3372f; --warn: #95690a; --bar: #cfe0f3; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ef; --paper: #14171c; --soft: #1d2229;
  --faint: #8c97a8; --line: #323a45; --accent: #7db4f0; --bad: #f0867d; --warn: #e0b453; --bar: #27435f; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.2rem clamp(.8rem, 3vw, 2.2rem) 4rem; max-width: 92rem; color: var(--ink);
  background: var(--paper); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.7rem; margin: .4rem 0; } h2 { font-size: 1.25rem; margin: 2.6rem 0 .4rem; }
h3 { font-size: 1rem; margin: 1.6rem 0 .2rem; } p { max-width: 62rem; margin: .4rem 0; }
.dim, .caption { color: var(--faint); } .caption { font-size: .85rem; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; margin: .5rem 0; border: 1px solid var(--line); border-radius: 8px; }
table { border-collapse: collapse; width: 100%; font-size: .87rem; }
th { text-align: right; font-weight: 600; background: var(--soft); white-space: nowrap; }
th, td { padding: .36rem .55rem; border-bottom: 1px solid var(--line); vertical-align: top; }
tbody tr:last-child td { border-bottom: 0; }
td { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.text, th.text { text-align: left; } td.note { white-space: normal; min-width: 12rem; color: var(--faint); }
td.text.name { font-weight: 500; position: sticky; left: 0; background: var(--paper); }
tr.first td.name, tr.first td:first-child { color: var(--accent); font-weight: 700; }
tr.null td, tr.null td.name { color: var(--faint); font-weight: 400; font-style: italic; }
tr.failed td.note { color: var(--bad); }
.flag { display: inline-block; padding: 0 .5em; border: 1px solid currentColor; border-radius: 1em;
  color: var(--warn); font-size: .78rem; font-weight: 500; vertical-align: middle; }
td.skill { background: linear-gradient(var(--bar), var(--bar)) no-repeat right;
  background-size: calc(var(--part) * 100%) 100%; }
figure { margin: .6rem 0; overflow-x: auto; } figure svg { min-width: 680px; width: 100%; height: auto; }
nav { columns: 16rem; margin: .8rem 0; } nav a { display: block; } a { color: var(--accent); }
footer { margin-top: 3rem; border-top: 1px solid var(--line); padding-top: .8rem; font-size: .85rem;
  color: var(--faint); }
code { overflow-wrap: anywhere; }
"""


def html(board: Leaderboard, cells: Sequence[Comparison] = ()) -> str:
    """Returns the page of a leaderboard, with the papers' numbers beside ours in `cells`, if any."""
    sets = figure.comparable(board.groups)
    names = figure.series_names(board.groups)
    body = [
        tag("h1", "pdezoo leaderboard"),
        tag("p", explanation(board.ranked_by)),
        tag("h2", "At a glance"),
        _glance(sets, board.ranked_by),
        *(_section(index, groups, names) for index, groups in enumerate(sets)),
    ]
    if cells:
        body += [tag("h2", "Beside the papers"), tag("p", BESIDE), _beside(cells)]
    return _document("pdezoo leaderboard", [*body, _footer(board)])


def _document(heading: str, body: Iterable[str]) -> str:
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_CSP)}">'
        f"<title>{escape(heading)}</title><style>{_CSS}</style>"
    )
    lines = "\n".join(body)
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n{lines}\n</body></html>\n'


def _glance(sets: Sequence[Sequence[Group]], by: str) -> Html:
    heads = [
        "problem",
        "d",
        "best error" if by == BY_ERROR else f"best {METRICS[by].title}",
        "by",
        "constant / affine null",
        "fastest ranked",
        "machine, protocol",
    ]
    rows = [_glance_row(index, group) for index, groups in enumerate(sets) for group in groups]
    return _table([tag("th", head, class_="text") for head in heads], rows)


def _glance_row(index: int, group: Group) -> Html:
    best = group.best
    ranked = [row for row in group.rows if row.rank is not None and row.median("steps_per_second")]
    alone = [row for row in ranked if not row.in_competition]
    fastest = max(alone, key=lambda row: row.median("steps_per_second") or 0.0, default=None)
    rate = METRICS["steps_per_second"]
    speed = (
        f"{fastest.label}, {rate.text(fastest.median('steps_per_second'))} {rate.head}" if fastest else "–"
    )
    nulls = " / ".join(number(group.nulls[n]) if n in group.nulls else "–" for n in ("constant", "affine"))
    link = tag("a", group.problem, href=f"#set-{index}")
    texts = [
        tag("td", link, *_flags(group), class_="text name"),
        tag("td", f"{group.dim:,}"),
        tag(
            "td", METRICS[group.ranked_by].text(best.median(group.ranked_by)) if best else "no row is ranked"
        ),
        tag("td", _winners(group), class_="text"),
        tag("td", nulls),
        tag("td", speed, class_="text"),
        tag("td", f"{group.machine}, {group.protocol.name}", class_="text"),
    ]
    return tag("tr", *texts)


def _winners(group: Group) -> str:
    """Returns the rows of rank 1, which are several where they cannot be told apart."""
    named = [f"{row.label} ({row.note})" if row.note else row.label for row in group.leaders]
    return " = ".join(named) or "–"


def _flags(group: Group) -> list[str]:
    return [Html(" "), tag("span", "degenerate", class_="flag", title=DEGENERATE)] if group.degenerate else []


def _section(index: int, groups: Sequence[Group], names: Sequence[str]) -> Html:
    first = groups[0]
    words = f"{first.machine} · {described(first.protocol)}"
    drawing = tag("figure", Html(figure.svg(groups, names)))
    tables = [part for group in groups for part in _group(group)]
    name = first.problem + figure.instances(first)
    return tag(
        "section", tag("h2", name), tag("p", words, class_="caption"), drawing, *tables, id=f"set-{index}"
    )


def _group(group: Group) -> list[Html]:
    heads = [tag("th", column.head, class_="" if column.is_number else "text") for column in COLUMNS]
    identity = f"{fingerprints(group, 64)} · {_software(group.environments)}"
    return [
        tag("h3", title(group), *_flags(group)),
        _table(heads, [_row(row) for row in group.rows]),
        tag("p", identity, class_="caption"),
    ]


def _software(environments: Sequence[Environment]) -> str:
    seen = {
        f"jax {e.jax}, Python {e.python}, {e.os}, "
        + (
            f"commit {e.commit[:10]}{' with changes' if e.dirty else ''}"
            if e.commit
            else f"pdezoo {e.version}"
        )
        for e in environments
    }
    return "; ".join(sorted(seen))


def _row(row: Row) -> Html:
    return tag("tr", *(_cell(row, index) for index in range(len(COLUMNS))), class_=row_class(row))


def _cell(row: Row, index: int) -> Html:
    column = COLUMNS[index]
    text = column.text(row)
    if column.head == "solver":
        return tag("td", text, class_="text name", title=row.hyperparameters)
    if column.head == "note":
        tried = "" if row.status is Status.OK else row.status.message
        return tag("td", text, class_="text note", title=tried)
    if column.head == "skill" and row.skill is not None and 0 < row.skill <= 1:
        return tag("td", text, class_="skill", style=f"--part:{row.skill:.3f}")
    return tag("td", text)


def _beside(cells: Sequence[Comparison]) -> Html:
    texts = beside_cells(cells)
    heads = [tag("th", head, class_="text") for head in texts[0]]
    return _table(heads, [tag("tr", *(tag("td", t, class_="text") for t in c.values())) for c in texts])


def _table(heads: Iterable[str], rows: Iterable[str]) -> Html:
    table = tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *rows))
    return tag("div", table, class_="scroll", tabindex="0")


def _footer(board: Leaderboard) -> Html:
    words = f"{board.records:,} records. Result set sha256:"
    return tag("footer", words, tag("code", board.digest))
