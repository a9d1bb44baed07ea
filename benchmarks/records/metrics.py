"""Numbers derived from errors: skill against a null predictor, seconds to reach an error."""

from __future__ import annotations

import math
from typing import Any

from benchmarks.records.record import Errors

_ROUNDING = 1e-9


def skill(error: float | None, null: Errors | None) -> float | None:
    """1 − error/error of the null predictor: 1 is perfect, 0 no better than the null, negative worse.

    Errors that agree to the last digits are equal: the null predictor itself, evaluated another way, has skill 0.
    """
    if error is None or null is None or null.relative_l2 == 0.0:
        return None
    value = 1.0 - error / null.relative_l2
    return 0.0 if abs(value) < _ROUNDING else finite(value)


def seconds_to(history: list[dict[str, Any]], levels: tuple[float, ...]) -> dict[str, float]:
    """Training seconds until the error was first at most each level; levels not reached are left out."""
    seen = [(finite(row.get("seconds")), finite(row.get("relative_l2"))) for row in history]
    reached = {}
    for level in levels:
        first = next((s for s, e in seen if s is not None and e is not None and e <= level), None)
        if first is not None:
            reached[f"{level:g}"] = first
    return reached


def finite(value: Any) -> float | None:
    """`value` as a float, or None where it is missing or not finite."""
    if value is None:
        return None
    number = float(value)
    return number if math.isfinite(number) else None
