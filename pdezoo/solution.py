"""What is known of a problem's solution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .lowering.coordinates import materialize
from .lowering.points import Points


@dataclass(frozen=True)
class Exact:
    """A closed form: a SymPy expression in window sums and t, or in x, y, t."""

    expr: Any


@dataclass(frozen=True)
class Formula:
    """A numerical formula: float64 arrays x (B, d), t (B,) ↦ u (B,), on the host. `name` says which, for good."""

    name: str
    function: Callable[[np.ndarray, np.ndarray], np.ndarray] = field(compare=False, repr=False)

    def values(self, points: Points) -> np.ndarray:
        """Its values at points, float64, shape (B,); where points have no time, t = 0."""
        x = np.asarray(materialize(points.x), np.float64)
        times = np.zeros(len(x)) if points.t is None else np.asarray(points.t, np.float64)
        return self.function(x, times)


@dataclass(frozen=True)
class Reference:
    """A solution known by computation: on the whole domain, or (`at` given) at one point.

    `error` bounds the relative error of its values (for a Monte Carlo value: one standard error). `at` is (x, t), x the value that
    all coordinates share.
    """

    formula: Formula
    error: float
    source: str
    at: tuple[float, float] | None = None
