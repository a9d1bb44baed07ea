"""What a JAX user brings and takes away: Equinox modules as networks, and results as functions that are saved and loaded."""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toys import small

import pdezoo
import solvers
from pdezoo import Points, in_float64
from solvers import EquinoxNetwork, Field, NeuralSolver, Result

TINY = {"width": 8, "depth": 3}


def perceptron(key: Any, inputs: int) -> eqx.Module:
    """A dense network, with time as one more input."""
    return eqx.nn.MLP(inputs, "scalar", 6, 2, activation=jnp.tanh, key=key)


class Waves(eqx.Module):
    """Σ_k a_k sin(w_k·z + c_k), with a hand-written call and a result of shape (1,); `number` is an integer array."""

    directions: jax.Array
    phases: jax.Array
    number: jax.Array

    def __init__(self, key: Any, inputs: int):
        self.directions = jax.random.normal(key, (5, inputs))
        self.phases = jnp.arange(5.0)
        self.number = jnp.asarray(5)

    def __call__(self, z: Any) -> Any:
        return jnp.sum(jnp.sin(self.directions @ z + self.phases), keepdims=True) / self.number


CROSSES = [
    (name, problem)
    for problem, names in {
        "poisson/two-body": ["stde", "stde-dense", "hte", "exact", "forward-laplacian", "sdgd-backward"],
        "semilinear-heat/hard": ["stde", "hte", "exact", "forward-laplacian", "sdgd-parallel"],
        "kdv/one-soliton": ["stde", "exact"],
    }.items()
    for name in names
]


def crosses() -> list[Any]:
    """Every module with every estimator on every problem; four crosses of the first and two of the second are tried by default."""
    quick = [
        ("stde", "poisson/two-body"),
        ("exact", "poisson/two-body"),
        ("stde", "semilinear-heat/hard"),
        ("hte", "poisson/two-body"),
    ]
    marks = lambda make, cross: [] if cross in quick[: 2 if make is Waves else 4] else [pytest.mark.slow]
    return [
        pytest.param(*cross, make, marks=marks(make, cross))
        for make in (perceptron, Waves)
        for cross in CROSSES
    ]


@pytest.mark.parametrize(("name", "problem", "make"), crosses())
def test_every_estimator_takes_any_module(name: str, problem: str, make: Any) -> None:
    """With all axes they are exact, in double precision, against nested autodiff; HTE in the mean of so many signs that it is."""
    try:
        pde = pdezoo.make(problem, dim=3)
    except pdezoo.BadDimension:
        pde = pdezoo.make(problem)
    network = EquinoxNetwork(make)
    estimator = solvers.make(name).estimator

    def both(_: Any) -> Any:
        lowered = pde.lower()
        params = network.init(jax.random.key(0), pde.dim, lowered.has_time)
        field, at = Field(lowered, params, network), lowered.sample(jax.random.key(1), 4)
        estimate = lambda seed: [estimator(field, lowered.atoms, at, seed)[a] for a in lowered.atoms]
        keys = jax.random.split(
            jax.random.key(2), 400 if estimator.unbiased and name in ("hte", "stde-dense") else 1
        )
        want = pdezoo.nested_autodiff(field.value, at, lowered.atoms)
        return jax.lax.map(estimate, keys), [want[a] for a in lowered.atoms]

    found, want = in_float64(jax.jit(both), 0)
    for drawn, exact in zip(found, want, strict=True):
        error = np.abs(drawn.mean(0) - exact)
        noise = 4 * drawn.std(0) / np.sqrt(len(drawn)) if len(drawn) > 1 else 0
        assert (error <= noise + 1e-9 * (1 + np.abs(exact))).all()


def test_a_module_trains_and_a_solver_says_what_it_is() -> None:
    solver = NeuralSolver("mine", solvers.STDE(samples=3), network=EquinoxNetwork(perceptron))
    shown = solver.hyperparameters()["network"]
    assert shown == {"kind": "EquinoxNetwork", "make": f"{__name__}.perceptron"}
    assert json.loads(json.dumps(solver.hyperparameters())) == solver.hyperparameters()
    pde = pdezoo.make("poisson/two-body", dim=3)
    result = solver.with_hyperparameters(learning_rate=1e-2).fit(pde, steps=200, batch=32, progress=None)
    assert result.loss < 0.3 * result.history[0]["loss"]
    integers = NeuralSolver("waves", solvers.Exact(), network=EquinoxNetwork(Waves))
    after = integers.fit(pde, steps=3, batch=4, progress=None).params
    assert int(after.number) == 5


def test_what_a_module_cannot_do_is_said_in_words() -> None:
    network = EquinoxNetwork(lambda key, inputs: eqx.nn.MLP(inputs, 2, 4, 1, key=key))
    with pytest.raises(ValueError, match=r"maps 3 inputs to one number, got a result of shape \(2,\)"):
        network.init(jax.random.key(0), 3, False)
    solver = NeuralSolver("mine", solvers.RSPINN(), network=EquinoxNetwork(perceptron))
    assert "ridge network; this network has none" in solver.unsupported(small("poisson/two-body"))


@pytest.fixture(scope="module")
def still() -> Result:
    """On a problem without time."""
    pde = pdezoo.make("poisson/two-body", dim=4)
    return solvers.make("stde", samples=3, **TINY).fit(pde, steps=5, batch=8, progress=None)


@pytest.fixture(scope="module")
def moving() -> Result:
    """On a problem in space and time."""
    pde = pdezoo.make("semilinear-heat/hard", dim=3)
    return solvers.make("stde", samples=2, **TINY).fit(pde, steps=5, batch=8, progress=None)


def test_u_is_a_function_of_jax(still: Result) -> None:
    """jit, vmap, grad and hessian of it; derivatives against differences of its own values."""
    x = jax.random.normal(jax.random.key(0), (5, 4)) / 4
    many = still.u(x)
    assert (many.shape, still.u(x[0]).shape) == ((5,), ())
    for found in (jax.jit(still.u)(x), jax.vmap(still.u)(x), [still.u(one) for one in np.asarray(x)]):
        np.testing.assert_allclose(np.asarray(found), many, rtol=1e-5, atol=1e-6)
    gradients, hessian = jax.vmap(jax.grad(still.u))(x), jax.hessian(still.u)(x[0])
    assert (gradients.shape, hessian.shape) == ((5, 4), (4, 4))
    step = 0.05 * jnp.eye(4)
    ahead, behind = still.u(x[0] + step), still.u(x[0] - step)
    np.testing.assert_allclose(gradients[0], (ahead - behind) / 0.1, rtol=0.02, atol=1e-3)
    trace = jnp.sum(ahead + behind - 2 * many[0]) / 0.05**2
    assert float(jnp.trace(hessian)) == pytest.approx(float(trace), rel=0.05)


def test_u_in_time_is_a_function_of_both(moving: Result) -> None:
    x, t = jnp.full((2, 3), 0.1), jnp.asarray([0.05, 0.1])
    many = moving.u(x, t)
    np.testing.assert_allclose(jax.vmap(moving.u)(x, t), many, rtol=1e-5)
    np.testing.assert_allclose(moving.u(x, 0.05), moving.u(x, jnp.full(2, 0.05)))
    slope = jax.jit(jax.grad(moving.u, argnums=1))(x[0], t[0])
    around = (moving.u(x[0], t[0] + 0.01) - moving.u(x[0], t[0] - 0.01)) / 0.02
    assert float(slope) == pytest.approx(float(around), rel=0.02)


def test_u_asked_wrongly_says_how(still: Result, moving: Result) -> None:
    with pytest.raises(ValueError, match="in space and time, and t is missing"):
        moving.u(jnp.zeros(3))
    with pytest.raises(ValueError, match=r"without time: call u\(x\)"):
        still.u(jnp.zeros(4), 0.5)
    with pytest.raises(
        ValueError, match=r"x has shape \(4,\) for one point or \(B, 4\) for many, got \(5,\)"
    ):
        still.u(jnp.zeros(5))
    with pytest.raises(ValueError, match=r"t has shape \(\) or one number a point, \(2,\), got \(3,\)"):
        moving.u(jnp.zeros((2, 3)), jnp.zeros(3))
    null = solvers.make("null-constant").fit(still.pde, test=pdezoo.TestSet(still.pde, 50))
    assert null.u(jnp.zeros((2, 4))).shape == (2,)


ROWS = [
    ("stde", "poisson/two-body", {"samples": 3}),
    pytest.param("sdze-replay", "poisson/two-body", {"rank": 2, "refresh": 2}, marks=pytest.mark.slow),
    pytest.param("sp-fo", "hjb/corrected", {"parameters": 40, "batch": 4}, marks=pytest.mark.slow),
    pytest.param(
        "rs-pinn-hybrid", "poisson/two-body", {"samples": 4, "biased": 0.25}, marks=pytest.mark.slow
    ),
]


@pytest.mark.parametrize(("name", "problem", "settings"), ROWS)
def test_a_saved_result_is_loaded_as_it_was(name: str, problem: str, settings: dict, tmp_path: Path) -> None:
    """The same bits at the same points; all numbers; by pickle too."""
    pde = pdezoo.make(problem, dim=5, seed=2)
    test = pdezoo.TestSet(pde, 50)
    solver = solvers.make(name, **TINY, **settings)
    before = solver.fit(pde, steps=5, batch=8, test=test, progress=None)
    before.save(tmp_path / "result.pdezoo")
    for after in (solvers.load(tmp_path / "result.pdezoo"), pickle.loads(pickle.dumps(before))):
        assert (after.solver, after.pde.fingerprint) == (before.solver, pde.fingerprint)
        assert (after.status, after.history, after.errors) == (before.status, before.history, before.errors)
        np.testing.assert_array_equal(test.predict(after.predict), test.predict(before.predict))


@dataclass(frozen=True)
class Unregistered:
    """A saved result of a solver that no name stands for."""

    solver: NeuralSolver
    path: Path


@pytest.fixture
def mine(tmp_path: Path, still: Result) -> Unregistered:
    solver = NeuralSolver("mine", solvers.STDE(samples=2), network=EquinoxNetwork(perceptron))
    solver.fit(still.pde, steps=2, batch=4, progress=None).save(tmp_path / "mine")
    return Unregistered(solver, tmp_path / "mine")


def test_an_unregistered_solver_is_given(mine: Unregistered) -> None:
    with pytest.raises(solvers.UnknownName, match="mine"):
        solvers.load(mine.path)
    assert solvers.load(mine.path, solver=mine.solver).solver == mine.solver


def test_what_is_another_one_now_is_told(mine: Unregistered) -> None:
    """Another problem, another number, other arrays."""
    other = pdezoo.make("poisson/two-body", dim=4, seed=1)
    with pytest.raises(
        ValueError, match=r"problem of .* another one now: fingerprint was '\w+' and is '\w+'; seed was 0"
    ):
        solvers.load(mine.path, pde=other, solver=mine.solver)
    wider = replace(mine.solver, estimator=solvers.STDE(samples=5))
    with pytest.raises(ValueError, match=r"hyperparameters\.estimator\.samples was 2 and is 5"):
        solvers.load(mine.path, solver=wider)
    with pytest.raises(ValueError, match=r"mine has 6 arrays of parameters, float32\[6, 4\].*; got 1"):
        mine.solver.restore(other, [jnp.zeros(3)])


def test_what_cannot_be_saved_or_read_is_said_in_words(tmp_path: Path, still: Result) -> None:
    null = solvers.make("null-zero").fit(still.pde, test=pdezoo.TestSet(still.pde, 50))
    for attempt in (lambda: null.save(tmp_path / "null"), lambda: pickle.dumps(null)):
        with pytest.raises(ValueError, match="null-zero keeps no parameters"):
            attempt()
    assert not (tmp_path / "null").exists()
    still.save(tmp_path / "whole")
    (tmp_path / "half").write_bytes((tmp_path / "whole").read_bytes()[:500])
    (tmp_path / "text").write_text("not a result")
    for name in ("half", "text"):
        with pytest.raises(ValueError, match="not a saved result, or is damaged"):
            solvers.load(tmp_path / name)


def test_a_result_says_how_it_ended(still: Result) -> None:
    assert still.status is solvers.FitStatus.OK == "ok"
    assert solvers.FitStatus.DIVERGED == "diverged"
    assert "smaller learning rate" in solvers.FitStatus.DIVERGED.message
    assert replace(still, status="diverged").status is solvers.FitStatus.DIVERGED
    with pytest.raises(ValueError, match="fine"):
        replace(still, status="fine")


def test_a_field_of_points_is_what_predict_takes(still: Result) -> None:
    x = jnp.zeros((3, 4))
    np.testing.assert_array_equal(still.predict(Points(x)), still.u(x))
