"""asv: seconds to trace, lower and compile one training step."""

from __future__ import annotations

from benchmarks import suite


class Compilation(suite.Cross):
    """The least of three, each from empty caches: single shots vary twofold."""

    def setup(self, problem: str, solver: str, dim: int) -> None:
        import jax

        jax.config.update("jax_enable_compilation_cache", False)
        suite.pair(problem, solver, dim)

    def track_compile_seconds(self, problem: str, solver: str, dim: int) -> float:
        import jax

        seconds = []
        for _ in range(3):
            jax.clear_caches()
            seconds.append(float(suite.compiled(problem, solver, dim).seconds))
        return min(seconds)

    track_compile_seconds.unit = "seconds"  # type: ignore[attr-defined]
