"""A page of the site before it is HTML, and addresses: every link is relative, so that the site can be read from a folder."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from benchmarks.leaderboard.markup import Html, joined, tag

FRONT = "index.html"
PAPERS = "papers.html"
GALLERY = "gallery.html"
PROBLEMS = "problems/index.html"
SOLVERS = "solvers/index.html"
TRACKS = "tracks/index.html"
HISTORY = "history.html"


@dataclass(frozen=True)
class Page:
    """One page: its address in the site (it ends in .html), its title in the menu, and its text in Markdown.

    `files` are further files by their addresses, such as the pictures that it shows. A `wide` page has no menus at its sides,
    so that its tables have their room.
    """

    address: str
    title: str
    text: str
    files: dict[str, bytes] = field(default_factory=dict)
    wide: bool = False

    @property
    def source(self) -> str:
        """The path of the Markdown file that becomes the page."""
        return self.address.removesuffix(".html") + ".md"

    @property
    def markdown(self) -> str:
        """The content of that file."""
        return f"---\nhide: [navigation, toc]\n---\n\n{self.text}" if self.wide else self.text


def problem_address(name: str) -> str:
    """Returns the address of the page of a problem."""
    return f"problems/{name}.html"


def solver_address(name: str) -> str:
    """Returns the address of the page of a solver."""
    return f"solvers/{name}.html"


def address_of_track(name: str) -> str:
    """Returns the address of the page of a track."""
    return f"tracks/{name}.html"


def relative(target: str, page: str) -> str:
    """Returns the link to an address from a page."""
    return posixpath.relpath(target, posixpath.dirname(page) or ".")


def lines(*parts: str) -> str:
    """Returns the blocks of a page, one below the other. HTML is put on one line each, so that Markdown leaves it alone."""
    return "\n\n".join(block(part) if isinstance(part, Html) else part for part in parts if part) + "\n"


def block(html: str) -> Html:
    """Returns HTML as one block of a Markdown page, which reads it as it is: in one line, inside of an element."""
    inside = re.sub(r"\n\s*", " ", _PREFORMATTED.sub(lambda found: found[0].replace("\n", "&#10;"), html))
    return tag("div", Html(inside), class_="block")


_PREFORMATTED = re.compile(r"<pre\b.*?</pre>", re.DOTALL)


def prose(text: str) -> Html:
    """Returns a docstring as HTML: paragraphs, code between backticks, and indented lines as they are."""
    return joined(_paragraph(part) for part in text.strip("\n").split("\n\n"))


def _paragraph(text: str) -> Html:
    if text.startswith("    "):
        return tag("pre", "\n".join(line.removeprefix("    ") for line in text.split("\n")))
    return tag("p", inline_code(" ".join(text.split())))


def inline_code(text: str) -> Html:
    """Returns text with what stands between backticks as code."""
    parts = re.split(r"`([^`]+)`", text)
    return joined(tag("code", part) if k % 2 else part for k, part in enumerate(parts))


def definitions(pairs: Iterable[tuple[str, str]]) -> Html:
    """Returns a list of terms and what they are; those without are left out."""
    return tag("dl", *(joined([tag("dt", term), tag("dd", what)]) for term, what in pairs if what))


def bullets(items: Iterable[str]) -> Html:
    """Returns a list with a dot before each item."""
    return tag("ul", *(tag("li", item) for item in items))


def anchor(text: str, target: str, page: str) -> Html:
    """Returns a link from a page to an address."""
    return tag("a", text, href=relative(target, page))
