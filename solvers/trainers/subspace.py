"""SDZE: a forward-only derivative estimator trained in random low-rank subspaces, without any reverse mode.

Every F steps each weight matrix W ∈ R^{m×n}, read as a near-square m' × n' one, gets a random subspace: U and V with
orthonormal columns, the orthonormal factors of Gaussian matrices. With P = blockdiag(V ⊗ U), PᵀP = I, of Σ r² =: s
columns, a step draws z standard normal and moves θ along P z:

    ρ = [L(θ + ε P z; ξ) − L(θ − ε P z; ξ)] / 2ε,      θ ← θ − η ρ P z.

Both sides see the same points and the same ξ (common random numbers); otherwise Var ρ grows like ε⁻². A matrix with
many rows is kept as W₀ + fold(U C Vᵀ): steps change the r × r core C alone, and W₀ takes it up at the next refresh.
Neither the points nor the source nor x W₀ depend on z: all are computed once for both signs and all queries.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ..networks.base import Params
from ..networks.matrices import Basis, Fold, LowRank, Replayed, Seeded, merged, near_square, random_basis
from .base import LossFunction, Trainer, decayed, trainable

_FORMED = 2**17  # the perturbation of a matrix with more numbers is never formed


PerturbedLoss = Callable[..., Array]
"""(z, key) ↦ L(θ + P z; ξ), a scalar, `key` drawing points and ξ; (z, key, directions) where another key draws ξ."""


class Subspace(NamedTuple):
    """The state of `SubspaceZO`. Lists have an entry for every leaf of the trained parameters."""

    # None where the subspace is the whole space, as for biases, or where the leaf itself keeps its basis.
    bases: list[Basis | None]
    keys: list[Any]  # the key of a leaf whose subspaces must be made again; None where a step's key will do
    begun: Int[Array, ""]  # how many subspaces there have been
    first: list[Array]  # first moments of the gradient in the coordinates z
    second: list[Array]  # second moments of it
    taken: Int[Array, ""]  # steps since the moments were zero
    done: Int[Array, ""]  # steps in all
    refresh: Float[Array, ""]  # the step of the next refresh
    interval: Float[Array, ""]  # how many steps after that the one after it comes
    steps: Float[Array, ""]  # the length of the training, after which nothing is refreshed


@dataclass(frozen=True)
class SubspaceZO(Trainer):
    """Zeroth-order descent in random subspaces of rank `rank`, drawn anew every `refresh` steps.

    `queries` directions a step cost 2q losses. `epsilon` 0 takes ρ = ∇L·Pz by forward mode: the limit, at the same
    cost. Every refresh makes the interval to the next one `anneal` times as long. `momentum` is β₁ and `second_moment`
    β₂ of Adam in the core; with β₂ = 0 the step is not divided by its size. Both begin again with every subspace, whose
    coordinates mean something else. `common` false gives the two sides independent points and ξ, which is the ablation.
    Raises ValueError for numbers out of range, and for `common` false where `epsilon` is 0.
    """

    reverse_mode: ClassVar[bool] = False

    learning_rate: float = 1e-4
    final_rate: float = 0.0
    epsilon: float = 1e-3
    rank: int = 64
    refresh: int = 50
    anneal: float = 1.0
    queries: int = 1
    momentum: float = 0.0
    second_moment: float = 0.0
    common: bool = True

    def __post_init__(self) -> None:
        if min(self.rank, self.refresh, self.queries) < 1 or self.anneal < 1 or self.epsilon < 0:
            raise ValueError(
                "rank, refresh, queries and anneal are at least 1 and epsilon at least 0, got "
                f"{self.rank}, {self.refresh}, {self.queries}, {self.anneal} and {self.epsilon}"
            )
        if not (0 <= self.momentum < 1 and 0 <= self.second_moment < 1):
            raise ValueError(
                f"momentum and second_moment lie in [0, 1), got {self.momentum} and {self.second_moment}"
            )
        if self.epsilon == 0 and not self.common:
            raise ValueError("a derivative (epsilon 0) has no two sides that could differ (common false)")

    def start(self, params: Params, steps: int) -> tuple[Params, Subspace]:
        """Returns the parameters, with large matrices as `LowRank` and seeded ones as `Replayed`, and the state."""
        capacity = max(1, -(-steps // self.refresh))
        split = jax.tree.map(partial(self._split, capacity), params, is_leaf=_is_seeded)
        state = self.init(trainable(split), steps)
        leaves = jax.tree.leaves(split, is_leaf=has_core)
        keys = [_key(leaf) for leaf in leaves if has_core(leaf) or eqx.is_inexact_array(leaf)]
        return split, state._replace(keys=keys)

    def init(self, params: Params, steps: int) -> Subspace:
        """Returns a state that has no directions yet: a refresh is due."""
        leaves = jax.tree.leaves(params, is_leaf=has_core)
        bases = [None if has_core(leaf) else self._no_basis(leaf) for leaf in leaves]
        shapes = [_core_shape(leaf, basis) for leaf, basis in zip(leaves, bases, strict=True)]
        zeros = lambda: [jnp.zeros(shape) for shape in shapes]
        count = jnp.zeros((), jnp.int32)
        start, interval, of = (jnp.asarray(v, jnp.float32) for v in (0, self.refresh, steps))
        keys = [None] * len(leaves)
        return Subspace(bases, keys, count, zeros(), zeros(), count, count, start, interval, of)

    def step(
        self, loss: LossFunction, params: Params, state: Subspace, key: PRNGKeyArray
    ) -> tuple[Params, Subspace, Array]:
        """Refreshes subspaces where that is due, makes q queries and one update. No weight moves where a loss is not finite."""
        leaves, structure = jax.tree.flatten(params, is_leaf=has_core)
        leaves, state = self.refreshed(leaves, state, jax.random.fold_in(key, 2))
        at = lambda z, *keys: loss(jax.tree.unflatten(structure, moved(leaves, state.bases, z)), *keys)
        z = self.directions(state.first, jax.random.fold_in(key, 1))
        value, slopes = self.slopes(at, z, key)
        gradient = [jnp.tensordot(slopes, d, 1) / self.queries for d in z]
        change, after = self._update(gradient, state, loss.progress)
        sound = jnp.isfinite(value) & jnp.all(jnp.isfinite(slopes))
        kept = [jnp.where(sound, c, 0) for c in change]
        still = state._replace(done=after.done)
        after = jax.tree.map(lambda a, b: jnp.where(sound, a, b), after, still)
        return jax.tree.unflatten(structure, moved(leaves, state.bases, kept)), after, value

    def evaluations(self, steps: int, params: Params, state: Any) -> int:
        """Returns the number of losses that the steps evaluated: two a query, or one derivative a query where `epsilon` is 0."""
        return steps * self.queries * (1 if self.epsilon == 0 else 2)

    def directions(self, like: list[Array], key: PRNGKeyArray) -> list[Float[Array, "queries ..."]]:
        """Draws z of every query, standard normal, in the shapes of the cores `like` with a leading axis of queries."""
        keys = jax.random.split(key, len(like))
        return [jax.random.normal(k, (self.queries, *a.shape)) for k, a in zip(keys, like, strict=True)]

    def slopes(
        self, at: PerturbedLoss, z: list[Array], key: PRNGKeyArray
    ) -> tuple[Array, Float[Array, " queries"]]:
        """Returns a loss and ρ of every query, shape (q,); `key` gives points and ξ."""
        if self.epsilon == 0:
            values, slopes = jax.vmap(lambda d: jax.jvp(lambda c: at(c, key), (_zeros(d),), (d,)))(z)
            return jnp.mean(values), slopes
        ahead, behind = ([sign * self.epsilon * d for d in z] for sign in (1, -1))
        both = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), ahead, behind)
        losses = jax.vmap(lambda d: at(d, key))(both) if self.common else self.apart(at, both, key)
        plus, minus = losses[: self.queries], losses[self.queries :]
        return jnp.mean(losses), (plus - minus) / (2 * self.epsilon)

    def apart(
        self, at: PerturbedLoss, z: list[Float[Array, "sides ..."]], key: PRNGKeyArray
    ) -> Float[Array, " sides"]:
        """Evaluates the loss at every z where `common` is false, shape (2q,): each with points and ξ of its own."""
        own = jax.random.split(jax.random.fold_in(key, 3), len(z[0]))
        return jax.lax.map(lambda pair: at(*pair), (z, own))

    def _update(self, gradient: list[Array], state: Subspace, progress: Any) -> tuple[list[Array], Subspace]:
        """Returns the change of every leaf in its core's coordinates, and the state after it."""
        taken = state.taken + 1
        first = [
            self.momentum * m + (1 - self.momentum) * g for m, g in zip(state.first, gradient, strict=True)
        ]
        second = [
            self.second_moment * v + (1 - self.second_moment) * g**2
            for v, g in zip(state.second, gradient, strict=True)
        ]
        mean = [m / (1 - self.momentum**taken) for m in first]
        if self.second_moment:
            size = 1 - self.second_moment**taken
            mean = [m / (jnp.sqrt(v / size) + 1e-8) for m, v in zip(mean, second, strict=True)]
        rate = decayed(self.learning_rate, self.final_rate, progress)
        later = state._replace(first=first, second=second, taken=taken, done=state.done + 1)
        return [-rate * m for m in mean], later

    def refreshed(self, leaves: list, state: Subspace, key: PRNGKeyArray) -> tuple[list, Subspace]:
        """Where a refresh is due, draws new subspaces, adds the cores to the weights, and sets the moments to zero.

        No refresh happens after the last step: there is no room for the cores of more subspaces.
        """
        due = (state.done >= state.refresh) & (state.done < state.steps)
        keys = [
            k if own is None else jax.random.fold_in(own, state.begun)
            for k, own in zip(jax.random.split(key, len(leaves)), state.keys, strict=True)
        ]
        old = [_basis(leaf, basis) for leaf, basis in zip(leaves, state.bases, strict=True)]
        new = [_new_basis(leaf, basis, k, due) for leaf, basis, k in zip(leaves, old, keys, strict=True)]
        taken_up = [_take_up(leaf, basis, state.begun, due) for leaf, basis in zip(leaves, new, strict=True)]
        kept = [None if has_core(leaf) else basis for leaf, basis in zip(leaves, new, strict=True)]
        clear = lambda arrays: [jnp.where(due, 0, a) for a in arrays]
        return taken_up, state._replace(
            bases=kept,
            begun=jnp.where(due, state.begun + 1, state.begun),
            first=clear(state.first),
            second=clear(state.second),
            taken=jnp.where(due, 0, state.taken),
            refresh=jnp.where(due, state.done + state.interval, state.refresh),
            interval=jnp.where(due, self.anneal * state.interval, state.interval),
        )

    def _split(self, capacity: int, leaf: Any) -> Any:
        """Returns a large matrix as W₀ + fold(U C Vᵀ) with C = 0, and a seeded one as `Replayed`; other leaves are left
        as they are.
        """
        if _is_seeded(leaf):
            return Replayed.begin(leaf, self.rank, capacity)
        basis = self._no_basis(leaf)
        if basis is None or leaf.size <= _FORMED:
            return leaf
        core = jnp.zeros(_core_shape(leaf, basis))
        return LowRank(leaf, basis.left, core, basis.right, near_square(*leaf.shape))

    def _no_basis(self, leaf: Array) -> Basis | None:
        """Returns zeros in the shapes of a matrix's U and V; None for a leaf that is no matrix."""
        if leaf.ndim != 2:
            return None
        fold = near_square(*leaf.shape)
        rank = min(self.rank, fold.left, fold.right)
        return Basis(jnp.zeros((fold.left, rank)), jnp.zeros((fold.right, rank)))


def _is_seeded(leaf: Any) -> bool:
    return isinstance(leaf, Seeded)


def has_core(leaf: Any) -> bool:
    """Returns whether a leaf carries its own subspace, as `LowRank` and `Replayed` matrices do."""
    return isinstance(leaf, LowRank | Replayed)


def _key(leaf: Any) -> PRNGKeyArray | None:
    return leaf.key if isinstance(leaf, Replayed) else None


def _low_rank(leaf: LowRank | Replayed) -> LowRank:
    return leaf.now if isinstance(leaf, Replayed) else leaf


def _fold(leaf: Any) -> Fold:
    return _low_rank(leaf).fold if has_core(leaf) else near_square(*leaf.shape)


def _core_shape(leaf: Any, basis: Basis | None) -> tuple[int, ...]:
    if has_core(leaf):
        return _low_rank(leaf).core.shape
    return leaf.shape if basis is None else (basis.left.shape[1], basis.right.shape[1])


def _basis(leaf: Any, basis: Basis | None) -> Basis | None:
    return Basis(_low_rank(leaf).left, _low_rank(leaf).right) if has_core(leaf) else basis


def _new_basis(leaf: Any, basis: Basis | None, key: PRNGKeyArray, due: Array) -> Basis | None:
    """Returns a new basis where it is due, else the old one."""
    if basis is None:
        return None
    draw = lambda: random_basis(key, _fold(leaf), basis.left.shape[1])
    return jax.lax.cond(due, draw, lambda: basis)


def _take_up(leaf: Any, basis: Basis | None, begun: Array, due: Array) -> Any:
    """Returns a leaf that, where a refresh is due, has a core of zeros in the new subspace.

    The old core is added to the base, or kept beside it in a `Replayed` matrix.
    """
    if not has_core(leaf) or basis is None:
        return leaf
    old = _low_rank(leaf)
    base = merged(old, due) if leaf is old else old.base
    now = LowRank(base, basis.left, jnp.where(due, 0, old.core), basis.right, old.fold)
    if leaf is old:
        return now
    past = leaf.cores.at[jnp.maximum(begun - 1, 0)].set(old.core)
    return replace(leaf, now=now, cores=jnp.where(due, past, leaf.cores))


def moved(leaves: list, bases: list[Basis | None], change: list[Array]) -> list:
    """Returns θ + P z leaf by leaf, with z = `change` in the coordinates of the cores."""
    return [_shift(leaf, basis, c) for leaf, basis, c in zip(leaves, bases, change, strict=True)]


def _shift(leaf: Any, basis: Basis | None, change: Array) -> Any:
    if isinstance(leaf, Replayed):
        return replace(leaf, now=_shift(leaf.now, None, change))
    if isinstance(leaf, LowRank):
        return replace(leaf, core=leaf.core + change)
    if basis is None:
        return leaf + change
    return leaf + near_square(*leaf.shape).expand(basis.left, change, basis.right)


def _zeros(arrays: list[Array]) -> list[Array]:
    return [jnp.zeros_like(a) for a in arrays]
