"""The forms in which a problem's solution is known: closed form, numerical formula, computed reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .calculus.expressions import as_expression, plain_number, set_numbers, shown
from .lowering.coordinates import materialize
from .lowering.points import Points


@dataclass(frozen=True)
class Exact:
    """A solution in closed form: `expr` is a SymPy expression in window sums and t, or in the coordinates x, y, t.

    Raises ValueError for what is no number or expression.
    """

    expr: Any

    def __post_init__(self) -> None:
        object.__setattr__(self, "expr", as_expression(self.expr, "the solution"))


@dataclass(frozen=True)
class Formula:
    """A function of NumPy arrays: `function` maps x (B, d) and t (B,) to u (B,), all float64.

    `name` identifies the formula in the problem's fingerprint, so it must not change. Raises ValueError for a name that is no
    text, and a function that cannot be called.
    """

    name: str
    function: Callable[[np.ndarray, np.ndarray], np.ndarray] = field(compare=False, repr=False)

    def __post_init__(self) -> None:
        if not (isinstance(self.name, str) and callable(self.function)):
            raise ValueError(
                f"a formula is a name and a function of x and t, got {shown(self.name)} and {shown(self.function)}"
            )

    def values(self, points: Points) -> np.ndarray:
        """Evaluates the formula at points, at t = 0 where they have no time; returns float64 of shape (B,)."""
        x = np.asarray(materialize(points.x), np.float64)
        times = np.zeros(len(x)) if points.t is None else np.asarray(points.t, np.float64)
        return self.function(x, times)


@dataclass(frozen=True)
class Reference:
    """A solution known by computation, on the whole domain, or at one point only where `at` is given.

    `error` bounds the relative error of its values (for a Monte Carlo value it is one standard error), and `source` says how they
    were computed. `at` is (x, t), where x is the value of all d coordinates. Raises ValueError for a field of another kind.
    """

    formula: Formula
    error: float
    source: str
    at: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.formula, Formula):
            raise ValueError(f"a reference holds a Formula(name, function), got {shown(self.formula)}")
        set_numbers(self, "a reference", "error", least=0)
        if not isinstance(self.source, str):
            raise ValueError(f"the source of a reference says how it was computed, got {shown(self.source)}")
        if self.at is not None:
            object.__setattr__(self, "at", as_place(self.at, "`at` of a reference"))


def as_place(value: Any, what: str) -> tuple[float, float]:
    """Returns a pair (x, t) of numbers, x the value of all coordinates, as Python's own. Raises ValueError for anything else."""
    if not (isinstance(value, tuple) and len(value) == 2):
        raise ValueError(f"{what} is a point (x, t), x the value of all coordinates, got {shown(value)}")
    position, time = (plain_number(number, f"a coordinate of {what}") for number in value)
    return position, time
