"""The host's side of a training: dispatching compiled steps, progress, evaluations, a stop on divergence."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

from pdezoo import PDE, TestSet

from .progress import Progress
from .solver import FitStatus, Result
from .trainers.base import trainable

if TYPE_CHECKING:
    from .neural import Compiled

_DISPATCH = (
    0.5  # seconds of work handed to the device at a time: progress is fresh, the host stays out of the way
)


def train(
    compiled: Compiled,
    pde: PDE,
    seed: int,
    test: TestSet | None,
    show: Progress,
    seconds: float | None,
    evaluations: int,
) -> Result:
    """Trains until the last step, the first loss that is not finite, or the end of `seconds`, and returns the result.

    Steps are dispatched for about half a second at a time, and `show` is called after each dispatch. With a `test` set,
    errors are measured `evaluations` times, evenly, and at the end.
    """
    clock = _Stopwatch()
    state, history, steps = compiled.init(seed), [], compiled.steps
    stops = sorted({round(steps * (k + 1) / evaluations) for k in range(evaluations)} - {0}) if test else []
    done, last, finite = 0, None, True
    budget = math.inf if seconds is None else seconds
    while done < steps and finite and clock.total < budget:
        limit = next((s for s in stops if s > done), steps)
        count = min(clock.next_count(), limit - done)
        with clock.running(count):
            state, losses = compiled.advance(state, count)
            jax.block_until_ready(state)
        done, finite = int(state.step), bool(jnp.isfinite(state.loss))
        last = float(losses.last)
        loss = float(losses.mean) if finite else last
        entry = {"step": done, "seconds": clock.total}
        if math.isfinite(loss):  # of a training that diverges at once, no loss ever was
            entry["loss"] = loss
        if test is not None and finite and (done in stops or done == steps):
            entry["relative_l2"] = test.errors(compiled.predictor(state.params))["relative_l2"]
        history.append(entry)
        show(done, steps, loss, clock.rate)
    predict = compiled.predictor(state.params)
    return Result(
        status=FitStatus.OK if finite else FitStatus.DIVERGED,
        reason="" if finite else f"Loss became non-finite at step {done}; try a smaller learning rate.",
        steps=done,
        loss=last if last is not None and math.isfinite(last) else None,
        history=history,
        seconds=clock.total,
        compile_seconds=compiled.seconds,
        steps_per_second=clock.rate,
        compiled_bytes=compiled.bytes,
        errors=None if test is None else test.errors(predict),
        forward_evaluations=compiled.solver.trainer.evaluations(done, trainable(state.params), state.trainer),
        predict=predict,
        params=state.params,
        solver=compiled.solver,
        pde=pde,
    )


class _Stopwatch:
    """Measures training time and the steady rate, which leaves out the first dispatch, of one step."""

    def __init__(self) -> None:
        self.total = 0.0
        self._steady = (0, 0.0)
        self._begin = 0.0
        self._count = 0
        self._dispatches = 0

    def next_count(self) -> int:
        """Returns how many steps to dispatch next: about _DISPATCH seconds' worth, growing at most fourfold."""
        if self._dispatches == 0:
            return 1
        return max(1, min(4 * self._count, round(_DISPATCH * (self.rate or 1))))

    def running(self, count: int) -> _Stopwatch:
        """Times the block that runs `count` steps, as a context manager."""
        self._count = count
        return self

    def __enter__(self) -> None:
        self._begin = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        spent = time.perf_counter() - self._begin
        self.total += spent
        if self._dispatches:
            self._steady = (self._steady[0] + self._count, self._steady[1] + spent)
        else:
            self._first = spent
        self._dispatches += 1

    @property
    def rate(self) -> float | None:
        """Steps per second; None before the first dispatch."""
        count, spent = self._steady
        if count:
            return count / spent
        return self._count / self.total if self.total else None
