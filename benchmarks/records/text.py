"""Prepares text for records and terminals: removes control sequences, and shortens it between words."""

from __future__ import annotations

import re

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Matches what no text of a record may have: control codes, marks that turn the direction of writing, lone surrogates."""

_ANSI = re.compile(r"\x1b(\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?)")
_SPACE = re.compile(r"\s")
_NEAR = 30  # at most so many characters are given up to end at a word; within a longer word, such as a digest, the cut stays


def clip(text: str, limit: int, *, end: bool = False) -> str:
    """Returns at most `limit` characters of `text`, without control sequences: its beginning, or with `end` its end.

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
    """Returns the last `size` characters of `text`, without their first, cut word if that ends soon."""
    start = len(text) - size
    if text[start - 1].isspace():
        return text[start:]
    space = _SPACE.search(text, start, start + min(_NEAR, size // 3))
    return text[space.end() :] if space else text[start:]


def first_line(text: str, limit: int) -> str:
    """Returns the first line of `text`, at most `limit` characters of it; "" if there is none."""
    return clip(next(iter(text.splitlines()), ""), limit)
