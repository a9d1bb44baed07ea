"""Hyperparameters of frozen dataclasses as plain data, and changed by name."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

import numpy as np

Owner = TypeVar("Owner")


class BadHyperparameter(ValueError):
    """Raised for a hyperparameter that a solver does not have, or a value that it cannot take."""


def plain(part: Any) -> dict[str, Any]:
    """Returns the fields of a frozen dataclass as plain data, {name: value}, in their order.

    Dataclasses and mappings inside become dictionaries; a function or class is given by its module and name.
    """
    return {f.name: _plain(getattr(part, f.name)) for f in fields(part)}


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return plain(value)
    if isinstance(value, list | tuple):
        return type(value)(map(_plain, value))
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if callable(value):
        return f"{value.__module__}.{value.__qualname__}" if hasattr(value, "__qualname__") else repr(value)
    return value


def changed(owner: Owner, changes: Mapping[str, Any]) -> Owner:
    """Returns a frozen dataclass with some of its fields changed by name; these must be numbers, booleans or strings.

    Raises BadHyperparameter for a value of another kind than the one it replaces; ValueError where the dataclass refuses it.
    """
    kept = {name: _like(getattr(owner, name), value, name) for name, value in changes.items()}
    return replace(owner, **kept)  # type: ignore[type-var]


def require_known(solver: str, changes: Mapping[str, Any], known: Collection[str]) -> None:
    """Raises BadHyperparameter for a name in `changes` that is not `known`; the message lists all that the solver has."""
    for name in changes:
        if name not in known:
            has = f"no hyperparameter {name!r}; it has {', '.join(sorted(known))}"
            raise BadHyperparameter(f"{solver} has {has if known else f'no hyperparameters, got {name}'}")


def changeable(owner: Any, shown: Mapping[str, Any]) -> list[str]:
    """Returns the names of a dataclass' fields that `changed` can change and that it shows among its hyperparameters."""
    if not is_dataclass(owner):
        return []
    kinds = (bool, int, float, str)
    return [f.name for f in fields(owner) if f.name in shown and isinstance(getattr(owner, f.name), kinds)]


def _like(current: Any, value: Any, name: str) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value)
    if isinstance(current, bool | str) and type(value) is type(current):
        return value
    if isinstance(current, int) and not isinstance(current, bool) and number and value == int(value):
        return int(value)
    if isinstance(current, float) and number:
        return float(value)
    raise BadHyperparameter(f"{name} is a {type(current).__name__} such as {current!r}, got {value!r}")
