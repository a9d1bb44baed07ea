"""asv: seconds of one training step, compiled and in its steady state."""

from __future__ import annotations

from benchmarks import suite


class Speed(suite.Cross):
    """The device is waited for; the compilation is not counted."""

    number, rounds, warmup_time = 1, 2, 0.2
    repeat = (10, 200, 1.0)

    def setup(self, problem: str, solver: str, dim: int) -> None:
        self.loop = suite.loop(problem, solver, dim)
        self.loop.require_finite()

    def time_step(self, problem: str, solver: str, dim: int) -> None:
        self.loop.step()
