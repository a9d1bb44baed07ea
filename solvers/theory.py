"""What the theory of zeroth-order descent predicts, measured on a real loss. No prediction has a number fitted to what it predicts.

The loss L(θ; ξ) is that of a solver on a problem at the initial θ; ξ are its points and sampled axes. P has the s orthonormal
columns of a random subspace, and z is standard normal.

- `slope_variance`: Var ρ over ξ stays bounded as ε → 0 with common random numbers, and is Var L / 2ε² without.
- `gradient_moments`: with ĝ = ρ z and ρ = ∇L·Pz, E|ĝ|² = (s + 2)|Pᵀ∇L|² and E cos²(ĝ, Pᵀ∇L) = 1/s.
- `alignment`: E cos²(Pĝ, ∇L) = q/(q + s − 1) · E|Pᵀ∇L|²/|∇L|² for q queries.
- `kernel_error`: K̂ = (1/q) Σ_i (Jξ_i)(Jξ_i)ᵀ against K = J Jᵀ: an error ∝ 1/√q, whatever the number of parameters.

docs/theory.md has the derivations and what was seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray

from pdezoo import PDE
from pdezoo.lowering import prng

from .networks.matrices import Basis
from .neural import NeuralSolver, on_device
from .trainers.subspace import Subspace, SubspaceZO, has_core, moved

_TOGETHER = 32  # directions that are evaluated in one batch

Statistics = tuple[float, float, float]
"""A number as it was measured, its standard error, and its prediction."""


@dataclass(frozen=True)
class Curve:
    """A quantity against a variable: the values `at` which it was measured, as seen with its standard error, and as predicted."""

    quantity: str
    variable: str
    label: str
    at: tuple[float, ...]
    seen: tuple[float, ...]
    error: tuple[float, ...]
    predicted: tuple[float, ...]

    def slope(self, low: float = 0.0, high: float = math.inf) -> float:
        """Fits the slope of log `seen` against log `at` by least squares, over low ≤ at ≤ high."""
        chosen = [(a, s) for a, s in zip(self.at, self.seen, strict=True) if low <= a <= high]
        at, seen = np.log(np.asarray(chosen, float)).T
        return float(np.polyfit(at, seen, 1)[0])


@dataclass(frozen=True)
class Beginning:
    """A training before its first subspace, with its loss as a function of the leaves of the parameters and of ξ."""

    trainer: SubspaceZO
    loss: Callable[[list[Array], PRNGKeyArray], Array]
    leaves: list[Array]
    state: Subspace

    def subspace(self, key: PRNGKeyArray) -> Restricted:
        """Restricts the loss to the subspace that `key` draws."""
        leaves, state = jax.jit(self.trainer.refreshed)(self.leaves, self.state, key)
        return Restricted(self.loss, leaves, state.bases, state.first)


@dataclass(frozen=True)
class Restricted:
    """A loss in a random subspace, θ + P z. z is a list of arrays in the shapes of `cores`, which are zeros."""

    whole: Callable[[list[Array], PRNGKeyArray], Array]
    leaves: list[Array]
    bases: list[Basis | None]
    cores: list[Array]

    def loss(self, z: list[Array], key: PRNGKeyArray) -> Float[Array, ""]:
        """Evaluates L(θ + P z; ξ), with ξ drawn from `key`."""
        return self.whole(moved(self.leaves, self.bases, z), key)

    def lifted(self, z: list[Array]) -> list[Array]:
        """Returns P z, in the shapes of the parameters."""
        return moved([jnp.zeros_like(leaf) for leaf in self.leaves], self.bases, z)


def begin(solver: NeuralSolver, pde: PDE, batch: int, seed: int, **changes: Any) -> Beginning:
    """Returns the training of `solver` at its initial parameters, with fields of its trainer changed by name.

    Raises ValueError where the trainer is not `SubspaceZO`, or keeps a matrix of the network as `LowRank` or `Replayed`.
    """
    if not isinstance(solver.trainer, SubspaceZO):
        raise ValueError(
            f"expected a solver trained by SubspaceZO, such as 'sdze', got {type(solver.trainer).__name__}"
        )
    trainer, problem = replace(solver.trainer, **changes), on_device(pde)
    start = replace(solver, trainer=trainer).init(problem, seed, 1)
    free, fixed = eqx.partition(start.params, eqx.is_inexact_array)
    leaves, structure = jax.tree.flatten(free, is_leaf=has_core)
    if any(map(has_core, leaves)):
        raise ValueError(
            "expected matrices small enough to be held with their gradients, "
            f"got {pde.dim} inputs of {solver.network}; try a smaller dim or width"
        )

    def loss(at: list[Array], key: PRNGKeyArray) -> Array:
        return solver.evaluate(problem, eqx.combine(jax.tree.unflatten(structure, at), fixed), key, batch)

    return Beginning(trainer, loss, leaves, start.trainer)


def slope_variance(
    solver: NeuralSolver,
    pde: PDE,
    *,
    epsilons: Sequence[float] = (1e-6, 3e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1),
    draws: int = 1000,
    batch: int = 32,
    seed: int = 0,
) -> tuple[Curve, Curve]:
    """Measures Var ρ over ξ against ε, the mean over the trainer's queries z, with and without common random numbers.

    Predicted: with them the variance of ∇L·Pz, taken by forward mode; without them Var L / 2ε².
    """
    # The trainer's own ε is 1 and z is scaled, so that one compiled program serves every ε.
    begun = begin(solver, pde, batch, seed, epsilon=1.0, common=True)
    which, along, noise = jax.random.split(prng.key(seed), 3)
    there, draw = begun.subspace(which), jax.random.split(noise, draws)
    z = begun.trainer.directions(there.cores, along)

    def variances(common: bool, predicted: Callable[[float], float]) -> list[Statistics]:
        unit = replace(begun.trainer, common=common)
        quotient = lambda e, k: unit.slopes(there.loss, [e * d for d in z], k)[1] / e
        seen = _over(jnp.asarray(epsilons), lambda e: jax.lax.map(lambda k: quotient(e, k), draw))
        return [(*_variance(drawn), predicted(e)) for e, drawn in zip(epsilons, seen, strict=True)]

    derivative = replace(begun.trainer, epsilon=0.0)
    losses, slopes = _over(draw, lambda k: derivative.slopes(there.loss, z, k))
    (limit, _), (size, _) = _variance(slopes), _variance(losses[:, None])
    locked, apart = variances(True, lambda e: limit), variances(False, lambda e: size / (2 * e * e))
    return (
        _curve("Var ρ", "ε", "common random numbers", epsilons, locked),
        _curve("Var ρ", "ε", "independent", epsilons, apart),
    )


def gradient_moments(
    solver: NeuralSolver,
    pde: PDE,
    *,
    ranks: Sequence[int] = (1, 3, 8, 20),
    draws: int = 8192,
    batch: int = 16,
    seed: int = 0,
) -> tuple[Curve, Curve]:
    """Measures E|ĝ|²/|Pᵀ∇L|² and E cos²(ĝ, Pᵀ∇L) over z against s, in one subspace of each rank and at one ξ.

    Predicted: s + 2 and 1/s. ρ is a derivative by forward mode, Pᵀ∇L comes from reverse mode. `draws` is rounded up to
    whole batches of directions.
    """
    key, batches = prng.key(seed), -(-draws // _TOGETHER)
    sizes, squares, cosines = [], [], []
    for rank in ranks:
        begun = begin(solver, pde, batch, seed, rank=rank, epsilon=0.0, queries=_TOGETHER)
        there = begun.subspace(key)
        gradient = np.asarray(_flat(jax.jit(jax.grad(there.loss))(there.cores, key)), np.float64)
        drawn = _estimates(begun.trainer, there, key, batches)
        lengths, length = (drawn**2).sum(1), (gradient**2).sum()
        sizes.append(s := gradient.size)
        squares.append((*_mean(lengths / length), s + 2))
        cosines.append((*_mean((drawn @ gradient) ** 2 / (lengths * length)), 1 / s))
    return (
        _curve("E|ĝ|² / |Pᵀ∇L|²", "s", "one query", sizes, squares),
        _curve("E cos²(ĝ, Pᵀ∇L)", "s", "one query", sizes, cosines),
    )


def _estimates(
    trainer: SubspaceZO, there: Restricted, key: PRNGKeyArray, batches: int
) -> Float[np.ndarray, "draws s"]:
    """Returns ĝ = ρ z of every query by itself, all at the ξ of `key`."""

    def one(seed: PRNGKeyArray) -> Array:
        z = trainer.directions(there.cores, seed)
        return trainer.slopes(there.loss, z, key)[1][:, None] * jax.vmap(_flat)(z)

    seeds = jax.random.split(jax.random.fold_in(key, 1), batches)
    return np.concatenate(_over(seeds, one))


def alignment(
    solver: NeuralSolver,
    pde: PDE,
    *,
    ranks: Sequence[int] = (1, 3, 8, 20),
    queries: Sequence[int] = (1, 4, 16, 64),
    draws: int = 500,
    batch: int = 16,
    seed: int = 0,
) -> tuple[Curve, ...]:
    """Measures E cos²(Pĝ, ∇L) over subspaces and z, against the rank and q; ∇L is that of all parameters at one ξ.

    In a subspace cos² is Beta(q/2, (s − 1)/2), of mean q/(q + s − 1). On average a subspace of rank r holds r²/(m'n')
    of the squared gradient of an m' × n' matrix, and all of the squared gradient of a bias.
    """
    key = prng.key(seed)
    start, rows = begin(solver, pde, batch, seed), []
    gradient = jax.jit(jax.grad(start.loss))(start.leaves, key)
    for rank in ranks:
        begun = begin(solver, pde, batch, seed, rank=rank, epsilon=0.0, queries=max(queries))
        seen = _cosines(begun, gradient, queries, key, draws)
        s, held = _expected_share(begun.state, gradient)
        rows.append([(*_mean(c), q / (q + s - 1) * held) for q, c in zip(queries, seen.T, strict=True)])
    return _crossed("E cos²(Pĝ, ∇L)", ("rank", ranks), ("q", queries), rows)


def _cosines(
    begun: Beginning, gradient: list[Array], queries: Sequence[int], key: PRNGKeyArray, draws: int
) -> Float[np.ndarray, "draws counts"]:
    """Returns cos² between the gradient at the ξ of `key` and the estimate from the first q directions, for every q of
    `queries`.
    """
    whole = _flat(gradient)

    def one(seed: PRNGKeyArray) -> Array:
        which, along = jax.random.split(seed)
        there = begun.subspace(which)
        z = begun.trainer.directions(there.cores, along)
        slopes = begun.trainer.slopes(there.loss, z, key)[1]
        steps = ([jnp.tensordot(slopes[:q], d[:q], 1) for d in z] for q in queries)
        return jnp.stack([_squared_cosine(_flat(there.lifted(step)), whole) for step in steps])

    return _over(jax.random.split(jax.random.fold_in(key, 1), draws), one)


def _expected_share(state: Subspace, gradient: list[Array]) -> tuple[int, float]:
    """Returns s, and E|Pᵀ∇L|²/|∇L|² over subspaces."""
    size, held, total = 0, 0.0, 0.0
    for leaf, basis, core in zip(gradient, state.bases, state.first, strict=True):
        square = float(jnp.sum(leaf**2))
        share = 1.0 if basis is None else core.size / (basis.left.shape[0] * basis.right.shape[0])
        size, held, total = size + core.size, held + share * square, total + square
    return size, held / total


def kernel_error(
    solver: NeuralSolver,
    pde: PDE,
    *,
    widths: Sequence[int] = (4, 12, 40, 128),
    queries: Sequence[int] = (1, 4, 16, 64),
    outputs: Sequence[int] = (2, 4, 8, 16, 32),
    draws: int = 8192,
    seed: int = 0,
) -> tuple[Curve, ...]:
    """Measures the relative error of K̂ for u_θ at random points: √E|K̂ − K|²/|K| (Frobenius) against q and P, and its
    largest entry.

    Predicted: √((1 + (tr K)²/|K|²)/q), exact for normal ξ; for E max_ij |K̂ − K|_ij/√(K_ii K_jj) over n outputs, at the last
    width, 2√(ln(n(n + 1))/q), which bounds it for large q. `draws` directions make draws/q kernels; each q divides them.
    """
    sizes, rows = [], []
    for width in widths:
        function, params = _values(solver.with_hyperparameters(width=width), pde, max(outputs), seed)
        kernel = np.asarray(tangent_kernel(function, params), np.float64)
        along = random_tangents(function, params, prng.key(seed + 1), draws)
        sizes.append(params.size)
        rows.append([_frobenius(along, kernel, q) for q in queries])
    largest = [[_largest(along[:, :n], kernel[:n, :n], q) for n in outputs] for q in queries]
    return (
        *_crossed("relative error of K̂", ("P", sizes), ("q", queries), rows),
        *_curves("largest error of an entry", ("outputs", outputs), ("q", queries), largest),
    )


def tangent_kernel(
    function: Callable[[Float[Array, " parameters"]], Float[Array, " outputs"]],
    params: Float[Array, " parameters"],
) -> Float[Array, "outputs outputs"]:
    """Computes the tangent kernel K = J Jᵀ of a function of flat parameters, with J by reverse mode."""
    jacobian = jax.jit(jax.jacrev(function))(params)
    return jacobian @ jacobian.T


def random_tangents(
    function: Callable[[Float[Array, " parameters"]], Float[Array, " outputs"]],
    params: Float[Array, " parameters"],
    key: PRNGKeyArray,
    draws: int,
) -> Float[np.ndarray, "draws outputs"]:
    """Computes Jξ by forward mode for `draws` standard normal vectors ξ, shape (draws, outputs)."""

    def one(seed: PRNGKeyArray) -> Array:
        return jax.jvp(function, (params,), (jax.random.normal(seed, params.shape),))[1]

    return _over(jax.random.split(key, draws), one)


def zeroth_order_kernels(
    tangents: Float[np.ndarray, "draws outputs"], queries: int
) -> Float[np.ndarray, "kernels outputs outputs"]:
    """Returns the kernels K̂ of q = `queries` directions each, shape (draws/q, outputs, outputs); q must divide the
    number of draws.
    """
    grouped = tangents.reshape(-1, queries, tangents.shape[1])
    return np.einsum("bqi,bqj->bij", grouped, grouped) / queries


def _values(
    solver: NeuralSolver, pde: PDE, outputs: int, seed: int
) -> tuple[Callable[[Array], Array], Float[Array, " parameters"]]:
    """Returns u_θ at random points as a function of the flat parameters, and the initial parameters."""
    problem, key = on_device(pde), prng.key(seed)
    points = problem.sample(key, outputs)
    params = solver.network.init(key, pde.dim, problem.has_time)
    free, fixed = eqx.partition(params, eqx.is_inexact_array)
    flat, unravel = ravel_pytree(free)
    return lambda p: solver.predict(problem, eqx.combine(unravel(p), fixed), points), flat


def _frobenius(tangents: np.ndarray, kernel: np.ndarray, queries: int) -> Statistics:
    """Returns √E|K̂ − K|²/|K|. With y = Jξ, normal of covariance K, E|yyᵀ − K|² = (tr K)² + |K|²."""
    norm, gaps = (kernel**2).sum(), zeroth_order_kernels(tangents, queries) - kernel
    square, error = _mean((gaps**2).sum((1, 2)) / norm)
    root = math.sqrt(square)
    return root, error / (2 * root), math.sqrt((1 + np.trace(kernel) ** 2 / norm) / queries)


def _largest(tangents: np.ndarray, kernel: np.ndarray, queries: int) -> Statistics:
    """Returns E max |K̂ − K|_ij/√(K_ii K_jj). An entry's variance is at most 2/q; n(n + 1)/2 of them are compared with
    normal numbers.
    """
    size, count = np.sqrt(np.diag(kernel)), len(kernel)
    gaps = np.abs(zeroth_order_kernels(tangents, queries) - kernel) / np.outer(size, size)
    return *_mean(gaps.max((1, 2))), 2 * math.sqrt(math.log(count * (count + 1)) / queries)


def _over(items: Array, function: Callable[[Array], Any]) -> Any:
    """Applies `function` to every item, one after the other, and returns the results in double precision.

    Not vmap: jaxlib 0.10.2 miscompiles a step under one more batch axis of 100 on a CPU (a fused product, sum and square).
    """
    results = jax.jit(lambda a: jax.lax.map(function, a))(items)
    return jax.tree.map(lambda a: np.asarray(a, np.float64), results)


def _flat(arrays: list[Array]) -> Float[Array, " numbers"]:
    return jnp.concatenate([a.ravel() for a in arrays])


def _squared_cosine(one: Float[Array, " n"], other: Float[Array, " n"]) -> Float[Array, ""]:
    return (one @ other) ** 2 / ((one @ one) * (other @ other))


def _mean(drawn: Float[np.ndarray, " draws"]) -> tuple[float, float]:
    """Returns a mean and its standard error."""
    return float(drawn.mean()), float(drawn.std(ddof=1) / math.sqrt(drawn.size))


def _variance(drawn: Float[np.ndarray, "draws queries"]) -> tuple[float, float]:
    """Returns the variance over draws, averaged over queries, and its standard error."""
    count = len(drawn)
    return _mean(((drawn - drawn.mean(0)) ** 2).mean(1) * count / (count - 1))


def _crossed(
    quantity: str,
    down: tuple[str, Sequence[int]],
    across: tuple[str, Sequence[int]],
    rows: list[list[Statistics]],
) -> tuple[Curve, ...]:
    """Returns a table of rows `down` and columns `across` as curves against `across`, and then against `down`."""
    columns = [list(column) for column in zip(*rows, strict=True)]
    return (*_curves(quantity, across, down, rows), *_curves(quantity, down, across, columns))


def _curves(
    quantity: str,
    along: tuple[str, Sequence[int]],
    each: tuple[str, Sequence[int]],
    rows: list[list[Statistics]],
) -> tuple[Curve, ...]:
    """Returns a curve for each row, against `along`."""
    (variable, at), (name, values) = along, each
    return tuple(
        _curve(quantity, variable, f"{name} = {value:,}", at, row)
        for value, row in zip(values, rows, strict=True)
    )


def _curve(
    quantity: str, variable: str, label: str, at: Iterable[float], rows: Iterable[Statistics]
) -> Curve:
    seen, error, predicted = (tuple(map(float, column)) for column in zip(*rows, strict=True))
    return Curve(quantity, variable, label, tuple(map(float, at)), seen, error, predicted)
