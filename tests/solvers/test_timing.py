"""The time of computations, of compilations, and its absence where nothing was compiled."""

from __future__ import annotations

import os
import time
from pathlib import Path

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

import pdezoo
import solvers
from solvers.timing import Timed, together

PDE = pdezoo.make("poisson/two-body", dim=3)


@pytest.mark.parametrize("solver", ["stde", "green-monte-carlo"])
def test_a_program_from_a_cache_has_no_time_of_compilation(solver: str, tmp_path: Path) -> None:
    test = pdezoo.TestSet(PDE, 10)
    before = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    times = []
    try:
        compilation_cache.reset_cache()
        jax.config.update("jax_compilation_cache_dir", str(tmp_path))
        for _ in range(2):
            jax.clear_caches()
            made = solvers.make(solver)
            times.append(made.fit(PDE, steps=1, batch=3, test=test, progress=None).compile_seconds)
    finally:
        jax.config.update("jax_compilation_cache_dir", before)
        compilation_cache.reset_cache()
    first, second = times
    assert first is not None
    assert first > 0
    assert second is None


def test_what_is_not_known_of_one_is_not_known_of_all() -> None:
    assert together(1.0, 2.0) == 3.0
    assert together(1.0, None) is None


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no processes can be pinned here")
@pytest.mark.parametrize("cores", [1, 2])
def test_a_budget_on_one_core_is_work_and_not_waiting(cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """While others have the core the clock runs on, and the processor's time does not; several cores' times add up."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    with Timed() as waiting:
        time.sleep(0.2)
    assert waiting.seconds >= 0.2
    assert waiting.processor < 0.1
    assert waiting.alone == (waiting.processor if cores == 1 else waiting.seconds)
