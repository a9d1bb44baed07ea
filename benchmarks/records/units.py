"""Defines units, and writes numbers in them as people read them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass


def number(value: float | None) -> str:
    """Writes a number with three significant digits at most; None as a dash, and an infinite error as "failed"."""
    if value is None:
        return "–"
    return f"{value:.3g}" if math.isfinite(value) else "failed"


def seconds(value: float | None) -> str:
    """Writes a duration in seconds as "8 s", "3 min" or "2.5 h"; None as "?"."""
    if value is None:
        return "?"
    if value < 100:
        return f"{value:.3g} s"
    return f"{value / 60:.0f} min" if value < 6_000 else f"{value / 3600:.1f} h"


def size(value: float | None) -> str:
    """Writes a number of bytes in decimal units, such as "57 MB"; None as "?"."""
    if value is None:
        return "?"
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} GB"


def signed(value: float | None) -> str:
    """Writes a skill with three decimals, and without any from 10 on in magnitude; what rounds to zero gets no sign."""
    if value is None:
        return "–"
    if abs(value) < 10:
        return f"{round(value, 3) + 0.0:.3f}"
    return f"{value:.0f}" if abs(value) < 1e5 else f"{value:.0e}"


def rate(value: float) -> str:
    """Writes steps per second, as a whole number from 100 on."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def percent(value: float) -> str:
    """Writes a share in percent, with two significant digits."""
    return f"{100 * value:.2g} %"


@dataclass(frozen=True, kw_only=True)
class Unit:
    """The unit of a metric, and how numbers in it are written.

    `text` writes a number for tables. Axes of figures and the papers' tables have the number times `scale`, in the unit
    `symbol`. Numbers of a `whole` unit are stored as integers.
    """

    text: Callable[[float], str]
    symbol: str = ""
    scale: float = 1.0
    whole: bool = False


RATIO = Unit(text=number)
PERCENT = Unit(text=percent, symbol="%", scale=100.0)
SKILL = Unit(text=signed)
SECONDS = Unit(text=seconds, symbol="s")
BYTES = Unit(text=size, symbol="MB", scale=1e-6, whole=True)
STEPS_PER_SECOND = Unit(text=rate)
STEPS = Unit(text="{:,.0f}".format, whole=True)
CORES = Unit(text="{:.2f}".format)
EVALUATIONS = Unit(text="{:,.0f}".format)
