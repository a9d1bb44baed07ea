"""Losses, the optimiser, and what `fit` promises."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import pdezoo
import solvers
from pdezoo import PDE, Laplacian, TestSet, in_float64, u
from solvers import (
    Adam,
    DoubleSampledLoss,
    Estimator,
    Exact,
    ForwardGradient,
    HybridLoss,
    NeuralSolver,
    Objective,
    SquaredLoss,
    training,
)
from solvers.loss import Residual
from solvers.neural import Compiled

SMALL = {"width": 16, "depth": 3}
DRAWS = 4000


def noisy(theta: jax.Array) -> Any:
    """A residual with mean θ x and variance θ² + 1 at every point."""
    x = jnp.asarray([-1.0, 0.5, 2.0])
    return lambda key: (
        theta * (x + jax.random.normal(key, (1, 3))) + jax.random.normal(jax.random.fold_in(key, 1), (1, 3))
    )


def moments(loss: Any, theta: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard error of (value, gradient) over keys."""
    one = jax.value_and_grad(lambda th, s: loss(noisy(th), jax.random.key(s)))
    drawn = np.stack(jax.jit(jax.vmap(one, in_axes=(None, 0)))(theta, jnp.arange(DRAWS)))
    return drawn.mean(1), drawn.std(1) / np.sqrt(DRAWS)


@pytest.mark.parametrize(
    "loss", [SquaredLoss(), DoubleSampledLoss(), DoubleSampledLoss(both_factors=False)], ids=str
)
def test_losses_are_as_unbiased_as_they_declare(loss: Any) -> None:
    """mean r² = 1.75 θ² for the true residual; squaring the estimate adds its variance θ² + 1, and 2θ to the gradient."""
    theta = 1.5
    true = np.array([1.75 * theta**2, 3.5 * theta])
    variance = np.array([theta**2 + 1, 2 * theta])
    mean, error = moments(loss, theta)
    assert (np.abs(mean - true - (0 if loss.unbiased else variance)) < 4 * error).all()
    assert (8 * error < variance).all()  # the two cases can be told apart


def test_the_hybrid_loss_is_biased_first_and_then_unbiased() -> None:
    """Value and gradient in either stage: mean r² of one draw of ξ, then the double-sampled loss with the same key."""
    loss, key, theta = HybridLoss(biased=0.3), jax.random.key(5), 1.5
    at = lambda done: jax.value_and_grad(lambda th: loss(noisy(th), key, done))(theta)
    one, _ = jax.random.split(key)
    squared = jax.value_and_grad(lambda th: SquaredLoss()(noisy(th), one))(theta)
    double = jax.value_and_grad(lambda th: DoubleSampledLoss()(noisy(th), key))(theta)
    np.testing.assert_allclose(at(0.29), squared, rtol=1e-6)
    np.testing.assert_allclose(at(0.31), double, rtol=1e-6)
    assert abs(squared[0] - double[0]) > 0.1


@pytest.mark.slow
def test_gradient_enhanced_loss_with_every_axis_is_exact() -> None:
    """mean r² + λ mean |∇r|² with ∇r by reverse mode."""
    pde = pdezoo.make("allen-cahn/two-body", dim=4)
    problem, solver = (
        pde.lower(),
        solvers.make("stde-gradient-enhanced-unscaled", axes=4, samples=4, weight=0.3, **SMALL),
    )
    params = jax.tree.map(
        lambda a: np.asarray(a, np.float64), solver.network.init(jax.random.key(0), 4, False)
    )
    points = jax.tree.map(lambda a: np.asarray(a, np.float64), pde.domain.sample(jax.random.key(1), 5))

    def residual(params: Any, x: Any) -> Any:
        field = solvers.Field(problem, params, solver.network)
        at = points._replace(x=x)
        return problem.residual(Exact()(field, problem.atoms, at, None), at)

    def both(params: Any) -> Any:
        here = lambda p, k: residual(params, p.x)
        r, slope = residual(params, points.x), jax.grad(lambda x: residual(params, x).sum())(points.x)
        want = jnp.mean(r**2) + 0.3 * jnp.mean(jnp.sum(slope**2, 1))
        return solver.loss(Residual(here, points), jax.random.key(2)), want

    found, want = in_float64(jax.jit(both), params)
    assert found == pytest.approx(want, rel=1e-10)


@pytest.mark.slow
def test_forward_gradient_is_unbiased_with_its_variance() -> None:
    """E|g − ∇L|² = (P + 1)/q |∇L|²."""
    params, queries = {"a": jnp.arange(3.0), "b": jnp.ones((2, 2))}, 2
    true = ravel(jax.grad(quadratic)(params, None))
    trainer = ForwardGradient(queries=queries)
    one = lambda seed: ravel(trainer.gradient(quadratic, params, jax.random.key(seed))[1])
    drawn = np.stack(jax.jit(jax.vmap(one))(jnp.arange(DRAWS)))
    assert (np.abs(drawn.mean(0) - true) < 4 * drawn.std(0) / np.sqrt(DRAWS)).all()
    squares = ((drawn - true) ** 2).sum(1)
    want = (true.size + 1) / queries * (true**2).sum()
    assert abs(squares.mean() - want) < 4 * squares.std() / np.sqrt(DRAWS) < 0.2 * want


def ravel(tree: Any) -> Any:
    return jax.flatten_util.ravel_pytree(tree)[0]


def quadratic(params: Any, key: Any) -> Any:
    return jnp.sum((params["a"] - 1) ** 2) + jnp.sum(jnp.sin(params["b"]))


def test_adam_is_optax_adam_with_a_linear_schedule() -> None:
    trainer, steps = Adam(learning_rate=0.05, final_rate=0.01), 7
    reference = optax.adam(optax.linear_schedule(0.05, 0.01, steps))
    ours = theirs = {"a": jnp.arange(3.0), "b": jnp.ones((2, 2))}
    state, memory = trainer.init(ours, steps), reference.init(theirs)
    for step in range(steps + 2):
        loss = Objective(quadratic, min(step / steps, 1))
        ours, state, value = trainer.step(loss, ours, state, jax.random.key(0))
        assert value == quadratic(theirs, None)
        updates, memory = reference.update(jax.grad(quadratic)(theirs, None), memory)
        theirs = optax.apply_updates(theirs, updates)
        jax.tree.map(lambda p, q: np.testing.assert_allclose(p, q, rtol=1e-6), ours, theirs)


def test_adam_is_optax_adam_in_double_precision() -> None:
    """At a constant rate that float32 holds exactly, for schedules are computed in it."""
    trainer, reference = Adam(learning_rate=0.0625, final_rate=0.0625), optax.adam(0.0625)

    def both(params: Any) -> tuple[Any, Any]:
        ours = theirs = params
        state, memory = trainer.init(ours, 20), reference.init(theirs)
        for _ in range(20):
            ours, state, _ = trainer.step(Objective(quadratic), ours, state, jax.random.key(0))
            updates, memory = reference.update(jax.grad(quadratic)(theirs, None), memory)
            theirs = optax.apply_updates(theirs, updates)
        return ours, theirs

    ours, theirs = in_float64(both, {"a": np.arange(3.0), "b": np.ones((2, 2))})
    jax.tree.map(lambda p, q: np.testing.assert_allclose(p, q, rtol=1e-12), ours, theirs)


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf])
def test_a_loss_that_is_not_finite_changes_nothing(bad: float) -> None:
    """Momentum included: after some good steps, a bad one leaves parameters and moments as they are."""
    trainer = Adam(learning_rate=0.05)
    params = {"a": jnp.arange(3.0), "b": jnp.ones((2, 2))}
    state = trainer.init(params, 10)
    for _ in range(3):
        params, state, _ = trainer.step(Objective(quadratic), params, state, jax.random.key(0))
    worse = Objective(lambda p, k: quadratic(p, k) * bad)
    after, later, value = trainer.step(worse, params, state, jax.random.key(0))
    assert not jnp.isfinite(value)
    jax.tree.map(np.testing.assert_array_equal, after, params)
    jax.tree.map(np.testing.assert_array_equal, later, state)


@pytest.fixture(scope="module")
def pde() -> PDE:
    return pdezoo.make("poisson/two-body", dim=4)


@pytest.fixture(scope="module")
def test(pde: PDE) -> TestSet:
    return TestSet(pde, 200)


@pytest.fixture(scope="module")
def stde() -> NeuralSolver:
    return solvers.make("stde", samples=2, **SMALL)


@pytest.fixture(scope="module")
def fitted(stde: NeuralSolver, pde: PDE, test: TestSet) -> tuple:
    """A result and everything that its progress callback was told."""
    calls: list[tuple] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "_SHARE", math.inf)  # of the time; here every evaluation is wanted
        result = stde.fit(
            pde, steps=60, seed=1, batch=8, test=test, progress=lambda *c: calls.append(c), evaluations=4
        )
    return result, calls


def test_result_and_history(fitted: tuple, test: TestSet) -> None:
    result, calls = fitted
    assert (result.status, result.reason, result.steps, result.planned_steps) == ("ok", "", 60, 60)
    assert result.processor_seconds > 0
    assert result.forward_evaluations == 60
    assert [h["step"] for h in result.history] == [c[0] for c in calls]
    assert result.history[-1]["step"] == 60
    measured = [h for h in result.history if "relative_l2" in h]
    assert [h["step"] for h in measured] == [15, 30, 45, 60]
    assert result.errors["relative_l2"] == measured[-1]["relative_l2"]
    assert result.best == min(h["relative_l2"] for h in measured)
    assert result.errors == test.errors(result.predict)
    assert all(math.isfinite(h["loss"]) for h in result.history)
    assert [h["seconds"] for h in result.history] == sorted(h["seconds"] for h in result.history)
    assert result.seconds > 0
    assert result.steps_per_second > 0
    assert result.compiled_bytes > 0


def test_progress_is_told_where_training_is(fitted: tuple) -> None:
    _, calls = fitted
    assert all(steps == 60 for _, steps, _, _ in calls)
    assert [step for step, *_ in calls] == sorted({step for step, *_ in calls})
    assert all(math.isfinite(loss) for _, _, loss, _ in calls)


def test_the_trained_function_can_be_called(fitted: tuple) -> None:
    """On one point or many; zero on the sphere, whatever was trained."""
    result, _ = fitted
    x = np.random.default_rng(0).uniform(-0.4, 0.4, (5, 4))
    many = result.u(x)
    assert many.shape == (5,)
    assert float(result.u(x[2])) == pytest.approx(float(many[2]), rel=1e-5)
    sphere = x / np.linalg.norm(x, axis=1, keepdims=True)
    assert np.abs(result.u(sphere)).max() < 1e-5 < np.abs(many).max()


def same(one: Any, other: Any) -> None:
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_the_same_seed_gives_the_same_bits(stde: NeuralSolver, pde: PDE, fitted: tuple) -> None:
    """However the training is watched, and however its steps are cut into dispatches."""
    result, _ = fitted
    again = stde.fit(pde, steps=60, seed=1, batch=8, progress=None)
    same(again.params, result.params)
    assert again.loss == result.loss
    assert again.errors is None
    assert again.best is None
    before = pde.fingerprint
    other = stde.fit(pde, steps=60, seed=2, batch=8, progress=None)
    assert other.loss != result.loss
    assert before == pdezoo.make(pde.name, dim=4).fingerprint  # the instance has a seed of its own


def test_chunks_do_not_change_numbers(stde: NeuralSolver, pde: PDE) -> None:
    compiled = stde.compile(pde, steps=30, batch=8)
    ends = []
    for cuts in ([30], [1] * 30, [7, 7, 7, 7, 2]):
        state = compiled.init(seed=3)
        for count in cuts:
            state, _ = compiled.advance(state, count)
        ends.append(jax.tree.map(np.asarray, (state.params, state.step, state.loss)))
    same(ends[0], ends[1])
    same(ends[0], ends[2])


@dataclass(frozen=True)
class FailsLater(Estimator):
    """Exact, until the network has moved as far as `limit` from where it began: then not a number."""

    unbiased: ClassVar[bool] = True
    limit: float = 0.03

    def __call__(self, field: Any, atoms: tuple, points: Any, key: Any) -> dict:
        """The atoms, or NaN."""
        found = Exact()(field, atoms, points, key)
        moved = jnp.abs(field.params["bias"]).max() > self.limit
        return {a: jnp.where(moved, jnp.nan, v) for a, v in found.items()}


def test_divergence_is_a_status_with_the_last_finite_loss(pde: PDE, test: TestSet) -> None:
    solver = replace(solvers.make("exact", learning_rate=1e-2, **SMALL), estimator=FailsLater())
    result = solver.fit(pde, steps=400, seed=0, batch=8, test=test, progress=None)
    assert result.status == "diverged"
    assert f"step {result.steps}" in result.reason
    assert "learning rate" in result.reason
    assert 3 < result.steps < 400
    assert math.isfinite(result.loss)
    assert math.isfinite(result.errors["relative_l2"])
    assert all(math.isfinite(v) for h in result.history for v in h.values())
    assert all(np.isfinite(p).all() for p in jax.tree.leaves(result.params))


def test_a_loss_that_never_was_finite_is_none(pde: PDE) -> None:
    solver = replace(solvers.make("exact", **SMALL), estimator=FailsLater(limit=-1.0))
    seen = []
    result = solver.fit(pde, steps=400, batch=8, progress=lambda step, steps, loss, rate: seen.append(loss))
    assert (result.status, result.steps, result.loss) == ("diverged", 1, None)
    assert [set(row) for row in result.history] == [{"step", "seconds"}]
    assert len(seen) == 1
    assert math.isnan(seen[0])


def test_a_large_learning_rate_diverges_cleanly(pde: PDE) -> None:
    result = solvers.make("stde", learning_rate=1e30, samples=2, **SMALL).fit(
        pde, steps=50, batch=8, progress=None
    )
    assert result.status == "diverged"
    assert math.isfinite(result.loss)


class SlowLater:
    """A clock that passes only while steps are taken: `cost(progress)` seconds each."""

    def __init__(self, cost: Any, monkeypatch: pytest.MonkeyPatch):
        self.now, self.steps, advance = 0.0, 0, Compiled.advance

        def taking(compiled: Compiled, state: Any, count: int) -> Any:
            begin = int(state.step)
            after = advance(compiled, state, count)
            end = int(after[0].step)
            self.now += sum(cost(k / compiled.steps) for k in range(begin, end))
            self.steps += end - begin
            return after

        monkeypatch.setattr(Compiled, "advance", taking)
        monkeypatch.setattr(training.time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(training.time, "process_time", lambda: self.now)


def test_a_budget_of_seconds_is_a_number_of_steps(
    stde: NeuralSolver, pde: PDE, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step takes 1 ms here: 0.1 s are 100 steps, whatever was asked for above that, and the result is that of 100 steps."""
    clock = SlowLater(lambda progress: 1e-3, monkeypatch)
    result = stde.fit(pde, steps=10**7, batch=8, seconds=0.1, progress=None)
    assert (result.status, result.steps, result.planned_steps) == ("ok", 100, 100)
    assert clock.steps - 100 < 40  # thrown away
    asked = stde.fit(pde, steps=100, batch=8, progress=None)
    same(result.params, asked.params)
    assert stde.fit(pde, steps=50, batch=8, seconds=0.1, progress=None).steps == 50
    assert stde.fit(pde, steps=10, batch=8, seconds=1e-9, progress=None).steps == 1


@pytest.mark.parametrize("seconds", [1e9, math.inf])
def test_calibration_is_no_longer_than_the_training(
    seconds: float, stde: NeuralSolver, pde: PDE, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A budget beyond all need costs a few trainings, and not a share of itself."""
    clock = SlowLater(lambda progress: 1e-3, monkeypatch)
    assert stde.fit(pde, steps=5, batch=8, seconds=seconds, progress=None).steps == 5
    assert clock.steps <= 5 + 3 * (1 + 2 + 4 + 5)


def test_calibration_sees_that_a_later_part_costs_more(
    stde: NeuralSolver, pde: PDE, monkeypatch: pytest.MonkeyPatch
) -> None:
    SlowLater(lambda progress: 1e-3 if progress < 0.5 else 4e-3, monkeypatch)
    result = stde.fit(pde, steps=10**6, batch=8, seconds=1.0, progress=None)
    assert 0.7 < result.seconds < 1.3


def test_schedules_end_with_the_budget(pde: PDE, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss is told that the training is over, and a trainer whose state depends on the number of steps is made for it."""
    SlowLater(lambda progress: 1e-3, monkeypatch)
    hybrid = solvers.make("rs-pinn-hybrid", samples=2, **SMALL)
    seen: list[float] = []
    monkeypatch.setattr(
        HybridLoss,
        "__call__",
        lambda self, residual, key, progress: (
            jax.debug.callback(lambda p: seen.append(float(p)), progress),
            SquaredLoss()(residual, key, progress),
        )[1],
    )
    hybrid.fit(pde, steps=10**6, batch=4, seconds=0.05, progress=None)
    jax.effects_barrier()
    assert max(seen[-10:]) == pytest.approx(0.98)
    sdze = solvers.make("sdze", rank=2, refresh=5, **SMALL)
    budget = sdze.fit(pde, steps=10**6, batch=4, seconds=0.02, progress=None)
    assert 18 <= budget.steps <= 20
    same(budget.params, sdze.fit(pde, steps=budget.steps, batch=4, progress=None).params)


def test_evaluations_on_the_way_take_a_tenth_of_the_time(
    stde: NeuralSolver, pde: PDE, test: TestSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps of 1 ms, evaluations of 4.9 ms: 100 steps pay for two of the ten; the last value is that of the whole set."""
    clock = SlowLater(lambda progress: 1e-3, monkeypatch)
    predictor = Compiled.predictor

    def costly(compiled: Compiled, params: Any) -> Any:
        predict = predictor(compiled, params)

        def evaluate(points: Any) -> Any:
            clock.now += 4.9e-3
            return predict(points)

        return evaluate

    monkeypatch.setattr(Compiled, "predictor", costly)
    result = stde.fit(pde, steps=110, batch=8, test=test, evaluations=11, progress=None)
    measured = [h["step"] for h in result.history if "relative_l2" in h]
    assert measured == [50, 100, 110]
    assert result.history[-1]["relative_l2"] == result.errors["relative_l2"]
    assert (
        stde.fit(pde, steps=20, batch=8, test=test, evaluations=10, progress=None).history[-1]["step"] == 20
    )


def test_progress_is_measured_on_the_first_points(pde: PDE) -> None:
    """A set whose points do not fit into one chunk is evaluated on its first chunks on the way: at least 100 points."""
    whole = TestSet(pde, 1000)
    whole.rows = 60
    glances = training._Glances(whole, steps=10, evaluations=2)
    assert glances._test.size == 120
    np.testing.assert_array_equal(glances._test.exact, whole.exact[:120])


def test_no_seconds_is_no_training_and_none_is_no_limit(stde: NeuralSolver, pde: PDE, test: TestSet) -> None:
    untrained = stde.fit(pde, steps=20, batch=8, seconds=0, test=test, progress=None)
    assert (untrained.status, untrained.steps, untrained.loss, untrained.history) == ("ok", 0, None, [])
    begin = stde.compile(pde, steps=20, batch=8).init(seed=0)
    same(untrained.params, begin.params)
    assert math.isfinite(untrained.errors["relative_l2"])
    assert stde.fit(pde, steps=20, batch=8, seconds=None, progress=None).steps == 20
    for bad in (-1.0, math.nan):
        with pytest.raises(ValueError, match="seconds is a training budget"):
            stde.fit(pde, steps=1, batch=8, seconds=bad, progress=None)


def test_bad_progress_is_refused(stde: NeuralSolver, pde: PDE) -> None:
    with pytest.raises(ValueError, match="progress"):
        stde.fit(pde, steps=1, progress="bar")


def test_an_unsupported_cross_raises_with_its_reason(pde: PDE) -> None:
    hard = replace(pde, operator=Laplacian(u) + pdezoo.Biharmonic(u), source=0)
    solver = solvers.make("stde", **SMALL)
    reason = solver.unsupported(hard)
    assert reason.startswith("the operator has Δ²u; STDE estimates u_t, x·∇u, b·∇u, Δu, |∇u|²")
    with pytest.raises(ValueError, match="stde cannot solve"):
        solver.fit(hard, steps=1)
    assert solver.unsupported(pde) is None


def test_dense_directions_refuse_a_wide_ansatz(pde: PDE) -> None:
    wide = replace(pde.ansatz, offset=pdezoo.window_sum(pdezoo.X[0] * pdezoo.X[1]))
    assert "stde" in solvers.make("hte").unsupported(replace(pde, ansatz=wide))
    assert solvers.make("hte").unsupported(replace(pde, ansatz=replace(pde.ansatz, offset=0))) is None


@pytest.mark.parametrize(
    "change",
    [
        {"sample": 3},
        {"samples": 0},
        {"samples": 2.5},
        {"samples": "many"},
        {"samples": True},
        {"samples": math.inf},
        {"samples": math.nan},
        {"learning_rate": math.nan},
        {"learning_rate": "fast"},
        {"width": 0},
        {"depth": 1},
        {"kind": "MLP"},
    ],
    ids=str,
)
def test_bad_hyperparameters(change: dict[str, Any]) -> None:
    (name,) = change
    with pytest.raises(solvers.BadHyperparameter, match=name if name != "kind" else "no hyperparameter"):
        solvers.make("stde", **change)


def test_overrides_reach_every_part() -> None:
    solver = solvers.make("stde", samples=7.0, width=9, learning_rate=1, final_rate=0.5)
    found = solver.hyperparameters()
    assert found["estimator"]["samples"] == 7
    assert found["network"] == {"kind": "MLP", "width": 9, "depth": 4}
    assert (found["trainer"]["learning_rate"], found["trainer"]["final_rate"]) == (1.0, 0.5)
    assert solvers.make("stde").hyperparameters()["estimator"]["samples"] == 16
    with pytest.raises(solvers.BadHyperparameter, match="no hyperparameters"):
        solvers.make("null-zero", samples=3)


@pytest.mark.parametrize("name", ["zero", "constant", "affine"])
def test_null_rows_are_the_null_predictors(name: str, pde: PDE, test: TestSet) -> None:
    result = solvers.make(f"null-{name}").fit(pde, steps=5, seed=9, test=test)
    want = pdezoo.null_errors(test)[name]
    assert result.errors == pytest.approx(want, rel=1e-6)
    assert result.steps_per_second is None
    assert (result.status, result.steps, result.forward_evaluations) == ("ok", 0, 0)
