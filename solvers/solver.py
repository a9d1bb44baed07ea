"""What every solver offers, and what a fit returns, saves and loads."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

import pdezoo
from pdezoo import PDE, Points, TestSet

from . import hyperparameters, storage
from .networks.base import Params
from .progress import Progress

if TYPE_CHECKING:
    from .neural import Compiled


class FitStatus(StrEnum):
    """How a training ended. Each member is equal to its string."""

    OK = "ok"
    DIVERGED = "diverged"
    INTERRUPTED = "interrupted"

    @property
    def message(self) -> str:
        """A sentence on what the status means, and what to try."""
        return _MESSAGES[self]


_MESSAGES = {
    FitStatus.OK: "The training took all its steps, as many as were asked for or as its seconds allow.",
    FitStatus.DIVERGED: (
        "The loss became non-finite, and the training stopped with the last parameters before that; "
        "try a smaller learning rate."
    ),
    FitStatus.INTERRUPTED: "The training was interrupted; the result is what was trained until then.",
}


@dataclass
class Result:
    """What a fit returns. `errors` are those at the end of training; `best` is the lowest seen on the way, a separate thing.

    `result.u(x)` is a function like any other of JAX: `jax.grad(result.u)`, `jax.jit`, `jax.vmap` and `jax.hessian` take it.
    `result.save(path)` writes everything but the compiled training to a file that `solvers.load(path)` reads; pickle works too.
    """

    status: FitStatus
    reason: str
    """Why it ended early; "" where it did not."""
    steps: int
    """The number of steps that were taken."""
    loss: float | None
    """The last finite loss; None where no step was taken, or there is no loss."""
    history: list[dict[str, float]]
    """For every dispatch its step, seconds and mean loss; `relative_l2` where it was measured: on the way on the first points
    of the test set, at the end on all of it.
    """
    seconds: float
    """The time of the training alone, in seconds of the clock: without compilation and evaluations."""
    compile_seconds: float | None
    """The time of compiling; None where nothing was compiled, or JAX took the program from its persistent compilation cache."""
    steps_per_second: float | None
    """The rate without the first step; None where nothing was trained."""
    compiled_bytes: int | None
    """The memory that the compiler plans for the training loop, in bytes."""
    errors: dict[str, float] | None
    """Errors on the test set at the end, by the name of the metric; None where there was no test set."""
    forward_evaluations: int
    """How often the loss was evaluated."""
    predict: Callable[[Points], Any] = field(repr=False)
    """A function from a batch of `Points` to u there, shape (B,)."""
    planned_steps: int | None = None
    """The number of steps of the whole training, which schedules follow; None where there is no such number."""
    processor_seconds: float | None = None
    """The time that all processors of this process worked for the training, in seconds; None where it was not measured."""
    params: Params = field(default=None, repr=False)
    solver: Solver | None = field(default=None, repr=False)
    pde: PDE | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.status = FitStatus(self.status)

    @property
    def best(self) -> float | None:
        """The lowest relative L2 error in the history; None where none was measured."""
        return min((h["relative_l2"] for h in self.history if "relative_l2" in h), default=None)

    def u(self, x: Any, t: Any = None) -> Float[Array, ""] | Float[Array, " batch"]:
        """Evaluates the trained u at one point or many: x of shape (d,) or (B, d), and on a problem in time t of shape
        () or (B,).

        A point gives a number of shape (), a batch one of shape (B,). Raises ValueError where x has another number of
        coordinates than the problem, or t is missing or is not wanted.
        """
        x = jnp.asarray(x, float)
        times = None if t is None else jnp.asarray(t, float)
        self._require_fits(x, times)
        points = jnp.atleast_2d(x)
        times = None if times is None else jnp.broadcast_to(times, len(points))
        with pdezoo.usual_arithmetic():
            values = self.predict(Points(points, times))
        return jnp.asarray(values)[0] if x.ndim == 1 else jnp.asarray(values)

    def _require_fits(self, x: Array, t: Array | None) -> None:
        dim = x.shape[-1] if self.pde is None and x.ndim else self.pde and self.pde.dim
        if x.ndim not in (1, 2) or x.shape[-1] != dim:
            raise ValueError(f"x has shape ({dim},) for one point or (B, {dim}) for many, got {x.shape}")
        if t is not None and t.shape not in ((), x.shape[:-1]):
            raise ValueError(f"t has shape () or one number a point, {x.shape[:-1]}, got {t.shape}")
        if self.pde is None:
            return
        if t is None and self.pde.domain.horizon is not None:
            raise ValueError(
                f"{self.pde.name} is a problem in space and time, and t is missing: call u(x, t)"
            )
        if t is not None and self.pde.domain.horizon is None:
            raise ValueError(f"{self.pde.name} is a problem without time: call u(x)")

    def save(self, path: str | Path) -> None:
        """Writes parameters, numbers and the names of problem and solver to `path`; see `load`.

        The file is a NumPy archive: a JSON header, and arrays. Raises ValueError for a result that has no parameters,
        such as that of a null predictor.
        """
        Path(path).write_bytes(self._written())

    def _written(self) -> bytes:
        if self.solver is None or self.pde is None or self.params is None:
            name = "this solver" if self.solver is None else self.solver.name
            raise ValueError(
                f"{name} keeps no parameters that could be saved; keep its values, or fit it again"
            )
        numbers = {name: getattr(self, name) for name in _NUMBERS}
        header = {"problem": _problem(self.pde), "solver": _solver(self.solver), "result": numbers}
        return storage.write(header, jax.tree.leaves(self.params))

    def __reduce__(self) -> Any:
        """Pickles the bytes that `save` writes, and the solver."""
        return _unpickled, (self._written(), self.solver)


_NUMBERS = (
    "status",
    "reason",
    "steps",
    "loss",
    "history",
    "seconds",
    "compile_seconds",
    "steps_per_second",
    "compiled_bytes",
    "errors",
    "forward_evaluations",
    "planned_steps",
    "processor_seconds",
)
"""The names of the fields of a result that are plain data."""


def load(path: str | Path, pde: PDE | None = None, solver: Solver | None = None) -> Result:
    """Returns the result that `Result.save` wrote to `path`.

    Problem and solver are made by the names in the file, the solver with the hyperparameters that it had; pass them
    where they are registered under no name. Raises ValueError, saying what differs, where either has changed since: the
    problem's fingerprint, a hyperparameter, or the number, rank or type of the arrays.
    """
    return _read(Path(path).read_bytes(), str(path), pde, solver)


def _read(content: bytes, what: str, pde: PDE | None, solver: Solver | None) -> Result:
    header, leaves = storage.read(content, what)
    then = header["problem"]
    pde = pde or pdezoo.make(then["name"], dim=then["dim"], seed=then["seed"])
    _require_same(what, "problem", then, _problem(pde))
    solver = solver or _as_it_was(header["solver"])
    _require_same(what, "solver", header["solver"], _solver(solver))
    params, predict = solver.restore(pde, leaves)
    return Result(**header["result"], predict=predict, params=params, solver=solver, pde=pde)


def _unpickled(content: bytes, solver: Solver) -> Result:
    return _read(content, "the pickled result", None, solver)


def _problem(pde: PDE) -> dict[str, Any]:
    return {"name": pde.name, "dim": pde.dim, "seed": pde.seed, "fingerprint": pde.fingerprint}


def _solver(solver: Solver) -> dict[str, Any]:
    """Returns the solver's name and hyperparameters as JSON gives them back."""
    return json.loads(json.dumps({"name": solver.name, "hyperparameters": solver.hyperparameters()}))


def _as_it_was(then: dict[str, Any]) -> Solver:
    """Returns the registered solver with the hyperparameters of the file; with its own where it does not take them."""
    from . import make

    solver = make(then["name"])
    changes = dict(_differences(_solver(solver)["hyperparameters"], then["hyperparameters"]))
    numbers = {
        place.rpartition(".")[2]: new
        for place, (_, new) in changes.items()
        if place.rpartition(".")[2] != "kind"
    }
    try:
        return solver.with_hyperparameters(**numbers) if numbers else solver
    except ValueError:
        return solver  # the caller then reports in what it differs


def _differences(old: Any, new: Any, place: str = "") -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Yields every place at which two nested dictionaries differ, and what each has there."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted({*old, *new}):
            yield from _differences(old.get(name), new.get(name), f"{place}.{name}".lstrip("."))
    elif old != new:
        yield place, (old, new)


def _require_same(what: str, subject: str, then: dict[str, Any], now: dict[str, Any]) -> None:
    changes = [f"{place} was {old!r} and is {new!r}" for place, (old, new) in _differences(then, now)]
    if changes:
        raise ValueError(f"the {subject} of {what} is another one now: {'; '.join(changes)}")


class Solver(ABC):
    """The protocol of solvers, trained or not: `hyperparameters`, `unsupported` and `fit` are required; the rest has defaults."""

    name: str
    sees_solution: ClassVar[bool] = False
    """Whether it uses the exact solution, which no solver may: such a row is shown, and never ranked."""

    @abstractmethod
    def hyperparameters(self) -> dict[str, Any]:
        """Returns everything that decides what the solver does, as plain data that JSON can hold."""

    def with_hyperparameters(self, **changes: Any) -> Self:
        """Returns the same solver with hyperparameters changed by name, as `solvers.make(name, …)` and `--set` ask for.

        By default a frozen dataclass can change those of its fields that `hyperparameters()` shows and that are
        numbers, booleans or strings. Raises BadHyperparameter for any other name and for a value of another kind.
        """
        known = hyperparameters.changeable(self, self.hyperparameters())
        hyperparameters.require_known(self.name, changes, known)
        return hyperparameters.changed(self, changes)

    @abstractmethod
    def unsupported(self, pde: PDE) -> str | None:
        """Returns the reason, in words, why this solver cannot be used on `pde`; None if it can."""

    @abstractmethod
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
        """Solves `pde` in at most `steps` steps on `batch` points each, and returns the result.

        `seed` fixes initialisation and all training randomness; the instance has its own. With a `test` set, errors are
        measured at the end, and up to `evaluations` times on the way, on its first points, within a tenth of the training's
        time. `seconds` is a budget: where it allows fewer than `steps` steps, as a short calibration tells, that number is the
        training's, and its schedules end with it; 0 is no step, None no limit. `progress(step, steps, loss, steps_per_second)`
        is called about twice a second; "auto" draws a bar.

        Raises ValueError where `unsupported` gives a reason.
        """

    def compile(self, pde: PDE, *, steps: int = 10_000, batch: int = 100, chunk: int = 1) -> Compiled | None:
        """Compiles the training ahead of time, for timing it and for its memory; returns None where there is nothing to
        compile.
        """
        return None

    def restore(self, pde: PDE, leaves: list[Array]) -> tuple[Params, Callable[[Points], Array]]:
        """Rebuilds parameters, and u as a function of points, from the arrays of a saved result: the leaves of its parameters.

        Raises ValueError where they are not those of this solver, or where it does not keep any.
        """
        raise ValueError(
            f"{self.name} does not say how its parameters are restored: it has no method `restore`"
        )
