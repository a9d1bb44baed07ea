"""The facts that zeroth-order descent in subspaces rests on, on a quadratic and on a small network."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toys import few

import pdezoo
import solvers
from solvers import MLP, Field, LowRank, Objective, Replayed, near_square, orthonormal
from solvers.trainers import subspace
from solvers.trainers.subspace import SubspaceZO

SMALL = {"width": 12, "depth": 3}
DRAWS = 4000


def tree(key: int = 0) -> dict[str, jax.Array]:
    """A large matrix (kept as `LowRank` under `implicit`), a small one, and biases."""
    one, two, three = jax.random.split(jax.random.key(key), 3)
    normal = jax.random.normal
    return {"big": normal(one, (24, 6)), "small": normal(two, (6, 6)), "bias": normal(three, (6,))}


TARGET = tree(9)


def quadratic(params: Any, key: Any = None) -> Any:
    """½ |θ − θ*|², of gradient θ − θ*, seen through the matrices' products alone."""
    eye = jnp.eye(24)
    gaps = [
        eye @ params["big"] - TARGET["big"],
        params["small"] - TARGET["small"],
        params["bias"] - TARGET["bias"],
    ]
    return 0.5 * sum(jnp.sum(g**2) for g in gaps)


@pytest.fixture
def implicit(monkeypatch: Any) -> None:
    monkeypatch.setattr(subspace, "_FORMED", 100)


def begun(trainer: SubspaceZO, params: Any = None, steps: int = 100) -> tuple[Any, Any]:
    """Parameters and state in their first subspace, nothing moved yet."""
    params, state = trainer.start(tree() if params is None else params, steps)
    still = replace(trainer, learning_rate=0.0)
    params, state, _ = jax.jit(lambda p, s, k: still.step(Objective(quadratic), p, s, k))(
        params, state, jax.random.key(7)
    )
    return params, state


def projector(params: Any, state: Any) -> np.ndarray:
    """P as a matrix: its columns are the moves of every core coordinate."""
    leaves, _ = jax.tree.flatten(params, is_leaf=lambda a: isinstance(a, LowRank))
    flat = lambda moved: np.concatenate([np.asarray(dense(leaf)).ravel() for leaf in moved])
    zeros = [jnp.zeros_like(a) for a in state.first]
    base, columns = flat(subspace.moved(leaves, state.bases, zeros)), []
    for k, like in enumerate(zeros):
        for j in range(like.size):
            unit = jnp.zeros(like.size).at[j].set(1.0).reshape(like.shape)
            columns.append(
                flat(subspace.moved(leaves, state.bases, [*zeros[:k], unit, *zeros[k + 1 :]])) - base
            )
    return np.stack(columns, 1)


def dense(leaf: Any) -> Any:
    """A leaf as an array."""
    return jnp.eye(leaf.shape[0]) @ leaf if isinstance(leaf, LowRank | Replayed) else leaf


def test_the_directions_are_orthonormal(implicit: None) -> None:
    """PᵀP = I: rank² columns for each matrix, one for each bias."""
    found = projector(*begun(SubspaceZO(rank=3)))
    assert found.shape[1] == 9 + 9 + 6
    np.testing.assert_allclose(found.T @ found, np.eye(24), atol=1e-5)


@pytest.mark.slow
def test_kept_apart_or_formed_is_the_same_training(monkeypatch: Any) -> None:
    """The core's accumulation and its merging against updates of the weights themselves, over two refreshes."""
    trainer, ends = (
        SubspaceZO(learning_rate=0.02, rank=2, refresh=5, queries=2, momentum=0.9, second_moment=0.99),
        [],
    )
    for formed in (100, 10**9):
        monkeypatch.setattr(subspace, "_FORMED", formed)
        params, state = trainer.start(tree(), 40)
        step = jax.jit(lambda p, s, k, done: trainer.step(Objective(quadratic, done), p, s, k))
        for k in range(13):
            params, state, value = step(params, state, jax.random.key(k), k / 40)
        ends.append(({name: np.asarray(dense(leaf)) for name, leaf in params.items()}, float(value)))
    assert ends[0][1] == pytest.approx(ends[1][1], rel=1e-4)
    for name, leaf in ends[0][0].items():
        np.testing.assert_allclose(leaf, ends[1][0][name], rtol=1e-3, atol=1e-4)


def estimates(trainer: SubspaceZO, params: Any, state: Any) -> np.ndarray:
    """Many ĝ in core coordinates, (DRAWS, s), all in one subspace."""

    def one(seed: Any) -> Any:
        after = trainer.step(Objective(quadratic), params, state, jax.random.key(seed))[1]
        return jnp.concatenate([g.ravel() for g in after.first])

    # Not vmap: jaxlib 0.10.2 miscompiles this step under one more batch axis of 100 on a CPU (a fused product, sum and square).
    return np.asarray(jax.jit(lambda seeds: jax.lax.map(one, seeds))(jnp.arange(DRAWS)))


@pytest.mark.parametrize(
    "epsilon", few([1e-1, 0.0])
)  # of a quadratic any ε is exact, and a large one rounds least
def test_moments_of_the_estimate(implicit: None, epsilon: float) -> None:
    """E ĝ = Pᵀ∇L, E|ĝ|² = (s + 2)|Pᵀ∇L|², E cos² = 1/s, by differences and by forward mode."""
    trainer = SubspaceZO(rank=3, epsilon=epsilon)
    params, state = begun(trainer)
    flat = lambda t: np.concatenate([np.asarray(dense(a)).ravel() for a in (t["bias"], t["big"], t["small"])])
    projected = projector(params, state).T @ (flat(params) - flat(TARGET))
    drawn = estimates(trainer, params, state)
    s, square = projected.size, (projected**2).sum()
    assert (np.abs(drawn.mean(0) - projected) < 4.5 * drawn.std(0) / np.sqrt(DRAWS) + 1e-3).all()
    squares = (drawn**2).sum(1)
    assert abs(squares.mean() - (s + 2) * square) < 4 * squares.std() / np.sqrt(DRAWS) < 0.2 * squares.mean()
    cosines = (drawn @ projected) ** 2 / squares / square
    assert abs(cosines.mean() - 1 / s) < 4 * cosines.std() / np.sqrt(DRAWS) < 0.2 / s


def slopes(trainer: SubspaceZO, loss: Any, seeds: Any) -> np.ndarray:
    """ρ along one z for many keys, in one subspace."""
    params, state = begun(trainer)
    leaves, structure = jax.tree.flatten(params)
    at = lambda z, k: loss(jax.tree.unflatten(structure, subspace.moved(leaves, state.bases, z)), k)
    z = trainer.directions(state.first, jax.random.key(3))
    one = lambda seed: trainer.slopes(at, z, jax.random.key(seed))[1][0]
    return np.asarray(jax.jit(lambda s: jax.lax.map(one, s))(seeds))


@pytest.mark.parametrize(("common", "slope"), few([(True, 0), (False, -2)]))
def test_common_random_numbers_bound_the_variance(common: bool, slope: int) -> None:
    """Var ρ over keys: flat in ε with common numbers, ∝ ε⁻² without."""
    noisy = lambda p, k: quadratic(p) * (1 + 0.3 * jax.random.normal(k))
    wide, narrow = (
        slopes(SubspaceZO(rank=3, epsilon=e, common=common), noisy, jnp.arange(2000)).var()
        for e in (1e-1, 1e-2)
    )
    assert np.log10(wide / narrow) == pytest.approx(slope, abs=0.15)


@pytest.mark.slow
def test_forward_mode_is_the_limit_of_differences() -> None:
    """A difference quotient of a quadratic is its derivative, but for float32 rounding of the loss."""
    found, limit = (slopes(SubspaceZO(rank=2, epsilon=e), quadratic, jnp.arange(1)) for e in (0.1, 0.0))
    np.testing.assert_allclose(found, limit, rtol=1e-3)


@pytest.mark.slow
def test_queries_together_are_queries_apart() -> None:
    """ρ of sixteen queries in one batch, and of each alone, on a network."""
    pde = pdezoo.make("poisson/two-body", dim=30)
    problem, solver = pde.lower(), solvers.make("sdze-adam", **SMALL)
    state = solver.init(problem, 0, 10)
    key = jax.random.key(1)
    at = lambda z, k: solver.evaluate(
        problem, jax.tree.unflatten(structure, subspace.moved(leaves, bases, z)), k, 8
    )
    leaves, structure = jax.tree.flatten(state.params)
    leaves, inner = solver.trainer.refreshed(leaves, state.trainer, key)
    bases, z = inner.bases, solver.trainer.directions(inner.first, key)
    together = jax.jit(lambda z: solver.trainer.slopes(at, z, key)[1])(z)
    one = jax.jit(lambda z: replace(solver.trainer, queries=1).slopes(at, z, key)[1])
    apart = np.concatenate([one([a[q : q + 1] for a in z]) for q in range(16)])
    np.testing.assert_allclose(together, apart, rtol=1e-2, atol=1e-2 * np.abs(apart).max())


@pytest.mark.parametrize("epsilon", few([1e-2, 1e-3, 1e-4, 1e-5]))
def test_training_stays_finite_at_any_epsilon(epsilon: float) -> None:
    pde = pdezoo.make("poisson/two-body", dim=6)
    result = solvers.make("sdze", epsilon=epsilon, rank=4, **SMALL).fit(
        pde, steps=60, batch=16, progress=None
    )
    assert (result.status, result.forward_evaluations) == ("ok", 120)
    assert np.isfinite(result.loss)


def test_a_subspace_lasts_as_long_as_it_should() -> None:
    """refresh = 4, twice as long each time: new ones at steps 0, 4, 12."""
    trainer = SubspaceZO(rank=2, refresh=4, anneal=2.0)
    params, state = trainer.start(tree(), 20)
    step, seen = jax.jit(lambda p, s, k: trainer.step(Objective(quadratic), p, s, k)), []
    for k in range(14):
        params, state, _ = step(params, state, jax.random.key(k))
        seen.append(np.asarray(next(b for b in state.bases if b is not None).left))
    changed = [k for k in range(1, 14) if not np.array_equal(seen[k], seen[k - 1])]
    assert changed == [4, 12]


def test_a_loss_that_is_not_finite_changes_nothing(implicit: None) -> None:
    trainer = SubspaceZO(rank=2, momentum=0.9)
    params, state = begun(trainer)
    bad = Objective(lambda p, k: quadratic(p) * jnp.nan)
    after, later, value = trainer.step(bad, params, state, jax.random.key(1))
    assert not np.isfinite(value)
    jax.tree.map(np.testing.assert_array_equal, after, params)
    jax.tree.map(np.testing.assert_array_equal, later.first, state.first)


@pytest.mark.parametrize("row", few(["stde", "hte", "forward-laplacian", "rs-pinn", "exact"], keep=3))
def test_estimates_with_weights_kept_apart_are_those_with_weights_formed(row: str) -> None:
    """Sparse and dense directions and WᵀW, each with W₀ + fold(U C Vᵀ) as a `LowRank` and as an array."""
    pde, network, estimator = (
        pdezoo.make("poisson/two-body", dim=24),
        MLP(**SMALL),
        solvers.make(row).estimator,
    )
    problem = solvers.on_device(pde)
    params = network.init(jax.random.key(0), 24, False)
    fold, (one, two, three) = near_square(24, 12), jax.random.split(jax.random.key(1), 3)
    left, right = orthonormal(one, fold.left, 5), orthonormal(two, fold.right, 5)
    core = jax.random.normal(three, (5, 5))
    apart = params | {"first": LowRank(params["first"], left, core, right, fold)}
    formed = params | {"first": params["first"] + fold.expand(left, core, right)}
    at = problem.sample(jax.random.key(2), 6)

    def estimate(p: Any) -> Any:
        values = estimator(Field(problem, p, network), problem.atoms, at, jax.random.key(3))
        return [values[a] for a in problem.atoms]

    for found, want in zip(jax.jit(estimate)(apart), jax.jit(estimate)(formed), strict=True):
        np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-4 * float(jnp.abs(want).max()))


@pytest.mark.parametrize("rows", [7, 27, 28, 5000])
def test_columns_of_a_basis_are_orthonormal(rows: int) -> None:
    """And span what the Gaussian matrix does, in a triangular way: each is LAPACK's, up to its sign."""
    q = np.asarray(orthonormal(jax.random.key(0), rows, 7))
    np.testing.assert_allclose(q.T @ q, np.eye(7), atol=1e-5)
    other = np.linalg.qr(np.asarray(jax.random.normal(jax.random.key(0), (rows, 7)), np.float64))[0]
    np.testing.assert_allclose(np.abs(np.sum(q * other, axis=0)), 1, atol=1e-5)


@pytest.mark.slow
def test_streamed_training_is_a_training(monkeypatch: Any) -> None:
    """With points that are never held the loss falls as with held ones, by Adam and in subspaces."""
    monkeypatch.setattr("pdezoo.lowering.coordinates._HELD", 0)
    monkeypatch.setattr("pdezoo.lowering.coordinates._BLOCK", 16)
    monkeypatch.setattr(subspace, "_FORMED", 100)
    pde = pdezoo.make("poisson/two-body", dim=40)
    for name, settings in (("stde", {}), ("sdze-adam", {"queries": 4, "rank": 6})):
        solver = solvers.make(name, samples=4, learning_rate=1e-2, **SMALL, **settings)
        result = solver.fit(pde, steps=150, batch=16, progress=None)
        losses = [h["loss"] for h in result.history]
        assert losses[-1] < 0.5 * losses[0], (name, losses)
    assert isinstance(result.params["first"], LowRank)
    assert near_square(40, 12) == result.params["first"].fold


def trained(params: Any, solver: Any, problem: Any, state: Any, steps: int) -> tuple[Any, np.ndarray]:
    """The state after some steps from other parameters, and every loss."""
    step, losses = jax.jit(lambda s: solver.step(problem, s, 16)), []
    state = state._replace(params=params)
    for _ in range(steps):
        state = step(state)
        losses.append(float(state.loss))
    return state, np.asarray(losses)


@pytest.mark.slow
def test_replay_trains_as_stored_weights_do(monkeypatch: Any) -> None:
    """Four subspaces; the same streamed points, subspaces and directions; losses to the rounding of float32 differences."""
    monkeypatch.setattr("pdezoo.lowering.coordinates._HELD", 0)
    monkeypatch.setattr("pdezoo.lowering.coordinates._BLOCK", 16)
    settings = {"rank": 4, "refresh": 5, "epsilon": 0.1, "learning_rate": 1e-3, "width": 12, "depth": 2}
    solver = solvers.make("sdze-replay", **settings)
    problem = pdezoo.make("poisson/two-body", dim=40).lower()
    state = jax.jit(lambda: solver.init(problem, 0, 20))()
    first = state.params["first"]
    stored = state.params | {"first": replace(first.now, base=first.now.base.block(0, 40))}
    end, losses = trained(state.params, solver, problem, state, 20)
    other, expected = trained(stored, solver, problem, state, 20)
    np.testing.assert_allclose(losses, expected, rtol=1e-4)
    assert [bool(np.any(core)) for core in end.params["first"].cores] == [True, True, True, False]
    moved = np.abs(dense(other.params["first"]) - dense(stored["first"])).max()
    gap = np.abs(dense(end.params["first"]) - dense(other.params["first"])).max()
    assert gap < 1e-3 * moved


def test_replayed_parameters_grow_like_the_root_of_the_dimension() -> None:
    """Bytes of the first weight, at a hundred million dimensions too: U, V and past cores."""
    solver, width, rank, steps = solvers.make("sdze-replay", rank=8, width=16, refresh=50), 16, 8, 100
    for dim in (10**4, 10**6, 10**8):
        draw = lambda dim=dim: solver.network.init(jax.random.key(0), dim, False)
        params, state = jax.eval_shape(lambda draw=draw: solver.trainer.start(draw(), steps))
        assert isinstance(params["first"], Replayed)
        held = sum(a.size * 4 for a in jax.tree.leaves((params["first"], state)))
        fold = near_square(dim, width)
        assert held < 4 * (rank * (fold.left + fold.right) + rank**2 * (steps // 50)) + 20_000
        assert fold.left + fold.right < 4 * np.sqrt(dim * width)


@pytest.mark.parametrize(
    "wrong",
    [{"rank": 0}, {"queries": 0}, {"anneal": 0.5}, {"momentum": 1.0}, {"epsilon": 0.0, "common": False}],
    ids=str,
)
def test_hyperparameters_that_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"at least|lie in|two sides"):
        SubspaceZO(**wrong)
