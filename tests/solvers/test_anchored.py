"""Anchored activation perturbation: its estimator against reverse mode, its variance, its cost, and what it never forms."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from test_memory import largest_array
from toys import few

import pdezoo
import solvers
from pdezoo import in_float64
from solvers import MLP, Field, GradientEnhancedLoss, LeastSquares, NeuralSolver
from solvers.derivatives import directions
from solvers.estimators.hte import HTE
from solvers.estimators.one_pass import OnePassHTE, Pass
from solvers.trainers import anchored
from solvers.trainers.anchored import AnchoredActivations, pushed, still

BATCH, DRAWS = 5, 4000
NETWORK = MLP(width=6, depth=4)
ESTIMATOR = OnePassHTE(samples=2)


def trial(name: str) -> tuple[Any, Any]:
    """A problem in six dimensions, and generic parameters of a small network there."""
    pde = pdezoo.make(name, dim=6)
    params = NETWORK.init(jax.random.key(0), pde.dim, pde.domain.horizon is not None)
    flat, unravel = ravel_pytree(params)
    return solvers.on_device(pde), unravel(flat + 0.2 * jax.random.normal(jax.random.key(1), flat.shape))


def way_of(problem: Any, params: Any) -> Pass:
    """The pass of a batch that does not change."""
    return ESTIMATOR.through(
        Field(problem, params, NETWORK), problem.sample(jax.random.key(2), BATCH), jax.random.key(3)
    )


def loss_of(problem: Any, params: Any) -> Any:
    """The same batch's loss, by the estimator alone."""
    points = problem.sample(jax.random.key(2), BATCH)
    rows = ESTIMATOR.residual(Field(problem, params, NETWORK), points, jax.random.key(3))
    return jnp.sum(jnp.mean(rows**2, axis=1))


def true_slopes(way: Pass, params: Any) -> list[Any]:
    """∂ℓ/∂z of all hidden layers but the last, by reverse mode."""
    entrance = way.entrance.shift(params["bias"])
    half = lambda taps: 0.5 * jnp.sum(pushed(way, entrance, params["layers"], taps)[0] ** 2)
    return list(jax.grad(half)(still(entrance, params["layers"])))


def by_point(streams: Any) -> jax.Array:
    """All pre-activations of every point in one line, (B, n)."""
    leaves = [jnp.moveaxis(a, -2, 0).reshape(a.shape[-2], -1) for a in jax.tree.leaves(tuple(streams))]
    return jnp.concatenate(leaves, axis=1)


def drawn(trainer: AnchoredActivations, name: str) -> dict[str, np.ndarray]:
    """Measured slopes of the perturbed layers over many keys (draws, B, n), the anchor and the truth (B, n), in float64."""

    def run(problem: Any, params: Any) -> Any:
        way = way_of(problem, params)
        look = lambda trainer, key: by_point(trainer.measured(way, params, key).slopes[:-1])
        keys = jax.random.split(jax.random.key(4), DRAWS)
        many = jax.lax.map(lambda key: look(trainer, key), keys, batch_size=500)
        anchor = look(replace(trainer, queries=0), keys[0])
        return {"measured": many, "anchor": anchor, "true": by_point(true_slopes(way, params))}

    return in_float64(jax.jit(run), *trial(name))


PROBLEMS = ["hjb-lqg/soft-min", "burgers-type", "allen-cahn/two-body"]
"""With u_t and |∇u|², with a drift b·∇u, with a power of u."""


@pytest.mark.parametrize("name", few(PROBLEMS))
def test_slopes_are_unbiased_with_the_variance_of_what_the_anchor_misses(name: str) -> None:
    """E δ̃ = δ, and E|δ̃ − δ|² = (n − 1)/q |δ − δ̂|², point by point."""
    found = drawn(AnchoredActivations(queries=2), name)
    error = found["measured"] - found["true"]
    spread = error.std(axis=0)
    assert np.all(np.abs(error.mean(axis=0)) <= 5 * spread / DRAWS**0.5 + 1e-12)
    missed = np.sum((found["true"] - found["anchor"]) ** 2, axis=1)
    assert np.all(missed > 0)
    numbers = found["true"].shape[1]
    squares = np.sum(error**2, axis=2)
    np.testing.assert_allclose(squares.mean(axis=0), (numbers - 1) / 2 * missed, rtol=0.15)


@pytest.mark.parametrize("name", few(PROBLEMS, keep=1))
def test_the_gradient_is_that_of_reverse_mode_where_the_slopes_are(name: str) -> None:
    """With true slopes in place of measured ones every parameter's gradient is exact, W's as Lᵀ lines: the last layer's slopes,
    the read-out's and the first map's are not estimated.
    """

    def run(problem: Any, params: Any) -> Any:
        way = way_of(problem, params)
        seen = AnchoredActivations(queries=0).measured(way, params, jax.random.key(0))
        exact = seen._replace(slopes=(*true_slopes(way, params), seen.slopes[-1]))
        found = anchored.gradient(way, params, exact)
        first = way.left(0, way.dim).T @ found.lines
        value, want = jax.value_and_grad(lambda p: loss_of(problem, p))(params)
        squares = anchored.column_squares(way, found.lines), jnp.sum(first**2, axis=0)
        return found.inner | {"first": first}, want, found.value, value, squares

    found, want, value, loss, squares = in_float64(jax.jit(run), *trial(name))
    assert value == pytest.approx(loss, rel=1e-12)
    np.testing.assert_allclose(ravel_pytree(found)[0], ravel_pytree(want)[0], rtol=1e-4, atol=1e-5)
    for name, part in want.items():
        pairs = zip(jax.tree.leaves(found[name]), jax.tree.leaves(part), strict=True)
        assert all(np.allclose(a, b, rtol=1e-9, atol=1e-12) and np.any(b != 0) for a, b in pairs), name
    np.testing.assert_allclose(*squares, rtol=1e-9)


def test_differences_are_biased_by_the_square_of_their_step() -> None:
    """Along the same signs, the distance from forward mode falls by 100 as ε falls by 10."""

    def run(problem: Any, params: Any) -> Any:
        way = way_of(problem, params)
        look = lambda e: by_point(
            AnchoredActivations(epsilon=e).measured(way, params, jax.random.key(4)).slopes[:-1]
        )
        return [jnp.abs(look(e) - look(0.0)).max() for e in (1e-2, 1e-3)]

    far, near = in_float64(jax.jit(run), *trial("allen-cahn/two-body"))
    assert near > 0
    assert far / near == pytest.approx(100, rel=0.05)


def test_the_anchor_takes_most_of_the_variance() -> None:
    """At weights of their initial size it has more than half of the slopes' squares, all of which are variance without it."""

    def run(problem: Any, params: Any) -> Any:
        way = way_of(problem, params)
        anchor = AnchoredActivations(queries=0).measured(way, params, jax.random.key(4)).slopes[:-1]
        true = by_point(true_slopes(way, params))
        return jnp.sum((true - by_point(anchor)) ** 2), jnp.sum(true**2)

    missed, all_ = in_float64(jax.jit(run), *trial("allen-cahn/two-body"))
    assert 0 < missed < 0.5 * all_


def test_one_hidden_layer_needs_no_query() -> None:
    """Its slopes are known: the measured gradient is the same whatever the signs, and with no query at all."""
    pde = pdezoo.make("allen-cahn/two-body", dim=6)
    network = MLP(width=6, depth=2)
    params = network.init(jax.random.key(0), 6, False)
    problem = solvers.on_device(pde)
    points = problem.sample(jax.random.key(2), BATCH)
    way = ESTIMATOR.through(Field(problem, params, network), points, jax.random.key(3))
    looks = jax.jit(
        lambda: [
            AnchoredActivations(queries=q).measured(way, params, jax.random.key(k))
            for q, k in [(1, 0), (1, 1), (0, 0)]
        ]
    )()
    for other in looks[1:]:
        jax.tree.map(np.testing.assert_array_equal, looks[0].slopes, other.slopes)


def looped(way: Pass) -> Pass:
    """The same residual times a power of one, found by a loop that has a forward derivative and no reverse one."""

    def residual(out: Any) -> Any:
        rounds = jnp.where(jnp.sum(out.value) > jnp.inf, 0, 2)
        return jax.lax.fori_loop(0, rounds, lambda _, rows: rows * 1.0, way.residual(out))

    return replace(way, residual=residual)


@pytest.mark.parametrize("epsilon", [0.0, 1e-3])
def test_no_step_uses_reverse_mode(epsilon: float) -> None:
    """A residual that cannot be differentiated backwards is trained on; reverse mode through it raises."""
    problem, params = trial("allen-cahn/two-body")
    through = lambda p, key: looped(way_of(problem, p))
    loss = LeastSquares(lambda p, key: jnp.zeros(()), 0.0, NETWORK, lambda key: (), through)
    trainer = AnchoredActivations(epsilon=epsilon, queries=2)
    run = lambda: trainer.step(loss, params, trainer.init(params, 10), jax.random.key(0))
    moved, _, value = jax.eval_shape(run)
    assert value.shape == ()
    assert jax.tree.map(jnp.shape, moved) == jax.tree.map(jnp.shape, params)
    with pytest.raises(ValueError, match="Reverse-mode"):
        jax.eval_shape(lambda: true_slopes(looped(way_of(problem, params)), params))


def test_a_loss_that_is_not_finite_changes_nothing() -> None:
    problem, params = trial("allen-cahn/two-body")
    broken = lambda p, key: replace(
        way_of(problem, p), residual=lambda out: jnp.inf * way_of(problem, p).residual(out)
    )
    loss = LeastSquares(lambda p, key: jnp.zeros(()), 0.0, NETWORK, lambda key: (), broken)
    trainer = AnchoredActivations()
    state = trainer.init(params, 10)
    moved, later, value = jax.jit(lambda: trainer.step(loss, params, state, jax.random.key(0)))()
    assert not jnp.isfinite(value)
    jax.tree.map(np.testing.assert_array_equal, (moved, later), (params, state))


def test_a_step_costs_a_few_forward_passes() -> None:
    """By the compiler's count of operations at d = 1,000, a step with one query takes less than five times those of its loss; and
    every further query at most two and a half, since it pushes a tangent of all but the first map.
    """
    problem = solvers.on_device(pdezoo.make("allen-cahn/two-body", dim=1000))
    solver = solvers.make("aap")
    state = jax.eval_shape(lambda: solver.init(problem, 0, 10))

    def operations(function: Any) -> float:
        return jax.jit(function).lower(problem, state).compile().cost_analysis()["flops"]

    forward = operations(lambda p, s: solver.evaluate(p, s.params, s.key, 100))
    step = operations(lambda p, s: solver.step(p, s, 100))
    assert forward < step < 5 * forward
    assert [
        solver.trainer.evaluations(10, {}, ()),
        replace(solver.trainer, epsilon=0.1).evaluations(10, {}, ()),
    ] == [20, 30]


@pytest.mark.slow  # the contract holds the memory of every row
def test_no_gradient_is_formed_for_every_point() -> None:
    """Nothing is as large as B times the parameters of one inner layer; natural gradient, the control, has it."""
    pde, batch, width = pdezoo.make("allen-cahn/two-body", dim=20), 40, 16
    compiled = {
        row: solvers.make(row, width=width, depth=3).compile(pde, steps=10, batch=batch)
        for row in ("aap", "spring")
    }
    assert largest_array(compiled["aap"]) < batch * width**2 <= largest_array(compiled["spring"])


@pytest.mark.slow
def test_the_first_weight_is_changed_in_place() -> None:
    """What a dimension adds to the plan is one row of W and a few points: no gradient, no moments; Adam has four."""
    width, batch = 64, 4
    plans = {}
    for row in ("aap", "hte"):
        few_, many = (
            solvers.make(row, width=width, depth=3, samples=1)
            .compile(pdezoo.make("allen-cahn/two-body", dim=dim), steps=10, batch=batch)
            .bytes
            for dim in (5 * directions.BLOCK, 15 * directions.BLOCK)  # the projection of a rest copies W
        )
        plans[row] = (many - few_) / 4 / (10 * directions.BLOCK)
    assert plans["aap"] < 1.6 * width
    assert plans["hte"] > 2.9 * width


def test_rows_in_chunks_are_those_at_once(monkeypatch: Any) -> None:
    """W − Lᵀ lines with 6 rows in blocks of 4, a whole block and a rest: L of the points, the directions and the drifts."""
    monkeypatch.setattr(directions, "BLOCK", 4)

    def run(problem: Any, params: Any) -> Any:
        way = way_of(problem, params)
        assert (way.size, way.dim) == (4, 6)
        drift = [line.block(0, 6) for line in way.along if line.block is not None]
        left = jnp.concatenate([way.points.x, way.directions.vectors(), *drift])
        lines = jax.random.normal(jax.random.key(7), (len(left), NETWORK.width))
        squares = anchored.column_squares(way, lines), jnp.sum((left.T @ lines) ** 2, axis=0)
        return anchored.descended(params["first"], way, lines), params["first"] - left.T @ lines, squares

    found, want, squares = in_float64(jax.jit(run), *trial("burgers-type"))
    np.testing.assert_allclose(found, want, rtol=1e-12)
    np.testing.assert_allclose(*squares, rtol=1e-9)


@pytest.mark.parametrize("name", few(PROBLEMS, keep=1))
def test_one_pass_gives_what_hte_gives(name: str) -> None:
    """u, u_t, x·∇u and drifts exactly, Δu and |∇u|² along the same directions; in float64."""

    def run(problem: Any, params: Any) -> Any:
        field = Field(problem, params, NETWORK)
        points = problem.sample(jax.random.key(2), BATCH)
        pairs = (e(field, problem.atoms, points, jax.random.key(3)) for e in (ESTIMATOR, HTE(samples=2)))
        return [[values[a] for a in problem.atoms] for values in pairs]

    for found, want in zip(*in_float64(jax.jit(run), *trial(name)), strict=True):
        np.testing.assert_allclose(found, want, rtol=1e-9, atol=1e-11)


AAP = NeuralSolver("planted", OnePassHTE(), AnchoredActivations())


@pytest.mark.parametrize(
    ("solver", "name", "words"),
    [
        (AAP, "wave", "u_tt"),
        (AAP, "semilinear-heat/soft", "soft condition"),
        (AAP, "black-scholes-barenblatt", "OnePassHTE estimates"),
        (replace(AAP, estimator=HTE()), "poisson/two-body", "not of HTE"),
        (replace(AAP, network=solvers.SeededMLP()), "poisson/two-body", "not of SeededMLP"),
        (replace(AAP, network=solvers.OffsetMLP()), "heat", "stream for the ansatz' offset"),
        (replace(AAP, loss=GradientEnhancedLoss()), "poisson/two-body", "not of GradientEnhancedLoss"),
    ],
    ids=str,
)
def test_what_it_cannot_do_it_says(solver: NeuralSolver, name: str, words: str) -> None:
    assert words in (solver.unsupported(pdezoo.make(name, dim=6)) or "")


@pytest.mark.parametrize("wrong", [{"queries": -1}, {"epsilon": -1e-3}, {"queries": 0, "anchored": False}])
def test_numbers_that_cannot_be_meant_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"at least 0|all there is"):
        AnchoredActivations(**wrong)
