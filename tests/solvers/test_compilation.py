"""The time of a compilation, and its absence where nothing was compiled."""

from __future__ import annotations

from pathlib import Path

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

import pdezoo
import solvers
from solvers.compilation import together

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
