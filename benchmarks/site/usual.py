"""The dimension in which a problem is shown."""

from __future__ import annotations

from functools import cache
from typing import Any

from benchmarks.planning.subjects import make, subjects

USUAL = 100
"""The dimension in which a problem is shown that exists at every one."""


@cache
def at_its_usual(name: str) -> Any:
    """Returns the problem in its only dimension, or in dimension 100 if it exists in every one."""
    lib = subjects()
    try:
        return lib.make_pde(name, dim=None)
    except lib.bad_dimension:
        return make(name, USUAL)
