"""What the two sides of a difference have in common, in SDZE and its ablations: points, directions, both or nothing."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pdezoo
import solvers
from solvers import Axes, NeuralSolver, Objective
from solvers.methods.sdze import OtherDirections
from solvers.trainers import subspace
from solvers.trainers.subspace import SubspaceZO

SMALL = {"width": 6, "depth": 2, "samples": 2, "rank": 2, "queries": 2}
STEP = jax.random.key(5)


def seen(trainer: SubspaceZO) -> tuple[np.ndarray, np.ndarray]:
    """The points and the ξ that every loss of a step sees, as one number each; first all of one side, then all of the other."""
    rows: list[Any] = []

    def loss(params: Any, key: Any, directions: Any = None) -> Any:
        points, spatial = (jax.random.uniform(k) for k in (key, key if directions is None else directions))
        jax.debug.callback(lambda *row: rows.append([float(v) for v in row]), params[0], points, spatial)
        return params[0]

    params, state = trainer.start(jnp.zeros(1), 10)
    trainer.step(Objective(loss), params, state, STEP)
    jax.effects_barrier()
    at, points, spatial = np.array(rows).T
    assert len(set(at)) == 2 * trainer.queries
    order = np.argsort(-at)  # with one parameter the sides of a query are mirror images about 0
    return points[order], spatial[order]


@pytest.mark.parametrize(
    ("trainer", "points", "directions"),
    [
        (SubspaceZO(queries=2), 1, 1),
        (OtherDirections(queries=2), 1, 4),
        (SubspaceZO(queries=2, common=False), 4, 4),
        (OtherDirections(queries=2, common=True), 1, 1),
    ],
    ids=["all", "points", "nothing", "all, by its own switch"],
)
def test_a_step_uses_so_many_sets(trainer: SubspaceZO, points: int, directions: int) -> None:
    found = seen(trainer)
    assert [len(set(numbers)) for numbers in found] == [points, directions]


def brute_force(solver: NeuralSolver, problem: Any, params: Any, where: Any, how: Any) -> Any:
    """The mean over points of the product of two residuals, each from second derivatives along its own axes."""
    points = problem.sample(where, 4)
    value = lambda x: solver.predict(problem, params, pdezoo.Points(x[None]))[0]
    second = jax.vmap(lambda x: jnp.diagonal(jax.hessian(value)(x)))(points.x)
    u = jax.vmap(value)(points.x)

    def residual(key: Any) -> Any:
        axes = Axes.draw(key, solver.estimator.samples, problem.domain.dim)
        laplacian = axes.weight * second[:, axes.indices].sum(axis=1)
        return (laplacian + u - u**3 - problem.source(points)[0]) / problem.domain.scale  # Allen-Cahn

    one, other = jax.random.split(how)
    return jnp.mean(residual(one) * residual(other))


@pytest.mark.parametrize(
    "name",
    [
        "sdze-other-directions",
        *(pytest.param(row, marks=pytest.mark.slow) for row in ("sdze", "sdze-no-crns")),
    ],
)
def test_the_slopes_are_those_of_losses_by_brute_force(name: str) -> None:
    """ρ of every query from Hessians, on the points and along the axes that the row says are common."""
    problem = solvers.on_device(pdezoo.make("allen-cahn/two-body", dim=5))
    solver = solvers.make(name, epsilon=0.1, **SMALL)
    start, trainer = solver.init(problem, 0, 10), solver.trainer
    leaves, structure = jax.tree.flatten(start.params)
    leaves, state = trainer.refreshed(leaves, start.trainer, jax.random.key(1))
    moved = lambda z: jax.tree.unflatten(structure, subspace.moved(leaves, state.bases, z))
    z = trainer.directions(state.first, jax.random.key(2))
    loss = lambda c, key, *how: solver.evaluate(problem, moved(c), key, 4, 0.0, *how)
    found = jax.jit(lambda d: trainer.slopes(loss, d, STEP)[1])(z)

    own = jax.random.split(jax.random.fold_in(STEP, 3), 4)
    where, how, _ = jax.random.split(STEP, 3)
    keys = {
        "sdze": [(where, how)] * 4,
        "sdze-other-directions": [(where, key) for key in own],
        "sdze-no-crns": [tuple(jax.random.split(key, 3)[:2]) for key in own],
    }[name]
    params = [moved([sign * d[k % 2] for d in z]) for k, sign in enumerate((0.1, 0.1, -0.1, -0.1))]
    sides = jax.tree.map(lambda *a: jnp.stack(a), *((p, *k) for p, k in zip(params, keys, strict=True)))
    by_hand = jax.jit(lambda every: jax.lax.map(lambda s: brute_force(solver, problem, *s), every))
    losses = by_hand(sides)
    np.testing.assert_allclose(found, (losses[:2] - losses[2:]) / 0.2, rtol=2e-3, atol=1e-4)
