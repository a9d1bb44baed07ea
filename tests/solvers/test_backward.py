"""Backward SDEs: drivers against nested autodiff, paths and defects against closed forms, refusals, and what training finds."""

from __future__ import annotations

from types import SimpleNamespace
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
    Ansatz,
    Biharmonic,
    Coefficients,
    Diffusion,
    Drift,
    Dt,
    EulerDerivative,
    Exact,
    Gaussian,
    Laplacian,
    Points,
    TestSet,
    X,
    nested_autodiff,
    r2,
    t,
    terminal,
    u,
    window_sum,
)
from solvers.derivatives.field import Field
from solvers.montecarlo.backward import FBSNN, DeepBSDE, Process, StepDefect, value_and_gradient

DEEP, DEFECTS = DeepBSDE(), FBSNN()
KNOWN = (
    "reaction-diffusion",
    "burgers-type",
    "fokker-planck/log-density",
    "quadratic-gradient",
    "black-scholes-barenblatt",
    "fokker-planck/anisotropic",
    "hjb-lqg/soft-min",
    "semilinear-allen-cahn/manufactured",
)


def supported() -> list[str]:
    """All problems of the registry that can be made in five dimensions and have a driver."""
    found = []
    for entry in pdezoo.catalogue().values():
        for name in entry.full_names():
            try:
                pde = pdezoo.make(name, dim=5)
            except pdezoo.BadDimension:
                continue
            if DEEP.unsupported(pde, solvers.MLP()) is None:
                found.append(name)
    return found


def wide(tree: Any) -> Any:
    """In JAX's default precision, which is float64 under `enable_x64`."""
    return jax.tree.map(lambda a: jnp.asarray(a, float), tree)


def smooth(points: Points) -> Any:
    """A function that solves none of the problems."""
    x, time = points.x, points.t
    return (
        jnp.sin(x @ jnp.arange(1.0, x.shape[1] + 1) / 4 + time) + jnp.exp(-time) * jnp.sum(x**2, axis=1) / 5
    )


def exactly(pde: PDE) -> Any:
    """What a residual needs of a field, with the exact solution in place of a network; in the precision of its points."""
    from pdezoo.lowering.lowered import lower

    lowered = lower((pde.exact,), pde.dim)
    return SimpleNamespace(problem=wide(pde.lower()), value=lambda points: lowered(points)[0])


@pytest.mark.parametrize("name", few(sorted(supported(), key=lambda name: name not in KNOWN), keep=5))
def test_generator_and_driver_are_the_operator(name: str) -> None:
    """N[v] − g = (±v_t + ½ Σ σ_i² v_ii + b·∇v + f(x, t, v, ∇v))/scale for any v, all derivatives by nested autodiff."""
    pde = pdezoo.make(name, dim=5)
    with jax.enable_x64(True):
        problem = wide(pde.lower())
        points = wide(problem.sample(jax.random.key(1), 6))
        process = Process.of(problem)
        found, want = jax.jit(by_process_and_by_operator)(process, points)
        np.testing.assert_allclose(found, want, rtol=1e-9, atol=1e-9)


def by_process_and_by_operator(process: Process, points: Points) -> tuple[Any, Any]:
    """±v_t + L v + f at v = `smooth`, and the same by the problem's operator."""
    value, gradient = value_and_gradient(smooth, points)
    flat = lambda x, time: smooth(Points(x[None], time[None]))[0]
    hessian = jax.vmap(lambda x, time: jnp.diag(jax.hessian(flat)(x, time)))(points.x, points.t)
    problem, sign = process.problem, 1 if process.equation.backward else -1
    values = nested_autodiff(smooth, points, (*problem.atoms, Dt(u)))
    generator = jnp.sum(process.variance(points) * hessian / 2 + process.drift(points) * gradient, axis=1)
    found = sign * values[Dt(u)] + generator + process.driver(points, value, gradient)
    left = problem.operator(*(values[a] for a in problem.atoms), points=points)[0] - problem.source(points)[0]
    return found, process.equation.scale * left


@pytest.mark.parametrize("estimator", [DEEP, DEFECTS], ids=["deep-bsde", "fbsnn"])
def test_defects_of_a_linear_solution_are_rounding(estimator: Any) -> None:
    """Of u = Σ c_i x_i the process Z = σ c is constant, so that Euler's scheme is exact; another function leaves defects."""
    slope = window_sum(X[0], coefficients=Coefficients(3))
    pde = PDE(Dt(u) + 2 * Laplacian(u), Gaussian(6, horizon=1.0), terminal(slope, 1), Exact(slope), source=0)
    field = exactly(pde)
    points = field.problem.sample(jax.random.key(0), 50)
    rows = estimator.residual(field, points, jax.random.key(1))
    assert rows.shape == ((1, 50) if estimator is DEEP else (20, 50))
    assert float(jnp.abs(rows).max()) < 2e-5
    moved = SimpleNamespace(problem=field.problem, value=lambda p: field.value(p) + jnp.sin(p.x[:, 0]))
    assert float(jnp.sqrt(jnp.mean(estimator.residual(moved, points, jax.random.key(1)) ** 2))) > 0.05


@pytest.mark.parametrize("name", few(KNOWN))
@pytest.mark.parametrize("kind", [DeepBSDE, FBSNN])
def test_defects_of_the_solution_fall_with_the_root_of_the_step(kind: Any, name: str) -> None:
    """Euler's and Maruyama's scheme is of strong order ½: four times the steps, half the root mean square."""
    pde = pdezoo.make(name, dim=5)
    with jax.enable_x64(True):
        field = exactly(pde)
        points = wide(field.problem.sample(jax.random.key(0), 4_000))

        def size(intervals: int) -> float:
            rows = jax.jit(lambda p, k: kind(intervals).residual(field, p, k))(
                points, jax.random.key(intervals)
            )
            return float(jnp.sqrt(jnp.sum(jnp.mean(rows**2, axis=1))))

        coarse, fine = size(16), size(64)
    assert fine == pytest.approx(coarse / 2, rel=0.25)


def test_paths_have_the_mean_and_variance_of_their_process() -> None:
    """dX_i = −X_i dt + √2 c_i dW_i backwards from t = 0.8 to 0: by Euler's scheme the mean is x (1 − Δ)^N."""
    pde, many, time, count = pdezoo.make("fokker-planck", dim=4), 100_000, 0.8, 10
    process = Process.of(pde.lower())
    x = np.array([1.0, -2.0, 0.5, 3.0])
    start = Points(jnp.tile(jnp.asarray(x, jnp.float32), (many, 1)), jnp.full(many, time))
    path = process.walk(start, count, jax.random.key(0))
    assert path.points.x.shape == path.noise.shape == (count, many, 4)
    assert np.allclose(path.points.t[:, 0], time * (1 - np.arange(count) / count), atol=1e-6)
    assert np.allclose(path.end.t, 0, atol=1e-6)
    step = time / count
    assert np.allclose(path.end.x.mean(0), x * (1 - step) ** count, atol=4 * 2 / np.sqrt(many))
    squares = Coefficients(0, stream=0).values(4) ** 2
    spread = sum((1 - step) ** (2 * k) for k in range(count)) * 2 * squares * step
    assert np.allclose(path.end.x.var(0), spread, rtol=0.03)


def test_the_gradient_is_that_of_the_trial_function() -> None:
    pde = pdezoo.make("hjb-lqg/log", dim=5)
    problem, network = solvers.on_device(pde), solvers.MLP(width=8, depth=3)
    field = Field(problem, network.init(jax.random.key(0), 5, True), network)
    points = problem.sample(jax.random.key(1), 7)
    value, gradient = jax.jit(lambda f, p: value_and_gradient(f.value, p))(field, points)
    one = lambda x, time: jax.jacfwd(lambda y: field.value(Points(y[None], time[None]))[0])(x)
    forward = jax.jit(jax.vmap(one))(points.x, points.t)
    np.testing.assert_allclose(value, field.value(points), rtol=1e-6)
    np.testing.assert_allclose(gradient, forward, rtol=1e-4, atol=1e-5)


def test_paths_start_at_the_query_and_where_the_domain_says() -> None:
    problem = pdezoo.make("default-risk", dim=100).lower()
    points = problem.sample(jax.random.key(0), 8)
    starts = DeepBSDE(aimed=0.25)._starts(problem, points)
    assert np.all(starts.x[:2] == -1)
    assert np.all(starts.t[:2] == 0)
    assert np.array_equal(starts.x[2:], points.x[2:])
    unasked = pdezoo.make("heat", dim=4).lower()
    points = unasked.sample(jax.random.key(0), 8)
    assert DEEP._starts(unasked, points) is points


def quasilinear(operator: Any) -> PDE:
    return PDE(operator, Gaussian(3, horizon=1.0), terminal(r2, 1), Exact(r2))


@pytest.mark.parametrize(
    ("pde", "words"),
    [
        (lambda: pdezoo.make("poisson/two-body", dim=4), "time"),
        (lambda: pdezoo.make("hjb/corrected", dim=4), "domain is a Box"),
        (lambda: pdezoo.make("wave", dim=4), "first derivative in time"),
        (lambda: quasilinear(Dt(u) + Laplacian(u) ** 2), "not linear in Δu"),
        (lambda: quasilinear(Dt(u) + u * Laplacian(u)), "not linear in Δu"),
        (lambda: quasilinear(Dt(u) + t * Laplacian(u)), "varies"),
        (lambda: quasilinear(Dt(u) + Laplacian(u) + Biharmonic(u)), "Δ²u"),
        (lambda: quasilinear(Dt(u) + Diffusion(u, window_sum(X[0]))), "changes its sign"),
        (lambda: quasilinear(Dt(u) + Laplacian(u) - Diffusion(u, r2)), "all of one sign"),
        (
            lambda: PDE(Dt(u) + Laplacian(u), Gaussian(3, horizon=1.0), Ansatz(), Exact(r2)),
            "u at t = 1",
        ),
    ],
)
@pytest.mark.parametrize("row", ["deep-bsde", "fbsnn", "fbsnn-unbiased", "deep-splitting", "dbdp"])
def test_what_has_no_driver_is_refused_in_words(row: str, pde: Any, words: str) -> None:
    reason = solvers.make(row).unsupported(pde())
    assert reason is not None
    assert words in reason


def test_drifts_that_vary_in_space_are_followed() -> None:
    """b_i = 1 − x_i: what the pointwise rows, whose paths are exact, refuse."""
    pde = quasilinear(Dt(u) + Laplacian(u) + Drift(u, window_sum(1 - X[0])) + u * EulerDerivative(u))
    process = Process.of(pde.lower())
    points = pde.lower().sample(jax.random.key(0), 5)
    np.testing.assert_allclose(process.drift(points), 1 - points.x, rtol=1e-6)


@pytest.mark.parametrize("kind", [DeepBSDE, FBSNN])
def test_numbers_that_cannot_be_meant_are_refused(kind: Any) -> None:
    with pytest.raises(ValueError, match="intervals is at least 1"):
        kind(intervals=0)
    with pytest.raises(ValueError, match="aimed from 0 to 1"):
        kind(aimed=1.5)


def paraboloid() -> PDE:
    """u_t + Δu = 0 in six dimensions, u = |x|² + 2d (1 − t)."""
    return PDE(
        Dt(u) + Laplacian(u), Gaussian(6, horizon=1.0), terminal(r2, 1), Exact(r2 + 12 * (1 - t)), source=0
    )


def test_the_loss_of_fbsnn_at_the_solution_is_its_curvature() -> None:
    """u = |x|² + 2d (1 − t), σ = √2, A = 4 I: the mean of (defect/Δ)² is ½ |A|² = 8 d, for steps of any length."""
    with jax.enable_x64(True):
        field = exactly(paraboloid())
        points = wide(field.problem.sample(jax.random.key(0), 2_000))
        for intervals in (5, 50):
            rows = jax.jit(lambda at, n=intervals: FBSNN(n).residual(field, at, jax.random.key(n)))(points)
            seconds = (1 - points.t) / intervals
            assert float(jnp.mean((rows / seconds) ** 2)) == pytest.approx(8 * 6, rel=0.06)


def test_two_defects_of_independent_steps_have_no_curvature_in_their_product() -> None:
    """On the same problem the mean product of two draws is 0 at the solution, where the mean square is 8 d."""
    with jax.enable_x64(True):
        field = exactly(paraboloid())
        points = wide(field.problem.sample(jax.random.key(0), 4_000))
        points = points._replace(t=0.9 * points.t)  # all steps are whole ones
        draw = jax.jit(lambda key: StepDefect(20).residual(field, points, key)[0])
        one, other = draw(jax.random.key(1)), draw(jax.random.key(2))
        assert float(jnp.mean(one**2)) == pytest.approx(8 * 6, rel=0.06)
        assert abs(float(jnp.mean(one * other))) < 4 * 8 * 6 / np.sqrt(4_000)


@pytest.mark.parametrize("name", few(["burgers-type", "hjb-lqg/soft-min"]))
def test_the_mean_defect_of_a_short_step_is_the_residual(name: str) -> None:
    """Of a function that is no solution, against nested autodiff: within four standard errors and O(Δ)."""
    pde = pdezoo.make(name, dim=3)
    with jax.enable_x64(True):
        problem = wide(pde.lower())
        field = SimpleNamespace(problem=problem, value=smooth)
        points = wide(problem.sample(jax.random.key(0), 3))
        points = points._replace(t=0.9 * points.t)
        draw = lambda key: StepDefect(1_000).residual(field, points, key)[0]
        keys = jax.random.split(jax.random.key(1), 20_000)
        drawn = np.asarray(jax.jit(lambda k: jax.lax.map(draw, k, batch_size=2_000))(keys))
        want = np.asarray(problem.residual_of(smooth, points)[0])
    error = drawn.std(0) / np.sqrt(len(keys))
    assert (np.abs(drawn.mean(0) - want) < 4 * error + 0.005 * np.abs(want)).all()
    assert (error < 0.2 * np.abs(want)).all()


@pytest.mark.parametrize(
    ("row", "name", "bound"),
    [pytest.param("deep-bsde", "hjb-lqg/log", 0.015, marks=pytest.mark.slow), ("fbsnn", "hjb-lin", 0.01)],
)
def test_training_finds_the_solution(row: str, name: str, bound: float) -> None:
    """That of the logarithmic cost at the origin, by one-dimensional quadrature; and an affine one, which FBSNN has no bias on."""
    pde = pdezoo.make(name, dim=5)
    solver = solvers.make(row, intervals=10, width=32, depth=3, learning_rate=0.01)
    errors = solver.fit(pde, steps=1_000, batch=64, test=TestSet(pde, 500), progress=None).errors
    assert errors is not None
    assert errors.get("relative_point", errors["relative_l2"]) < bound
