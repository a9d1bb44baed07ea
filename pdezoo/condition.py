"""Soft conditions: terms of the loss where an ansatz does not meet a condition by construction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Condition:
    """A soft condition: u = target at one time, as a term of the loss.

    weight · mean (u − target)² + gradient_weight · mean |∇(u − target)|², points drawn by the domain at that time.
    """

    time: float
    target: Any
    weight: float
    gradient_weight: float = 0.0
