"""The forms in which a problem's solution is known: closed form, numerical formula, computed reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .lowering.coordinates import materialize
from .lowering.points import Points


@dataclass(frozen=True)
class Exact:
    """A solution in closed form: `expr` is a SymPy expression in window sums and t, or in the coordinates x, y, t."""

    expr: Any


@dataclass(frozen=True)
class Formula:
    """A function of NumPy arrays: `function` maps x (B, d) and t (B,) to u (B,), all float64.

    `name` identifies the formula in the problem's fingerprint, so it must not change.
    """

    name: str
    function: Callable[[np.ndarray, np.ndarray], np.ndarray] = field(compare=False, repr=False)

    def values(self, points: Points) -> np.ndarray:
        """Evaluates the formula at points, at t = 0 where they have no time; returns float64 of shape (B,)."""
        x = np.asarray(materialize(points.x), np.float64)
        times = np.zeros(len(x)) if points.t is None else np.asarray(points.t, np.float64)
        return self.function(x, times)


@dataclass(frozen=True)
class Reference:
    """A solution known by computation, on the whole domain, or at one point only where `at` is given.

    `error` bounds the relative error of its values (for a Monte Carlo value it is one standard error), and `source` says how they
    were computed. `at` is (x, t), where x is the value of all d coordinates.
    """

    formula: Formula
    error: float
    source: str
    at: tuple[float, float] | None = None
