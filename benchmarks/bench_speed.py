"""Suite of asv: the seconds of one training step, compiled and in its steady state."""

from __future__ import annotations

from benchmarks import suite


class Speed(suite.Cross):
    """Times single steps until the device has finished them. Compilation happens in `setup`, which asv does not time."""

    number, rounds, warmup_time = 1, 2, 0.2
    repeat = (10, 200, 1.0)

    def setup(self, cell: str) -> None:
        """Compiles a step, once in a process. Raises FloatingPointError if the loss of the steps so far is not finite."""
        self.loop = suite.loop(cell)
        self.loop.require_finite()

    def time_step(self, cell: str) -> None:
        """Takes one training step and waits for its result."""
        self.loop.step()
