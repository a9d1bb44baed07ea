"""The tables as Markdown files beside the records, so that they can be read where the repository is hosted."""

from __future__ import annotations

from benchmarks.leaderboard import tables
from benchmarks.leaderboard.overview import problems_table, rows_table, standings_table
from benchmarks.leaderboard.ranking import Group
from benchmarks.site.front import HEADLINE, LEAD, LEADERS, result_set
from benchmarks.site.sources import Sources

INDEX = "README.md"
FOLDER = "problems"
_MADE = "<!-- made by `pdezoo site --markdown`; `--check` says whether it is what the records say -->"


def files(sources: Sources) -> dict[str, str]:
    """Returns the texts of all files by their paths in the store: an index, and a file for every problem with records."""
    groups: dict[str, list[Group]] = {}
    for group in sources.board.groups:
        groups.setdefault(group.problem, []).append(group)
    return {INDEX: _index(sources)} | {_path(name): _problem(name, found) for name, found in groups.items()}


def _path(name: str) -> str:
    return f"{FOLDER}/{name.replace('/', '-')}.md"


def _index(sources: Sources) -> str:
    def link(name: str) -> str:
        return _path(name) if name in sources.headlines else ""

    problems = problems_table(sources.headlines, sources.problems, link, _none)
    leaders = standings_table(sources.standings, _none)
    parts = [
        "# Results",
        _MADE,
        LEAD,
        "## The best row of every problem",
        HEADLINE,
        problems.markdown,
        "## Who leads over the whole zoo",
        LEADERS,
        f"{leaders.caption}.",
        leaders.markdown,
        result_set(sources),
    ]
    return _text(parts)


def _problem(name: str, groups: list[Group]) -> str:
    parts = [f"# {name}", _MADE, f"[All problems](../{INDEX})", tables.explanation()]
    for group in groups:
        words = tables.markdown_text(tables.caption(group))
        parts += [f"## {tables.title(group)}", words, rows_table(group, "", _none).markdown]
    return _text(parts)


def _none(name: str) -> str:
    """No page of a solver is beside the records."""
    return ""


def _text(parts: list[str]) -> str:
    return "\n\n".join(parts) + "\n"
