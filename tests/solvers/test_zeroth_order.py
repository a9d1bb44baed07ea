"""Zeroth-order trainers on functions whose gradients are known, in double precision."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pdezoo import in_float64
from solvers import ZOCGE, ZORGE, Objective, Trainer, ZOHybrid, ZOSignRGE

SIZE, DRAWS = 6, 3000
CURVATURE = np.diag([1.0, 2.0, 0.5, 3.0, 1.0, 4.0]) + 0.2
AT = {"a": np.array([[1.0, -2.0], [0.5, 0.3]]), "b": np.array([-1.0, 2.0])}
GRADIENT = CURVATURE @ np.concatenate([AT["a"].ravel(), AT["b"]])

TRAINERS = [ZOSignRGE(), ZOCGE(), ZOHybrid()]
named = pytest.mark.parametrize("trainer", TRAINERS, ids=lambda t: type(t).__name__)


def flat(params: Any) -> Any:
    return jnp.concatenate([params["a"].ravel(), params["b"]])


def quadratic(params: Any, key: Any = None) -> Any:
    """θᵀAθ/2 + 1: its one-sided quotients are off by μ ξᵀAξ/2, its symmetric ones exact."""
    theta = flat(params)
    return theta @ CURVATURE @ theta / 2 + 1


def quartic(params: Any, key: Any = None) -> Any:
    """θᵀAθ/2 + Σ θ_i³ + Σ θ_i⁴/4: symmetric quotients along axes are off by μ² (1 + θ_i)."""
    theta = flat(params)
    return quadratic(params) + jnp.sum(theta**3 + theta**4 / 4)


def estimates(trainer: ZORGE, draws: int = DRAWS, loss: Any = quadratic) -> np.ndarray:
    """Many gradient estimates at AT, (draws, SIZE)."""
    one = lambda params, seed: trainer.sample(loss, params, jax.random.key(seed)).gradient
    many = jax.jit(lambda params: jax.vmap(one, in_axes=(None, 0))(params, jnp.arange(draws)))
    return in_float64(many, AT)


def smoothed_gradient(mu: float) -> np.ndarray:
    """Of E quartic(θ + μξ): E (θ+μξ)³ = θ³ + 3μ²θ and E 3(θ+μξ)² = 3θ² + 3μ²."""
    theta = np.concatenate([AT["a"].ravel(), AT["b"]])
    return GRADIENT + 3 * theta**2 + 3 * mu**2 + theta**3 + 3 * mu**2 * theta


@pytest.mark.parametrize(
    ("symmetric", "mu"), [pytest.param(False, 1e-2, marks=pytest.mark.slow), (True, 0.5)]
)
def test_random_estimates_have_the_gradient_of_the_smoothed_loss_as_mean(symmetric: bool, mu: float) -> None:
    """So their bias for ∇L is 3μ²(1 + θ), O(μ²), here seen where μ is large."""
    found = estimates(ZORGE(queries=20, mu=mu, symmetric=symmetric), loss=quartic)
    error = found.std(0) / np.sqrt(DRAWS)
    assert (np.abs(found.mean(0) - smoothed_gradient(mu)) < 4 * error).all()
    if mu > 0.1:
        bias = np.linalg.norm(smoothed_gradient(mu) - smoothed_gradient(0))
        assert np.linalg.norm(found.mean(0) - smoothed_gradient(0)) > bias / 2 > 2 * np.linalg.norm(error)


@pytest.mark.parametrize("queries", [pytest.param(1, marks=pytest.mark.slow), 8])
def test_variance_of_random_estimates(queries: int) -> None:
    """E|ĝ − g|² = (P + 1)|g|²/q for a quadratic and symmetric differences, within five standard errors."""
    found = estimates(ZORGE(queries=queries, mu=0.1, symmetric=True))
    squares = ((found - GRADIENT) ** 2).sum(1)
    expected = (SIZE + 1) * (GRADIENT @ GRADIENT) / queries
    assert abs(squares.mean() - expected) < 5 * squares.std() / np.sqrt(DRAWS) < 0.3 * expected


@pytest.mark.slow
def test_one_sided_estimates_vary_more() -> None:
    """By Var(μ ξᵀAξ/2 · ξ) = (μ²/4) E[(ξᵀAξ)² |ξ|²], which for A symmetric is (P + 4)(tr² A + 2 tr A²) by Isserlis."""
    mu = 0.5
    sides = [estimates(ZORGE(queries=1, mu=mu, symmetric=s)) for s in (False, True)]
    squares = [((found - GRADIENT) ** 2).sum(1) for found in sides]
    trace, square = np.trace(CURVATURE), np.trace(CURVATURE @ CURVATURE)
    extra = mu**2 / 4 * (SIZE + 4) * (trace**2 + 2 * square)
    difference = squares[0] - squares[1]  # the same directions
    assert abs(difference.mean() - extra) < 5 * difference.std() / np.sqrt(DRAWS) < extra


def test_chunks_change_nothing_but_memory() -> None:
    found = [estimates(ZORGE(queries=7, mu=0.1, chunk=c), draws=1) for c in (3, 7)]
    np.testing.assert_allclose(found[1], found[0], rtol=1e-12)


def slopes(trainer: ZOCGE) -> np.ndarray:
    """Coordinate-wise estimates at AT of all coordinates."""
    one = lambda params: trainer.slopes(quartic, params, jnp.arange(SIZE), jax.random.key(0))[1]
    return in_float64(jax.jit(one), AT)


def test_coordinate_estimates_are_the_gradient_to_their_order() -> None:
    """[L(θ+μe) − L(θ−μe)]/2μ = ∂L + μ²(1 + θ), and with one side ∂L + (μ/2) ∂²L + …, for this quartic in closed form."""
    theta, mu = np.concatenate([AT["a"].ravel(), AT["b"]]), 0.01
    gradient = smoothed_gradient(0)
    both = slopes(ZOCGE(mu=mu, symmetric=True, chunk=4))
    np.testing.assert_allclose(both, gradient + mu**2 * (1 + theta), rtol=1e-10)
    curvature = np.diag(CURVATURE) + 6 * theta + 3 * theta**2
    forward = slopes(ZOCGE(mu=mu, chunk=99))
    np.testing.assert_allclose(
        forward, gradient + mu / 2 * curvature + mu**2 * (1 + theta) + mu**3 / 4, rtol=1e-10
    )


def after(trainer: Trainer, steps: int, loss: Any = quadratic, of: int = 100) -> tuple[Any, Any, np.ndarray]:
    """Parameters, state and losses after some steps."""

    def run(params: Any) -> Any:
        def body(carry: Any, n: Any) -> Any:
            params, state = carry
            params, state, value = trainer.step(Objective(loss, n / of), params, state, jax.random.key(n))
            return (params, state), value

        start = (params, trainer.init(params, of))
        return (*jax.lax.scan(body, start, jnp.arange(steps)),)

    (params, state), losses = in_float64(jax.jit(run), AT)
    return params, state, losses


def test_coordinate_descent_is_descent_with_momentum() -> None:
    """b ← m b + g, θ ← θ − α b with the exact gradient of a quadratic, α going linearly to the final rate."""
    trainer = ZOCGE(learning_rate=0.02, final_rate=0.01, mu=1e-3, momentum=0.9, symmetric=True)
    theta, velocity = np.concatenate([AT["a"].ravel(), AT["b"]]), np.zeros(SIZE)
    for n in range(5):
        velocity = 0.9 * velocity + CURVATURE @ theta
        theta = theta - (0.02 - 0.01 * n / 100) * velocity
    params, state, _ = after(trainer, 5)
    np.testing.assert_allclose(np.concatenate([params["a"].ravel(), params["b"]]), theta, rtol=1e-6)
    np.testing.assert_allclose(state.momentum, velocity, rtol=1e-6)


def test_blocks_of_coordinates_take_turns() -> None:
    """Four of six a step: 0-3, 4-1, 2-5; a step moves its own alone."""
    trainer = ZOCGE(learning_rate=0.01, mu=1e-3, block=4)
    moved = []
    before = np.concatenate([AT["a"].ravel(), AT["b"]])
    for steps in (1, 2, 3):
        params, _, _ = after(trainer, steps)
        now = np.concatenate([params["a"].ravel(), params["b"]])
        moved.append(np.flatnonzero(now != before).tolist())
        before = now
    assert moved == [[0, 1, 2, 3], [0, 1, 4, 5], [2, 3, 4, 5]]


def test_signs_move_every_parameter_by_the_learning_rate() -> None:
    params, _, _ = after(ZOSignRGE(learning_rate=0.01, queries=3), 1)
    change = np.abs(np.concatenate([(params[k] - AT[k]).ravel() for k in AT]))
    np.testing.assert_allclose(change, 0.01, rtol=1e-6)


def test_the_hybrid_switches_when_the_loss_stalls() -> None:
    """Sign steps of 0.05 stall near the minimum, which coordinate descent then finds; it does not switch before the stall."""
    trainer = ZOHybrid(
        learning_rate=0.05, final_rate=0.05, mu=1e-3, queries=10, epoch=10, patience=2, fine_rate=0.05
    )
    _, state, losses = after(trainer, 300, of=10**6)
    switch = int(state.coarse_steps)
    assert bool(state.fine)
    assert 20 <= switch < 200
    assert switch % 10 == 0
    means = losses[:switch].reshape(-1, 10).mean(1)
    best = np.minimum.accumulate(means)
    stalls = means[1:] >= 0.99 * best[:-1]
    assert stalls[-2:].all()
    assert not (stalls[:-2] & stalls[1:-1]).any()
    assert losses[-1] - 1 < 1e-3 < losses[switch - 1] - 1


@pytest.mark.slow
def test_a_loss_that_still_falls_keeps_the_hybrid_coarse() -> None:
    trainer = ZOHybrid(learning_rate=0.002, final_rate=0.002, mu=1e-3, queries=10, epoch=20, patience=2)
    _, state, losses = after(trainer, 200, of=10**6)
    assert not bool(state.fine)
    assert int(state.coarse_steps) == 200
    assert losses[-1] < losses[0] - 1


@named
def test_a_loss_that_is_not_finite_changes_no_parameter(trainer: Trainer) -> None:
    """Neither NaN nor ∞, which it is by turns."""
    params, _, losses = after(
        trainer, 6, loss=lambda p, k: jnp.where(jax.random.bernoulli(k), jnp.nan, jnp.inf) * quadratic(p)
    )
    assert {str(value) for value in losses} == {"nan", "inf"}
    jax.tree.map(np.testing.assert_array_equal, params, AT)


@named
def test_a_query_that_is_not_finite_changes_no_parameter(trainer: Trainer) -> None:
    """The loss is finite at θ and nowhere near it."""
    here = np.concatenate([AT["a"].ravel(), AT["b"]])
    cliff = lambda p, k: jnp.where(jnp.all(flat(p) == here), 1.0, jnp.nan)
    params, _, losses = after(trainer, 2, loss=cliff)
    assert np.isfinite(losses).all()
    jax.tree.map(np.testing.assert_array_equal, params, AT)


@pytest.mark.parametrize(
    "trainer",
    [
        ZORGE(symmetric=True),
        ZOCGE(block=5),
        ZOCGE(symmetric=True),
        ZOHybrid(epoch=2, patience=1, improvement=0.9),
    ],
    ids=str,
)
def test_evaluations_are_those_that_are_made(trainer: Trainer) -> None:
    """Counted by a callback in the loss; chunks that do not divide the queries included."""
    calls: list[int] = []

    def counted(params: Any, key: Any) -> Any:
        jax.debug.callback(lambda theta: calls.append(1), flat(params))
        return quadratic(params)

    trainer = replace(trainer, chunk=4)
    params, state, _ = after(trainer, 7, loss=counted)
    jax.effects_barrier()
    assert trainer.evaluations(7, params, state) == len(calls)


@pytest.mark.parametrize(
    ("kind", "wrong", "message"),
    [
        (ZORGE, {"queries": 0}, "at least 1, got 0"),
        (ZORGE, {"mu": 0.0}, "mu is positive"),
        (ZOSignRGE, {"chunk": 0}, "chunk at least 1"),
        (ZOCGE, {"momentum": 1.0}, "momentum in"),
        (ZOCGE, {"block": -1}, "block is at least 0"),
        (ZOHybrid, {"patience": 0}, "patience are at least 1"),
        (ZOHybrid, {"queries": 0}, "at least 1, got 0"),
        (ZOHybrid, {"fine_mu": -1.0}, "mu is positive"),
    ],
    ids=str,
)
def test_numbers_that_make_no_sense_are_refused(kind: Any, wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kind(**wrong)
