"""b·∇u, exact in every estimator: against nested autodiff in float64, through any network, at any kind of points."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sympy as sp
from fields import Plain, estimates, reference
from test_memory import BATCH, DIM, WIDTH, largest_array
from toys import WEIGHTS, few, mixed, points

import pdezoo
import solvers
from pdezoo import Coefficients, Drift, EulerDerivative, Laplacian, Points, X, d, materialize, u, window_sum
from solvers import MLP, Field, NeuralSolver, SeededMLP, near_square
from solvers.estimators.stencils import ByStencil, RandomDifference
from solvers.networks.matrices import LowRank

DRIFTS = tuple(Drift(u, total) for total in WEIGHTS.values())
NETWORK = MLP(width=6, depth=3)


@lru_cache(maxsize=8)
def field_with_drifts(dim: int) -> tuple[Field, Points]:
    """A field with random float64 parameters and biases under an ansatz whose two parts both vary, at three points with time."""
    pde = mixed(dim, time=True)
    problem = replace(pde, operator=pde.operator + sum(DRIFTS)).lower()
    shapes = jax.eval_shape(lambda: NETWORK.init(jax.random.key(0), dim, True))
    rng = np.random.default_rng(dim)
    params = jax.tree.map(lambda a: rng.standard_normal(a.shape) / np.sqrt(a.shape[0]), shapes)
    at = jax.tree.map(lambda a: np.asarray(a, np.float64), points(dim, count=3, time=True))
    return Field(problem, params, NETWORK), at


def estimators() -> dict[Any, str]:
    """A registered row for every estimator that takes drifts."""
    made = {name: solvers.make(name) for name in reversed(solvers.names())}
    return {
        s.estimator: name
        for name, s in made.items()
        if isinstance(s, NeuralSolver) and issubclass(Drift, s.estimator.atoms)
    }


def test_every_estimator_takes_drifts() -> None:
    rows = [s for s in map(solvers.make, solvers.names()) if isinstance(s, NeuralSolver)]
    assert {s.estimator for s in rows} == set(estimators())


@pytest.mark.parametrize(
    "estimator", few([e for e in estimators() if not isinstance(e, ByStencil)], keep=3), ids=str
)
def test_a_drift_is_exact_whatever_is_random_about_the_rest(estimator: Any) -> None:
    field, at = field_with_drifts(5)
    found = estimates(estimator, field, at, DRIFTS, [3])
    for atom, want in reference(field, at, DRIFTS).items():
        np.testing.assert_allclose(found[atom][0], want, rtol=1e-10, err_msg=str(atom))


@pytest.mark.parametrize(
    "estimator", few([e for e in estimators() if isinstance(e, ByStencil)], keep=2), ids=str
)
def test_a_stencil_s_drift_is_made_of_its_gradient(estimator: Any) -> None:
    """Along x it is its x·∇u; every drift is b·(its gradient), which drifts along single axes give."""
    field, at = field_with_drifts(5)
    if isinstance(estimator, RandomDifference):
        estimator = replace(estimator, samples=1024)  # as many as SteinMC, whose gradient has the same noise
    found = estimates(estimator, field, at, (*DRIFTS, EulerDerivative(u)), [3])
    np.testing.assert_allclose(found[DRIFTS[0]], found[EulerDerivative(u)], rtol=1e-12)
    want = reference(field, at, DRIFTS)
    bounds = {"FiniteDifference": 1e-3, "SteinSparseGrid": 0.1, "SteinMC": 1.0, "RandomDifference": 1.0}
    close = bounds[type(estimator).__name__]
    for atom in DRIFTS:
        assert np.abs(found[atom][0] - want[atom]).max() < close * np.abs(want[atom]).max()


@pytest.mark.parametrize("name", ["exact", "stde", "hte"])
def test_a_network_without_structure_gives_the_same_drift(name: str) -> None:
    field, at = field_with_drifts(4)
    plain = Field(field.problem, field.params, Plain(NETWORK))
    found = estimates(solvers.make(name).estimator, plain, at, DRIFTS, [0])
    for atom, want in reference(field, at, DRIFTS).items():
        np.testing.assert_allclose(found[atom][0], want, rtol=1e-10)


def moving(dim: int, shape: Any = None) -> pdezoo.PDE:
    """Δu + Σ b_i ∂u/∂x_i = g on the ball of radius √d, b_i = c_i sin x_i − x_i + 2; u* = (1 − |x|²/d) times a shape."""
    ball = pdezoo.Ball(dim, radius=sp.sqrt(d))
    total = window_sum(sp.sin(X[0]), coefficients=Coefficients(2)) - window_sum(X[0]) + 2 * d
    waves = window_sum(X[0] * X[1], coefficients=Coefficients(0)) if shape is None else shape
    target = pdezoo.Exact(ball.vanishing().factor * waves)
    return pdezoo.PDE(Laplacian(u) + Drift(u, total), ball, ball.vanishing(), target, name="moving")


def weights_of_kind(kind: str, dim: int) -> tuple[Any, Any]:
    """A network and parameters whose first weight is an array, a low-rank change of one, or made again from its seed."""
    network: Any = SeededMLP(width=12, depth=3) if kind == "seeded" else MLP(width=12, depth=3)
    params = network.init(jax.random.key(0), dim, False)
    if kind == "low rank":
        fold = near_square(dim, 12)
        left, right = (
            jax.random.normal(jax.random.key(k), (n, 2)) / 9 for k, n in ((1, fold.left), (2, fold.right))
        )
        params |= {"first": LowRank(params["first"], left, jnp.eye(2), right, fold)}
    return network, params


@pytest.mark.parametrize("kind", few(["seeded", "low rank", "dense"]))
@pytest.mark.parametrize("form", few(["streamed", "factored"]))
def test_a_drift_at_coordinates_that_are_no_array(form: str, kind: str) -> None:
    """Blocks of 16 of 100 coordinates; every kind of first weight."""
    pde = moving(100)
    problem, ball, (atom, _) = pde.lower(), pde.domain, pde.atoms
    key = jax.random.key(5)
    lazy = ball.factored(key, 6) if form == "factored" else ball.stream(key, 6, 16)
    network, params = weights_of_kind(kind, 100)
    estimate = jax.jit(lambda p: Field(problem, params, network).drift(p, atom))
    assert isinstance(atom, Drift)
    want = estimate(lazy._replace(x=materialize(lazy.x)))
    np.testing.assert_allclose(estimate(lazy), want, rtol=1e-4, atol=1e-4 * float(jnp.abs(want).max()))


@pytest.mark.slow
def test_a_drift_is_trained_on_streamed_points(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reverse mode goes through the loop over blocks, too: the loss falls, by Adam and in subspaces."""
    monkeypatch.setattr("pdezoo.lowering.coordinates._HELD", 0)
    monkeypatch.setattr("pdezoo.lowering.coordinates._BLOCK", 16)
    pde = moving(40, sp.Integer(2))
    for name, settings in (("stde", {}), ("sdze-adam", {"queries": 4, "rank": 6})):
        solver = solvers.make(name, samples=4, learning_rate=1e-2, width=12, depth=2, **settings)
        losses = [h["loss"] for h in solver.fit(pde, steps=150, batch=16, progress=None).history]
        assert losses[-1] < 0.5 * losses[0], (name, losses)


def test_a_drift_costs_one_projection() -> None:
    """No array is larger than the weights or the points: not d directions, not a gradient for every hidden unit."""
    solver = solvers.make("stde", samples=11, width=WIDTH, depth=3)
    compiled = solver.compile(moving(DIM), steps=10, batch=BATCH)
    assert largest_array(compiled) <= max(BATCH, WIDTH) * DIM
