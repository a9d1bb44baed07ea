"""`pdezoo cite`: BibTeX for a row, and the hash that names a result set."""

from __future__ import annotations

import importlib.metadata
import re
from importlib.resources import files
from pathlib import Path

from benchmarks.errors import UserError
from benchmarks.inspecting import print_json
from benchmarks.leaderboard import leaderboard
from benchmarks.library import names
from benchmarks.parsing import require_known
from benchmarks.record import Record
from benchmarks.store import Store

TABLE = "table"
_ENTRY = re.compile(r"^@\w+\{[^@]*^\}$", re.MULTILINE)
_ROWS = re.compile(r"^  keywords = \{([^}]*)\},?$", re.MULTILINE)


def cite(name: str, root: Path, as_json: bool) -> None:
    """Print the entries of a problem, a solver or the whole table, with the hash of the result set."""
    pdes, solvers = names()
    families = {pde.partition("/")[0] for pde in pdes}
    if name != TABLE:
        require_known("problem, solver or 'table'", name, [TABLE, *sorted(families), *pdes, *solvers])
    records = _records(root)
    wanted = _used(records) if name == TABLE else {name.partition("/")[0]}
    chosen = [r for r in records if name == TABLE or wanted & _used([r])]
    digest = leaderboard(chosen).digest if chosen else None
    entries = [_suite(digest), *_papers(wanted)]
    if as_json:
        print_json({"bibtex": entries, "result_set": digest, "records": len(chosen)})
    else:
        print("\n\n".join(entries))


def titles(name: str) -> list[str]:
    """Title and year of the papers filed under a row or a family."""
    found = [
        dict(re.findall(r"^  (title|year) = \{(.*)\},$", entry, re.MULTILINE)) for entry in _papers({name})
    ]
    return [f"{re.sub('[{}]', '', fields['title'])} ({fields['year']})" for fields in found]


def _records(root: Path) -> list[Record]:
    return list(Store.reading(root).read().records.values()) if root.is_dir() else []


def _used(records: list[Record]) -> set[str]:
    families = {record.cell.problem.name.partition("/")[0] for record in records}
    return families | {record.cell.solver.name for record in records}


def _suite(digest: str | None) -> str:
    try:
        version = importlib.metadata.version("pdezoo")
    except importlib.metadata.PackageNotFoundError:
        version = "development version"
    note = f"  note = {{Result set sha256:{digest}}},\n" if digest else ""
    return (
        "@software{pdezoo,\n"
        "  author = {{The pdezoo authors}},\n"
        "  title = {{pdezoo: PDEs with exact solutions crossed with solvers}},\n"
        f"  version = {{{version}}},\n{note}}}"
    )


def _papers(wanted: set[str]) -> list[str]:
    """The entries of the bibliography whose keywords name one of the families or solvers."""
    text = (files("benchmarks") / "references.bib").read_text(encoding="utf-8")
    return [entry for entry in _ENTRY.findall(text) if wanted & _keywords(entry)]


def _keywords(entry: str) -> set[str]:
    found = _ROWS.search(entry)
    if found is None:
        raise UserError(f"an entry of references.bib has no keywords: {entry[:60]!r}")
    return {word.strip() for word in found[1].split(",")}
