"""What a problem is, as JSON: the content of every field, of which its fingerprint is the digest."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import json
from collections.abc import Mapping, Set
from decimal import Decimal
from fractions import Fraction
from typing import Any

import jax
import numpy as np
import sympy as sp

from .calculus import collective
from .solution import Formula

_PLAIN = (bool, int, float, str, type(None))
_WHOLE = (
    complex,
    Fraction,
    Decimal,
    bytes,
    Formula,
)  # their repr is all that they are; of a formula that is its name


def canonical_fields(value: Any) -> dict[str, Any]:
    """Returns the fields of a dataclass that count in comparisons, or the public attributes of another object, as JSON.

    Raises ValueError for a field without content that could be compared, such as a function.
    """
    if dataclasses.is_dataclass(value):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.compare}
    else:
        fields = {k: v for k, v in getattr(value, "__dict__", {}).items() if not k.startswith("_")}
    return {name: canonical_value(v, f"{type(value).__name__}.{name}") for name, v in fields.items()}


def canonical_domain(domain: Any) -> list[Any]:
    """Returns the kind of a domain, its fields and its measure, and its horizon where that is no field.

    Raises ValueError for a field without content that could be compared.
    """
    held = canonical_fields(domain)
    return [
        type(domain).__name__,
        held,
        domain.measure,
        *([] if "horizon" in held or domain.horizon is None else [float(domain.horizon)]),
    ]


def canonical_value(value: Any, where: str = "a value") -> Any:
    """Returns a value as JSON by its content: arrays by type, shape and bytes, expressions with all that their sums are made of.

    `where` says in messages what it is. Raises ValueError for what has no content that could be compared, such as a function.
    """
    if isinstance(value, sp.Basic):
        sums = collective.window_sums(value)
        return [sp.srepr(value), [[s.name, sp.srepr(s.kernel), s.width, repr(s.factors)] for s in sums]]
    if isinstance(value, enum.Enum):
        return [type(value).__name__, value.name]
    if isinstance(value, np.generic):
        return canonical_value(value.item(), where)
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, _WHOLE) or _is_plain(value):
        return repr(value)
    if isinstance(value, np.ndarray | jax.Array):
        return _array(np.asarray(value), where)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [type(value).__name__, canonical_fields(value)]
    if isinstance(value, tuple | list):
        return [type(value).__name__, [canonical_value(v, f"{where}[{n}]") for n, v in enumerate(value)]]
    if isinstance(value, Set | Mapping):
        items = value.items() if isinstance(value, Mapping) else value
        return [type(value).__name__, sorted((canonical_value(v, where) for v in items), key=json.dumps)]
    raise ValueError(
        f"{where} holds {type(value).__name__} {value!r:.60}, which has no content that could be compared, so that the problem "
        "cannot be told from others: use numbers, texts, tuples, arrays and SymPy expressions, and for a function a frozen "
        "dataclass of these with a method __call__"
    )


def _is_plain(value: Any) -> bool:
    """Whether a tuple or list holds nothing but Python's numbers and texts, or such tuples and lists: its repr is then complete."""
    return type(value) in (tuple, list) and all(type(v) in _PLAIN or _is_plain(v) for v in value)


def _array(array: np.ndarray, where: str) -> list[Any]:
    if array.dtype.hasobject:
        raise ValueError(f"{where} is an array of Python objects; use one of numbers")
    digest = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
    return ["array", array.dtype.str, list(array.shape), digest]
