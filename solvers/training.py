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
from .timing import Timed
from .trainers.base import trainable

if TYPE_CHECKING:
    from .neural import Compiled, State

_LARGEST = 2**31 - 1  # what an int32, in which steps are counted on the device, can hold
_DISPATCH = (
    0.5  # seconds of work handed to the device at a time: progress is fresh, the host stays out of the way
)
_CALIBRATION = 0.05  # of a budget of seconds: what measuring a step may take
_PHASES = (0.0, 0.5, 0.95)  # of the training: a loss may cost more in a later part of its schedule
_SHARE = 0.1  # of the training's time: what evaluations on the way may take
_FEWEST = 100  # points on which progress is measured


def train(
    compiled: Compiled, pde: PDE, seed: int, test: TestSet | None, show: Progress, evaluations: int
) -> Result:
    """Trains until the last step or the first loss that is not finite, and returns the result.

    Steps are dispatched for about half a second at a time, and `show` is called after each dispatch. With a `test` set,
    the error on its first points is measured up to `evaluations` times, evenly, as long as that takes at most a tenth of the
    time that the training has taken until then; the whole set is evaluated once, at the end.
    """
    steps = compiled.steps
    state, start = _begun(compiled, seed)
    clock, history = _Stopwatch(start), []
    glances = None if test is None else _Glances(test, steps, evaluations)
    done, last, finite = 0, None, True
    with interrupts() as interrupted:
        while done < steps and finite and not interrupted:
            limit = steps if glances is None else glances.next_stop(done)
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
            history.append(entry)
            if glances is not None and finite and glances.is_due(done):
                predict = compiled.predictor(state.params)
                if glances.affordable(predict, clock.total):
                    entry["relative_l2"] = glances.error(predict, done)
            show(done, steps, loss, clock.rate)
    predict = compiled.predictor(state.params)
    errors = None if test is None else test.errors(predict)
    if errors is not None and history and finite:
        history[-1]["relative_l2"] = errors["relative_l2"]
    return Result(
        status=_status(finite, bool(interrupted)),
        reason=_reason(finite, bool(interrupted), done),
        steps=done,
        planned_steps=steps,
        loss=last if last is not None and math.isfinite(last) else None,
        history=history,
        seconds=clock.total,
        processor_seconds=clock.processor,
        compile_seconds=compiled.seconds,
        steps_per_second=clock.rate,
        compiled_bytes=compiled.bytes,
        errors=errors,
        forward_evaluations=compiled.solver.trainer.evaluations(done, trainable(state.params), state.trainer),
        predict=predict,
        params=state.params,
        solver=compiled.solver,
        pde=pde,
    )


def affordable_steps(compiled: Compiled, seed: int, seconds: float) -> int:
    """Returns how many steps of a training take about `seconds`, at most its own number, and at least one unless `seconds` is 0.

    A few steps at its beginning, in its middle and near its end are timed, and thrown away. On one core of a CPU the time is
    that which they take without others there (`Timed.alone`). The number is rounded to two digits, so that two calibrations of one
    machine mostly agree.
    """
    if seconds == 0:
        return 0
    state, start = _begun(compiled, seed)
    seconds, costs = max(0.0, seconds - start.alone), []
    for phase in _PHASES:
        at = jnp.asarray(int(phase * compiled.steps), jnp.int32)
        state, cost = _timed(
            compiled,
            state._replace(step=at, loss=jnp.zeros_like(state.loss)),
            seconds * _CALIBRATION / len(_PHASES),
        )
        costs.append(cost)
    count = seconds * len(costs) / sum(costs)
    return compiled.steps if count >= compiled.steps else rounded_down(count)


def _begun(compiled: Compiled, seed: int) -> tuple[State, Timed]:
    """Returns the state before the first step, and what a fitted start takes of the training's time: it is made twice, and timed
    once compiled.
    """
    start = Timed()
    state = jax.block_until_ready(compiled.init(seed))
    if compiled.solver.start is not None:
        with start:
            state = jax.block_until_ready(compiled.init(seed))
    return state, start


def rounded_down(count: float) -> int:
    """Returns a number of steps cut down to two digits, and at least 1."""
    count = min(count, float(_LARGEST))
    unit = 10 ** max(0, math.floor(math.log10(max(count, 1))) - 1)
    return max(1, int(count // unit) * unit)


def _timed(compiled: Compiled, state: State, seconds: float) -> tuple[State, float]:
    """Takes steps until one dispatch took `seconds`, each of twice as many as the one before; returns that one's time a step.

    The first dispatch, which has more to set up, counts only where one step alone takes a multiple of `seconds`. No dispatch has
    more steps than the training: a budget that is longer than all of it is not measured any closer.
    """
    count, most = 1, 4 * seconds
    while True:
        before = int(state.step)
        with Timed() as dispatch:
            state, _ = compiled.advance(state, count)
            jax.block_until_ready(state)
        spent, taken = dispatch.alone, int(state.step) - before
        if spent >= most or taken < count or count >= compiled.steps:
            return state, spent / max(taken, 1)
        count, most = min(2 * count, compiled.steps), seconds


class _Glances:
    """Evaluations on the way: on the first points of a test set, at even stops, within a share of the time of the training."""

    def __init__(self, test: TestSet, steps: int, evaluations: int):
        chunks = -(-_FEWEST // test.rows)
        self._test = test.head(chunks * test.rows)
        often = min(evaluations, steps)  # more than once a step is every step
        self._stops = sorted({round(steps * (k + 1) / often) for k in range(often)} - {0, steps})
        self._steps, self._spent, self._cost = steps, 0.0, math.nan

    def next_stop(self, done: int) -> int:
        """Returns the next step at which an evaluation is due, or the last one of the training."""
        return next((s for s in self._stops if s > done), self._steps)

    def is_due(self, done: int) -> bool:
        """Returns whether the training has passed a stop at which nothing was evaluated yet."""
        return bool(self._stops) and self._stops[0] <= done < self._steps

    def affordable(self, predict: Any, trained: float) -> bool:
        """Returns whether one more evaluation keeps within the share of `trained` seconds; the first call compiles and times it."""
        if math.isnan(self._cost):
            _, points = next(self._test.chunks())
            jax.block_until_ready(predict(points))
            begin = time.perf_counter()
            jax.block_until_ready(predict(points))
            self._cost = (time.perf_counter() - begin) * self._test.size / self._test.rows
        return self._spent + self._cost <= _SHARE * trained

    def error(self, predict: Any, done: int) -> float:
        """Measures the relative L2 error, and what that costs."""
        begin = time.perf_counter()
        found = self._test.errors(predict)["relative_l2"]
        self._cost = time.perf_counter() - begin
        self._spent += self._cost
        self._stops = [s for s in self._stops if s > done]
        return found


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
    """Raises ValueError for what is no problem, and for a test set that is none or that has the solution of another one."""
    if not isinstance(pde, PDE):
        raise ValueError(f"fit takes a PDE, such as pdezoo.make('poisson', dim=10), got {pde!r:.80}")
    if test is None:
        return
    if not isinstance(test, TestSet):
        raise ValueError(f"test is a TestSet(pde), or None to measure no errors, got {test!r:.80}")
    if test.pde is not pde and test.pde.fingerprint != pde.fingerprint:
        asked, got = (f"{p.name} at d = {p.dim:,}, instance {p.seed}" for p in (pde, test.pde))
        raise ValueError(
            f"test is a TestSet of {asked}, since a training is measured against its own solution, got one of {got}; measure "
            "against another one afterwards, by TestSet.errors(result.predict)"
        )


@contextmanager
def interrupts() -> Iterator[list[int]]:
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
    """Measures training time, by the clock and of the processors, and the steady rate, which leaves out the first step.

    It begins with the time that a fitted start took.
    """

    def __init__(self, start: Timed) -> None:
        self.total, self.processor = start.seconds, start.processor
        self._steady = (0, 0.0)
        self._count = 0
        self._dispatches = 0

    def next_count(self) -> int:
        """Returns how many steps to dispatch next: about _DISPATCH seconds' worth, growing at most fourfold."""
        if self._dispatches == 0:
            return 1
        return max(1, min(4 * self._count, round(_DISPATCH * (self.rate or 1))))

    @contextmanager
    def running(self, count: int) -> Iterator[None]:
        """Times the block that runs `count` steps, as a context manager."""
        self._count = count
        with Timed() as dispatch:
            yield
        self.total += dispatch.seconds
        self.processor += dispatch.processor
        if self._dispatches:
            self._steady = (self._steady[0] + count, self._steady[1] + dispatch.seconds)
        self._dispatches += 1

    @property
    def rate(self) -> float | None:
        """Steps per second; None before the first dispatch."""
        count, spent = self._steady
        if count:
            return count / spent
        return self._count / self.total if self.total else None
