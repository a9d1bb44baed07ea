"""Operators with coefficients that vary in space and time, against derivatives that know nothing of the library's calculus."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import few, points

import pdezoo
import solvers
from pdezoo import (
    PDE,
    Ansatz,
    Ball,
    Box,
    Coefficients,
    Condition,
    D,
    DivGrad,
    Drift,
    Dt,
    EulerDerivative,
    Exact,
    Gaussian,
    GradNorm1,
    GradNormSq,
    Laplacian,
    Points,
    X,
    coordinate_max,
    d,
    describe,
    in_float64,
    initial,
    materialize,
    r2,
    t,
    u,
    verify,
    window_sum,
    x,
    y,
)
from pdezoo.calculus.atoms import apply
from pdezoo.calculus.collective import expand
from pdezoo.lowering.lowered import lower

WAVES = window_sum(sp.sin(X[0] * X[1]), coefficients=Coefficients(1))
RANDOM = window_sum(sp.cos(X[0]), coefficients=Coefficients(2))


def potential(dim: int) -> PDE:
    """Δu + (|x|² + Σ c_i cos x_i / √d) u − u³ = g."""
    ansatz = Ball(dim).vanishing()
    operator = Laplacian(u) + (r2 + RANDOM / sp.sqrt(d)) * u - u**3
    return PDE(operator, Ball(dim), ansatz, Exact(ansatz.factor * WAVES), name="potential")


def cooling(dim: int) -> PDE:
    """u_t − (1 + t) Δu + e^−|x|²/d u |∇u|² = g."""
    operator = Dt(u) - (1 + t) * Laplacian(u) + sp.exp(-r2 / d) * u * GradNormSq(u)
    return PDE(
        operator, Gaussian(dim, horizon=1.0), initial(WAVES), Exact(sp.exp(-t) * WAVES), name="cooling"
    )


def conduction(dim: int) -> PDE:
    """∇·((2 + |x|²/d + Σ c_i cos x_i / d) ∇u) = g."""
    ansatz = Ball(dim).vanishing()
    operator = DivGrad(2 + r2 / d + RANDOM / d, u)
    return PDE(operator, Ball(dim), ansatz, Exact(ansatz.factor * WAVES), name="conduction")


def channel(dim: int) -> PDE:
    """u_t − ((1 + x²) u_x)_x + t x u = g on an interval."""
    operator = D(u, t) - D((1 + x**2) * D(u, x), x) + t * x * u
    solution = sp.exp(-t) * sp.sin(sp.pi * x)
    ansatz = Ansatz(t * x * (1 - x), sp.sin(sp.pi * x))
    return PDE(operator, Box(1, horizon=1.0), ansatz, Exact(solution), name="channel")


PROBLEMS = {"potential": potential, "cooling": cooling, "conduction": conduction, "channel": channel}


def residual_written_out(pde: PDE, field: Any, at: Points) -> np.ndarray:
    """N[f] − N[u*] point by point, by Hessians and gradients of JAX and coefficients of NumPy; no code of the library's."""
    atoms = {"potential": _potential, "cooling": _cooling, "conduction": _conduction, "channel": _channel}
    return atoms[pde.name](field, at)


def hessians(field: Any, at: Points) -> tuple[np.ndarray, ...]:
    """u, ∇u, ∇²u and u_t of a function of points, float64."""
    single = lambda a, s: field(Points(a[None], None if at.t is None else s[None]))[0]

    def all_of(a: Any, s: Any) -> Any:
        return single(a, s), jax.grad(single)(a, s), jax.hessian(single)(a, s), jax.grad(single, 1)(a, s)

    times = np.zeros(len(at.x)) if at.t is None else at.t
    return in_float64(jax.jit(jax.vmap(all_of)), at.x, times)


def _potential(field: Any, at: Points) -> np.ndarray:
    a, (value, _, second, _) = np.asarray(at.x, float), hessians(field, at)
    c = Coefficients(2).values(a.shape[1])
    potential = (a**2).sum(1) + (c * np.cos(a)).sum(1) / a.shape[1] ** 0.5
    return np.trace(second, axis1=1, axis2=2) + potential * value - value**3


def _cooling(field: Any, at: Points) -> np.ndarray:
    a, times = np.asarray(at.x, float), np.asarray(at.t, float)
    value, slope, second, rate = hessians(field, at)
    friction = np.exp(-(a**2).sum(1) / a.shape[1])
    return rate - (1 + times) * np.trace(second, axis1=1, axis2=2) + friction * value * (slope**2).sum(1)


def _conduction(field: Any, at: Points) -> np.ndarray:
    """The divergence of the flux itself, without the product rule."""
    c, dim = Coefficients(2).values(at.x.shape[1]), at.x.shape[1]

    def flux(a: Any) -> Any:
        conductivity = 2 + jnp.sum(a**2) / dim + jnp.sum(c * jnp.cos(a)) / dim
        return conductivity * jax.grad(lambda q: field(Points(q[None]))[0])(a)

    return in_float64(jax.jit(jax.vmap(lambda a: jnp.trace(jax.jacfwd(flux)(a)))), at.x)


def _channel(field: Any, at: Points) -> np.ndarray:
    flux = lambda a, s: (1 + a**2) * jax.grad(lambda q: field(Points(q[None, None], s[None]))[0])(a)
    divergence = in_float64(jax.jit(jax.vmap(jax.grad(flux))), at.x[:, 0], at.t)
    value, _, _, rate = hessians(field, at)
    return rate - divergence + np.asarray(at.t, float) * np.asarray(at.x[:, 0], float) * value


@pytest.mark.parametrize("name", few(PROBLEMS, keep=3))
def test_residuals_are_those_of_the_equation(name: str) -> None:
    """Of a function that is no solution: `residual_of`, and the estimator `exact` on a network of the same values."""
    pde = PROBLEMS[name](1 if name == "channel" else 3)
    problem, at = pde.lower(), pde.domain.sample(jax.random.key(1), 5)
    guess = lambda p: jnp.sum(jnp.sin(p.x + 0.3), axis=1) * (1 if p.t is None else 1 + p.t**2)
    exact = lower((pde.exact,), pde.dim)
    want = residual_written_out(pde, guess, at) - residual_written_out(pde, lambda p: exact(p)[0], at)
    found = in_float64(jax.jit(lambda p: problem.residual_of(guess, p)), at)
    np.testing.assert_allclose(found[0] * pde.domain.scale, want, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("form", ["factored", pytest.param("stream", marks=pytest.mark.slow)])
def test_coefficients_at_points_that_are_not_held(form: str) -> None:
    """As the points of a training are, where a solver takes no array: the same as at the array."""
    problem, ball = potential(6).lower(), Ball(6)
    lazy = ball.factored(jax.random.key(0), 4) if form == "factored" else ball.stream(jax.random.key(0), 4, 4)
    held = Points(materialize(lazy.x))
    values = dict.fromkeys(problem.atoms, jnp.ones(4))
    residual = jax.jit(lambda p: problem.residual(values, p))
    np.testing.assert_allclose(residual(lazy), residual(held), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", PROBLEMS)
def test_verify_proves_them(name: str) -> None:
    pde = PROBLEMS[name](1 if name == "channel" else 3)
    report = verify(pde, remake=lambda dim: pde, test_size=50)
    assert [c for c in report.checks if not c.ok] == []


@pytest.mark.slow
def test_verify_finds_a_coefficient_left_out() -> None:
    pde = channel(1)
    other = replace(pde, operator=pde.operator - t * x * u, source=pde.exact_source)
    report = verify(other, remake=lambda dim: other, test_size=50)
    assert {c.name for c in report.checks if not c.ok} == {"residual", "source"}


def test_operators_with_coefficients_need_points_and_others_none() -> None:
    """Problems without coefficients have the operator that they had: a function of atoms alone."""
    plain = pdezoo.make("allen-cahn/two-body", dim=5).lower()
    assert plain.coefficients is None
    values = {a: jnp.full(2, 2.0) for a in plain.atoms}
    np.testing.assert_allclose(plain.operator(*(values[a] for a in plain.atoms))[0], 2 + 2 - 8)
    problem = potential(3).lower()
    with pytest.raises(ValueError, match=r"say where, by operator\(\*values, points=points\)"):
        problem.operator(*(jnp.ones(2) for _ in problem.atoms))


@given(
    powers=st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 2)),
    weights=st.tuples(st.integers(-3, 3), st.integers(-3, 3)),
)
@settings(max_examples=12)
def test_a_divergence_is_its_definition(powers: tuple, weights: tuple) -> None:
    """∇·(a∇u) for a of |x|², a sum with coefficients, time and u itself, against SymPy's derivatives of the flux at d = 3."""
    a = (2 + weights[0] * r2) ** powers[0] * (1 + t * RANDOM) ** powers[1] + weights[1] * u ** powers[2]
    solution = WAVES * (1 + t) + r2
    explicit, space = expand(solution, 3)
    conductivity = expand(a.xreplace({u: solution}), 3)[0]
    want = sp.Add(*(sp.diff(conductivity * sp.diff(explicit, c), c) for c in space))
    found, _ = expand(apply(DivGrad(a, u), solution), 3)
    at = dict(zip(space, map(sp.Rational, ("1/3", "-2/5", "3/7")), strict=True)) | {t: sp.Rational(1, 4)}
    difference = sp.N((found - want).xreplace(at), 30)
    assert abs(difference) < sp.Float("1e-20") * (1 + abs(sp.N(want.xreplace(at), 30)))


def test_coefficients_are_shown() -> None:
    assert describe(potential(3))["equation"] == "(|x|² + Σᵢ cᵢ cos(xᵢ)/√d) u − u³ + Δu = g"
    assert describe(channel(1), latex=True)["equation"].startswith(
        r"t x u - 2 x u_{x} - \left(x^{2} + 1\right) u_{xx}"
    )


def test_a_divergence_in_existing_atoms() -> None:
    assert DivGrad(1 + r2, u) == (1 + r2) * Laplacian(u) + 2 * EulerDerivative(u)
    assert DivGrad(sp.Integer(3), u) == 3 * Laplacian(u)
    assert DivGrad(window_sum(X[0]), u) == window_sum(X[0]) * Laplacian(u) + Drift(u, d)
    assert DivGrad(u, u) == u * Laplacian(u) + GradNormSq(u)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: DivGrad(WAVES, u), "window sums of single coordinates in a, got one of sin"),
        (lambda: DivGrad(x, u), r"in the coordinates x, y write D\(a\*D\(u, x\), x\)"),
        (lambda: DivGrad(1 + GradNormSq(u), u), "takes a in u, t and window sums"),
        (lambda: DivGrad(r2, u**2), "and u itself, got"),
        (lambda: D(r2 * Laplacian(u), x), r"D differentiates u.* got Δu; write D\(u, x, x\)"),
        (lambda: D(u, sp.Symbol("x")), "differentiates by the coordinates x, y and t of pdezoo"),
        (lambda: D(u, x, 2), "one for every derivative"),
    ],
)
def test_what_has_no_such_form_is_refused(wrong: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        wrong()


def test_derivatives_of_coefficients_in_low_dimensions() -> None:
    """|x|² is x² + y², and window sums with time move: also where the loss differentiates the operator."""
    assert sp.expand(D(r2 * u, x) - r2 * D(u, x) - 2 * x * u) == 0
    assert sp.expand(D(r2 * u, y) - r2 * D(u, y) - 2 * y * u) == 0
    moving = window_sum(sp.sin(t) * X[0])
    assert D(moving * u, t) == moving * D(u, t) + window_sum(sp.cos(t) * X[0]) * u
    pde = PDE(
        D(u, t) - r2 * D(u, x, x), Box(1, horizon=1.0), Ansatz(), Exact(sp.exp(t) * x**3), enhanced=(x, t)
    )
    problem, at = pde.lower(), points(1, time=True)
    a, times = np.asarray(at.x[:, 0], float), np.asarray(at.t, float)
    want = np.exp(times) * np.stack([a**3 - 6 * a**3, -15 * a**2, -5 * a**3])
    np.testing.assert_allclose(in_float64(lambda p: jnp.stack(problem.source(p)), at), want, rtol=1e-12)
    exact = lambda p: jnp.exp(p.t) * p.x[:, 0] ** 3
    assert np.abs(in_float64(lambda p: problem.residual_of(exact, p), at)).max() < 1e-12


def test_a_coefficient_wider_than_the_problem_is_refused() -> None:
    """It has no window there, and would silently be 0."""
    triples = window_sum(X[0] * X[1] * X[2])
    make = lambda dim: PDE(
        Laplacian(u) + triples * u, Ball(dim), Ball(dim).vanishing(), Exact(Ball(dim).vanishing().factor)
    )
    with pytest.raises(pdezoo.BadDimension, match="≥ 3, got 2"):
        make(2)
    assert make(3).dim == 3


@pytest.mark.parametrize("part", ["factor", "offset", "source", "target"])
def test_so_is_any_other_part_that_is_wider(part: str) -> None:
    triples, domain = window_sum(X[0] * X[1] * X[2]), Gaussian(2, horizon=1.0)
    sound = PDE(Dt(u) - Laplacian(u), domain, Ansatz(), Exact(r2 + 2 * d * t))
    changes: dict[str, dict[str, Any]] = {
        "factor": {"ansatz": Ansatz(triples)},
        "offset": {"ansatz": Ansatz(1, triples)},
        "source": {"source": triples},
        "target": {"conditions": (Condition(0.0, triples, 1.0),)},
    }
    with pytest.raises(pdezoo.BadDimension, match="≥ 3, got 2"):
        replace(sound, **changes[part])


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: DivGrad(1 + coordinate_max, u), "max x_i has no derivatives here"),
        (lambda: D(coordinate_max * u, x), "max x_i has no derivatives here"),
        (
            lambda: replace(channel(1), operator=coordinate_max * D(u, t), enhanced=(x,)),
            "max x_i has no deriv",
        ),
        (lambda: replace(cooling(3), enhanced=(t,)), "D differentiates u.* got"),
        (
            lambda: PDE(GradNorm1(u), Box(3), Ansatz(), Exact(WAVES)),
            "closed form for functions of one plain sum",
        ),
        (lambda: PDE(u, Box(3), Ansatz(), Exact(window_sum(r2 * X[0]))), "window sums do not nest"),
        (
            lambda: PDE(10**40 * u, Box(3), Ansatz(), Exact(r2)),
            r"a number above 1e\+38, which float32 cannot hold",
        ),
    ],
)
def test_what_has_no_calculus_is_refused_when_the_problem_is_made(wrong: Any, words: str) -> None:
    """It would be taken for a constant, or fail only when the problem is lowered."""
    with pytest.raises(ValueError, match=words):
        wrong()


def test_no_estimator_takes_an_offset_that_has_no_derivatives() -> None:
    """max x_i in the offset would be a constant along every axis."""
    pde = PDE(GradNormSq(u) + u, Gaussian(3, horizon=1.0), Ansatz(t, coordinate_max), Exact(r2))
    trained = [s for s in map(solvers.make, solvers.names()) if isinstance(s, solvers.NeuralSolver)]
    assert len(trained) > 20
    assert {s.name for s in trained if s.unsupported(pde) is None} == set()


def test_kernels_may_contain_the_dimension() -> None:
    """Weights b_i = cos(x_i / d), by the calculus, by its definition and by automatic differentiation, against NumPy."""
    weights, at = window_sum(sp.cos(X[0] / d)), points(3)
    a = np.asarray(at.x, float)
    want = np.sum(np.cos(a / 3) * 2 * a, axis=1)
    atom = Drift(u, weights)
    problem = PDE(atom, Gaussian(3), Ansatz(), Exact(r2)).lower()
    by_autodiff = in_float64(
        lambda p: jax.vmap(atom.autodiff(lambda x, s: jnp.sum(x**2)))(p.x, jnp.zeros(len(p.x))), at
    )
    explicit, space = expand(r2, 3)
    by_definition = sp.lambdify(space, atom.definition(explicit, space))(*a.T)
    for found in (in_float64(problem.source, at)[0], by_autodiff, by_definition):
        np.testing.assert_allclose(found, want, rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["stde", "hte", "sdgd-backward", "rs-pinn", "stde-gradient-enhanced", "tt-zo"]
)
def test_solvers_train_with_coefficients(name: str) -> None:
    """Every estimator gives atoms as before."""
    result = solvers.make(name).fit(potential(6), steps=3, batch=8, progress=None)
    assert result.status == "ok"
