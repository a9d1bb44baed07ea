"""Deep splitting and DBDP: defects by hand and against closed forms, the order of stages, what is kept, refused and found."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toys import few

import pdezoo
import solvers
from pdezoo import (
    PDE,
    BrownianTube,
    Coefficients,
    Diffusion,
    Drift,
    Dt,
    Exact,
    Gaussian,
    GradNormSq,
    Laplacian,
    Points,
    TestSet,
    X,
    r2,
    t,
    terminal,
    u,
    window_sum,
)
from solvers import DBDP, MLP, DeepSplitting, Field, StagewiseSolver
from solvers.montecarlo.backward import Process
from solvers.montecarlo.equations import semilinear
from solvers.montecarlo.stages import Stages

ROWS = ("deep-splitting", "dbdp")
DIM, STEP = 6, 0.1


def wide(tree: Any) -> Any:
    """In JAX's default precision, which is float64 under `enable_x64`."""
    return jax.tree.map(lambda a: jnp.asarray(a, float), tree)


def parabolic(rest: Any = 0, exact: Any = r2, **options: Any) -> PDE:
    """u_t + Δu + rest, so that dX = √2 dW, with u given at t = 1."""
    given = exact.xreplace({t: 1}) if hasattr(exact, "xreplace") else exact
    return PDE(
        Dt(u) + Laplacian(u) + rest, Gaussian(DIM, horizon=1.0), terminal(given, 1), Exact(exact), **options
    )


def drawn(process: Process, count: int) -> tuple[Points, Any]:
    """Points at t = 0.5 and the length of a step, a number for each."""
    points = wide(process.problem.sample(jax.random.key(0), count))
    return points._replace(t=jnp.full(count, 0.5)), jnp.full(count, STEP)


def wave(points: Points) -> Any:
    """sin(Σ x_i/2) + t."""
    return jnp.sin(jnp.sum(points.x, axis=1) / 2) + points.t


def by_hand(x: Any, time: Any) -> tuple[Any, Any]:
    """`wave`, and u² + |∇u|² of it, in NumPy."""
    phase = x.sum(1) / 2
    value = np.sin(phase) + time
    return value, value**2 + DIM * (np.cos(phase) / 2) ** 2


def test_defects_are_the_formulas() -> None:
    """f = u² + |∇u|² at the end of a step in deep splitting, and at its beginning in DBDP, where Z·ΔW = ∇u·σΔW is added."""
    with jax.enable_x64(True):
        process = Process.of(wide(parabolic(u**2 + GradNormSq(u), source=0).lower()))
        at, seconds = drawn(process, 7)
        key, now = jax.random.key(3), lambda points: 2 * wave(points)
        split = DeepSplitting(pairs=2).defect(process, now, wave, at, seconds, key)
        noises = [process.noise(at, seconds, own) for own in jax.random.split(key, 2)]
        x, found = np.asarray(at.x), 2 * by_hand(at.x, 0.5)[0]
        ends = [by_hand(x + sign * np.asarray(n), 0.5 + STEP) for n in noises for sign in (1, -1)]
        want = found - np.mean([value + driver * STEP for value, driver in ends], axis=0)
        np.testing.assert_allclose(split, want[None], rtol=1e-12)

        dbdp = DBDP().defect(process, wave, now, at, seconds, key)
        noise = np.asarray(process.noise(at, seconds, key))
        value, driver = by_hand(x, 0.5)
        along = np.cos(x.sum(1) / 2) / 2 * noise.sum(1)
        after = 2 * by_hand(x + noise, 0.5 + STEP)[0]
        np.testing.assert_allclose(dbdp, (value - driver * STEP + along - after)[None], rtol=1e-12)


def test_the_target_of_deep_splitting_is_the_conditional_mean() -> None:
    """Of u = |x|² under dX = √2 dW it is |x|² + 2dΔ; an affine function has no noise at all in a pair of steps."""
    process = Process.of(parabolic(source=0).lower())
    at, seconds = drawn(process, 20_000)
    nothing = lambda points: jnp.zeros(points.x.shape[0])
    square = lambda points: jnp.sum(points.x**2, axis=1)
    target = -DeepSplitting().defect(process, nothing, square, at, seconds, jax.random.key(1))[0]
    gap = np.asarray(target - square(at))
    assert abs(gap.mean() - 2 * DIM * STEP) < 4 * gap.std() / np.sqrt(gap.size)
    slope = lambda points: points.x @ jnp.arange(1.0, DIM + 1)
    rows = DeepSplitting().defect(process, slope, slope, at, seconds, jax.random.key(1))
    assert float(jnp.abs(rows).max()) < 2e-5


@pytest.mark.parametrize(
    "name", few(("reaction-diffusion", "black-scholes-barenblatt", "hjb-lqg/soft-min"), keep=1)
)
@pytest.mark.parametrize("estimator", [DeepSplitting(), DBDP()], ids=ROWS)
def test_defects_of_the_solution_fall_with_the_step(estimator: Any, name: str) -> None:
    """What is left of one is ½ (ΔWᵀA ΔW − Δ tr A) and less: a quarter of the step, a quarter of the root mean square."""
    from pdezoo.lowering.lowered import lower

    pde = pdezoo.make(name, dim=5)
    lowered = lower((pde.exact,), pde.dim)
    exact = lambda points: lowered(points)[0]
    with jax.enable_x64(True):
        process = Process.of(wide(pde.lower()))
        points = wide(process.problem.sample(jax.random.key(0), 2_000))

        @jax.jit
        def size(step: Any) -> Any:
            at = points._replace(t=jnp.full(2_000, process.when(0.5 * process.equation.horizon)))
            rows = estimator.defect(process, exact, exact, at, jnp.full(2_000, step), jax.random.key(1))
            return jnp.sqrt(jnp.mean(rows**2))

        coarse, fine = (float(size(step * process.equation.horizon)) for step in (1 / 40, 1 / 160))
    assert fine == pytest.approx(coarse / 4, rel=0.2)


def test_curvature_is_no_bias_of_dbdp() -> None:
    """u = |x|² + 2d(1 − t): at a = 1 the loss of a|x|² + … is level where V_{k−1} stays, and falls where both move, as in FBSNN."""
    process = Process.of(parabolic(exact=r2 + 2 * DIM * (1 - t), source=0).lower())
    at, seconds = drawn(process, 50_000)

    def solution(a: Any) -> Any:
        return lambda points: a * jnp.sum(points.x**2, axis=1) + 2 * DIM * (1 - points.t)

    def slopes(both: bool) -> np.ndarray:
        def squares(a: Any) -> Any:
            later = solution(a if both else 1.0)
            return DBDP().defect(process, solution(a), later, at, seconds, jax.random.key(2))[0] ** 2

        return np.asarray(jax.jvp(squares, (1.0,), (1.0,))[1])

    still, moving = slopes(both=False), slopes(both=True)
    assert abs(still.mean()) < 4 * still.std() / np.sqrt(still.size)
    assert (
        moving.mean() > 0.5 * 16 * DIM * STEP**2
    )  # d/da ½ Δ² |A|², A = 4a I, is 16 d Δ² a; and what it costs the mean


@pytest.mark.parametrize("steps", [1, 7, 40, 500, 4_001])
@pytest.mark.parametrize("intervals", [1, 2, 20])
def test_stages_go_from_the_given_end_on_and_leave_none_out(intervals: int, steps: int) -> None:
    estimator = DeepSplitting(intervals=intervals)
    count = estimator.intervals_within(steps)
    assert 1 <= count <= intervals
    progress = jnp.arange(steps, dtype=jnp.float32) / steps
    stage, within = jax.vmap(lambda p: estimator.clock(p, count))(progress)
    assert np.array_equal(np.unique(stage), np.arange(count))
    assert np.all(np.diff(stage) >= 0)
    assert np.all((within >= -1e-5) & (within <= 1))
    np.testing.assert_allclose(estimator.shares(count).sum(), 1)
    if intervals == 20 and steps > 400:
        parts = np.bincount(stage) / steps
        np.testing.assert_allclose(parts[0] - parts[1], estimator.first, atol=0.005)
        np.testing.assert_allclose(parts[-1] - parts[1], estimator.last, atol=0.005)


def small(row: str, intervals: int = 4, **changes: Any) -> StagewiseSolver:
    return solvers.make(row, intervals=intervals, width=8, depth=2, **changes)  # type: ignore[return-value]


def test_each_stage_starts_from_the_one_before_and_stays_as_it_ended() -> None:
    solver, pde, steps = small("deep-splitting"), parabolic(source=0), 40
    compiled = solver.compile(pde, steps=steps, batch=8)
    state, seen = compiled.init(1), []
    first = np.asarray(state.params.done["bias"])
    assert np.array_equal(first, np.broadcast_to(state.params.now["bias"], first.shape))
    for _ in range(steps):
        state, _ = compiled.advance(state, 1)
        seen.append((int(state.params.stage), np.asarray(state.params.done["bias"])))
    assert sorted({stage for stage, _ in seen}) == [0, 1, 2, 3]
    ends = dict(seen)
    for (before, _), (stage, done) in pairwise(seen):
        assert np.array_equal(done[stage + 1 :], first[stage + 1 :])
        for over in range(stage):
            assert np.array_equal(done[over], ends[over][over])
        if stage != before:
            moved = np.abs(done[stage] - done[before]).max()
            assert 0 < moved < 3 * solver.trainer.learning_rate  # type: ignore[attr-defined]


def test_the_solution_is_linear_in_time_between_networks_of_its_grid() -> None:
    """At t_k it is V_k, at t = 1 what is given, between them the mean; the last stage that was reached serves all before it."""
    solver, pde = small("dbdp"), parabolic(source=0)
    problem, network = solvers.on_device(pde), MLP(8, 2)
    keys = jax.random.split(jax.random.key(0), 4)
    done = jax.vmap(lambda key: network.init(key, DIM, True))(keys)
    params = Stages(jax.tree.map(lambda a: a[2], done), done, jnp.int32(2))
    x = problem.sample(jax.random.key(1), 5).x
    predict = jax.jit(lambda time: solver.predict(problem, params, Points(x, jnp.full(5, time))))
    one = lambda k, time: Field(problem, jax.tree.map(lambda a: a[k - 1], done), network).value(
        Points(x, jnp.full(5, time))
    )
    given = np.asarray(jnp.sum(x**2, axis=1))
    np.testing.assert_allclose(predict(1.0), given, rtol=1e-6)
    np.testing.assert_allclose(predict(0.75), one(1, 0.75), rtol=1e-5)
    np.testing.assert_allclose(predict(0.375), (one(2, 0.5) + one(3, 0.25)) / 2, rtol=1e-5)
    np.testing.assert_allclose(predict(0.875), (given + one(1, 0.75)) / 2, rtol=1e-5)
    np.testing.assert_allclose(predict(0.0), one(3, 0.0), rtol=1e-5)


def test_training_points_lie_where_paths_are() -> None:
    """Aimed at x = 0, t = 0 they have the variance 2t; in a batch, later points stay."""
    pde = PDE(
        Dt(u) + Laplacian(u), BrownianTube(DIM, 1.0), terminal(r2, 1), Exact(r2 + 12 * (1 - t)), source=0
    )
    process, estimator = Process.of(pde.lower()), DeepSplitting(intervals=10)
    count, left, seconds = 20_000, jnp.float32(0.4), 0.1
    zero = Points(jnp.zeros((count, DIM)), jnp.zeros(count))
    at = estimator.asked(process, zero, left, seconds, jax.random.key(0))
    assert np.allclose(at.t, 0.6)
    assert float(jnp.mean(at.x**2)) == pytest.approx(2 * 0.6, rel=0.02)
    late = process.problem.sample(jax.random.key(1), 50)._replace(t=jnp.full(50, 0.8))
    assert np.array_equal(estimator.asked(process, late, left, seconds, jax.random.key(2)).x, late.x)


def test_one_long_step_is_taken_where_coefficients_are_constant() -> None:
    """Else paths have as many steps as the grid: their law is another one than that of one step."""
    known = {"hjb-lqg/log": True, "reaction-diffusion": True, "black-scholes-barenblatt": False}
    for name, constant in known.items():
        assert semilinear(pdezoo.make(name, dim=5)).homogeneous is constant
    steady = parabolic(Drift(u, window_sum(1, coefficients=Coefficients(3))))
    assert semilinear(steady).homogeneous
    assert not semilinear(parabolic(Drift(u, window_sum(1 - X[0])))).homogeneous


def test_points_that_grow_have_the_law_of_the_steps_of_the_grid() -> None:
    """dX_i = √2 X_i dW_i from x_i = 1 in 10 steps: E X_i² = (1 + 2Δ)^10, which is not that of one step."""
    process = Process.of(PDE(Dt(u) + Diffusion(u, r2), Gaussian(4, 1.0), terminal(r2, 1), Exact(r2)).lower())
    start = Points(jnp.ones((50_000, 4)), jnp.zeros(50_000))
    end = jax.jit(lambda key: process.walk(start, 10, key, 0.5).end)(jax.random.key(0))
    assert np.allclose(end.t, 0.5)
    assert float(jnp.mean(end.x**2)) == pytest.approx((1 + 2 * 0.5 / 10) ** 10, rel=0.03)


def test_a_soft_condition_is_met_exactly_and_is_no_term() -> None:
    pde = pdezoo.make("semilinear-heat/soft", dim=10)
    result = small("deep-splitting").fit(pde, steps=16, batch=8, progress=None)
    problem = solvers.on_device(pde)
    process = Process.of(problem)
    points = problem.sample(jax.random.key(0), 5)._replace(t=jnp.full(5, process.when(0.0)))
    np.testing.assert_allclose(result.predict(points), process.given(points), rtol=1e-6)


def test_results_are_those_of_other_trainings(tmp_path: Path) -> None:
    """History and counts; saved and loaded, the same solution."""
    pde, solver = parabolic(source=0), small("dbdp")
    test = TestSet(pde, 50)
    result = solver.fit(pde, steps=40, batch=8, test=test, progress=None)
    assert result.status == solvers.FitStatus.OK
    assert result.history[-1]["step"] == result.steps == result.forward_evaluations == 40
    result.save(tmp_path / "trained")
    again = solvers.load(tmp_path / "trained", pde=pde, solver=solver)
    assert np.array_equal(test.predict(again.predict), test.predict(result.predict))


def test_few_steps_have_few_intervals() -> None:
    solver, problem = small("dbdp"), solvers.on_device(parabolic(source=0))
    count = lambda steps: jax.eval_shape(lambda: solver.init(problem, 0, steps)).params.intervals
    assert [count(steps) for steps in (0, 3, 12, 40)] == [1, 1, 3, 4]


@pytest.mark.slow
def test_budgets_and_divergence_are_those_of_other_trainings() -> None:
    pde, solver = parabolic(source=0), small("dbdp")
    test = TestSet(pde, 50)
    none = solver.fit(pde, steps=40, batch=8, seconds=0, progress=None, test=test)
    assert none.steps == 0
    assert none.errors is not None
    assert np.isfinite(none.errors["relative_l2"])
    some = solver.fit(pde, steps=10**7, batch=8, seconds=0.5, progress=None)
    assert some.status == solvers.FitStatus.OK
    assert 1 <= some.steps < 10**7
    wild = small("dbdp", learning_rate=1e20).fit(pde, steps=40, batch=8, progress=None)
    assert wild.status == solvers.FitStatus.DIVERGED
    assert wild.steps < 40


def test_parts_that_have_no_stages_are_refused_in_words() -> None:
    pde, solver = pdezoo.make("reaction-diffusion", dim=5), solvers.make("dbdp")
    assert isinstance(solver, StagewiseSolver)
    assert solver.unsupported(pde) is None
    for part, words in (
        ({"estimator": solvers.DeepBSDE()}, "no OneStep"),
        ({"trainer": solvers.SubspaceZO()}, "Adam"),
        ({"start": solvers.ReadoutStart()}, "Adam"),
    ):
        reason = replace(solver, **part).unsupported(pde)
        assert reason is not None
        assert words in reason


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"intervals": 0}, "intervals is at least 1"),
        ({"pairs": 0}, "pairs is at least 1"),
        ({"first": -0.1}, "below 1 together"),
        ({"first": 0.5, "last": 0.5}, "below 1 together"),
    ],
)
def test_numbers_that_cannot_be_meant_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        DeepSplitting(**changes)


@pytest.mark.slow
@pytest.mark.parametrize(("row", "bound"), [("deep-splitting", 0.05), ("dbdp", 0.02)])
def test_training_finds_the_value_at_the_origin(row: str, bound: float) -> None:
    """That of the logarithmic cost, by one-dimensional quadrature. Deep splitting fits values alone, and f squares the gradient."""
    pde = pdezoo.make("hjb-lqg/log", dim=5)
    solver = solvers.make(row, intervals=10, width=32, depth=3, learning_rate=0.01)
    errors = solver.fit(pde, steps=4_000, batch=64, test=TestSet(pde, 500), progress=None).errors
    assert errors is not None
    assert errors["relative_point"] < bound
