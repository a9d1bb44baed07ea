"""Stencils on polynomials, increments in single precision, and the estimators on networks, by independent means."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from itertools import combinations_with_replacement

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fields import SMALL, SPACE, Plain, estimates, field_at, in_float32, reference

import pdezoo
import solvers
from pdezoo import Dt, Laplacian, Points, in_float64, u
from solvers import MLP, Field, SymmetricIncrements, Value
from solvers.estimators import stencils
from solvers.estimators.stencils import (
    ByStencil,
    FiniteDifference,
    RandomDifference,
    SteinMC,
    SteinSparseGrid,
    smolyak,
)

ATOMS = (*SPACE, Dt(u), Dt(u, 2))
DIM = 3  # space dimensions of the polynomials; time is a fourth input


@pytest.mark.parametrize("dim", [2, 3, 21])
def test_nodes_of_level_three(dim: int) -> None:
    """2D² + 2D + 1, 925 for the paper's 21 inputs; every node's mirror image with it, at the same weight."""
    nodes, weights = smolyak(dim, 3)
    assert len(nodes) == len(np.unique(nodes, axis=0)) == 2 * dim**2 + 2 * dim + 1
    table = {tuple(node): weight for node, weight in zip(nodes.tolist(), weights, strict=True)}
    mirrored = [table[tuple(-x + 0.0 for x in node)] for node in nodes.tolist()]
    np.testing.assert_allclose(mirrored, weights, rtol=1e-12)


@pytest.mark.parametrize(("dim", "level"), [(1, 3), (2, 2), (4, 3), (3, 4)])
def test_rules_are_exact_to_their_degree(dim: int, level: int) -> None:
    """All monomials of degree up to 2·level − 1, against moments of the normal distribution; one of the next degree is missed."""
    nodes, weights = smolyak(dim, level)
    moment = lambda power: 0 if power % 2 else math.prod(range(1, power, 2))
    for degree in range(2 * level):
        for axes in combinations_with_replacement(range(dim), degree):
            expected = math.prod(moment(p) for p in Counter(axes).values())
            found = weights @ np.prod(nodes[:, list(axes)], axis=1)
            assert found == pytest.approx(expected, abs=1e-9), axes
    assert weights @ nodes[:, 0] ** (2 * level) != pytest.approx(moment(2 * level), rel=1e-3)


def polynomial(degree: int) -> tuple[np.ndarray, np.ndarray]:
    """Exponents (terms, inputs) of all monomials of this degree or less, and random coefficients."""
    axes = [a for q in range(degree + 1) for a in combinations_with_replacement(range(DIM + 1), q)]
    powers = np.array([[a.count(i) for i in range(DIM + 1)] for a in axes])
    return powers, np.random.default_rng(degree).standard_normal(len(powers))


def evaluate(poly: tuple[np.ndarray, np.ndarray], x: np.ndarray) -> np.ndarray:
    powers, coefficients = poly
    return np.prod(x[..., None, :] ** powers, axis=-1) @ coefficients


def differentiate(poly: tuple[np.ndarray, np.ndarray], axis: int) -> tuple[np.ndarray, np.ndarray]:
    powers, coefficients = poly
    lower = np.maximum(powers - np.eye(DIM + 1, dtype=int)[axis], 0)
    return lower, coefficients * powers[:, axis]


def trace(poly: tuple[np.ndarray, np.ndarray], x: np.ndarray, axes: range) -> np.ndarray:
    return sum(evaluate(differentiate(differentiate(poly, i), i), x) for i in axes)


def applied(estimator: ByStencil, poly: tuple[np.ndarray, np.ndarray], x: np.ndarray) -> list[np.ndarray]:
    """The stencil on a polynomial's values, in double precision: value, gradient, Laplacian, second derivative in time."""

    def run(at: jax.Array) -> tuple:
        stencil = estimator.stencil(DIM, True, jax.random.key(0))
        raised = lambda y: jnp.prod(y[..., None, :] ** poly[0], axis=-1) @ poly[1]
        here, up, down = (
            raised(at),
            raised(at + stencil.offsets[:, None]),
            raised(at - stencil.offsets[:, None]),
        )
        return tuple(stencil.apply(here, (up + down) / 2 - here, (up - down) / 2))

    return list(map(np.asarray, in_float64(jax.jit(run), x)))


POINTS = np.random.default_rng(7).uniform(-1, 1, (5, DIM + 1))


def test_stein_is_exact_for_cubics() -> None:
    """E f(x + σξ) = f + σ²/2 Δf over all four inputs, and its derivatives; the Laplacian is over the three in space."""
    sigma, poly = 0.3, polynomial(3)
    value, gradient, laplacian, in_time = applied(SteinSparseGrid(sigma=sigma), poly, POINTS)
    every, half = range(DIM + 1), sigma**2 / 2
    close = lambda found, want: np.testing.assert_allclose(found, want, rtol=1e-8, atol=1e-8)
    close(value, evaluate(poly, POINTS) + half * trace(poly, POINTS, every))
    close(laplacian, trace(poly, POINTS, range(DIM)))
    close(in_time, trace(poly, POINTS, range(DIM, DIM + 1)))
    for i in every:
        slope = differentiate(poly, i)
        close(gradient[:, i], evaluate(slope, POINTS) + half * trace(slope, POINTS, every))


def test_finite_differences_are_exact_for_their_degree() -> None:
    """Second differences of cubics, first ones of quadratics."""
    estimator, cubic, quadratic = FiniteDifference(step=0.2), polynomial(3), polynomial(2)
    value, _, laplacian, in_time = applied(estimator, cubic, POINTS)
    np.testing.assert_allclose(value, evaluate(cubic, POINTS), rtol=1e-12)
    np.testing.assert_allclose(laplacian, trace(cubic, POINTS, range(DIM)), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(in_time, trace(cubic, POINTS, range(DIM, DIM + 1)), rtol=1e-9, atol=1e-9)
    _, gradient, _, _ = applied(estimator, quadratic, POINTS)
    slopes = [evaluate(differentiate(quadratic, i), POINTS) for i in range(DIM + 1)]
    np.testing.assert_allclose(gradient, np.stack(slopes, axis=1), rtol=1e-9, atol=1e-9)


def test_random_differences_of_a_quadratic_are_in_closed_form() -> None:
    """Δn is the mean of ξᵀHξ over the drawn ξ, ∇n the mean of ξ(ξ·g), at any h; time derivatives are exact."""
    estimator, poly = RandomDifference(samples=7, h=0.3), polynomial(2)
    offsets = in_float64(jax.jit(lambda: estimator.stencil(DIM, True, jax.random.key(0)).offsets))
    drawn = np.asarray(offsets)[:7, :DIM] / math.sqrt(2 * 0.3)
    value, gradient, laplacian, in_time = applied(estimator, poly, POINTS)
    slopes = [differentiate(poly, i) for i in range(DIM + 1)]
    hessian = np.array([[evaluate(differentiate(s, j), POINTS) for j in range(DIM)] for s in slopes[:DIM]])
    along = np.stack([evaluate(s, POINTS) for s in slopes], axis=1)
    close = lambda found, want: np.testing.assert_allclose(found, want, rtol=1e-9, atol=1e-9)
    close(value, evaluate(poly, POINTS))
    close(laplacian, np.einsum("ki,ijb,kj->b", drawn, hessian, drawn) / 7)
    close(gradient[:, :DIM], along[:, :DIM] @ drawn.T @ drawn / 7)
    close(gradient[:, DIM], along[:, DIM])
    close(in_time, trace(poly, POINTS, range(DIM, DIM + 1)))


def test_the_bias_of_random_differences_is_half_h_of_the_bilaplacian() -> None:
    """E over ξ of the estimate is Δn + h/2 Δ²n for a quartic, within five standard errors over 400 draws."""
    space, h, poly = range(DIM), 0.2, polynomial(4)
    many = RandomDifference(samples=100, h=h)

    def run(at: jax.Array) -> jax.Array:
        raised = lambda y: jnp.prod(y[..., None, :] ** poly[0], axis=-1) @ poly[1]

        def one(key: jax.Array) -> jax.Array:
            drawn = many.stencil(DIM, True, key)
            up, down = (raised(at + sign * drawn.offsets[:, None]) for sign in (1, -1))
            return drawn.space @ ((up + down) / 2 - raised(at))

        return jax.lax.map(one, jax.random.split(jax.random.key(0), 400))

    found = np.asarray(in_float64(jax.jit(run), POINTS))
    twice = sum(trace(differentiate(differentiate(poly, i), i), POINTS, space) for i in space)
    error = found.std(0) / math.sqrt(len(found))
    want = trace(poly, POINTS, space) + h / 2 * twice
    assert np.all(np.abs(found.mean(0) - want) < 5 * error)
    assert np.any(np.abs(h / 2 * twice) > 20 * error)  # a bias of another size would be seen


def increments(step: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Even parts of a random network of three tanh layers: as Pairs in float32, by subtraction in float32 and in float64."""
    rng = np.random.default_rng(3)
    network = MLP(width=32, depth=4)
    params = network.init(jax.random.key(0), 5, False)
    z, odd = rng.standard_normal((6, 32)), step * rng.standard_normal((9, 1, 32))
    head = lambda p, y: network.head(p, Value(y)).value[..., 0]

    def subtracted(p, y, o):
        return (head(p, y + o) + head(p, y - o)) / 2 - head(p, y)

    exact = in_float64(jax.jit(subtracted), params, z, odd)
    narrow = [jnp.asarray(a, jnp.float32) for a in (z, odd)]
    pairs = jax.jit(network.head)(
        params, SymmetricIncrements(narrow[0], jnp.zeros_like(narrow[1]), narrow[1])
    )
    return np.asarray(pairs.even[..., 0]), np.asarray(jax.jit(subtracted)(params, *narrow)), np.asarray(exact)


@pytest.mark.parametrize("step", [1e-3, 0.1, 1.0])
def test_increments_keep_their_digits(step: float) -> None:
    """Pairs are right to a few units in the last place of the increment, where subtraction loses as many digits as it cancels."""
    found, lossy, exact = increments(step)
    scale = np.abs(exact).max()
    assert np.abs(found - exact).max() < 2e-6 * scale
    if step < 1:
        assert np.abs(lossy - exact).max() > 30 * np.abs(found - exact).max()


def test_saturated_increments_stay_finite() -> None:
    z, odd = jnp.full((1, 1), 30.0), jnp.asarray([[[30.0]], [[60.0]], [[1e-20]]])
    for part in SymmetricIncrements(z, jnp.zeros_like(odd), odd).tanh():
        assert jnp.isfinite(part).all()


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [
        pytest.param(FiniteDifference(step=0.04), FiniteDifference(step=0.02), marks=pytest.mark.slow),
        (SteinSparseGrid(sigma=0.04), SteinSparseGrid(sigma=0.02)),
    ],
    ids=["finite-difference", "sparse-grid"],
)
def test_estimates_converge_to_the_derivatives(wide: ByStencil, narrow: ByStencil) -> None:
    """All atoms of u = b + a n, with the error divided by four as the step is halved; the same in float32 to six digits."""
    field, at = field_at(5, time=True)
    exact = reference(field, at, ATOMS)
    coarse, fine = (estimates(e, field, at, ATOMS, [0]) for e in (wide, narrow))
    single = in_float32(narrow, field, at, ATOMS)
    for atom in ATOMS:
        scale = np.abs(exact[atom]).max()
        errors = [np.abs(found[atom][0] - exact[atom]).max() / scale for found in (coarse, fine)]
        assert errors[1] < 3e-3, atom
        assert errors[0] < 1e-12 or 3.5 < errors[0] / errors[1] < 4.5, atom
        assert np.abs(single[atom] - fine[atom][0]).max() < 5e-6 * scale, atom


def test_monte_carlo_agrees_with_the_grid() -> None:
    """The mean over keys of the smoothed values, within four standard errors; a level-5 rule is exact to 1e-6 here."""
    field, at = field_at(2, time=True)
    linear = (u, Laplacian(u), Dt(u))
    drawn = estimates(SteinMC(samples=8, sigma=0.2), field, at, linear, np.arange(3000))
    exact = estimates(SteinSparseGrid(level=5, sigma=0.2), field, at, linear, [0])
    for atom in linear:
        error = drawn[atom].std(0) / np.sqrt(3000)
        assert (np.abs(drawn[atom].mean(0) - exact[atom][0]) < 4 * error).all(), atom


@pytest.mark.slow
@pytest.mark.parametrize("estimator", [SteinSparseGrid(), SteinMC(samples=10)], ids=["grid", "monte-carlo"])
def test_blocks_of_a_stencil_add_up(estimator: ByStencil, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values and gradient in float64, of blocks that do not divide the pairs, against all pairs at once."""
    field, at = field_at(3, time=True)
    numbers = at.x.shape[0] * SMALL.width

    def found(f: Field, p: Points) -> tuple:
        total = lambda params: sum(
            jnp.sum(value * value)
            for value in estimator(replace(f, params=params), ATOMS, p, jax.random.key(0)).values()
        )
        return jax.value_and_grad(total)(f.params)

    # a new function for each, since jit keeps what it traced with the other block
    monkeypatch.setattr(stencils, "_BLOCK", 10**9)
    whole = in_float64(jax.jit(lambda f, p: found(f, p)), field, at)
    monkeypatch.setattr(stencils, "_BLOCK", 3 * numbers)
    parts = in_float64(jax.jit(lambda f, p: found(f, p)), field, at)
    for one, other in zip(*map(jax.tree.leaves, (whole, parts)), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-10, atol=1e-10)


def test_a_stencil_is_never_held_whole() -> None:
    """1,024 pairs at 100 points would be 1.5 GB."""
    pde = pdezoo.make("hjb/corrected", dim=20)
    assert solvers.make("stein-mc").compile(pde, batch=100).bytes < 2.5e8


def test_tested_values_are_smoothed() -> None:
    """E f(x + σξ) by a Gauss-Hermite product rule of 20² nodes, under the ansatz; finite differences do not smooth."""
    field, at = field_at(1, time=True)
    sigma, (nodes, weights) = 0.2, np.polynomial.hermite_e.hermegauss(20)
    shift = np.stack(np.meshgrid(nodes, nodes), -1).reshape(-1, 2) * sigma
    weight = np.outer(weights, weights).ravel() / weights.sum() ** 2

    def smoothed(f: Field, p: Points) -> jax.Array:
        at_node = lambda s: f.network.value(f.params, Points(p.x + s[:1], p.t + s[1]))
        factor, offset = f.problem.ansatz(p)
        return offset + factor * (weight @ jax.vmap(at_node)(jnp.asarray(shift)))

    want = in_float64(jax.jit(smoothed), field, at)
    raw = in_float64(jax.jit(lambda f, p: f.value(p)), field, at)
    found = lambda e: in_float64(jax.jit(lambda f, p: e.value(f, p)), field, at)
    smooth = np.abs(want - raw).max()
    assert np.abs(found(SteinSparseGrid(sigma=sigma, test_level=4)) - want).max() < 0.02 * smooth
    assert np.abs(found(SteinMC(sigma=sigma, test_samples=4000)) - want).max() < 0.2 * smooth
    np.testing.assert_allclose(found(FiniteDifference()), raw, rtol=1e-12)


@pytest.mark.parametrize(
    ("variant", "constant", "estimator"),
    [
        pytest.param("corrected-leaking", 0.0, SteinSparseGrid(), marks=pytest.mark.slow),
        ("corrected", 1.0, SteinSparseGrid()),
        ("corrected", 1.0, FiniteDifference()),
        ("corrected", 1.0, SteinMC(samples=64)),
    ],
    ids=str,
)
def test_the_exact_solution_of_hjb_has_no_loss(variant: str, constant: float, estimator: ByStencil) -> None:
    """|x|₁ has kinks at the faces of the box, and points close to them: only the network may be smoothed. In float32."""
    pde = pdezoo.make(f"hjb/{variant}", dim=20)
    solver = solvers.NeuralSolver("toy", estimator, network=SMALL)
    problem = pde.lower()
    params = jax.tree.map(jnp.zeros_like, SMALL.init(jax.random.key(0), 20, True))
    (*hidden, (weight, bias)) = params["layers"]
    exact = params | {"layers": (*hidden, (weight, bias + constant))}
    loss = jax.jit(lambda p: solver.evaluate(problem, p, jax.random.key(1), 50))
    assert loss(exact) < 1e-10


def test_unstructured_networks_are_unsupported() -> None:
    pde = pdezoo.make("poisson/two-body", dim=4)
    assert "ridge" in SteinSparseGrid().unsupported(pde, Plain(SMALL))
    assert SteinSparseGrid().unsupported(pde, SMALL) is None


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("finite-difference", {"step": 0.0}),
        ("stein-mc", {"samples": 0}),
        ("stein-mc", {"sigma": -1.0}),
        ("stein-sparse-grid", {"level": 1}),
        ("stein-sparse-grid", {"test_level": 0}),
    ],
    ids=str,
)
def test_numbers_that_make_no_sense_are_refused(name: str, wrong: dict) -> None:
    (field,) = wrong
    with pytest.raises(solvers.BadHyperparameter, match=field):
        solvers.make(name, **wrong)
