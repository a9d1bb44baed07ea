"""The guides: the Markdown pages of the repository, with their links turned to pages of the site."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.records.checkout import ROOT
from benchmarks.site.page import Page

INDEX = "guides/index.html"
_TOP = {"README.md": "readme", "CONTRIBUTING.md": "contributing"}
_LINK = re.compile(r"(?P<shown>!?\[(?:[^\[\]]|\[[^\]]*\])*\])\((?P<target>[^)\s]+)\)")
_FENCE = re.compile(r"^ {0,3}(```|~~~)")
_ITEM = re.compile(r"^ {0,3}([-*+]|\d+\.) ")


def pages(root: Path = ROOT) -> list[Page]:
    """Returns the guides, their index first; none where pdezoo is installed without them."""
    addresses = _addresses(root)
    made = [_page(path, address, addresses, root) for path, address in addresses.items()]
    pictures = {f"guides/img/{p.name}": p.read_bytes() for p in sorted((root / "docs" / "img").glob("*.png"))}
    ordered = sorted(made, key=lambda page: (page.address != INDEX, page.title.lower()))
    if ordered:
        ordered[0].files.update(pictures)
    return ordered


def _addresses(root: Path) -> dict[str, str]:
    """Maps the path of every guide in the repository to its address in the site."""
    docs = {f"docs/{p.name}": f"guides/{p.stem}.html" for p in sorted((root / "docs").glob("*.md"))}
    top = {name: f"guides/{stem}.html" for name, stem in _TOP.items() if docs and (root / name).is_file()}
    return docs | top


def _page(path: str, address: str, addresses: Mapping[str, str], root: Path) -> Page:
    text = (root / path).read_text(encoding="utf-8")
    heading = re.search(r"^# (.+)$", text, re.MULTILINE)
    title = "All guides" if address == INDEX else heading[1].replace("`", "") if heading else address
    shown = re.sub(r"^# pdezoo$", "# Guides", text, count=1, flags=re.M) if address == INDEX else text
    return Page(address, title, "\n".join(_for_markdown(_linked(shown, path, addresses))))


def _linked(text: str, path: str, addresses: Mapping[str, str]) -> str:
    """Turns links to guides into links between pages; a link to any other file of the repository becomes its text."""

    def link(found: re.Match[str]) -> str:
        target, _, place = found["target"].partition("#")
        if "://" in target or not target:
            return found[0]
        file = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
        if file.startswith("docs/img/"):
            return f"{found['shown']}(img/{posixpath.basename(file)})"
        if file not in addresses:
            return found["shown"][1:-1]
        page = posixpath.basename(addresses[file]).replace(".html", ".md")
        return f"{found['shown']}({page}{'#' + place if place else ''})"

    return _LINK.sub(link, text)


def _for_markdown(text: str) -> Iterator[str]:
    """Yields the lines with an empty one before a list that follows its paragraph at once, which Python-Markdown asks for."""
    fenced, before = False, ""
    for line in text.split("\n"):
        fenced ^= bool(_FENCE.match(line))
        begins = (
            _ITEM.match(line) and before.strip() and not _ITEM.match(before) and not before.startswith(" ")
        )
        if begins and not fenced:
            yield ""
        yield line
        before = line
