"""What is known of a problem's solution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Exact:
    """A closed form: a SymPy expression in window sums and t, or in x, y, t."""

    expr: Any
