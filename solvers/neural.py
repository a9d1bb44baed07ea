"""Solvers made of estimator × trainer × network × loss, and their compiled training loops."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from typing import Any, NamedTuple, Self

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from pdezoo import PDE, Points, Problem, TestSet, usual_arithmetic
from pdezoo.lowering import prng

from .derivatives.field import Field
from .estimators.base import Estimator
from .estimators.one_pass import OnePassHTE, Pass
from .hyperparameters import changed, plain, require_known
from .loss import Loss, Residual, SquaredLoss, SumOfSquares, condition_loss, condition_terms
from .networks.base import Network, Params
from .networks.mlp import MLP
from .progress import Progress, progress_bar
from .solver import Result, Solver
from .start import ReadoutStart
from .timing import Compilation
from .trainers.adam import Adam
from .trainers.base import LeastSquares, LossFunction, Objective, Term, Trainer, stacked
from .training import affordable_steps, require_numbers, require_problem, train


class State(NamedTuple):
    """A training between two steps: what a step reads and replaces."""

    params: Params
    trainer: Any
    key: PRNGKeyArray
    step: Int[Array, ""]
    steps: Int[Array, ""]  # the number of steps of the whole training
    loss: Float[Array, ""]

    @property
    def progress(self) -> Float[Array, ""]:
        """The fraction of the training that is over, from 0 to 1: all schedules follow it."""
        return jnp.minimum(self.step / self.steps.astype(jnp.float32), 1)


class Losses(NamedTuple):
    """A summary of the losses of several steps: their mean, and the last finite one, NaN if none ever was."""

    mean: Float[Array, ""]
    last: Float[Array, ""]


@dataclass(frozen=True)
class NeuralSolver(Solver):
    """Minimises the mean squared estimated residual of a network under the problem's ansatz.

    It is made of an estimator of derivatives, a trainer, a network and a loss. Soft conditions of the problem add to the loss. With
    a `start`, the read-out is fitted before the first step, in the time of the training.
    """

    name: str
    estimator: Estimator
    trainer: Trainer = field(default_factory=Adam)
    network: Network = field(default_factory=MLP)
    loss: Loss = field(default_factory=SquaredLoss)
    start: ReadoutStart | None = None

    def hyperparameters(self) -> dict[str, Any]:
        """Returns the kind and the fields of each of its parts, and the generator of points and directions, as plain data."""
        parts = {part: {"kind": type(value).__name__} | plain(value) for part, value in self.parts().items()}
        return parts | {"generator": prng.NAME}

    def with_hyperparameters(self, **changes: Any) -> Self:
        """Returns a copy with fields of its parts changed by name, in every part that has a field of that name.

        Raises BadHyperparameter for a name that no part has, and for a value of another kind than the one it replaces.
        """
        own = {part: plain(value) for part, value in self.parts().items()}
        require_known(self.name, changes, {name for fields in own.values() for name in fields})
        kept = {part: {n: v for n, v in changes.items() if n in fields} for part, fields in own.items()}
        return replace(self, **{part: changed(value, kept[part]) for part, value in self.parts().items()})

    def parts(self) -> dict[str, Any]:
        """Returns estimator, trainer, network and loss, and the start where there is one, by these names."""
        names = ("estimator", "trainer", "network", "loss", *(("start",) if self.start else ()))
        return {name: getattr(self, name) for name in names}

    @property
    def accepts_lazy_coordinates(self) -> bool:
        """Whether no part needs x as an array, as trainers of residuals do."""
        parts = (self.estimator, self.network, self.loss)
        return not self.trainer.wants_residuals and all(part.accepts_lazy_coordinates for part in parts)

    @property
    def _wants_squares(self) -> bool:
        return self.trainer.wants_residuals or self.start is not None

    def unsupported(self, pde: PDE) -> str | None:
        """Returns the reason why this solver cannot be used on `pde`; None if it can.

        It is the estimator's reason, the network's, or that the trainer wants residuals of a loss that is no sum of squares.
        """
        reason = self.estimator.unsupported(pde, self.network)
        reason = self.network.unsupported(pde) if reason is None else reason
        if reason is None and self._wants_squares and not isinstance(self.loss, SumOfSquares):
            trainer, loss = type(self.start or self.trainer).__name__, type(self.loss).__name__
            return f"{trainer} minimises sums of squares, and {loss} is none; try SquaredLoss"
        if reason is None and self.trainer.wants_pass:
            reason = self._without_pass(pde)
        if reason is None and self.start:
            return self.start.unsupported(pde, self.network)
        return reason

    def _without_pass(self, pde: PDE) -> str | None:
        """Returns why there is no `Pass` for a trainer that wants one; None if there is."""
        trainer = type(self.trainer).__name__
        if pde.conditions:
            return f"it has a soft condition, and {trainer} perturbs the pass of the operator alone"
        for part, kind in ((self.estimator, OnePassHTE), (self.network, MLP), (self.loss, SquaredLoss)):
            if type(part) is not kind:
                return f"{trainer} perturbs the activations of {kind.__name__}, not of {type(part).__name__}"
        return None

    def init(self, problem: Problem, seed: int, steps: int) -> State:
        """Returns the state before the first of `steps` steps; `seed` determines all that is random about the training.

        Points and directions come from pdezoo's fast generator.
        """
        start, key = jax.random.key(seed), prng.key(seed)
        params = self.network.init(start, problem.domain.dim, problem.has_time)
        no_step = jax.random.fold_in(key, 2**32 - 1)
        params = self.network.adapt(partial(self.evaluate, problem), params, no_step)
        if self.start:
            params = self._fitted(problem, params, jax.random.fold_in(key, 2**32 - 2))
        zero = jnp.zeros((), jnp.int32)
        params, trainer = self.trainer.start(params, steps)
        return State(params, trainer, key, zero, zero + steps, jnp.zeros(()))

    def _fitted(self, problem: Problem, params: Params, key: PRNGKeyArray) -> Params:
        """Returns the parameters with the read-out that the start gives them."""
        assert self.start is not None
        count = self.start.count(problem.domain.dim)

        def residuals(trial: Params) -> Array:
            return stacked([term.rows(trial, term.points) for term in self.terms(problem, key, count)])

        return self.start(residuals, self.network, params)

    def step(self, problem: Problem, state: State, batch: int) -> State:
        """Takes one step: draws `batch` points, estimates residuals and updates the parameters."""
        key = jax.random.fold_in(state.key, state.step)
        free, fixed = eqx.partition(state.params, eqx.is_inexact_array)
        loss = self.objective(problem, fixed, batch, state.progress)
        free, trainer, value = self.trainer.step(loss, free, state.trainer, key)
        return State(eqx.combine(free, fixed), trainer, state.key, state.step + 1, state.steps, value)

    def objective(self, problem: Problem, fixed: Params, batch: int, progress: Any) -> LossFunction:
        """Returns the loss in the form that the trainer asks for: a `LeastSquares` where it wants residuals, else an
        `Objective`.

        The loss is a function of the trained parameters; `fixed` are the others.
        """
        whole = lambda params: eqx.combine(params, fixed)
        value = lambda params, key, directions=None: self.evaluate(
            problem, whole(params), key, batch, progress, directions
        )
        if not self.trainer.wants_residuals:
            return Objective(value, progress)

        def terms(key: PRNGKeyArray) -> tuple[Term, ...]:
            of_whole = lambda rows: lambda params, points: rows(whole(params), points)
            return tuple(Term(at, of_whole(rows)) for at, rows in self.terms(problem, key, batch, progress))

        return LeastSquares(value, progress, self.network, terms, self._through(problem, whole, batch))

    def _through(
        self, problem: Problem, whole: Callable[[Params], Params], batch: int
    ) -> Callable[[Params, PRNGKeyArray], Pass] | None:
        """Returns (trained parameters, key) ↦ the residuals of `terms` as a `Pass`, where the trainer wants that."""
        estimator = self.estimator
        if not self.trainer.wants_pass or not isinstance(estimator, OnePassHTE):
            return None

        def through(params: Params, key: PRNGKeyArray) -> Pass:
            where, how, _ = jax.random.split(key, 3)
            field = Field(problem, whole(params), self.network)
            return estimator.through(field, self.points(problem, where, batch), how)

        return through

    def evaluate(
        self,
        problem: Problem,
        params: Params,
        key: PRNGKeyArray,
        batch: int,
        progress: Any = 0.0,
        directions: PRNGKeyArray | None = None,
    ) -> Float[Array, ""]:
        """Evaluates the loss on `batch` points drawn from `key`, when the fraction `progress` of the training is over.

        The estimator's randomness follows from `key` too, unless `directions` is another key to draw it from.
        """
        where, how, at = jax.random.split(key, 3)
        how = how if directions is None else directions
        points = self.points(problem, where, batch)
        trial = Field(problem, params, self.network)
        conditions = condition_loss(trial, at, batch, self.trainer.reverse_mode)
        return self.loss(self._residual(trial, points), how, progress) + conditions

    def terms(self, problem: Problem, key: PRNGKeyArray, batch: int, progress: Any = 0.0) -> tuple[Term, ...]:
        """Returns the same loss as the terms whose squares it is made of: the operator's residuals, and a term for each
        soft condition.

        The loss must be a `SumOfSquares`, as `unsupported` makes sure.
        """
        assert isinstance(self.loss, SumOfSquares)  # `unsupported` gave the reason
        loss = self.loss
        where, how, at = jax.random.split(key, 3)

        def rows(params: Params, points: Points) -> Array:
            return loss.rows(self._residual(Field(problem, params, self.network), points), how, progress)

        return Term(self.points(problem, where, batch), rows), *condition_terms(
            problem, self.network, at, batch
        )

    def _residual(self, trial: Field, points: Points) -> Residual:
        """Returns ξ ↦ r̂_ξ of a trial function at points."""
        return Residual(lambda moved, key: self.estimator.residual(trial, moved, key), points)

    def points(self, problem: Problem, key: PRNGKeyArray, batch: int) -> Points:
        """Draws `batch` training points, with x as an array, or in the form that the domain offers if all parts accept
        lazy coordinates.
        """
        return (
            problem.coordinates(key, batch) if self.accepts_lazy_coordinates else problem.sample(key, batch)
        )

    def advance(self, problem: Problem, state: State, count: Array, batch: int) -> tuple[State, Losses]:
        """Takes up to `count` steps in one compiled loop, and returns the state and a summary of the losses.

        It stops after a step whose loss is not finite; such a step leaves the parameters as they were.
        """

        def go_on(carry: tuple[State, Array, Losses]) -> Array:
            now, done, _ = carry
            return (done < count) & jnp.isfinite(now.loss)

        def body(carry: tuple[State, Array, Losses]) -> tuple[State, Array, Losses]:
            now, done, seen = carry
            after = self.step(problem, now, batch)
            last = jnp.where(jnp.isfinite(after.loss), after.loss, seen.last)
            return after, done + 1, Losses(seen.mean + after.loss, last)

        start = Losses(jnp.zeros(()), jnp.where(state.step > 0, state.loss, jnp.nan))  # no step, no loss
        state, done, seen = jax.lax.while_loop(go_on, body, (state, jnp.zeros((), jnp.int32), start))
        return state, seen._replace(mean=seen.mean / jnp.maximum(done, 1))

    def predict(self, problem: Problem, params: Params, points: Points) -> Float[Array, " batch"]:
        """Evaluates the solution at points, shape (B,): u_θ, or what the estimator takes for it, such as a smoothed u_θ."""
        return self.estimator.value(Field(problem, params, self.network), points)

    def compile(self, pde: PDE, *, steps: int = 10_000, batch: int = 100, chunk: int = 1) -> Compiled:
        """Compiles the training loop ahead of time, for timing it and for the compiler's own account of memory and operations.

        The result takes `chunk` steps a call, on `batch` points each; schedules end after `steps` steps.
        """
        require_numbers(steps, batch)
        problem = on_device(pde)
        if jax.config.jax_disable_jit:  # type: ignore[attr-defined]  # for a debugger: the same loop, step by step
            return Compiled(self, problem, partial(self.advance, batch=batch), 0.0, steps, chunk)
        with usual_arithmetic():
            state = jax.eval_shape(lambda: self.init(problem, 0, steps))
            with Compilation() as compilation:
                loop = jax.jit(self.advance, static_argnames="batch", donate_argnums=1)
                count = jax.ShapeDtypeStruct((), jnp.int32)
                executable = compilation.compile(loop.lower(problem, state, count, batch=batch))
        return Compiled(self, problem, executable, compilation.seconds, steps, chunk)

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
        """Trains on `pde` and returns the result; see `Solver.fit` for the arguments.

        Raises ValueError where `unsupported` gives a reason, for numbers that cannot be meant, and for what is no problem, test set
        or progress.
        """
        require_numbers(steps, batch, seed, evaluations, seconds)
        require_problem(pde, test)
        reason = self.unsupported(pde)
        if reason:
            raise ValueError(f"{self.name} cannot solve {pde.name}: {reason}")
        with progress_bar(progress, self.name, pde) as show, usual_arithmetic():
            compiled = self.compile(pde, steps=steps, batch=batch)
            if seconds is not None and (fewer := affordable_steps(compiled, seed, seconds)) < steps:
                compiled = compiled.shortened(fewer) or self.compile(pde, steps=fewer, batch=batch)
            return train(compiled, pde, seed, test, show, evaluations)

    def restore(self, pde: PDE, leaves: list[Array]) -> tuple[Params, Callable[[Points], Array]]:
        """Rebuilds parameters, in the structure that `init` gives them, and the solution from the arrays of a saved result.

        Raises ValueError where the arrays differ from those of `init` in number, rank or type.
        """
        problem = on_device(pde)
        like = jax.eval_shape(lambda: self.init(problem, 0, 1).params)
        expected, structure = jax.tree.flatten(like)
        kinds = [[(a.ndim, a.dtype) for a in arrays] for arrays in (expected, leaves)]
        if kinds[0] != kinds[1]:
            raise ValueError(
                f"{self.name} has {len(expected)} arrays of parameters, {_shown(expected)}; got {len(leaves)}, {_shown(leaves)}"
            )
        params = jax.tree.unflatten(structure, leaves)
        return params, lambda points: _predict(self, problem, params, points)


def _shown(arrays: list[Any]) -> str:
    return ", ".join(f"{a.dtype}{list(a.shape)}" for a in arrays)


@dataclass
class Compiled:
    """A compiled training loop. `state, losses = compiled(state)` takes `chunk` steps; the state given is used up.

    `seconds` is the time that compilation took, None where JAX had the program in a cache, and `steps` the length of the whole
    training.
    """

    solver: NeuralSolver
    problem: Problem
    executable: Any
    seconds: float | None
    steps: int
    chunk: int = 1

    def init(self, seed: int = 0) -> State:
        """Returns a fresh state, the parameters and all randomness determined by `seed`."""
        return _initial(self.solver, self.problem, seed, self.steps)

    def shortened(self, steps: int) -> Compiled | None:
        """Returns the same loop for a training of `steps` steps; None where its state then has other shapes, and it must be
        compiled anew.
        """
        shapes = [
            jax.eval_shape(lambda n=n: self.solver.init(self.problem, 0, n)) for n in (self.steps, steps)
        ]
        return replace(self, steps=steps) if shapes[0] == shapes[1] else None

    def __call__(self, state: State) -> tuple[State, Losses]:
        """Takes `chunk` steps; returns the state and a summary of the losses."""
        return self.advance(state, self.chunk)

    def advance(self, state: State, count: int) -> tuple[State, Losses]:
        """Takes up to `count` steps; returns the state and a summary of the losses. The buffers of the state given are reused."""
        return self.executable(self.problem, state, jnp.asarray(count, jnp.int32))

    def predictor(self, params: Params) -> Callable[[Points], Array]:
        """Returns the solution with these parameters as a compiled function of points, with values of shape (B,)."""
        return lambda points: _predict(self.solver, self.problem, params, points)

    @property
    def bytes(self) -> int | None:
        """The memory in bytes that the compiler plans: arguments, outputs and temporaries, less what they share.

        None where JAX is told not to compile, and where the compiler gives no account.
        """
        return None if isinstance(self.executable, partial) else planned_bytes(self.executable)

    @property
    def flops(self) -> float | None:
        """The floating-point operations of one step as the compiler counts them; None where it does not."""
        if isinstance(self.executable, partial):
            return None
        analysis = self.executable.cost_analysis() or {}
        return analysis.get("flops")


def planned_bytes(executable: Any) -> int | None:
    """Returns the memory in bytes that the compiler plans: arguments, outputs and temporaries, less what they share.

    None where it gives no account.
    """
    plan = executable.memory_analysis()
    if plan is None:
        return None
    total = plan.argument_size_in_bytes + plan.output_size_in_bytes + plan.temp_size_in_bytes
    return int(total - plan.alias_size_in_bytes)


def on_device(pde: PDE) -> Problem:
    """Lowers a PDE, with its coefficients as float32 arrays on the default device."""
    return jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), pde.lower())


@lru_cache(maxsize=32)
def _jitted(function: Callable, static: tuple[int, ...]) -> Callable:
    return jax.jit(function, static_argnums=static)


def _initial(solver: NeuralSolver, problem: Problem, seed: int, steps: int) -> State:
    return _jitted(type(solver).init, (0, 3))(solver, problem, seed, steps)


def _predict(solver: NeuralSolver, problem: Problem, params: Params, points: Points) -> Array:
    return _jitted(type(solver).predict, (0,))(solver, problem, params, points)
