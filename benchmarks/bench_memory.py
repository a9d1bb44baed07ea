"""Suite of asv: the memory of a training step, as the compiler plans it and as an accelerator reports it."""

from __future__ import annotations

from benchmarks import suite


class Compiled(suite.Cross):
    """Counts the bytes and operations of a step as the compiler plans them: equal in every process, on a busy machine too."""

    def setup(self, cell: str) -> None:
        """Compiles a training step. Raises NotImplementedError, which asv shows as skipped, if this commit has none."""
        self.compiled = suite.loop(cell).compiled

    def track_compiled_bytes(self, cell: str) -> int:
        """Returns the bytes that the compiler plans for a step: arguments, outputs and temporaries."""
        return int(self.compiled.bytes)

    def track_flops(self, cell: str) -> float:
        """Returns the floating-point operations of a step. Raises NotImplementedError if the compiler does not count them."""
        if self.compiled.flops is None:
            raise NotImplementedError("this compiler does not count operations")
        return float(self.compiled.flops)

    track_compiled_bytes.unit = "bytes"  # type: ignore[attr-defined]
    track_flops.unit = "flops"  # type: ignore[attr-defined]


class Device(suite.Cross):
    """Reads the peak of an accelerator's memory after ten steps. On a CPU, where JAX keeps no such account, it is skipped."""

    def setup(self, cell: str) -> None:
        """Compiles a training step. Raises NotImplementedError, a skip, if there is none or no account of device memory."""
        import jax

        if not jax.local_devices()[0].memory_stats():
            raise NotImplementedError("this device does not account for its memory")
        self.loop = suite.loop(cell)

    def track_peak_bytes(self, cell: str) -> int:
        """Takes ten steps and returns the most bytes that were in use. Raises FloatingPointError if the loss is then not finite."""
        import jax

        for _ in range(10):
            self.loop.step()
        self.loop.require_finite()
        return int(jax.local_devices()[0].memory_stats()["peak_bytes_in_use"])

    track_peak_bytes.unit = "bytes"  # type: ignore[attr-defined]
