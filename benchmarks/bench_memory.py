"""asv: memory of a training step, as the compiler plans it and as a device shows it."""

from __future__ import annotations

from benchmarks import suite


class Compiled(suite.Cross):
    """Bytes and operations as the compiler counts them: the same in every process, no quiet machine needed."""

    def setup(self, problem: str, solver: str, dim: int) -> None:
        self.compiled = suite.loop(problem, solver, dim).compiled

    def track_compiled_bytes(self, problem: str, solver: str, dim: int) -> int:
        return int(self.compiled.bytes)

    def track_flops(self, problem: str, solver: str, dim: int) -> float:
        if self.compiled.flops is None:
            raise NotImplementedError("this compiler does not count operations")
        return float(self.compiled.flops)

    track_compiled_bytes.unit = "bytes"  # type: ignore[attr-defined]
    track_flops.unit = "flops"  # type: ignore[attr-defined]


class Device(suite.Cross):
    """Peak bytes in use on an accelerator after ten steps; the host's memory says nothing about it."""

    def setup(self, problem: str, solver: str, dim: int) -> None:
        import jax

        if not jax.local_devices()[0].memory_stats():
            raise NotImplementedError("this device does not account for its memory")
        self.loop = suite.loop(problem, solver, dim)

    def track_peak_bytes(self, problem: str, solver: str, dim: int) -> int:
        import jax

        for _ in range(10):
            self.loop.step()
        self.loop.require_finite()
        return int(jax.local_devices()[0].memory_stats()["peak_bytes_in_use"])

    track_peak_bytes.unit = "bytes"  # type: ignore[attr-defined]
