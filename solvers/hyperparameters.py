"""Hyperparameters changed by name, whichever part of a solver they belong to."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .neural import NeuralSolver


def override(solver: NeuralSolver, changes: dict[str, Any]) -> NeuralSolver:
    """The solver with hyperparameters changed by name, whichever part they belong to.

    Raises BadHyperparameter for a name no part has, or a value of another kind than the one it replaces.
    """
    for name, value in changes.items():
        owners = [k for k, part in solver.parts().items() if name in asdict(part)]
        if not owners:
            known = sorted({n for part in solver.parts().values() for n in asdict(part)})
            raise BadHyperparameter(
                f"{solver.name} has no hyperparameter {name!r}; it has {', '.join(known)}"
            )
        for owner in owners:
            part = getattr(solver, owner)
            changed = replace(part, **{name: _like(getattr(part, name), value, name)})
            solver = replace(solver, **{owner: changed})
    return solver


class BadHyperparameter(ValueError):
    """A hyperparameter that a solver does not have, or a value that it cannot take."""


def _like(current: Any, value: Any, name: str) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value)
    if isinstance(current, bool) and isinstance(value, bool):
        return value
    if isinstance(current, int) and not isinstance(current, bool) and number and value == int(value):
        return int(value)
    if isinstance(current, float) and number:
        return float(value)
    raise BadHyperparameter(f"{name} is a {type(current).__name__} such as {current!r}, got {value!r}")
