"""Defines protocols: how a cell is measured, with its steps, batch, test set, number format and limits."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields, replace
from types import MappingProxyType
from typing import Any, ClassVar

from benchmarks.records.canonical import sha256
from benchmarks.records.errors import UserError

DTYPE = (
    "float32"  # what solvers compute in; a field of records, so that another one can be told apart one day
)
GIGABYTE = 10**9
MAX_COUNT = 2**31 - 1
"""The most steps, or points, of a training: they are counted in 32 bits on the device."""


@dataclass(frozen=True, slots=True, repr=False)
class Protocol:
    """How a cell is measured: everything that must be equal for two cells to be compared, apart from the machine.

    `batch` is the number of residual points a step, and `test_size` that of test points. `seconds` is a training budget:
    training stops there, even if steps are left. `nominal_seconds` is what the `steps` are worth where they were measured alone,
    on one core of the reference machine: protocols that have it are compared at different numbers of steps, which anyone can
    take again, whatever else the machine does. `wall_limit` (seconds) and `memory_limit` (bytes) bound the whole cell, set-up
    and compilation included. `levels` are the relative L2 errors for which `seconds_to` of the metrics has the time to reach
    them. `name` is a label: two protocols that differ in their name alone have the same fingerprint.

    Raises UserError for a value that no measurement could have.
    """

    name: str = "paper"
    steps: int = 10_000
    batch: int = 100
    test_size: int = 20_000
    dtype: str = DTYPE
    seconds: float | None = None
    wall_limit: float | None = 3_600.0
    memory_limit: int | None = 40 * GIGABYTE
    levels: tuple[float, ...] = (0.1, 0.03, 0.01, 0.003, 0.001)
    nominal_seconds: float | None = None

    # Read by pydantic where a protocol is part of a record.
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "strict": True}

    def __post_init__(self) -> None:
        for field in ("steps", "batch", "test_size"):
            _require_count(field, getattr(self, field))
        if self.seconds is not None and self.nominal_seconds is not None:
            raise UserError("steps that are worth nominal_seconds are taken to the end; leave seconds out")
        for field in ("seconds", "wall_limit", "memory_limit", "nominal_seconds"):
            _require_positive(field, getattr(self, field))
        if self.memory_limit is not None and not isinstance(self.memory_limit, int):
            raise UserError(f"memory_limit is a whole number of bytes, got {self.memory_limit}")
        if self.dtype != DTYPE:
            raise UserError(
                f"dtype is {DTYPE}, in which solvers train, got {str(self.dtype)[:40]!r}; leave it out"
            )
        listed = isinstance(self.levels, tuple) and len(self.levels) <= 16
        if not listed or not all(_is_positive(level) for level in self.levels):
            raise UserError(f"levels are at most 16 errors above 0, got {str(self.levels)[:80]}")
        if not 0 < len(self.name) <= 40:
            raise UserError(f"a protocol's name has 1 to 40 characters, got {len(self.name)}")

    def __repr__(self) -> str:
        """The fields, by which tracks know their cells; without `nominal_seconds`, which came later, where it is None."""
        given = ((f.name, getattr(self, f.name)) for f in fields(self))
        shown = (f"{k}={v!r}" for k, v in given if (k, v) != ("nominal_seconds", None))
        return f"Protocol({', '.join(shown)})"

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of everything but the name, as 64 hexadecimal digits."""
        return sha256({key: value for key, value in self.as_dict().items() if key != "name"})

    @property
    def budget(self) -> str:
        """How long a training is, in words: its steps, what they are worth, and after how many seconds it ends without them."""
        if self.nominal_seconds is not None:
            return f"steps worth {self.nominal_seconds:g} s of one core"
        return f"{self.steps:,} steps" + (
            "" if self.seconds is None else f" or {self.seconds:g} s of training"
        )

    @property
    def comparable(self) -> str:
        """The SHA-256 of what must be equal where rows are compared: the fingerprint, without the steps where they are worth
        `nominal_seconds`.
        """
        return self.fingerprint if self.nominal_seconds is None else replace(self, steps=1).fingerprint

    def as_dict(self) -> dict[str, Any]:
        """Returns the fields as JSON values; seconds are floats, so that 60 and 60.0 have one fingerprint.

        `nominal_seconds` came later, and is left out where it is None.
        """
        values = asdict(self)
        if self.nominal_seconds is None:
            del values["nominal_seconds"]
        for name in {"seconds", "wall_limit", "nominal_seconds"} & values.keys():
            values[name] = None if values[name] is None else float(values[name])
        return values | {"levels": [float(level) for level in self.levels]}

    def but(self, **changes: Any) -> Protocol:
        """Returns this protocol with some fields changed; if any differs, the name gets a "*" at its end."""
        changed = {k: v for k, v in changes.items() if getattr(self, k) != v}
        return replace(self, **{"name": f"{self.name}*"[:40]} | changed) if changed else self


def _is_positive(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and value > 0 and math.isfinite(value)


def _require_positive(field: str, value: Any) -> None:
    if value is not None and not (_is_positive(value) and value < 2**63):
        raise UserError(f"{field} is a number above 0 or nothing, got {str(value)[:40]}")


def _require_count(field: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_COUNT:
        raise UserError(f"{field} is a whole number from 1 to {MAX_COUNT:,}, got {str(value)[:40]}")


PROTOCOLS = MappingProxyType(
    {
        "paper": Protocol(),
        "quick": Protocol(
            name="quick",
            steps=300,
            test_size=2_000,
            seconds=5.0,
            wall_limit=120.0,
            memory_limit=8 * GIGABYTE,
        ),
    }
)


def protocol(name: str) -> Protocol:
    """Returns the protocol of that name. Raises UserError for an unknown one."""
    if name not in PROTOCOLS:
        raise UserError(f"a protocol is one of {', '.join(PROTOCOLS)}, got {name[:40]!r}")
    return PROTOCOLS[name]
