"""Zeroth-order trainers: they call the loss and never differentiate it.

All perturbed losses of a step share one key, so the same points and the same spatial randomness: differences measure the change
of θ and not the noise of the estimate. Perturbations are made again from folded keys where they are needed, so that a
step holds as many of them as a chunk has losses, however many queries it makes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ..networks.base import Params
from .base import LossFunction, Trainer, decayed


class Sample(NamedTuple):
    """A loss, an estimate of its flattened gradient, and whether every loss behind them is finite."""

    value: Float[Array, ""]
    gradient: Float[Array, " parameters"]
    sound: Any


@dataclass(frozen=True)
class ZerothOrder(Trainer):
    """The base of zeroth-order trainers: difference quotients of the loss, `chunk` losses at a time.

    One-sided quotients [L(θ+μξ) − L(θ)]/μ cost a loss a query and one for L(θ). Symmetric ones, [L(θ+μξ) − L(θ−μξ)]/2μ,
    cost two a query and are right to O(μ²); the loss they report is the mean of those that they evaluate.
    `learning_rate` goes linearly to `final_rate`. Raises ValueError for a `mu` that is not positive and a chunk below 1.
    """

    reverse_mode: ClassVar[bool] = False

    learning_rate: float = 1e-3
    final_rate: float = 0.0
    mu: float = 0.1
    symmetric: bool = False
    chunk: int = 1

    def __post_init__(self) -> None:
        if self.mu <= 0 or self.chunk < 1:
            raise ValueError(f"mu is positive and chunk at least 1, got mu={self.mu}, chunk={self.chunk}")

    def quotients(
        self, along: Callable[[Any, Any], Array], queries: Int[Array, " queries"]
    ) -> tuple[Array, Float[Array, " queries"]]:
        """Returns a loss, and the difference quotient of every query, where `along(query, step)` is L(θ + step·ξ_query)."""
        if self.symmetric:
            count = queries.size
            losses = self._every(
                along, jnp.tile(queries, 2), jnp.repeat(jnp.array([self.mu, -self.mu]), count)
            )
            return jnp.mean(losses), (losses[:count] - losses[count:]) / (2 * self.mu)
        # L(θ) as one more query, of step zero: the loss, most of what there is to compile, is then there once
        steps = jnp.full(queries.size + 1, self.mu).at[0].set(0)
        losses = self._every(along, jnp.concatenate([queries[:1], queries]), steps)
        return losses[0], (losses[1:] - losses[0]) / self.mu

    def _every(
        self, along: Callable[[Any, Any], Array], queries: Array, steps: Array
    ) -> Float[Array, " losses"]:
        look = lambda pair: along(*pair)
        return jax.lax.map(look, (queries, steps), batch_size=min(self.chunk, queries.size))

    def losses(self, queries: int) -> int:
        """Returns how many losses a step with this number of queries evaluates."""
        return 2 * queries if self.symmetric else queries + 1

    def rate(self, progress: Any) -> Any:
        """Returns the learning rate when the fraction `progress` of the training is over."""
        return decayed(self.learning_rate, self.final_rate, progress)


@dataclass(frozen=True)
class ZORGE(ZerothOrder):
    """Random gradient estimates: θ ← θ − α g, g = (1/q) Σ_i [L(θ+μξ_i) − L(θ)]/μ · ξ_i with ξ_i standard normal.

    g is unbiased for the gradient of the smoothed loss E L(θ+μξ); its mean square error is about (P+1)/q |∇L|² for P parameters
    (Nesterov and Spokoiny 2017; Malladi et al. 2023). Raises ValueError for fewer than one query, and where `ZerothOrder` does.
    """

    queries: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.queries < 1:
            raise ValueError(
                f"queries is the number of random directions a step, at least 1, got {self.queries}"
            )

    def init(self, params: Params, steps: int) -> tuple[()]:
        """Returns an empty state, since there is nothing to remember."""
        return ()

    def step(
        self, loss: LossFunction, params: Params, state: tuple[()], key: PRNGKeyArray
    ) -> tuple[Params, tuple[()], Array]:
        """Makes q queries and one update; nothing changes where a loss is not finite."""
        flat, unravel = ravel_pytree(params)
        value, gradient, sound = self.sample(loss, params, key)
        after = flat - jnp.asarray(self.rate(loss.progress), flat.dtype) * self.direction(gradient)
        return unravel(jnp.where(sound, after, flat)), state, value

    def sample(self, loss: LossFunction, params: Params, key: PRNGKeyArray) -> Sample:
        """Returns the loss and the estimate g of its gradient."""
        flat, unravel = ravel_pytree(params)
        source = jax.random.fold_in(key, 1)
        noise = lambda query: jax.random.normal(jax.random.fold_in(source, query), flat.shape, flat.dtype)
        along = lambda query, step: loss(unravel(flat + step * noise(query)), key)
        value, slopes = self.quotients(along, jnp.arange(self.queries))
        add = lambda query, total: total + slopes[query] / self.queries * noise(query)
        gradient = jax.lax.fori_loop(0, self.queries, add, jnp.zeros_like(flat))
        return Sample(value, gradient, jnp.isfinite(value) & jnp.all(jnp.isfinite(slopes)))

    def direction(self, gradient: Array) -> Array:
        """Returns what is subtracted from the parameters, up to the learning rate: g itself."""
        return gradient

    def evaluations(self, steps: int, params: Params, state: Any) -> int:
        """Returns the number of losses that the steps evaluated: q + 1 a step, or 2q for symmetric differences."""
        return steps * self.losses(self.queries)


@dataclass(frozen=True)
class ZOSignRGE(ZORGE):
    """Sign descent, θ ← θ − α sign(g) with g as in ZORGE: every parameter moves by α, whatever the noise (Liu et al. 2019)."""

    def direction(self, gradient: Array) -> Array:
        """Returns sign(g) for every parameter."""
        return jnp.sign(gradient)


class Descent(NamedTuple):
    """The state of coordinate-wise descent: the flat momentum, and the steps taken, which say which block is next."""

    momentum: Float[Array, " parameters"]
    taken: Int[Array, ""]


@dataclass(frozen=True)
class ZOCGE(ZerothOrder):
    """Coordinate-wise gradient estimates with momentum: g_i = [L(θ+μe_i) − L(θ)]/μ, b ← m b + g, θ ← θ − α b.

    All P coordinates a step with `block` 0; otherwise `block` of them, in turn, and only theirs of b and θ change.
    Raises ValueError for a negative block, a momentum outside [0, 1), and where `ZerothOrder` does.
    """

    mu: float = 0.01
    momentum: float = 0.9
    block: int = 0
    chunk: int = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.block < 0 or not 0 <= self.momentum < 1:
            raise ValueError(
                f"block is at least 0 and momentum in [0, 1), got block={self.block}, momentum={self.momentum}"
            )

    def init(self, params: Params, steps: int) -> Descent:
        """Returns a state without momentum, before the first step."""
        return Descent(jnp.zeros_like(ravel_pytree(params)[0]), jnp.zeros((), jnp.int32))

    def step(
        self, loss: LossFunction, params: Params, state: Descent, key: PRNGKeyArray
    ) -> tuple[Params, Descent, Array]:
        """Makes one query for each coordinate of the block, and one update; nothing changes where a loss is not finite."""
        flat, unravel = ravel_pytree(params)
        coordinates = self.coordinates(flat.size, state.taken)
        value, slopes = self.slopes(loss, params, coordinates, key)
        moved = self.momentum * state.momentum[coordinates] + slopes
        rate = jnp.asarray(self.rate(loss.progress), flat.dtype)
        after = flat.at[coordinates].add(-rate * moved)
        later = Descent(state.momentum.at[coordinates].set(moved), state.taken + 1)
        sound = jnp.isfinite(value) & jnp.all(jnp.isfinite(slopes))
        return unravel(jnp.where(sound, after, flat)), _choose(sound, later, state), value

    def slopes(
        self, loss: LossFunction, params: Params, coordinates: Int[Array, " block"], key: PRNGKeyArray
    ) -> tuple[Array, Float[Array, " block"]]:
        """Returns the loss and ∂L/∂θ_i at the given coordinates i of the flat parameters."""
        flat, unravel = ravel_pytree(params)
        along = lambda i, step: loss(unravel(flat.at[i].add(step)), key)
        return self.quotients(along, coordinates)

    def coordinates(self, size: int, taken: Any) -> Int[Array, " block"]:
        """Returns the coordinates, out of `size`, that are changed by the step after `taken` steps."""
        count = self.count(size)
        return (taken * count + jnp.arange(count)) % size

    def count(self, size: int) -> int:
        """Returns how many coordinates, out of `size`, a step changes."""
        return min(self.block, size) if self.block else size

    def evaluations(self, steps: int, params: Params, state: Any) -> int:
        """Returns the number of losses that the steps evaluated: one a coordinate of the block and one more a step, or
        two a coordinate for symmetric differences.
        """
        return steps * self.losses(self.count(_size(params)))


class TwoStage(NamedTuple):
    """The state of the hybrid: that of its fine stage, and what decides when that begins."""

    descent: Descent
    fine: Array  # whether the fine stage has begun
    coarse_steps: Int[Array, ""]
    total: Float[Array, ""]  # the sum of the losses of the current epoch's steps
    best: Float[Array, ""]  # the lowest mean loss of an epoch
    stalled: Int[Array, ""]  # epochs since the mean loss last fell enough


@dataclass(frozen=True)
class ZOHybrid(Trainer):
    """Sign-RGE until the loss stalls, then CGE with momentum, for good (Zhao et al. 2023).

    The paper says "trivial updates for several epochs". Here an epoch is `epoch` steps, and the loss has stalled when
    its mean over an epoch has not fallen below (1 − `improvement`) times the best one for `patience` epochs in a row. A
    step of the coarse stage costs q + 1 losses, one of the fine stage P + 1. Raises ValueError for numbers out of
    range, here or in one of its two stages.
    """

    reverse_mode: ClassVar[bool] = False

    learning_rate: float = 1e-3
    final_rate: float = 0.0
    mu: float = 0.1
    queries: int = 10
    fine_rate: float = 1e-3
    fine_mu: float = 0.01
    momentum: float = 0.9
    block: int = 0
    symmetric: bool = False
    chunk: int = 1
    fine_chunk: int = 1
    epoch: int = 100
    patience: int = 3
    improvement: float = 0.01

    def __post_init__(self) -> None:
        if min(self.epoch, self.patience) < 1 or not 0 <= self.improvement < 1:
            raise ValueError(
                "epoch and patience are at least 1 and improvement in [0, 1), "
                f"got epoch={self.epoch}, patience={self.patience}, improvement={self.improvement}"
            )
        _ = self.coarse, self.fine  # they check the other numbers

    @property
    def coarse(self) -> ZOSignRGE:
        """The trainer of the first stage."""
        return ZOSignRGE(
            self.learning_rate, self.final_rate, self.mu, self.symmetric, self.chunk, self.queries
        )

    @property
    def fine(self) -> ZOCGE:
        """The trainer of the second stage."""
        return ZOCGE(
            self.fine_rate,
            self.final_rate,
            self.fine_mu,
            self.symmetric,
            self.fine_chunk,
            self.momentum,
            self.block,
        )

    def init(self, params: Params, steps: int) -> TwoStage:
        """Returns a state in the coarse stage that has seen no loss."""
        zero, count = jnp.zeros(()), jnp.zeros((), jnp.int32)
        begun = jnp.zeros((), bool)
        return TwoStage(self.fine.init(params, steps), begun, count, zero, zero + jnp.inf, count)

    def step(
        self, loss: LossFunction, params: Params, state: TwoStage, key: PRNGKeyArray
    ) -> tuple[Params, TwoStage, Array]:
        """Takes a step of the stage that the training is in."""
        return jax.lax.cond(
            state.fine,
            lambda p, s: self._fine_step(loss, p, s, key),
            lambda p, s: self._coarse_step(loss, p, s, key),
            params,
            state,
        )

    def _fine_step(self, loss: LossFunction, params: Params, state: TwoStage, key: PRNGKeyArray) -> Any:
        params, descent, value = self.fine.step(loss, params, state.descent, key)
        return params, state._replace(descent=descent), value

    def _coarse_step(self, loss: LossFunction, params: Params, state: TwoStage, key: PRNGKeyArray) -> Any:
        params, _, value = self.coarse.step(loss, params, (), key)
        later = state._replace(
            descent=state.descent._replace(taken=state.descent.taken + 1),
            coarse_steps=state.coarse_steps + 1,
            total=state.total + jnp.where(jnp.isfinite(value), value, 0),
        )
        ended = later.coarse_steps % self.epoch == 0
        return params, jax.lax.cond(ended, self._close_epoch, lambda s: s, later), value

    def _close_epoch(self, state: TwoStage) -> TwoStage:
        """Compares the epoch's mean loss with the best one, and begins the fine stage where it has stalled for long enough."""
        mean = state.total / self.epoch
        stalled = jnp.where(mean < (1 - self.improvement) * state.best, 0, state.stalled + 1)
        return state._replace(
            fine=stalled >= self.patience,
            total=jnp.zeros_like(mean),
            best=jnp.minimum(mean, state.best),
            stalled=stalled,
        )

    def evaluations(self, steps: int, params: Params, state: TwoStage) -> int:
        """Returns the number of losses that the steps of both stages evaluated."""
        coarse = int(state.coarse_steps)
        fine = self.fine.evaluations(steps - coarse, params, state.descent)
        return self.coarse.evaluations(coarse, params, state) + fine


def _choose(good: Any, later: Any, now: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(good, a, b), later, now)


def _size(params: Params) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(params))
