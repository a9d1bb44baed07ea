"""Tells how long computations and compilations took."""

from __future__ import annotations

import os
import time
from typing import Any, Self

import jax

_HIT = "/jax/compilation_cache/cache_hits"
_hits = 0


def _listen(event: str, **_: Any) -> None:
    global _hits
    _hits += event == _HIT


jax.monitoring.register_event_listener(_listen)


class Timed:
    """Times what is computed in a `with` block, and waited for: `seconds` of the clock, and `processor` seconds of all threads."""

    seconds = 0.0
    processor = 0.0

    def __enter__(self) -> Self:
        self._begin, self._processor = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._begin
        self.processor = time.process_time() - self._processor

    @property
    def alone(self) -> float:
        """The seconds that the block would have taken with its core to itself, where it ran on one core of a CPU: a budget of
        time is then the same amount of work, whatever else the machine does. The seconds of the clock elsewhere.
        """
        return min(self.seconds, self.processor) if _on_one_core() else self.seconds


def _on_one_core() -> bool:
    has_one = hasattr(os, "sched_getaffinity") and len(os.sched_getaffinity(0)) == 1
    return has_one and jax.default_backend() == "cpu"


class Compilation:
    """Times the `with` block in which a program is traced, lowered and compiled, this by `compile`.

    `seconds` is None where JAX took the program from its persistent compilation cache instead of compiling it: the time then
    says nothing about compilation. Small programs that tracing needs may come from there.
    """

    seconds: float | None = None

    def __enter__(self) -> Self:
        self._begin, self._reused = time.perf_counter(), False
        return self

    def compile(self, lowered: Any) -> Any:
        """Compiles a lowered function (`jax.stages.Lowered`) and returns the executable."""
        before = _hits
        executable = lowered.compile()
        self._reused = _hits != before
        return executable

    def __exit__(self, *_: object) -> None:
        self.seconds = None if self._reused else time.perf_counter() - self._begin


def together(*seconds: float | None) -> float | None:
    """Returns the sum of the times of several compilations; None if one of them is not known."""
    known = [s for s in seconds if s is not None]
    return sum(known) if len(known) == len(seconds) else None
