"""Suite of asv: the seconds that it takes to trace, lower and compile one training step."""

from __future__ import annotations

from benchmarks import suite


class Compilation(suite.Cross):
    """Compiles three times from empty caches and keeps the shortest time, since single times vary by a factor of two."""

    def setup(self, cell: str) -> None:
        """Turns JAX's persistent compilation cache off. Raises NotImplementedError, a skip, for what cannot be measured."""
        import jax

        jax.config.update("jax_enable_compilation_cache", False)
        suite.pair(cell)

    def track_compile_seconds(self, cell: str) -> float:
        """Returns the shortest of three compilation times, in seconds."""
        import jax

        seconds = []
        for _ in range(3):
            jax.clear_caches()
            seconds.append(float(suite.compiled(cell).seconds))
        return min(seconds)

    track_compile_seconds.unit = "seconds"  # type: ignore[attr-defined]
