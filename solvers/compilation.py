"""Tells how long a compilation took, and whether there was one."""

from __future__ import annotations

import time
from typing import Any, Self

import jax

_HIT = "/jax/compilation_cache/cache_hits"
_hits = 0


def _listen(event: str, **_: Any) -> None:
    global _hits
    _hits += event == _HIT


jax.monitoring.register_event_listener(_listen)


class Compilation:
    """Times what is compiled in a `with` block.

    `seconds` is None where JAX took a program from its persistent compilation cache instead of compiling it: the time then
    says nothing about compilation.
    """

    seconds: float | None = None

    def __enter__(self) -> Self:
        self._begin, self._hits = time.perf_counter(), _hits
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._begin if _hits == self._hits else None


def together(*seconds: float | None) -> float | None:
    """Returns the sum of the times of several compilations; None if one of them is not known."""
    known = [s for s in seconds if s is not None]
    return sum(known) if len(known) == len(seconds) else None
