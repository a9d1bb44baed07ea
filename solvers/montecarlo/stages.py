"""Semilinear parabolic equations interval by interval, from where u is given: deep splitting and deep backward dynamic programming.

The time is cut into N intervals of length Δ. V_0 = g is given; V_k, which is u when k Δ is left, is a network of its own that is
trained against V_{k−1}, along one step X → X' = X + b Δ + σ ΔW of Euler's and Maruyama's scheme, while V_{k−1} stays as it is. See
`Process` for b, σ and the driver f. The parameters of all networks stand in one array each, with a leading axis N.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from pdezoo import PDE, Points, Problem, nested_autodiff

from ..derivatives.field import Field
from ..estimators.base import Atoms, Values
from ..networks.base import Params
from ..neural import NeuralSolver, State
from ..trainers.adam import Adam
from ..trainers.base import Objective
from .backward import BackwardSDE, Process, value_and_gradient

Function = Callable[[Points], Float[Array, " batch"]]
"""A function of a batch of points."""


class Stages(NamedTuple):
    """Parameters of a training in stages: of the network that is trained `now`, as V_{stage+1}, and of V_1 … V_N in `done`.

    Slots of `done` beyond the stage that was reached mean nothing.
    """

    now: Params
    done: Params
    stage: Int[Array, ""]

    @property
    def intervals(self) -> int:
        """The number N of intervals."""
        return jax.tree.leaves(self.done)[0].shape[0]

    def slot(self, number: Any) -> Params:
        """Returns the parameters of V_{number+1}; those of the last stage that was reached for one beyond it."""
        at = jnp.clip(number, 0, self.stage)
        return jax.tree.map(lambda all_: all_[at], self.done)


@dataclass(frozen=True)
class OneStep(BackwardSDE):
    """Defects of one interval, at the field of a network whose parameters are `Stages`.

    Training points of a stage lie where V_k is asked for, by later stages and between times of the grid: where paths from the
    points of the batch, and from the problem's probe, which is the share `aimed` of them, are at times within Δ of the stage's.
    Points of the batch that are later than that stay where they are. The stages take equal parts of the training, but for two
    shares of it: `first` goes to the first stage, since it begins with random parameters, and `last` to the last one, where paths
    from the probe are all in one place. Raises ValueError for shares that are none, and for fewer than one interval.
    """

    first: float = 0.3
    last: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.first, self.last) < 0 or self.first + self.last >= 1:
            raise ValueError(
                f"first and last are shares of a training, below 1 together, got {self.first} and {self.last}"
            )

    @abstractmethod
    def defect(
        self,
        process: Process,
        now: Function,
        later: Function,
        at: Points,
        seconds: Float[Array, " batch"],
        key: PRNGKeyArray,
    ) -> Float[Array, "rows batch"]:
        """Draws a step of length Δ from every point and returns what V_k = `now` lacks there, V_{k−1} being `later`."""

    def __call__(self, field: Field, atoms: Atoms, points: Points, key: PRNGKeyArray) -> Values:
        """Computes every atom of the function that is piecewise linear in time, by nested autodiff: the training asks for none."""
        return nested_autodiff(lambda at: self.value(field, at), points, atoms)

    def residual(self, field: Field, points: Points, key: PRNGKeyArray) -> Float[Array, "rows batch"]:
        """Returns the defects of the stage over the time that is left and the domain's scale: V_k is about g + k Δ n_θ."""
        stages: Stages = field.params
        process, (there, step) = Process.of(field.problem), jax.random.split(key)
        seconds = process.equation.horizon / stages.intervals
        left = (stages.stage + 1) * seconds
        at = self.asked(process, self._starts(field.problem, points), left, seconds, there)
        now = Field(field.problem, stages.now, field.network).value
        each = jnp.full_like(left, seconds, shape=points.x.shape[:1])
        rows = self.defect(process, now, _given_or_done(process, field, stages), at, each, step)
        return rows / (left * float(field.problem.domain.scale))

    def asked(
        self, process: Process, start: Points, left: Float[Array, ""], seconds: Any, key: PRNGKeyArray
    ) -> Points:
        """Points of a stage, when `left` is left: where paths are within Δ of that time; starts that are later stay."""
        wait, walk = jax.random.split(key)
        to_go = process.to_go(start)
        off = jax.random.uniform(wait, to_go.shape, to_go.dtype, -seconds, seconds)
        ends = jnp.clip(left + off, 0, process.equation.horizon)
        steps = 1 if process.equation.homogeneous else self.intervals
        return Points(process.walk(start, steps, walk, ends).end.x, jnp.full_like(to_go, process.when(left)))

    def value(self, field: Field, points: Points) -> Float[Array, " batch"]:
        """Evaluates u as it is tested, shape (B,): linear in time between g, V_1, …, V_N."""
        process, stages = Process.of(field.problem), field.params
        seconds = process.equation.horizon / stages.intervals
        steps = process.to_go(points) / seconds
        when = lambda number: Points(points.x, jnp.full_like(steps, process.when(number * seconds)))
        hat = lambda number: jnp.maximum(1 - jnp.abs(steps - number), 0)

        def add(total: Array, stage: Array) -> tuple[Array, None]:
            one = Field(field.problem, stages.slot(stage), field.network).value(when(stage + 1))
            return total + hat(stage + 1) * one, None

        start = hat(0) * process.given(when(0))
        return jax.lax.scan(add, start, jnp.arange(stages.intervals))[0]

    def intervals_within(self, steps: int) -> int:
        """Returns how many intervals a training of so many steps has: `intervals`, or fewer, so that each has two steps."""
        return max(1, min(self.intervals, round((1 - self.first - self.last) * steps) // 2))

    def shares(self, count: int) -> Float[np.ndarray, " intervals"]:
        """Returns the shares of the training that its stages take."""
        inner = np.full(count, (1 - self.first - self.last) / count)
        inner[0] += self.first
        inner[-1] += self.last
        return inner

    def clock(self, progress: Any, count: int) -> tuple[Int[Array, ""], Float[Array, ""]]:
        """Returns the stage, from 0 to N − 1, and the share of it that is over, as a share of the whole training is over."""
        shares = self.shares(count)
        ends = jnp.asarray(np.cumsum(shares), jnp.float32)
        stage = jnp.minimum(jnp.searchsorted(ends, progress, side="right"), count - 1).astype(jnp.int32)
        return stage, 1 - (ends[stage] - progress) / jnp.asarray(shares, jnp.float32)[stage]


def _given_or_done(process: Process, field: Field, stages: Stages) -> Function:
    """V_{k−1} of the stage in which V_k is trained."""
    before = Field(field.problem, stages.slot(stages.stage - 1), field.network)
    # JAX hashes the branches, which methods of a field are not fit for
    given, done = lambda at: process.given(at), lambda at: before.value(at)
    return lambda points: jax.lax.cond(stages.stage == 0, given, done, points)


@dataclass(frozen=True)
class DeepSplitting(OneStep):
    """V_k(X) − V_{k−1}(X') − f(X', V_{k−1}(X'), ∇V_{k−1}(X')) Δ: deep splitting of Beck, Becker, Cheridito, Jentzen and Neufeld.

    Its mean square is least at the conditional mean given X. What V_k is trained against is averaged over `pairs` of steps ± ΔW,
    which have the same mean without the noise of order √Δ. Raises ValueError for fewer than one pair.
    """

    pairs: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pairs < 1:
            raise ValueError(f"pairs is at least 1, got {self.pairs}")

    def defect(
        self,
        process: Process,
        now: Function,
        later: Function,
        at: Points,
        seconds: Float[Array, " batch"],
        key: PRNGKeyArray,
    ) -> Float[Array, "1 batch"]:
        """Returns V_k less the mean over all steps, shape (1, B)."""

        def target(noise: Array) -> Array:
            there = process.moved(at, noise, seconds)
            value, gradient = value_and_gradient(later, there)
            return value + process.driver(there, value, gradient) * seconds

        def pair(own: PRNGKeyArray) -> Array:
            noise = process.noise(at, seconds, own)
            return (target(noise) + target(-noise)) / 2

        targets = jax.vmap(pair)(jax.random.split(key, self.pairs))
        return (now(at) - jnp.mean(targets, axis=0))[None]


@dataclass(frozen=True)
class DBDP(OneStep):
    """V_k(X) − f(X, V_k, ∇V_k) Δ + ∇V_k·σ ΔW − V_{k−1}(X'): DBDP2 of Huré, Pham and Warin 2020, Z being σᵀ∇V_k.

    ∇V_k takes the noise of order √Δ out of V_{k−1}(X'). Since that does not move with V_k, the curvature of the solution is no bias
    here, other than in `FBSNN`.
    """

    def defect(
        self,
        process: Process,
        now: Function,
        later: Function,
        at: Points,
        seconds: Float[Array, " batch"],
        key: PRNGKeyArray,
    ) -> Float[Array, "1 batch"]:
        """Returns the defect of one step, shape (1, B)."""
        noise = process.noise(at, seconds, key)
        value, gradient = value_and_gradient(now, at)
        after = value + process.change(at, noise, seconds, value, gradient)
        return (after - later(process.moved(at, noise, seconds)))[None]


@dataclass(frozen=True)
class StagewiseSolver(NeuralSolver):
    """Trains one network for every interval of time, from where u is given on; each starts from the parameters of the one before.

    The estimator is a `OneStep`. Adam's rate goes from its first to its last value in every stage, and its moments go on through
    all. What is given at the end is V_0, whether by the ansatz or by a soft condition, so that soft conditions add no term.
    """

    def unsupported(self, pde: PDE) -> str | None:
        """Returns the reason why this solver cannot be used on `pde`, or why its parts do not fit; None if it can."""
        if not isinstance(self.estimator, OneStep):
            return f"stages are made of steps in time, and {type(self.estimator).__name__} is no OneStep"
        if not isinstance(self.trainer, Adam) or self.start is not None:
            return "its stages hand on arrays, which Adam trains; another trainer, or a fitted start, has a form of its own"
        return super().unsupported(pde)

    @property
    def stepping(self) -> OneStep:
        """The estimator, which is a `OneStep`."""
        assert isinstance(self.estimator, OneStep)  # `unsupported` gave the reason
        return self.estimator

    def init(self, problem: Problem, seed: int, steps: int) -> State:
        """Returns the state before the first of `steps` steps: the same random parameters in the slots of all stages."""
        one = super().init(problem, seed, steps)
        count = self.stepping.intervals_within(steps)
        done = jax.tree.map(lambda a: jnp.broadcast_to(a, (count, *a.shape)), one.params)
        return one._replace(params=Stages(one.params, done, jnp.zeros((), jnp.int32)))

    def step(self, problem: Problem, state: State, batch: int) -> State:
        """Takes one step of the stage that it belongs to, and keeps its parameters in the slot of that stage."""
        stages: Stages = state.params
        stage, within = self.stepping.clock(state.progress, stages.intervals)
        free, fixed = eqx.partition(stages.now, eqx.is_inexact_array)

        def loss(params: Params, own: PRNGKeyArray, directions: PRNGKeyArray | None = None) -> Array:
            moved = Stages(eqx.combine(params, fixed), stages.done, stage)
            return self.evaluate(problem, moved, own, batch, state.progress, directions)

        key = jax.random.fold_in(state.key, state.step)
        free, trainer, value = self.trainer.step(Objective(loss, within), free, state.trainer, key)
        now = eqx.combine(free, fixed)
        done = jax.tree.map(lambda all_, one: all_.at[stage].set(one), stages.done, now)
        return State(Stages(now, done, stage), trainer, state.key, state.step + 1, state.steps, value)

    def evaluate(
        self,
        problem: Problem,
        params: Params,
        key: PRNGKeyArray,
        batch: int,
        progress: Any = 0.0,
        directions: PRNGKeyArray | None = None,
    ) -> Float[Array, ""]:
        """Evaluates the loss of the stage in `params`, on `batch` points drawn from `key`; see `NeuralSolver.evaluate`."""
        where, how, _ = jax.random.split(key, 3)
        how = how if directions is None else directions
        trial = Field(problem, params, self.network)
        return self.loss(self._residual(trial, self.points(problem, where, batch)), how, progress)
