"""Conditions on the boundary: Dirichlet, Neumann, Robin and periodic ones, as terms of the loss and by periodic features."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.flatten_util import ravel_pytree
from toys import few

import pdezoo
from pdezoo import (
    PDE,
    Ansatz,
    Ball,
    BoundaryCondition,
    BoundaryPoints,
    Box,
    BrownianTube,
    Condition,
    D,
    Dt,
    Exact,
    Formula,
    Gaussian,
    Laplacian,
    Periodic,
    Points,
    Reference,
    TestSet,
    X,
    d,
    describe,
    dirichlet,
    in_float64,
    initial,
    neumann,
    null_errors,
    r2,
    robin,
    t,
    u,
    verify,
    window_sum,
    x,
)
from pdezoo.evidence.boundary import boundary_deviation, misplaced
from solvers import (
    MLP,
    STDE,
    Adam,
    EquinoxNetwork,
    Field,
    NeuralSolver,
    OffsetMLP,
    PeriodicFeatures,
    catalogue,
    make,
    residual_kernel,
)
from solvers.loss import condition_loss, condition_terms, sampled_square
from solvers.trainers.base import Objective

SMALL = MLP(width=24, depth=3)
WAVE = window_sum(sp.cos(X[0]) + X[0])


def ball(*conditions: Any, dim: int = 3, radius: float = 1.5) -> PDE:
    return PDE(Laplacian(u), Ball(dim, radius), Ansatz(), Exact(WAVE), conditions=conditions, name="ball")


def box(*conditions: Any, dim: int = 2) -> PDE:
    domain = Box(dim, tuple(range(dim)), tuple(k + 2 for k in range(dim)))
    return PDE(Laplacian(u), domain, Ansatz(), Exact(WAVE), conditions=conditions, name="box")


def travelling(*conditions: Any) -> PDE:
    """u_t + u_x = 0 on a circle."""
    wave = sp.sin(2 * sp.pi * (x - t)) + sp.cos(4 * sp.pi * (x - t)) / 2
    return PDE(
        D(u, t) + D(u, x),
        Box(1, horizon=1.0),
        initial(wave.subs(t, 0)),
        Exact(wave),
        source=0,
        conditions=conditions,
        name="travelling",
    )


@pytest.mark.parametrize("time", [-0.1, 1.5, 10])
def test_a_condition_is_asked_for_at_a_time_that_the_domain_has(time: float) -> None:
    with pytest.raises(ValueError, match=r"from 0 to the domain's horizon, 1\.0, got"):
        travelling(Condition(time, None, 1.0))
    assert travelling(Condition(1.0, None, 1.0), Condition(0, None, 1.0)).conditions[0].time == 1


def loss_of(pde: PDE, value: Any, batch: int = 16) -> float:
    """The terms of the conditions at u* + `value`, in double precision."""
    problem, exact = pde.lower(), replace(pde, conditions=(dirichlet(),)).lower().targets

    def total(key: Any) -> Any:
        field: Any = SimpleNamespace(problem=problem, value=lambda p: exact(p)[0] + value(p))
        return condition_loss(field, jax.random.wrap_key_data(key.astype(jnp.uint32)), batch)

    return float(in_float64(total, jax.random.key_data(jax.random.key(0))))


def test_points_of_a_sphere() -> None:
    points, normals = Ball(3, 2).boundary(jax.random.key(0), 2000)
    np.testing.assert_allclose(np.linalg.norm(points.x, axis=1), 2, rtol=1e-6)
    np.testing.assert_allclose(points.x, 2 * normals, rtol=1e-6)
    assert np.abs(np.mean(normals, axis=0)).max() < 0.05
    with pytest.raises(ValueError, match="a ball has one face"):
        Ball(3).boundary(jax.random.key(0), 2, (0, 1))


def test_points_of_a_box() -> None:
    """All 2d faces as often as they are large, one face where it is asked for, uniform along it and in time.

    The box is 1 × 2 × 3: two faces of area 6, two of 3 and two of 2, 22 in all.
    """
    domain = Box(3, (0.0, -1.0, 2.0), (1.0, 1.0, 5.0), horizon=4.0)
    on = jax.jit(domain.boundary, static_argnums=(1, 2))
    points, normals = on(jax.random.key(0), 6600)
    faces, counts = np.unique(np.asarray(normals), axis=0, return_counts=True)
    assert len(faces) == 6
    areas = np.abs(faces) @ [6, 3, 2]
    np.testing.assert_allclose(counts, 300 * areas, atol=150)
    assert bool(jnp.all(domain.contains(points)))
    assert not bool(jnp.any(domain.contains(points._replace(x=points.x + 1e-3 * normals))))
    points, normals = on(jax.random.key(1), 4000, (2, -1))
    assert np.unique(points.x[:, 2]).tolist() == [2.0]
    assert np.unique(np.asarray(normals), axis=0).tolist() == [[0, 0, -1]]
    assert np.mean(points.x[:, 1]) == pytest.approx(0, abs=0.05)
    assert np.mean(points.t) == pytest.approx(2, abs=0.1)
    points, across = domain.opposite_faces(jax.random.key(2), 5, 1)
    np.testing.assert_allclose(points.x[:, 1], -1)
    assert np.unique(np.asarray(across), axis=0).tolist() == [[0, 2, 0]]
    assert domain.period == (1, 2, 3)


def test_a_mean_over_the_boundary_of_a_box_is_a_surface_integral() -> None:
    """∮ x² / ∮ 1 over a 10 × 1 rectangle: two sides of length 10 with ∫x² = 1000/3, one of length 1 with x² = 100."""
    points, _ = Box(2, 0.0, (10.0, 1.0)).boundary(jax.random.key(0), 40_000)
    assert np.mean(np.asarray(points.x[:, 0], np.float64) ** 2) == pytest.approx(
        (2000 / 3 + 100) / 22, rel=0.02
    )


number = st.floats(-3, 3, width=16)


@given(alpha=number, beta=number, weight=st.floats(0.125, 8, width=16), size=number)
@settings(max_examples=12)
def test_terms_vanish_at_the_solution_and_weigh_the_rest(
    alpha: float, beta: float, weight: float, size: float
) -> None:
    """u* + c |x|²/2: on the sphere of radius R off by α c R²/2 + β c R, everywhere."""
    if alpha == beta == 0:
        return
    condition, radius = robin(alpha, beta, weight=weight), 1.5
    pde = ball(condition, radius=radius)
    off = lambda p: size * jnp.sum(p.x**2, axis=1) / 2
    want = weight * (size * (alpha * radius**2 / 2 + beta * radius)) ** 2
    assert loss_of(pde, off) == pytest.approx(want, rel=1e-5, abs=1e-12)
    assert loss_of(pde, lambda p: 0 * off(p)) == 0
    given_target = replace(
        condition, target=alpha * WAVE + beta * window_sum(X[0] * (1 - sp.sin(X[0]))) / radius
    )
    assert loss_of(ball(given_target, radius=radius), off) == pytest.approx(want, rel=1e-4, abs=1e-9)


@pytest.mark.parametrize(
    ("condition", "want"),
    few(
        [
            (robin(1, 2, face=(1, -1)), (0 - 2) ** 2),
            (Periodic(1, weight=0.5), 0.5 * 4),
            (dirichlet(weight=2), 2 * (0 + 4 + 4 / 3 + 4 / 3) / 4),
            (dirichlet(face=(1, 1)), 4),
            (neumann(face=(1, -1), weight=3), 3),
        ],
        keep=2,
    ),
    ids=repr,
)
def test_terms_on_faces(condition: Any, want: float) -> None:
    """Off by y − 1, from 0 to 2 across the box (0, 2) × (1, 3): so off by 2 on one face and by a slope of 1."""
    pde = box(condition)
    if isinstance(condition, Periodic):
        pde = replace(pde, solution=Exact(window_sum(sp.cos(sp.pi * X[0]))))
    assert loss_of(pde, lambda p: p.x[:, 1] - 1, batch=2000) == pytest.approx(want, rel=0.05, abs=1e-10)
    assert loss_of(pde, lambda p: 0 * p.x[:, 1]) == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize(
    ("make_it", "words"),
    [
        (lambda: robin(0, 0), "has α or β other than 0"),
        (lambda: dirichlet(weight=0), "the weight of a condition is positive, got 0"),
        (lambda: neumann(weight=float("nan")), "weight of a condition is a finite"),
        (lambda: Periodic(-1), "axis. of a periodic condition is a whole number of at least 0"),
        (lambda: ball(dirichlet(face=(0, 1))), "a ball has one face"),
        (lambda: ball(Periodic(0)), "Ball has no opposite faces; periodic conditions need a Box"),
        (lambda: box(neumann(face=(2, 1))), "axes 0 to 1, got axis 2"),
        (lambda: box(neumann(face=(0, 0))), r"a face is \(axis, −1\) or \(axis, 1\)"),
        (lambda: box(Periodic(5)), "axes 0 to 1, got axis 5"),
        (
            lambda: replace(ball(robin(1, 1)), domain=Gaussian(3)),
            "Gaussian has no boundary .* need a Ball, a Box",
        ),
        (lambda: replace(ball(dirichlet()), domain=BrownianTube(3, 1.0)), "BrownianTube has no boundary"),
        (
            lambda: replace(
                ball(neumann()),
                source=0,
                solution=Reference(Formula("zero", lambda x, t: x[:, 0]), 0.0, "none"),
            ),
            "give every condition its target",
        ),
    ],
)
def test_conditions_that_make_no_sense_are_refused(make_it: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make_it()


def test_conditions_are_part_of_the_problem() -> None:
    """Fingerprint and description tell them apart; 1 and 1.0 are one weight."""
    kinds = [robin(1, 2), robin(2, 1), robin(1, 2, weight=3), robin(1, 2, WAVE), dirichlet(), neumann()]
    prints = [ball(c).fingerprint for c in kinds] + [ball().fingerprint]
    faces = [
        box(c).fingerprint for c in (neumann(face=(0, 1)), neumann(face=(0, -1)), Periodic(0), Periodic(1))
    ]
    assert len(set(prints + faces)) == 11
    assert ball(robin(1, 2)) == ball(BoundaryCondition(1.0, 2.0))
    told = describe(box(neumann(face=(0, 1)), robin(1, 2, r2, weight=5), Periodic(1)))["soft condition"]
    assert told == (
        "∂u/∂n = ∂u*/∂n on the upper face of axis 0 (weight 1); u + 2 ∂u/∂n = |x|² on the boundary (weight 5); "
        "u with 1 derivatives the same on both faces of axis 1 (weight 1)"
    )
    assert r"\partial_n u^*" in describe(ball(neumann()), latex=True)["soft condition"]


RIGHT = dirichlet(-sp.sin(2 * sp.pi * t) + sp.cos(4 * sp.pi * t) / 2, face=(0, 1))
"""The travelling wave at x = 1, written out."""


def test_conditions_are_held_to_the_solution() -> None:
    """Given targets and periodicity; normal derivatives are taken by differences, against the tangents of a derived target."""
    pde = travelling(
        Periodic(0, derivatives=2), RIGHT, robin(1, -2), dirichlet(0, face=(0, -1)), neumann(0, face=(0, 1))
    )
    deviations = []
    for number, condition in enumerate(pde.conditions):
        points = condition.draw(pde.domain, jax.random.key(0), 8)
        assert misplaced(pde.domain, points, unit=number > 0) == ""
        deviations.append(boundary_deviation(pde, number, points))
    assert max(deviations[:3]) < 1e-5
    assert min(deviations[3:]) > 0.1


def test_points_off_the_boundary_are_found() -> None:
    points, normals = Ball(3).boundary(jax.random.key(0), 8)
    wrong = {
        "not in the domain": (2 * points.x, normals),
        "length 1": (points.x, 2 * normals),
        "does not leave": (points.x, -normals),
    }
    for words, (where, vector) in wrong.items():
        assert words in misplaced(Ball(3), BoundaryPoints(where, None, vector), unit=True)
    assert misplaced(Ball(3), BoundaryPoints(points.x, None, normals), unit=True) == ""


@pytest.mark.slow
def test_verify_holds_conditions_to_the_solution() -> None:
    def failing(pde: PDE) -> list[str]:
        report = verify(pde, remake=lambda dim: pde, test_size=20)
        return [c.method for c in report.checks if not c.ok]

    assert failing(travelling(Periodic(0, derivatives=2), RIGHT, robin(1, -2))) == []
    wrong = travelling(dirichlet(0, face=(0, -1)), neumann(0, face=(0, 1)), RIGHT)
    assert failing(wrong) == ["the lower face of axis 0, soft", "the upper face of axis 0, soft"]


def begun() -> tuple[Any, ...]:
    """A solver that wants residuals, a problem with two conditions on the boundary, parameters, and a key."""
    solver = NeuralSolver("small", STDE(samples=2), _Wanting(), MLP(width=4, depth=2))
    pde = box(robin(1, 2, face=(0, 1), weight=3), Periodic(0, weight=0.5))
    problem = jax.tree.map(jnp.asarray, pde.lower())
    return solver, problem, solver.network.init(jax.random.key(0), 2, False), jax.random.key(1)


def test_terms_are_the_loss_as_residuals() -> None:
    """Mean squares of what a trainer of residuals is handed are the loss of the conditions."""
    solver, problem, params, key = begun()

    @jax.jit
    def found() -> tuple[Any, Any]:
        terms = condition_terms(problem, solver.network, key, 3)
        parts = sum(jnp.sum(jnp.mean(rows(params, at) ** 2, axis=1)) for at, rows in terms)
        return parts, condition_loss(Field(problem, params, solver.network), key, 3)

    np.testing.assert_allclose(*found(), rtol=1e-5)


@pytest.mark.slow
def test_the_kernel_of_residuals_is_that_of_their_jacobian() -> None:
    """J Jᵀ point by point, the normals of each included, against reverse mode through all of them at once."""
    solver, problem, params, key = begun()
    flat, unravel = ravel_pytree(params)
    objective: Any = solver.objective(problem, jax.tree.map(lambda leaf: None, params), 3, 0.0)

    @jax.jit
    def found() -> tuple[Any, ...]:
        jacobian = jax.jacrev(lambda p: objective.residuals(unravel(p), key))(flat)
        residuals, kernel = residual_kernel(objective, params, key)
        return residuals, objective(params, key), kernel, jacobian @ jacobian.T

    residuals, loss, kernel, want = found()
    np.testing.assert_allclose(jnp.mean(residuals**2), loss, rtol=1e-5)
    np.testing.assert_allclose(kernel, want, rtol=1e-3, atol=1e-3 * float(jnp.abs(want).max()))


def _perceptron(key: Any, inputs: int) -> Any:
    return eqx.nn.MLP(inputs, "scalar", 8, 2, jnp.tanh, key=key)


def at_the_end(dim: int) -> PDE:
    """A problem in time whose loss weighs the gradient of u − target at t = 1."""
    target = window_sum(sp.sin(X[0] * X[1]))
    return PDE(
        Dt(u) + Laplacian(u),
        BrownianTube(dim, 1.0),
        Ansatz(1 + r2 / d, window_sum(X[0])),
        Exact(target),
        conditions=(Condition(1.0, target, weight=2.0, gradient_weight=0.5),),
    )


@pytest.mark.parametrize(
    "network", few([OffsetMLP(8, 2), MLP(8, 2), EquinoxNetwork(_perceptron)]), ids=lambda n: type(n).__name__
)
def test_the_gradient_of_a_gap_along_all_axes_is_the_whole_one(network: Any) -> None:
    """Forward mode along d axes, against reverse mode."""
    problem = jax.tree.map(jnp.asarray, at_the_end(4).lower())
    field = Field(problem, network.init(jax.random.key(0), 4, True), network)
    losses = jax.jit(lambda: [condition_loss(field, jax.random.key(1), 5, mode) for mode in (True, False)])()
    np.testing.assert_allclose(*losses, rtol=1e-4)


def test_the_gradient_of_a_gap_along_sampled_axes_is_unbiased() -> None:
    """At 40 dimensions, over 400 sets of axes at the same points."""
    problem = jax.tree.map(jnp.asarray, at_the_end(40).lower())
    field = Field(problem, SMALL.init(jax.random.key(0), 40, True), SMALL)
    points = problem.sample(jax.random.key(1), 3)._replace(t=jnp.ones(3))

    def gap(where: Any) -> Any:
        at = points._replace(x=where)
        return jnp.sum(field.value(at) - problem.targets(at)[0])

    want = jax.jit(lambda: jnp.sum(jax.grad(gap)(points.x) ** 2, axis=1))()
    keys = jax.random.split(jax.random.key(2), 400)
    seen = np.asarray(jax.jit(jax.vmap(lambda k: sampled_square(field, 0, points, k)))(keys), np.float64)
    assert np.all(seen.std(axis=0) > 0.01 * want)
    assert np.all(np.abs(seen.mean(axis=0) - want) < 4 * seen.std(axis=0) / 400**0.5)


def trainers() -> dict[str, Any]:
    """One of every trainer of the project's own rows, by the name of its class; but for those that ask for residuals, of which they
    take derivatives in both modes.
    """
    made = (make(entry.name) for entry in catalogue().values() if entry.origin == "pdezoo")
    found = {type(s.trainer).__name__: s.trainer for s in made if isinstance(s, NeuralSolver)}
    return {name: trainer for name, trainer in found.items() if not trainer.wants_residuals}


@pytest.mark.parametrize("name", trainers())
def test_trainers_use_reverse_mode_where_they_declare_it(name: str) -> None:
    """A loop whose length is a number of the computation has a forward derivative, and no reverse one."""
    trainer = trainers()[name]

    def value(params: Any, key: Any) -> Any:
        rounds = 2 + jax.random.randint(key, (), 0, 1)
        return jax.lax.fori_loop(0, rounds, lambda _, total: total + jnp.sum(params["w"] ** 2), 0.0)

    def step() -> Any:
        params, state = trainer.start({"w": jnp.ones((6, 4))}, 10)
        free, fixed = eqx.partition(params, eqx.is_inexact_array)
        loss = Objective(lambda p, k, *directions: value(eqx.combine(p, fixed), k))
        return trainer.step(loss, free, state, jax.random.key(0))

    if trainer.reverse_mode:
        with pytest.raises(ValueError, match="Reverse-mode"):
            jax.eval_shape(step)
    else:
        jax.eval_shape(step)


def test_weights_that_are_replayed_train_on_a_condition_with_a_gradient() -> None:
    """They cannot be differentiated by reverse mode, and the terms of a forward-only row need none."""
    solver, pde = make("sdze-replay", width=8, depth=2), pdezoo.make("semilinear-heat/soft", dim=20)
    assert any(getattr(c, "gradient_weight", 0) for c in pde.conditions)
    assert solver.unsupported(pde) is None
    problem = pde.lower()
    after = jax.eval_shape(lambda: solver.step(problem, solver.init(problem, 0, 10), 4))
    assert after.loss.shape == ()


class _Wanting(Adam):
    """Adam, but that it asks for residuals."""

    wants_residuals = True


PROBLEMS = {
    "Neumann and Robin on two faces": replace(
        box(neumann(face=(0, -1)), robin(1, 1, face=(0, 1)), dirichlet(face=(1, -1)), dirichlet(face=(1, 1))),
        domain=Box(2),
        solution=Exact(window_sum(sp.cos(2 * X[0]))),
    ),
    "Robin on a ball": ball(robin(1, 0.5, weight=2), dim=2, radius=1.0),
}


@pytest.mark.parametrize(
    "name", [name if "Neumann" in name else pytest.param(name, marks=pytest.mark.slow) for name in PROBLEMS]
)
def test_solvers_meet_conditions_on_the_boundary(name: str) -> None:
    """A few hundred steps of sparse STDE end well below the best constant."""
    pde = PROBLEMS[name]
    test = TestSet(pde, 300)
    solver = NeuralSolver("small", STDE(samples=2), Adam(learning_rate=5e-3), SMALL)
    result = solver.fit(pde, steps=500, batch=32, progress=None, test=test, evaluations=1)
    assert result.status == "ok"
    assert result.errors["relative_l2"] < 0.25 * null_errors(test)["constant"]["relative_l2"]


def test_periodic_features_meet_the_condition_for_any_network() -> None:
    """u and its first two derivatives agree on opposite faces, whatever the parameters; without the features they do not."""
    pde = travelling(Periodic(0, derivatives=2))
    problem = jax.tree.map(jnp.asarray, pde.lower())

    def gap(network: Any) -> float:
        params = jax.tree.map(lambda a: a + 0.3, network.init(jax.random.key(0), 1, True))
        field = Field(problem, params, network)
        return float(jax.jit(lambda: condition_loss(field, jax.random.key(1), 8))())

    assert gap(PeriodicFeatures(pde.domain.period, SMALL)) < 1e-4
    assert gap(SMALL) > 1e-2


@pytest.mark.slow
def test_periodic_features_train() -> None:
    """Δu − u = g on a torus, which needs no condition but that."""
    waves = window_sum(sp.sin(2 * sp.pi * X[0]))
    pde = PDE(
        Laplacian(u) - u, Box(2, scale=40.0), Ansatz(), Exact(waves), conditions=(Periodic(0), Periodic(1))
    )
    test = TestSet(pde, 300)
    solver = NeuralSolver("torus", STDE(samples=2), Adam(learning_rate=5e-3), PeriodicFeatures(1.0, SMALL))
    result = solver.fit(pde, steps=1000, batch=64, progress=None, test=test, evaluations=1)
    assert result.errors["relative_l2"] < 0.1 * null_errors(test)["constant"]["relative_l2"]


def test_periodic_features_of_some_coordinates() -> None:
    """The second coordinate has no period and stays as it is."""
    network = PeriodicFeatures((2.0, None), EquinoxNetwork(_linear))
    params = network.init(jax.random.key(0), 2, False)
    at = jnp.asarray([[0.3, 0.1], [2.3, 0.1], [0.3, 2.1]])
    one, around, beside = network.value(params, Points(at)).tolist()
    assert around == pytest.approx(one, rel=1e-5)
    assert abs(beside - one) > 1e-3


def test_periodic_features_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="a period is a positive length"):
        PeriodicFeatures(0.0)
    with pytest.raises(ValueError, match="a period is a positive length"):
        PeriodicFeatures((None, None))
    solver = replace(make("stde"), network=PeriodicFeatures((1.0, 2.0)))
    assert solver.unsupported(travelling()) == "it has 2 periods, the problem has 1 dimensions"
    reads_offset = replace(make("stde"), network=PeriodicFeatures(1.0, OffsetMLP()))
    assert "reads the ansatz' offset" in reads_offset.unsupported(travelling())
    assert "linear map" in replace(make("rs-pinn"), network=PeriodicFeatures(1.0)).unsupported(box())


def _linear(key: Any, inputs: int) -> Any:
    import equinox as eqx

    return eqx.nn.Linear(inputs, "scalar", key=key)
