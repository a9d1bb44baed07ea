"""Monte Carlo rows: Green's function, paths and Picard iterations against closed forms, and errors against their own estimate."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Array
from toys import few

import pdezoo
import solvers
from pdezoo import (
    PDE,
    Ball,
    Coefficients,
    Drift,
    Dt,
    Exact,
    Gaussian,
    Laplacian,
    Points,
    TestSet,
    X,
    r2,
    u,
    window_sum,
)
from solvers.montecarlo.backward import Process, value_and_gradient
from solvers.montecarlo.equations import NoExpectation, evolution, steady
from solvers.montecarlo.green import directions, shot
from solvers.montecarlo.paths import Paths
from solvers.montecarlo.samplers import InTimeWithGradient
from solvers.montecarlo.sampling import Draw, Stratum, Tally, reflected

LINEAR = (
    "poisson/sin-three-body",
    "poisson/two-body-wide",
    "fokker-planck/anisotropic",
    "black-scholes-barenblatt",
)


@pytest.mark.parametrize("dim", few([1, 3, 1000, 2, 10], keep=3))
def test_shots_integrate_green_s_function(dim: int) -> None:
    """Δu = 1, Δu = |x|² and Δu = x_0 on |x| < R have polynomial solutions; the means agree within four standard errors."""
    radius, count = 1.7, 200_000 if dim < 100 else 4_000
    start = np.zeros(dim)
    start[0] = 0.5 * radius
    start[-1] += 0.3 * radius
    with jax.enable_x64(True):
        x = jnp.tile(jnp.asarray(start), (count, 1))
        one, two = jax.random.split(jax.random.key(dim))
        shots = shot(x, directions(x, one), jax.random.uniform(two, (count,)), radius)
        at, weight = (np.asarray(a) for a in shots)
    inside = np.linalg.norm(at, axis=1)
    drawn = np.stack([-weight, -weight * inside**2, -weight * at[:, 0]])
    assert inside.max() <= radius * (1 + 1e-12)
    square, first = np.sum(start**2), start[0]
    exact = [
        (square - radius**2) / (2 * dim),
        (square**2 - radius**4) / (4 * (dim + 2)),
        first * (square - radius**2) / (2 * (dim + 2)),
    ]
    mean, error = drawn.mean(1), drawn.std(1) / np.sqrt(count)
    assert np.all(np.abs(mean - exact) <= 4 * error)
    assert np.all(error[:2] <= 0.02 * np.abs(exact[:2]))


@given(st.integers(1, 9), st.integers(0, 2**32 - 1))
@settings(max_examples=10)
def test_reflections_keep_lengths_and_cancel_what_is_odd(dim: int, seed: int) -> None:
    direction = jax.random.normal(jax.random.key(seed), (2, dim))
    lengths = reflected(direction, lambda v: jnp.sum(v**2, axis=1))
    assert np.allclose(lengths, np.sum(np.asarray(direction) ** 2, axis=1), rtol=1e-6)
    odd = reflected(direction, lambda v: v[:, 0] * jnp.cos(v[:, -1]) if dim > 1 else v[:, 0] ** 3)
    assert np.allclose(np.mean(odd, axis=0), 0, atol=1e-6)


@given(st.lists(st.tuples(st.floats(-3, 3), st.floats(-200, 200)), min_size=2, max_size=8))
@settings(max_examples=20)
def test_a_tally_is_mean_and_standard_error(draws: list[tuple[float, float]]) -> None:
    tally = Tally.empty(1)
    for value, scale in draws:
        tally = tally.add(Draw(jnp.full(1, value, jnp.float32), jnp.full(1, scale, jnp.float32)))
    unit = max(scale for _, scale in draws)
    values = np.array([value * np.exp(scale - unit) for value, scale in draws])
    assert float(tally.log_scale[0]) == np.float32(unit)
    assert float(tally.mean[0]) == pytest.approx(values.mean(), rel=1e-4, abs=1e-5)
    own = values.std(ddof=1) / np.sqrt(len(values))
    assert float(tally.standard_error()[0]) == pytest.approx(own, rel=1e-3, abs=1e-5)


def test_paths_have_the_mean_and_variance_of_their_process() -> None:
    """An Ornstein-Uhlenbeck process: dX = −X dt + √(2D) dW, D as the problem's weights are by its own symbols."""
    pde, many, time = pdezoo.make("fokker-planck", dim=4), 100_000, 0.8
    paths = Paths(pde.lower(), evolution(pde))
    x = np.array([1.0, -2.0, 0.5, 3.0])
    points = Points(jnp.tile(jnp.asarray(x, jnp.float32), (many, 1)), jnp.full(many, time))
    after = paths.after(points, points.t, jax.random.normal(jax.random.key(0), points.x.shape))
    assert np.allclose(after.t, 0)
    assert np.allclose(after.x.mean(0), x * np.exp(-time), atol=4 * 2 / np.sqrt(many))
    squares = Coefficients(0, stream=0).values(4) ** 2
    assert np.allclose(after.x.var(0), squares * (1 - np.exp(-2 * time)), rtol=0.03)


def test_drifts_that_vary_are_refused() -> None:
    operator = Dt(u) + Laplacian(u) + Drift(u, window_sum(1 - X[0]))
    pde = PDE(operator, Gaussian(3, horizon=1.0), pdezoo.terminal(r2, 1), Exact(r2))
    reason = solvers.make("feynman-kac").unsupported(pde)
    assert reason is not None
    assert "varying" in reason


@pytest.mark.parametrize("name", few(LINEAR, keep=2))
def test_the_estimated_error_is_the_error(name: str) -> None:
    """Over 400 points the squares of errors and of standard errors have the same mean, within the scatter of 40 draws."""
    pde = pdezoo.make(name, dim=12)
    row = "green-monte-carlo" if isinstance(pde.domain, Ball) else "feynman-kac"
    errors = solvers.make(row).fit(pde, steps=40, test=TestSet(pde, 400), progress=None).errors
    assert errors is not None
    assert errors["relative_l2"] == pytest.approx(errors["estimated_error"], rel=0.35)


@pytest.mark.slow
def test_errors_fall_with_the_root_of_the_steps() -> None:
    pde = pdezoo.make("poisson/sin-three-body", dim=30)
    result = solvers.make("green-monte-carlo").fit(pde, steps=256, test=TestSet(pde, 200), progress=None)
    errors = {entry["step"]: entry["relative_l2"] for entry in result.history}
    assert sorted(errors) == [1, 2, 4, 8, 16, 32, 64, 128, 256]
    assert errors[256] == pytest.approx(errors[16] / 4, rel=0.3)
    assert errors[256] < 0.05


@pytest.mark.parametrize(
    ("name", "dim"),
    [
        ("sine-gordon/sin-three-body", 20),
        pytest.param("allen-cahn/two-body", 100, marks=pytest.mark.slow),
        pytest.param("semilinear-heat/hard", 20, marks=pytest.mark.slow),
    ],
)
def test_picard_iterations_solve_semilinear_equations(name: str, dim: int) -> None:
    pde = pdezoo.make(name, dim=dim)
    errors = solvers.make("multilevel-picard").fit(pde, steps=8, test=TestSet(pde, 60), progress=None).errors
    assert errors is not None
    assert errors["relative_l2"] < 0.05


@pytest.mark.slow
def test_two_levels_are_nearer_than_one() -> None:
    """Δu + 3 sin u = g at d = 3: the first iterate leaves the sine out."""
    one = pdezoo.make("sine-gordon/two-body", dim=3)
    pde = PDE(Laplacian(u) + 3 * sp.sin(u), one.domain, one.ansatz, one.solution)
    errors = []
    for levels in (1, 2):
        solver = solvers.make("multilevel-picard", levels=levels, basis=4)
        fitted = solver.fit(pde, steps=40, test=TestSet(pde, 40), progress=None).errors
        assert fitted is not None
        errors.append(fitted["relative_l2"])
    assert errors[1] < 0.5 * errors[0]


@pytest.mark.slow
def test_a_control_variate_has_no_bias_however_little_was_learned() -> None:
    """Two steps of training leave a bad network, whose error is corrected as its own account says; a better one leaves less."""
    pde, errors = pdezoo.make("poisson/two-body", dim=4), []
    for training in (2, 100):
        solver = solvers.make("green-control-variate", training=training)
        assert solver.hyperparameters()["training"] == training
        fitted = solver.fit(pde, steps=12, test=TestSet(pde, 60), progress=None).errors
        assert fitted is not None
        assert fitted["relative_l2"] == pytest.approx(fitted["estimated_error"], rel=0.5)
        errors.append(fitted["estimated_error"])
    assert errors[1] < 0.8 * errors[0]


def test_a_control_variate_needs_a_row_that_is_trained_without_bias() -> None:
    pde = pdezoo.make("poisson/two-body", dim=8)
    for base, said in (("rs-pinn", "without bias"), ("null-zero", "network")):
        reason = solvers.make("green-control-variate", base=base).unsupported(pde)
        assert reason is not None
        assert said in reason


def test_hopf_and_cole_s_exponentials_do_not_overflow() -> None:
    """At d = 200 exponents differ by more than float32's range; the error is large there, and finite."""
    pde = pdezoo.make("hjb-lqg/quadratic", dim=200)
    errors = solvers.make("feynman-kac").fit(pde, steps=20, test=TestSet(pde, 20), progress=None).errors
    assert errors is not None
    assert np.isfinite(errors["relative_l2"])


def test_the_same_steps_are_the_same_numbers_and_a_budget_is_a_number_of_steps() -> None:
    pde = pdezoo.make("poisson/sin-three-body", dim=6)
    fit = lambda **budget: solvers.make("green-monte-carlo").fit(
        pde, test=TestSet(pde, 30), progress=None, **budget
    )
    limited = fit(steps=10**9, seconds=0.05)
    assert limited.steps == limited.planned_steps < 10**9
    assert fit(steps=limited.steps).errors == limited.errors
    assert fit(steps=limited.steps, seed=1).errors != limited.errors
    assert fit(steps=5, seconds=0).steps == 0


def test_points_of_one_s_own() -> None:
    """u(x) = |x|² − 1 solves Δu = 2d; predictions are functions of JAX, with derivatives."""
    pde = PDE(Laplacian(u), Ball(4), Ball(4).vanishing(), Exact(r2 - 1))
    result = solvers.make("green-monte-carlo").fit(pde, steps=200, progress=None)
    x = jnp.array([0.3, -0.2, 0.1, 0.4])
    assert float(result.u(x)) == pytest.approx(-0.7, abs=0.01)
    assert np.allclose(jax.grad(result.u)(x), 2 * x, atol=0.05)
    assert result.steps == 0
    assert result.errors is None


def test_memory_at_a_million_dimensions() -> None:
    """A draw plans for a few arrays of the size of a chunk of points, however many reflections there are."""
    from solvers.montecarlo.pointwise import Averages, Prepared
    from solvers.montecarlo.samplers import FixedPointSampler, OnBall

    pde = pdezoo.make("poisson/sin-three-body", dim=1_000_000)
    sampler = FixedPointSampler(OnBall(solvers.on_device(pde), steady(pde)))
    planned = Averages(Prepared(sampler), jax.random.key(0), TestSet(pde, 1)).bytes
    assert planned is not None
    assert planned < 25 * 4 * pde.dim


@pytest.mark.parametrize("name", few(["burgers-type", "hjb-lqg/soft-min", "quadratic-gradient"]))
def test_u_and_its_gradient_are_the_fixed_point_of_weighted_draws(name: str) -> None:
    """With f of the exact u and ∇u, the means of value and gradient are u and ∇u, d = 3, within four standard errors."""
    from pdezoo.lowering.lowered import lower

    pde, count = pdezoo.make(name, dim=3), 4_000
    exact = lower((pde.exact,), pde.dim)

    def draws(keys: Array) -> Any:
        equation = InTimeWithGradient(Process.of(pde.lower()))
        points = equation.process.problem.sample(jax.random.key(0), 3)
        known = lambda at: value_and_gradient(lambda p: exact(p)[0], at)
        reaction = lambda at, _: equation.reaction(at, known(at))
        part = Stratum(jnp.zeros((), jnp.int32), 1)
        drawn = jax.lax.map(lambda key: equation.whole(points, key, part, reaction), keys, batch_size=500)
        return drawn, known(points)

    drawn, known = jax.jit(draws)(jax.random.split(jax.random.key(1), count))
    for found, want in zip(drawn, known, strict=True):
        values = np.asarray(found, np.float64)
        error = values.std(0) / np.sqrt(count)
        assert (np.abs(values.mean(0) - want) <= 4.5 * error + 1e-5).all()
        assert error.max() < 0.1 * np.abs(want).max()


def test_multilevel_picard_iterates_gradients() -> None:
    """On `burgers-type` two levels leave less than half of what one does, and less than a hundredth."""
    pde = pdezoo.make("burgers-type", dim=2)
    test = TestSet(pde, 30)
    found = [
        solvers.make("multilevel-picard", levels=n).fit(pde, steps=20, test=test, progress=None).errors
        for n in (1, 2)
    ]
    one, two = (errors["relative_l2"] for errors in found if errors is not None)
    assert two < 0.5 * one
    assert two < 0.01


@pytest.mark.parametrize(
    ("row", "name", "said"),
    [
        ("green-monte-carlo", "sine-gordon/two-body", "multilevel-picard"),
        ("green-monte-carlo", "biharmonic/two-body", "Δ²u"),
        ("green-monte-carlo", "hjb-lin", "no expectation"),
        ("feynman-kac", "semilinear-heat/hard", "multilevel-picard"),
        ("feynman-kac", "poisson/two-body", "time"),
        ("feynman-kac", "hjb/corrected", "Box"),
        ("feynman-kac", "hjb-lin", "Σᵢ|∂u/∂xᵢ|"),
        ("multilevel-picard", "fokker-planck/log-density", "constant diffusions"),
        ("multilevel-picard", "poisson/two-body", "green-monte-carlo"),
        ("multilevel-picard", "kdv/one-soliton", "Box"),
    ],
)
def test_what_is_no_expectation_is_refused_in_words(row: str, name: str, said: str) -> None:
    pde = pdezoo.make(name) if name.startswith("kdv") else pdezoo.make(name, dim=20)
    reason = solvers.make(row).unsupported(pde)
    assert reason is not None
    assert said in reason


def test_other_boundaries_are_refused() -> None:
    ball = Ball(3)
    with pytest.raises(NoExpectation, match="u = 0 on the sphere"):
        steady(PDE(Laplacian(u), ball, pdezoo.Ansatz(1 - r2, 1), Exact(r2)))
    with pytest.raises(NoExpectation, match="Gaussian"):
        steady(PDE(Laplacian(u), Gaussian(3), pdezoo.Ansatz(), Exact(r2)))
