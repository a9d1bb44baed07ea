"""The bibliography: looks up the papers behind a problem or a solver and prints them as BibTeX."""

from __future__ import annotations

import importlib.metadata
import re
import unicodedata
from importlib.resources import files

from benchmarks.records.errors import UserError

_ENTRY = re.compile(r"^@\w+\{[^@]*^\}$", re.MULTILINE)
_ROWS = re.compile(r"^  keywords = \{([^}]*)\},?$", re.MULTILINE)


def titles(name: str) -> list[str]:
    """Returns the titles and years of the papers about a solver or a family of problems."""
    return [f"{paper['title']} ({paper['year']})" for paper in map(_fields, entries({name}))]


def citations(name: str) -> list[str]:
    """Returns the papers about a solver or a family of problems, each in one line as a list of references has them."""
    return [_in_words(paper) for paper in map(_fields, entries({name}))]


def _in_words(paper: dict[str, str]) -> str:
    where = paper.get("journal") or paper.get("booktitle", "")
    eprint = f"arXiv:{paper['eprint']}" if "eprint" in paper else ""
    dated = ", ".join(filter(None, (where, paper["year"])))
    parts = (paper["author"].replace(" and ", "; "), paper["title"], dated, eprint)
    return ". ".join(filter(None, parts)) + "."


def _fields(entry: str) -> dict[str, str]:
    """Returns the fields of a BibTeX entry as plain text."""
    return {key: _plain(value) for key, value in re.findall(r"^  (\w+) = \{(.*)\},$", entry, re.MULTILINE)}


def _plain(value: str) -> str:
    acute = re.sub(r"\\'(\w)", lambda found: unicodedata.normalize("NFC", f"{found[1]}\u0301"), value)
    return re.sub("[{}]", "", acute)


def version() -> str:
    """Returns the installed version of this suite."""
    try:
        return importlib.metadata.version("pdezoo")
    except importlib.metadata.PackageNotFoundError:
        return "development version"


def suite_entry(digest: str | None, commit: str | None = None, track: str | None = None) -> str:
    """Returns the BibTeX entry of this suite at its installed version.

    It names the commit of the checkout, the track, and the digest of a result set, as far as they are given.
    """
    about = {"Commit ": commit, "Track ": track, "Result set sha256:": digest}
    told = "; ".join(f"{what}{value}" for what, value in about.items() if value)
    note = f"  note = {{{told}}},\n" if told else ""
    return (
        "@software{pdezoo,\n"
        "  author = {{The pdezoo authors}},\n"
        "  title = {{pdezoo: PDEs with exact solutions crossed with solvers}},\n"
        f"  version = {{{version()}}},\n{note}}}"
    )


def entries(wanted: set[str]) -> list[str]:
    """Returns the BibTeX entries of which a keyword is among `wanted`, the names of families and solvers.

    Raises UserError if an entry of the bibliography has no keywords.
    """
    text = (files("benchmarks") / "references.bib").read_text(encoding="utf-8")
    return [entry for entry in _ENTRY.findall(text) if wanted & _keywords(entry)]


def _keywords(entry: str) -> set[str]:
    keywords = _ROWS.search(entry)
    if keywords is None:
        raise UserError(f"an entry of references.bib has no keywords: {entry[:60]!r}")
    return {word.strip() for word in keywords[1].split(",")}
