"""Solvers made of estimator × trainer × network × loss, and their compiled training loops."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import lru_cache, partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from pdezoo import PDE, Ball, Points, Problem, TestSet
from pdezoo.lowering import prng

from .derivatives.field import Field
from .estimators.base import Estimator
from .loss import Loss, Residual, SquaredLoss, condition_loss
from .networks.base import Network, Params
from .networks.mlp import MLP
from .progress import Progress, progress_bar
from .solver import Result, Solver
from .trainers.adam import Adam
from .trainers.base import Trainer
from .training import train

_HELD = 2**25  # numbers of training points that are held at a time: 128 MB
_BLOCK = 2**16  # coordinates in a block of those that are not


class State(NamedTuple):
    """A training in mid-flight."""

    params: Params
    trainer: Any
    key: PRNGKeyArray
    step: Int[Array, ""]
    steps: Int[Array, ""]  # of the whole training
    loss: Float[Array, ""]


class Losses(NamedTuple):
    """Of a chunk of steps: the mean loss, and the last finite one; NaN if none ever was."""

    mean: Float[Array, ""]
    last: Float[Array, ""]


@dataclass(frozen=True)
class NeuralSolver(Solver):
    """Minimises the mean squared estimated residual of a network under the problem's ansatz."""

    name: str
    estimator: Estimator
    trainer: Trainer = field(default_factory=Adam)
    network: Network = field(default_factory=MLP)
    loss: Loss = field(default_factory=SquaredLoss)

    def hyperparameters(self) -> dict[str, Any]:
        """The four parts: their kind and their numbers; and the generator of points and directions."""
        parts = {part: {"kind": type(value).__name__} | asdict(value) for part, value in self.parts().items()}
        return parts | {"generator": prng.NAME}

    def parts(self) -> dict[str, Any]:
        """Estimator, trainer, network and loss."""
        return {k: getattr(self, k) for k in ("estimator", "trainer", "network", "loss")}

    @property
    def streams(self) -> bool:
        """Whether no part needs x as an array."""
        return self.estimator.streams and self.network.streams and self.loss.streams

    def unsupported(self, pde: PDE) -> str | None:
        """The estimator's reason, or the network's."""
        reason = self.estimator.unsupported(pde, self.network)
        return self.network.unsupported(pde) if reason is None else reason

    def init(self, problem: Problem, seed: int, steps: int) -> State:
        """The state before the first step. Points and directions come from pdezoo's fast generator."""
        start, key = jax.random.key(seed), prng.key(seed)
        params = self.network.init(start, problem.domain.dim, problem.has_time)
        no_step = jax.random.fold_in(key, 2**32 - 1)
        params = self.network.adapt(partial(self.evaluate, problem), params, no_step)
        zero = jnp.zeros((), jnp.int32)
        params, trainer = self.trainer.start(params, steps)
        return State(params, trainer, key, zero, zero + steps, jnp.zeros(()))

    def step(self, problem: Problem, state: State, batch: int) -> State:
        """One step: draw points, estimate residuals, update."""
        key = jax.random.fold_in(state.key, state.step)
        done = state.step / state.steps
        free, fixed = eqx.partition(state.params, eqx.is_inexact_array)
        loss = lambda params, k: self.evaluate(problem, eqx.combine(params, fixed), k, batch, done)
        free, trainer, value = self.trainer.step(loss, free, state.trainer, key)
        return State(eqx.combine(free, fixed), trainer, state.key, state.step + 1, state.steps, value)

    def evaluate(
        self, problem: Problem, params: Params, key: PRNGKeyArray, batch: int, done: Any = 0.0
    ) -> Float[Array, ""]:
        """The loss on points drawn from `key`, when the fraction `done` of the training is over."""
        where, how, at = jax.random.split(key, 3)
        points = self.points(problem, where, batch)
        trial = Field(problem, params, self.network)

        def residual(moved: Points, k: PRNGKeyArray) -> Array:
            return problem.residual(self.estimator(trial, problem.atoms, moved, k), moved)

        return self.loss(Residual(residual, points), how, done) + condition_loss(trial, at, batch)

    def points(self, problem: Problem, key: PRNGKeyArray, batch: int) -> Points:
        """Training points: an array, unless domain and parts can do with less; then streamed where they are many numbers."""
        domain = problem.domain
        if not (isinstance(domain, Ball) and self.streams):
            return problem.sample(key, batch)
        if batch * domain.dim <= _HELD:
            return domain.factored(key, batch)
        return domain.stream(key, batch, block_size(domain.dim))

    def advance(self, problem: Problem, state: State, count: Array, batch: int) -> tuple[State, Losses]:
        """Up to `count` steps in one loop; stops before the state is touched by a loss that is not finite."""

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
        """u_θ at points, as the estimator means it."""
        return self.estimator.value(Field(problem, params, self.network), points)

    def compile(self, pde: PDE, *, steps: int = 10_000, batch: int = 100, chunk: int = 1) -> Compiled:
        """The training loop compiled ahead of time, for timing it and for the compiler's own account of it."""
        problem = on_device(pde)
        state = jax.eval_shape(lambda: self.init(problem, 0, steps))
        begin = time.perf_counter()
        loop = jax.jit(self.advance, static_argnames="batch", donate_argnums=1)
        count = jax.ShapeDtypeStruct((), jnp.int32)
        executable = loop.lower(problem, state, count, batch=batch).compile()
        return Compiled(self, problem, executable, time.perf_counter() - begin, steps, chunk)

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
        """Train; see Solver.fit."""
        reason = self.unsupported(pde)
        if reason:
            raise ValueError(f"{self.name} cannot solve {pde.name}: {reason}")
        if seconds is not None and not seconds >= 0:
            raise ValueError(
                f"seconds is a training budget of at least 0, or None for no limit, got {seconds}"
            )
        compiled = self.compile(pde, steps=steps, batch=batch)
        with progress_bar(progress, self.name, pde) as show:
            return train(compiled, seed, test, show, seconds, evaluations)


@dataclass
class Compiled:
    """A compiled training loop. `state, losses = compiled(state)` runs `chunk` steps; the state given is used up."""

    solver: NeuralSolver
    problem: Problem
    executable: Any
    seconds: float
    steps: int
    chunk: int = 1

    def init(self, seed: int = 0) -> State:
        """A fresh state."""
        return _initial(self.solver, self.problem, seed, self.steps)

    def __call__(self, state: State) -> tuple[State, Losses]:
        """`chunk` steps."""
        return self.advance(state, self.chunk)

    def advance(self, state: State, count: int) -> tuple[State, Losses]:
        """Up to `count` steps."""
        return self.executable(self.problem, state, jnp.asarray(count, jnp.int32))

    def predictor(self, params: Params) -> Callable[[Points], Array]:
        """u_θ as a compiled function of points."""
        return lambda points: _predict(self.solver, self.problem, params, points)

    @property
    def bytes(self) -> int:
        """Memory the compiler plans for: arguments, outputs and temporaries, less what they share."""
        plan = self.executable.memory_analysis()
        total = plan.argument_size_in_bytes + plan.output_size_in_bytes + plan.temp_size_in_bytes
        return int(total - plan.alias_size_in_bytes)

    @property
    def flops(self) -> float | None:
        """Floating-point operations of one step as the compiler counts them; None where it does not."""
        analysis = self.executable.cost_analysis() or {}
        return analysis.get("flops")


def block_size(dim: int) -> int:
    """How many coordinates are streamed at a time: a divisor of `dim` if there is a large one."""
    divisors = (k for k in range(_BLOCK, _BLOCK // 16, -1) if dim % k == 0)
    return next(divisors, _BLOCK)


def on_device(pde: PDE) -> Problem:
    """The lowered problem with its coefficients as float32 arrays on the default device."""
    return jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), pde.lower())


@lru_cache(maxsize=32)
def _jitted(function: Callable, static: tuple[int, ...]) -> Callable:
    return jax.jit(function, static_argnums=static)


def _initial(solver: NeuralSolver, problem: Problem, seed: int, steps: int) -> State:
    return _jitted(NeuralSolver.init, (0, 3))(solver, problem, seed, steps)


def _predict(solver: NeuralSolver, problem: Problem, params: Params, points: Points) -> Array:
    return _jitted(NeuralSolver.predict, (0,))(solver, problem, params, points)
