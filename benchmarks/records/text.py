"""Text that may go into a record and onto a terminal: without control sequences, and cut between words."""

from __future__ import annotations

import re

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that no text of a record has: control codes, marks that turn the direction of writing, lone surrogates."""

_ANSI = re.compile(r"\x1b(\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?)")
_SPACE = re.compile(r"\s")
_NEAR = 30  # characters that may be given up to end at a word; names and digests are longer, and are cut


def clip(text: str, limit: int, *, end: bool = False) -> str:
    """At most `limit` characters of `text`, without control sequences: its beginning, or its end.

    What is left out is marked by "…". The cut is between two words where a space is near, so that no word is cut short
    and taken for another.
    """
    lines = _ANSI.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    clean = CONTROL.sub("\N{REPLACEMENT CHARACTER}", lines)
    if len(clean) <= limit:
        return clean
    if end:
        return "…" + _from_a_word(clean, limit - 1)
    return _from_a_word(clean[::-1], limit - 1)[::-1] + "…"


def _from_a_word(text: str, size: int) -> str:
    """The last `size` characters of `text`, or what begins with the first word among them if that is near."""
    start = len(text) - size
    if text[start - 1].isspace():
        return text[start:]
    space = _SPACE.search(text, start, start + min(_NEAR, size // 3))
    return text[space.end() :] if space else text[start:]


def first_line(text: str, limit: int) -> str:
    """The first line of `text`, clipped; "" of nothing."""
    return clip(next(iter(text.splitlines()), ""), limit)
