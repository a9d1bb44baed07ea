"""The pages of problems: what the problem is, how it was proven, and every row that was measured on it."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.leaderboard import curves, figure, tables
from benchmarks.leaderboard.bibliography import citations
from benchmarks.leaderboard.markup import Cell, Html, joined, tag
from benchmarks.leaderboard.overview import Table, problems_table, rows_table
from benchmarks.leaderboard.ranking import Group
from benchmarks.records.record import Record
from benchmarks.records.units import number
from benchmarks.site.formulas import LONG, LONGEST, mathml
from benchmarks.site.page import (
    PROBLEMS,
    Page,
    anchor,
    bullets,
    definitions,
    inline_code,
    lines,
    problem_address,
    prose,
)
from benchmarks.site.sources import Sources
from benchmarks.site.usual import USUAL, at_its_usual

_FORMULAS = ("equation", "ansatz", "solution", "source")
_LINES = len(figure.COLOURS)


def pages(sources: Sources) -> Iterator[Page]:
    """Yields the page that lists all problems, and the page of each."""
    yield _index(sources)
    for name in sources.problems:
        yield problem_page(name, sources)


def _index(sources: Sources) -> Page:
    table = problems_table(
        sources.headlines, sources.problems, sources.problem_link(PROBLEMS), sources.solver_link(PROBLEMS)
    )
    known = sources.families
    families = sorted({name.partition("/")[0] for name in sources.problems} & known.keys())
    parts = [
        "# Problems",
        tag("p", "Every problem, with the best row of its headline table; its page has all tables."),
        table.html,
        "## Families",
        definitions((family, inline_code(known[family])) for family in families),
    ]
    return Page(PROBLEMS, "All problems", lines(*parts))


def problem_page(name: str, sources: Sources) -> Page:
    """Returns the page of a problem. One that has records and is no longer registered has its tables alone."""
    address = problem_address(name)
    groups = [group for group in sources.board.groups if group.problem == name]
    what = _described(name, sources, address) if name in sources.registered else [tag("p", GONE)]
    parts = [f"# {name}", *what, "## Measured", *_measured(name, groups, sources, address)]
    return Page(address, name, lines(*parts))


GONE = "This problem has records, and is registered no longer."
OWED = "Nothing is measured here yet: every row is owed."


def _described(name: str, sources: Sources, address: str) -> list[str]:
    import pdezoo

    pde = at_its_usual(name)
    latex = pdezoo.describe(pde, latex=True)
    family = name.partition("/")[0]
    formulas = {key: _formula(latex[key], name) for key in _FORMULAS if key in latex}
    if pde.exact is None:
        formulas["solution"] = tag("p", latex["solution"])  # a sentence
    words = (
        pdezoo.describe(pde) if pde.conditions else latex
    )  # conditions are sentences with formulas in them
    plain = {key: value for key, value in words.items() if key not in _FORMULAS}
    about = {
        "dimension": f"{pde.dim:,}" if pde.dim != USUAL else f"any; shown at d = {USUAL}",
        **plain,
        "baselines": ", ".join(pde.baseline_names),
        "fingerprint": tag("code", pde.fingerprint),
    }
    caveat = [tag("p", tag("strong", "Beware. "), pde.caveat, class_="caveat")] if pde.caveat else []
    return [
        prose(sources.families[family]),
        *caveat,
        "## Equation and solution",
        definitions((key, formula) for key, formula in formulas.items()),
        definitions(about.items()),
        "## Proof and audit",
        _proof(name, pde.fingerprint, sources),
        *_sources_of(family),
    ]


def _formula(latex: str, name: str) -> Html:
    if len(latex) > LONGEST:
        words = f"a formula of {len(latex):,} characters, which `pdezoo show {name} --format latex` prints"
        return tag("p", inline_code(words))
    if len(latex) > LONG:
        return tag("details", tag("summary", f"a formula of {len(latex):,} characters"), mathml(latex))
    return mathml(latex)


def _sources_of(family: str) -> list[str]:
    papers = citations(family)
    return ["## Sources", bullets(papers)] if papers else []


def _proof(name: str, fingerprint: str, sources: Sources) -> Html:
    """Returns the checks and the audit that are kept, if they are of the problem as it is now; else how to make them."""
    report = sources.proofs.get(name)
    if report is None or report["fingerprint"] != fingerprint:
        return tag("p", inline_code(f"No proof of it is kept here: `pdezoo verify {name}` makes one."))
    rows = tuple(
        (
            Cell(check["name"]),
            Cell("holds" if check["ok"] else "does not hold", class_="" if check["ok"] else "bad"),
            Cell(number(check["value"]), order=check["value"]),
            Cell(check["method"]),
            Cell(check["expected"]),
            Cell(check["detail"]),
        )
        for check in report["checks"]
    )
    heads = ("check", "outcome", "deviation", "how", "what is expected", "remark")
    checks = Table(f"Checks of pdezoo verify {name}", heads, rows, frozenset({"deviation"}))
    audit = report["audit"]
    nulls = ", ".join(f"{null} {number(error)}" for null, error in audit["null_errors"].items())
    told = {
        "errors of null predictors": nulls,
        "degenerate": "yes: an affine function is within 1 %" if audit["degenerate"] else "no",
        "leak": "yes: the ansatz alone is the solution" if audit["leak"] else "no",
        "condition": audit.get("condition", ""),
    }
    return joined([checks.html, definitions(told.items())])


def _measured(name: str, groups: list[Group], sources: Sources, address: str) -> Iterator[str]:
    if not groups:
        yield tag("p", OWED)
        return
    headline = sources.headlines[name]
    yield from _table(headline, f"The headline table: d = {headline.dim:,}", sources, address)
    yield from _curves(headline, sources.records)
    measured = [group for group in groups if any(row.error is not None for row in group.rows)]
    for panel in figure.comparable(measured):
        if len(panel) > 1:
            yield f"### Against the dimension: {_briefly(panel[0])}"
            yield tag("p", tables.described(panel[0].protocol), class_="caption")
            label = f"Error, speed and memory on {name} against the dimension; the tables have the numbers"
            yield _drawing(figure.svg(panel, figure.series_names(panel), label))
    others = [group for group in groups if group is not headline]
    for group in others:
        yield from _table(group, f"d = {group.dim:,}: {_briefly(group)}", sources, address)


def _briefly(group: Group) -> str:
    """Tells a group from others of its problem and dimension, in few words."""
    used = group.protocol
    budget = used.budget if used.seconds is None else f"{used.seconds:g} s"
    return f"{budget}, {used.comparable[:8]}"


def _table(group: Group, heading: str, sources: Sources, address: str) -> Iterator[str]:
    yield f"### {heading}"
    yield tag("p", tables.caption(group), class_="caption")
    caption = f"{tables.title(group)}, {group.protocol.name} {group.protocol.comparable[:8]}"
    yield rows_table(group, caption, sources.solver_link(address)).html


def _curves(group: Group, records: tuple[Record, ...]) -> Iterator[str]:
    """Yields the errors of the best rows against their steps, and against time where the speed was measured alone."""
    rows = [row for row in group.rows if row.error is not None and not row.is_oracle]
    solvers = list(dict.fromkeys(row.solver for row in sorted(rows, key=lambda r: r.error or 0.0)))[:_LINES]
    same = [
        record
        for record in records
        if (record.cell.problem.name, record.cell.problem.dim) == (group.problem, group.dim)
        and (record.cell.protocol, record.environment.machine) == (group.protocol, group.machine)
    ]
    found = curves.curves(same, [group.problem], solvers)
    if found:
        yield _drawing(curves.svg(found, _ends(found, "steps")), narrow=True)
    timed = [curve for curve in found if curve.step_seconds is not None]
    if timed:
        yield _drawing(curves.svg(timed, _ends(timed, "seconds of training"), seconds=True), narrow=True)


def _ends(found: list[curves.Curve], along: str) -> str:
    """Says in words what curves show: the first and the last error of each."""
    ends = (f"{c.solver} from {number(c.errors[0])} to {number(c.errors[-1])}" for c in found)
    return f"Relative L2 error against {along} on {found[0].problem}: {'; '.join(ends)}"


def _drawing(svg: str, narrow: bool = False) -> Html:
    return tag("figure", Html(svg), class_="drawing narrow" if narrow else "drawing")


def other(name: str, page: str, sources: Sources) -> Html:
    """Returns the name of a problem, as a link from a page where it has a page of its own."""
    return anchor(name, problem_address(name), page) if name in sources.problems else tag("span", name)
