"""The host's side of a training: dispatching compiled steps, progress, evaluations, a stop on divergence."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from pdezoo import PDE, TestSet

from .progress import Progress
from .solver import FitStatus, Result
from .trainers.base import trainable

if TYPE_CHECKING:
    from .neural import Compiled

_LARGEST = 2**31 - 1  # what an int32, in which steps are counted on the device, can hold
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
    steps = compiled.steps
    state, history = compiled.init(seed), []
    often = min(evaluations, steps)  # more than once a step is every step
    stops = sorted({round(steps * (k + 1) / often) for k in range(often)} - {0}) if test else []
    done, last, finite = 0, None, True
    budget = math.inf if seconds is None else seconds
    with _interrupts() as interrupted:
        while done < steps and finite and clock.total < budget and not interrupted:
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
        status=_status(finite, bool(interrupted)),
        reason=_reason(finite, bool(interrupted), done),
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


def require_numbers(
    steps: int, batch: int, seed: int = 0, evaluations: int = 1, seconds: float | None = None
) -> None:
    """Checks the numbers of a training. Raises ValueError, in words, for those that cannot be meant."""
    bounds = {
        "steps": (steps, 0, _LARGEST),
        "batch": (batch, 1, _LARGEST),
        "seed": (seed, 0, 2**32 - 1),
        "evaluations": (evaluations, 1, _LARGEST),
    }
    for name, (value, low, high) in bounds.items():
        whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
        if not whole or not low <= value <= high:
            raise ValueError(f"{name} is a whole number from {low} to {high:,}, got {value!r}")
    is_number = isinstance(seconds, int | float | np.number) and not isinstance(seconds, bool)
    if seconds is not None and not (is_number and seconds >= 0):
        raise ValueError(f"seconds is a training budget of at least 0, or None for no limit, got {seconds!r}")


def require_problem(pde: PDE, test: TestSet | None) -> None:
    """Raises ValueError for what is no problem, and for a test set that is none or is of a problem with other points."""
    if not isinstance(pde, PDE):
        raise ValueError(f"fit takes a PDE, such as pdezoo.make('poisson', dim=10), got {pde!r:.80}")
    if test is None:
        return
    if not isinstance(test, TestSet):
        raise ValueError(f"test is a TestSet(pde), or None to measure no errors, got {test!r:.80}")
    there, here = ((p.dim, p.domain.horizon is not None) for p in (test.pde, pde))
    if there != here:
        raise ValueError(
            f"test is a TestSet of {pde.name}, or of a problem with as many dimensions, with or without time as it is, got one of "
            f"{test.pde.name}"
        )


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """Collects interrupts (Ctrl-C) instead of raising them, so that what was trained can be returned; a second one is raised.

    Only in the main thread, where signals arrive, and where Python's own handler would have raised them.
    """
    seen: list[int] = []
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or before is not signal.default_int_handler:
        yield seen
        return

    def note(number: int, frame: Any) -> None:
        if seen:
            raise KeyboardInterrupt
        seen.append(number)

    signal.signal(signal.SIGINT, note)
    try:
        yield seen
    finally:
        signal.signal(signal.SIGINT, before)


def _status(finite: bool, interrupted: bool) -> FitStatus:
    if not finite:
        return FitStatus.DIVERGED
    return FitStatus.INTERRUPTED if interrupted else FitStatus.OK


def _reason(finite: bool, interrupted: bool, done: int) -> str:
    if not finite:
        return f"Loss became non-finite at step {done}; try a smaller learning rate."
    return f"Interrupted after step {done}." if interrupted else ""


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
