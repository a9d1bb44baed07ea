"""Reads numbers, durations and sizes as people write them. A mistake raises UserError, which says what was expected."""

from __future__ import annotations

import difflib
import json
import re
from decimal import Decimal, InvalidOperation
from fnmatch import fnmatchcase
from typing import Any

from benchmarks.records.errors import UserError

MAX_DIM = 10**12
MAX_SEEDS = 1_000
_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3_600.0, "d": 86_400.0}
_BYTES = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_BYTES |= {"kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}
_QUANTITY = re.compile(r"\s*([0-9][0-9_]*(?:\.[0-9]*)?(?:[eE][+-]?[0-9]{1,3})?)\s*([A-Za-z]*)\s*")


def whole(value: Any, what: str, low: int, high: int) -> int:
    """Reads a whole number from `low` to `high`, such as 100, "1e5" or "100_000".

    Raises UserError otherwise; `what` names the quantity in the message.
    """
    expected = f"{what} is a whole number from {low:,} to {high:,} such as {max(low, 100)} or 1e5"
    try:
        number = Decimal(str(value).strip()) if not isinstance(value, bool) else Decimal("nan")
        fits = number.is_finite() and low <= number <= high and number == number.to_integral_value()
    except (InvalidOperation, ValueError):
        fits = False
    if not fits:
        raise UserError(f"{expected}, got {_shown(value)}")
    return int(number)


def dimension(value: Any) -> int:
    """Reads a dimension from 1 to MAX_DIM, such as 100 or "1e5". Raises UserError otherwise."""
    return whole(value, "a dimension", 1, MAX_DIM)


def dimensions(text: str) -> list[int]:
    """Reads one dimension, or several with commas: "100,1e3". Raises UserError otherwise."""
    return [dimension(part) for part in text.split(",")]


def seeds(value: Any, what: str = "seeds") -> list[int]:
    """Reads seeds: 5 means 0 to 4; a list (or "3,7" in text) means just those. Raises UserError for anything else; `what` names
    them in the message.
    """
    if isinstance(value, str) and "," in value:
        value = [part for part in value.split(",") if part.strip()]
    if isinstance(value, list | tuple):
        chosen = [whole(part, "a seed", 0, 2**31 - 1) for part in value]
        if not 1 <= len(set(chosen)) <= MAX_SEEDS:
            raise UserError(f"give 1 to {MAX_SEEDS:,} {what}, got {len(set(chosen))}")
        return sorted(set(chosen))
    return list(range(whole(value, f"the number of {what}", 1, MAX_SEEDS)))


def duration(text: str) -> float:
    """Reads a duration such as "90", "90s", "10m" or "1.5h", in seconds. Raises UserError otherwise."""
    return _quantity(text, _SECONDS, "a duration", "90s, 10m or 1.5h")


def size(text: str) -> int:
    """Reads a size such as "40GB", "512MiB" or "1e9", in bytes. Raises UserError otherwise."""
    return int(_quantity(text, _BYTES, "a size", "40GB, 512MiB or 1e9"))


def _quantity(text: Any, units: dict[str, Any], what: str, examples: str) -> float:
    match = _QUANTITY.fullmatch(str(text))
    unit = units.get(match[2].lower()) if match else None
    number = float(match[1]) * unit if match and unit is not None else 0.0
    if not 0.0 < number < 1e18:
        raise UserError(f"{what} is a number above 0 with a unit, such as {examples}, got {_shown(text)}")
    return number


def hyperparameter(text: str) -> tuple[str, Any]:
    """Reads a hyperparameter: "rank=32" → ("rank", 32). The value is JSON if it can be read as such, and else a string.

    Raises UserError for text without a name or "=", and for a value that is not finite.
    """
    name, equals, value = text.partition("=")
    if not equals or not name.strip().isidentifier():
        raise UserError(f"a hyperparameter is given as name=value such as samples=32, got {_shown(text)}")
    try:
        return name.strip(), json.loads(value, parse_constant=_no_constant)
    except UserError:
        raise
    except (ValueError, RecursionError):  # not JSON
        return name.strip(), value


def _no_constant(name: str) -> None:
    raise UserError(f"a hyperparameter is a finite value, got {name}")


def require_known(kind: str, name: str, known: list[str]) -> str:
    """Returns `name` if it is among `known`. Raises UserError, which proposes the most similar names, otherwise."""
    if name in known:
        return name
    near = difflib.get_close_matches(name, dict.fromkeys(known), n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else f"`pdezoo list` shows all {len(known)}"
    raise UserError(f"no {kind} is called {_shown(name)}; {hint}")


def names_it(pattern: str, name: str) -> bool:
    """Returns whether `pattern` selects the problem `name`: as its full name, a glob that matches it, or its family's name."""
    return fnmatchcase(name, pattern) or name.partition("/")[0] == pattern


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return repr(text[:60] + ("…" if len(text) > 60 else ""))
