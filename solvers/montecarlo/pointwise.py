"""Solvers that average at the points where u is asked, and train nothing."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from pdezoo import PDE, Points, TestSet, usual_arithmetic
from pdezoo.lowering import prng

from ..hyperparameters import plain
from ..neural import planned_bytes
from ..progress import Progress, progress_bar
from ..solver import FitStatus, Result, Solver
from ..timing import Compilation, Timed, together
from ..training import interrupts, require_numbers, require_problem, rounded_down
from .equations import NoExpectation
from .sampling import Estimate, Sampler, Tally, estimate, tally_more

_DISPATCH = 0.5  # seconds of work handed to the device at a time
_CALIBRATION = 0.05  # of a budget of seconds: what measuring a step may take


class Prepared(NamedTuple):
    """A sampler, and what was spent on it before the first draw: seconds of the clock and of all processors, and of compilation,
    None where that is not known.
    """

    sampler: Sampler
    seconds: float = 0.0
    processor_seconds: float = 0.0
    compile_seconds: float | None = 0.0


@dataclass(frozen=True)
class PointwiseSolver(Solver):
    """Averages independent values at every point where u is asked. A step is one value at every point of the test set.

    Nothing is trained: steps, and a budget of seconds, are spent on the test set, so that an error belongs to its number of
    points. Errors come with an estimate of their own, `estimated_error`: the standard error of the mean over the steps, relative to
    u, for which the solution is not needed. It does not see a bias, where a method has one.
    """

    name: str
    pointwise: ClassVar[bool] = True

    @abstractmethod
    def sampler(self, pde: PDE) -> Sampler:
        """Makes what draws values for a problem. Raises NoExpectation where `require` does."""

    @abstractmethod
    def require(self, pde: PDE) -> None:
        """Raises NoExpectation, with the reason, where u is no expectation known to the method."""

    def prepare(self, pde: PDE, seed: int, batch: int, seconds: float | None) -> Prepared:
        """Makes the sampler within a budget of seconds; by default that takes no time, and no random numbers."""
        return Prepared(self.sampler(pde))

    def hyperparameters(self) -> dict[str, Any]:
        """Returns the fields, that it is pointwise, and the generator of its random numbers."""
        fields = {name: value for name, value in plain(self).items() if name != "name"}
        return {"kind": type(self).__name__, "pointwise": True, **fields, "generator": prng.NAME}

    def unsupported(self, pde: PDE) -> str | None:
        """Returns the reason why u is no expectation known to this method; None if it is."""
        try:
            self.require(pde)
        except NoExpectation as reason:
            return str(reason)
        return None

    def fit(
        self,
        pde: PDE,
        *,
        steps: int,
        seed: int = 0,
        batch: int = 100,
        test: TestSet | None = None,
        progress: Progress | str | None = "auto",
        seconds: float | None = None,
        evaluations: int = 10,
    ) -> Result:
        """Averages `steps` values at every point of the test set; the result's `predict` does so at any points.

        `batch` has no meaning here. The loss is the mean square of the standard errors. Raises ValueError where `unsupported` gives
        a reason, and for numbers that cannot be meant.
        """
        require_numbers(steps, batch, seed, evaluations, seconds)
        require_problem(pde, test)
        if reason := self.unsupported(pde):
            raise ValueError(f"{self.name} cannot solve {pde.name}: {reason}")
        with progress_bar(progress, self.name, pde) as show, usual_arithmetic():
            prepared, key = self.prepare(pde, seed, batch, seconds), prng.key(seed)
            if test is None:
                return self._result(pde, prepared, key, steps)
            averages = Averages(prepared, key, test)
            with interrupts() as interrupted:
                steps = averages.run(steps, seconds, show, interrupted)
            return self._result(pde, prepared, key, steps, averages, bool(interrupted))

    def _result(
        self,
        pde: PDE,
        prepared: Prepared,
        key: PRNGKeyArray,
        steps: int,
        averages: Averages | None = None,
        interrupted: bool = False,
    ) -> Result:
        sampler = prepared.sampler
        done = averages.done if averages else 0
        predict = predictor(sampler, key, done if averages else steps)
        errors = averages.errors(predict) if averages else None
        finite = errors is None or math.isfinite(errors["relative_l2"])
        status = FitStatus.INTERRUPTED if interrupted else FitStatus.OK
        return Result(
            status=status if finite else FitStatus.DIVERGED,
            reason=_reason(finite, interrupted, done),
            steps=done,
            planned_steps=steps,
            loss=averages.loss if averages else None,
            history=averages.history if averages else [],
            seconds=averages.seconds if averages else 0.0,
            processor_seconds=averages.processor_seconds if averages else None,
            compile_seconds=averages.compile_seconds if averages else None,
            steps_per_second=averages.rate if averages else None,
            compiled_bytes=averages.bytes if averages else None,
            errors=errors,
            forward_evaluations=done * sampler.evaluations,
            predict=predict,
            solver=self,
            pde=pde,
        )


def _reason(finite: bool, interrupted: bool, done: int) -> str:
    if not finite:
        return "a value is not finite: the expectation does not exist in float32"
    return f"Interrupted after step {done}." if interrupted else ""


class Averages:
    """The running means at all points of a test set. What draw k at a point is follows from key, k and the point's place alone."""

    def __init__(self, prepared: Prepared, key: PRNGKeyArray, test: TestSet):
        self.history: list[dict[str, float]] = []
        self.done = 0
        self.seconds, self.processor_seconds = prepared.seconds, prepared.processor_seconds
        sampler = prepared.sampler
        self._sampler, self._key, self._test, self._before = sampler, key, test, prepared.seconds
        self._tallies = [Tally.empty(len(range(*where.indices(test.size)))) for where, _ in test.chunks()]
        self._cost = math.nan  # seconds a step and chunk
        self._alone = 0.0  # seconds of drawing, as a budget counts them
        with Compilation() as compilation:
            _, points = next(test.chunks())
            arguments = (sampler, points, self._tallies[0], key, jnp.zeros((), jnp.int32))
            self._more = compilation.compile(jax.jit(tally_more).lower(*arguments))
        self.compile_seconds = together(prepared.compile_seconds, compilation.seconds)

    @property
    def bytes(self) -> int | None:
        """The memory in bytes that the compiler plans for a step on one chunk of points."""
        return planned_bytes(self._more)

    @property
    def rate(self) -> float | None:
        """Steps per second of drawing."""
        spent = self.seconds - self._before
        return self.done / spent if spent else None

    @property
    def loss(self) -> float | None:
        """The mean square of the standard errors; None before the second step."""
        return self.history[-1].get("loss") if self.history else None

    def run(self, steps: int, seconds: float | None, show: Progress, interrupted: list[int]) -> int:
        """Takes `steps` steps, or as many as `seconds` allow, and returns that number; stops where `interrupted` is filled.

        A first, then as many as all before, until these have told what a step takes; they count like all others. After each round
        the errors are measured, which costs next to nothing.
        """
        budget = math.inf if seconds is None else seconds - self._before
        goal, known = min(steps, 1), False
        while self.done < steps and budget > 0 and not interrupted:
            before = self._alone
            if not self._reach(goal, steps, show, interrupted):
                break
            self._note()
            if not known and goal > 1 and self._alone - before >= _CALIBRATION * budget:
                left = max(0.0, budget - self._alone)
                allowed = self.done + left * self.done / 2 / (self._alone - before)
                steps, known = min(steps, max(self.done, rounded_down(allowed))), True
            goal = min(2 * self.done, steps)
        return steps if budget > 0 else 0

    def _reach(self, goal: int, steps: int, show: Progress, interrupted: list[int]) -> bool:
        """Brings every point to `goal` draws; returns False where it was interrupted before, and the last points have fewer."""
        chunks = len(self._tallies)
        for number, (_, points) in enumerate(self._test.chunks()):
            key = jax.random.fold_in(self._key, number)
            while (left := goal - int(self._tallies[number].draws)) > 0:
                if interrupted:
                    return False
                self._draw(number, points, key, min(left, self._at_a_time()))
                show(
                    self.done + (goal - self.done) * number // chunks, steps, self.loss or math.nan, self.rate
                )
        self.done = goal
        return True

    def _at_a_time(self) -> int:
        return 1 if math.isnan(self._cost) else max(1, int(_DISPATCH / self._cost))

    def _draw(self, number: int, points: Points, key: PRNGKeyArray, count: int) -> None:
        with Timed() as draws:
            more = jnp.asarray(count, jnp.int32)
            tally = self._more(self._sampler, points, self._tallies[number], key, more)
            self._tallies[number] = jax.block_until_ready(tally)
        self._cost = max(draws.seconds / count, 1e-9)
        self.seconds += draws.seconds
        self.processor_seconds += draws.processor
        self._alone += draws.alone

    def _found(self) -> tuple[np.ndarray, np.ndarray]:
        """u at all test points and its standard errors, float64, each of shape (size,)."""
        values, errors = np.empty(self._test.size), np.empty(self._test.size)
        for (where, points), tally in zip(self._test.chunks(), self._tallies, strict=True):
            found = _estimate(self._sampler, points, tally)
            values[where], errors[where] = found.value, found.standard_error
        return values, errors

    def _note(self) -> None:
        """Adds the errors at this number of steps to the history."""
        values, own = self._found()
        entry = {"step": self.done, "seconds": self.seconds}
        loss = float(np.mean(own**2))
        if math.isfinite(loss):
            entry["loss"] = loss
        entry["relative_l2"] = self._test.errors_of(values)["relative_l2"]
        self.history.append(entry)

    def errors(self, predict: Callable[[Points], Any]) -> dict[str, float]:
        """Returns the errors of the means, by name, those at the problem's probe point by `predict`, and `estimated_error`."""
        values, own = self._found()
        relative = float(np.linalg.norm(own) / (np.linalg.norm(values) or 1.0))
        estimated = {"estimated_error": relative} if math.isfinite(relative) else {}
        return self._test.errors_of(values) | self._test.point_error(predict) | estimated


def predictor(sampler: Sampler, key: PRNGKeyArray, steps: int) -> Callable[[Points], Array]:
    """Returns u as a function of points, each value the mean of `steps` draws: the same ones whenever it is called."""
    return partial(_mean_at, sampler, key, steps)


@partial(jax.jit, static_argnums=2)
def _mean_at(sampler: Sampler, key: PRNGKeyArray, steps: int, points: Points) -> Array:
    add = jax.checkpoint(lambda tally, k: (tally.add(sampler.draw(points, jax.random.fold_in(key, k))), None))
    tally, _ = jax.lax.scan(add, Tally.empty(points.x.shape[0]), jnp.arange(steps))
    return estimate(sampler, points, tally).value


@jax.jit
def _estimate(sampler: Sampler, points: Points, tally: Tally) -> Estimate:
    return estimate(sampler, points, tally)
