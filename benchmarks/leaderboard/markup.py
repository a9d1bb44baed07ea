"""Writes HTML: elements with everything escaped that is not HTML already, and tables that a screen reader can announce."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

_EMPTY = frozenset({"img", "meta", "link"})  # elements that have no end


class Html(str):
    """Text that is HTML already, and is not escaped again."""


def tag(name: str, *children: str, **attributes: str) -> Html:
    """Returns an element. Children that are not HTML already are escaped, and so are attributes; empty attributes are left out.

    An attribute is called as in HTML, with "_" for "-", and at the end of a word that is Python's: `class_`, `aria_label`.
    """
    inside = "".join(child if isinstance(child, Html) else escape(child) for child in children)
    outside = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for key, value in attributes.items()
        if value
    )
    return Html(f"<{name}{outside}>" if name in _EMPTY else f"<{name}{outside}>{inside}</{name}>")


def joined(parts: Iterable[str], between: str = "") -> Html:
    """Returns the parts one after the other, each escaped unless it is HTML already, as is what stands `between` them."""
    safe = [part if isinstance(part, Html) else escape(part) for part in parts]
    return Html((between if isinstance(between, Html) else escape(between)).join(safe))


@dataclass(frozen=True)
class Cell:
    """A cell of a table: its text, where it links to, by what it is sorted, its class and a longer text for a pointer.

    `order` is a number; None sorts the cell behind all others of a column of numbers, and by its text in any other.
    """

    text: str
    link: str = ""
    order: float | None = None
    class_: str = ""
    title: str = ""

    @property
    def content(self) -> str:
        """The text, as a link where there is one."""
        return tag("a", self.text, href=self.link) if self.link else self.text


def table(
    caption: str,
    heads: Sequence[str],
    rows: Iterable[Sequence[Cell]],
    *,
    numeric: Iterable[str] = (),
    name: int = 0,
    classes: Iterable[str] = (),
) -> Html:
    """Returns a table with a caption, in a box of its own that scrolls.

    The heads named by `numeric` stand above numbers, and the cells of the column `name` are the heads of their rows.
    `classes` has a class for each row, for those that have one.
    """
    numbers = set(numeric)
    kinds = ["number" if head in numbers else "text" for head in heads]
    marks = [*classes]
    top = [tag("th", head, scope="col", class_=kind) for head, kind in zip(heads, kinds, strict=True)]
    body = [
        tag(
            "tr",
            *(_cell(cell, kind, k == name) for k, (cell, kind) in enumerate(zip(row, kinds, strict=True))),
            class_=marks[line] if marks else "",
        )
        for line, row in enumerate(rows)
    ]
    inside = tag(
        "table", tag("caption", caption), tag("thead", tag("tr", *top)), tag("tbody", *body), class_="data"
    )
    return tag("div", inside, class_="scroll", tabindex="0", role="region", aria_label=caption)


def _cell(cell: Cell, kind: str, is_name: bool) -> Html:
    order = "" if cell.order is None else f"{cell.order:.17g}"
    classes = f"{kind} {cell.class_}".strip()
    known = {"class_": classes, "data_order": order, "title": cell.title}
    return tag("th", cell.content, scope="row", **known) if is_name else tag("td", cell.content, **known)
