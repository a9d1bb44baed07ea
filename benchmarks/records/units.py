"""Units, and numbers in them as people read them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass


def number(value: float | None) -> str:
    """Three digits, and no more than are needed; a dash for nothing, "failed" for an infinite error."""
    if value is None:
        return "–"
    return f"{value:.3g}" if math.isfinite(value) else "failed"


def seconds(value: float | None) -> str:
    """A duration: "8 s", "3 min", "2.5 h"."""
    if value is None:
        return "?"
    if value < 100:
        return f"{value:.3g} s"
    return f"{value / 60:.0f} min" if value < 6_000 else f"{value / 3600:.1f} h"


def size(value: float | None) -> str:
    """Bytes in decimal units: "57 MB"."""
    if value is None:
        return "?"
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} GB"


def signed(value: float | None) -> str:
    """A skill: three decimals are enough, and a disaster needs none. What rounds to zero has no sign."""
    if value is None:
        return "–"
    if abs(value) < 10:
        return f"{round(value, 3) + 0.0:.3f}"
    return f"{value:.0f}" if abs(value) < 1e5 else f"{value:.0e}"


def rate(value: float) -> str:
    """Steps per second: whole numbers from 100 on."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


@dataclass(frozen=True, kw_only=True)
class Unit:
    """What a number counts, and how it is written.

    `text` is for tables. Axes of figures, and the papers' tables, show the number times `scale`, in `symbol`. Numbers of a
    `whole` unit are stored as integers.
    """

    text: Callable[[float], str]
    symbol: str = ""
    scale: float = 1.0
    whole: bool = False


RATIO = Unit(text=number)
SKILL = Unit(text=signed)
SECONDS = Unit(text=seconds, symbol="s")
BYTES = Unit(text=size, symbol="MB", scale=1e-6, whole=True)
STEPS_PER_SECOND = Unit(text=rate)
STEPS = Unit(text="{:,.0f}".format, whole=True)
EVALUATIONS = Unit(text="{:,.0f}".format)
