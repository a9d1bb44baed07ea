"""The papers' ball: where points lie, and by which measure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest
import sympy as sp
from scipy import stats

import pdezoo
from pdezoo import Annulus, BadDimension, Ball, Box, BrownianTube, Gaussian, Points, in_float64
from pdezoo.calculus import collective
from pdezoo.lowering.lowered import lower

RADII = [1, 2, sp.sqrt(pdezoo.d)]


@pytest.mark.parametrize("dim", [1, 2, 3, 50])
@pytest.mark.parametrize("radius", RADII)
def test_radius_is_uniform_and_direction_isotropic(dim: int, radius: object) -> None:
    """Radius uniform on [0, R), *not* by volume; x/|x| uniform on the sphere: zero mean, covariance I/d."""
    ball = Ball(dim, radius)
    x = np.asarray(ball.sample(jax.random.key(0), 20_000).x, np.float64)
    size = float(sp.sympify(radius).subs(pdezoo.d, dim))
    r = np.linalg.norm(x, axis=1)
    assert ball.size == pytest.approx(size)
    assert r.max() < size * (1 + 1e-6)
    assert stats.kstest(r / size, "uniform").pvalue > 1e-4
    direction = x / r[:, None]
    assert np.abs(direction.mean(0)).max() < 6 / np.sqrt(20_000 * dim)
    covariance = direction.T @ direction / len(x)
    assert np.abs(covariance - np.eye(dim) / dim).max() < 6 * np.sqrt(2 / 20_000) / dim
    assert abs(np.corrcoef(r, direction[:, 0])[0, 1]) < 6 / np.sqrt(20_000)


@pytest.mark.parametrize("dim", [1, 2, 50])
def test_the_radius_of_a_shell_is_uniform_and_its_direction_isotropic(dim: int) -> None:
    shell = Annulus(dim, 0.5, 3)
    points = shell.sample(jax.random.key(0), 20_000)
    x = np.asarray(points.x, np.float64)
    r = np.linalg.norm(x, axis=1)
    assert stats.kstest((r - 0.5) / 2.5, "uniform").pvalue > 1e-4
    assert np.abs((x / r[:, None]).mean(0)).max() < 6 / np.sqrt(20_000 * dim)
    assert shell.contains(points).all()
    for values in shell.uniforms(points).values():
        assert stats.kstest(values, "uniform").pvalue > 1e-4
    ends = Points(np.eye(dim, dtype=np.float32)[:1] * np.array([[0.49], [0.5], [3], [3.01]], np.float32))
    assert np.asarray(shell.contains(ends)).tolist() == [False, True, True, False]


def test_the_spheres_of_a_shell_and_its_normals() -> None:
    """Both spheres are drawn; a step along the normal leaves the shell; u vanishes there, clamped with its slope."""
    shell = Annulus(6, 1, 2)
    at, normals = shell.boundary(jax.random.key(0), 400)
    radius = np.linalg.norm(at.x, axis=1)
    assert 150 < np.sum(np.isclose(radius, 1)) == 400 - np.sum(np.isclose(radius, 2)) < 250
    assert not shell.contains(Points(at.x + 0.01 * normals)).any()
    assert shell.contains(Points(at.x - 0.01 * normals)).all()
    for face, end in (((0, -1), 1), ((0, 1), 2)):
        np.testing.assert_allclose(
            np.linalg.norm(shell.boundary(jax.random.key(1), 9, face)[0].x, axis=1), end, rtol=1e-6
        )
    with pytest.raises(ValueError, match="the faces of an annulus"):
        shell.boundary(jax.random.key(0), 9, (1, 1))
    r = sp.Symbol("r", positive=True)
    for ansatz, order in ((shell.vanishing(), 1), (shell.clamped(), 2)):
        factor = ansatz.factor.xreplace({pdezoo.r2: r**2})
        assert factor.subs(r, 1.5) > 0
        for end in (1, 2):
            slopes = [sp.diff(factor, r, k).subs(r, end) for k in range(order + 1)]
            assert [s == 0 for s in slopes] == [True] * order + [False]


def test_samples_depend_on_the_key_alone() -> None:
    ball = Ball(5)
    one, same, other = (np.asarray(ball.sample(jax.random.key(k), 10).x) for k in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    assert one.dtype == np.float32


def test_contains() -> None:
    x = np.zeros((3, 4), np.float32)
    x[:, 0] = 0.5, 1.0, 1.01
    assert np.asarray(Ball(4).contains(Points(x))).tolist() == [True, True, False]
    assert np.asarray(Ball(4, 2).contains(Points(x))).all()


@pytest.mark.parametrize("radius", RADII)
@pytest.mark.parametrize("dim", [2, 30])
def test_scale_is_the_laplacian_of_the_factor(radius: object, dim: int) -> None:
    """The scale of a ball is half of |Δ(1 − |x|²/R²)| = 2d/R²."""
    ball = Ball(dim, radius)
    laplacian = collective.laplacian(ball.vanishing().factor).subs(pdezoo.d, dim)
    assert -2 * ball.scale == pytest.approx(float(laplacian))


@pytest.mark.parametrize("radius", RADII)
def test_the_ansatz_vanishes_on_the_sphere_and_only_there(radius: object) -> None:
    ball = Ball(6, radius)
    direction = np.random.default_rng(0).standard_normal((50, 6))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    factor = lower((ball.vanishing().factor,), 6)
    on, inside = (in_float64(factor, Points(direction * ball.size * s))[0] for s in (1.0, 0.9))
    assert np.abs(on).max() < 1e-13
    np.testing.assert_allclose(inside, 1 - 0.81, rtol=1e-12)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: Ball(0), "a dimension is a whole number of at least 1, got int 0"),
        (lambda: Box(2.0), "a dimension is a whole number of at least 1, got float 2.0"),
        (lambda: Gaussian(True), "a dimension is a whole number"),
        (lambda: Ball(10**400), "a dimension is below 2³¹"),
        (lambda: Ball(3, 0), "the radius of a ball is positive, got 0"),
        (lambda: Annulus(3, 2, 1), "0 < inner < outer in float32, got inner=2.0 and outer=1.0"),
        (lambda: Annulus(3, 0, 1), "0 < inner < outer"),
        (lambda: Annulus(0), "a dimension is a whole number of at least 1"),
        (lambda: Annulus(3, "1"), "the inner radius of an annulus"),
        (lambda: Ball(3, -1), "the radius of a ball is positive, got -1"),
        (lambda: Ball(3, float("nan")), "the radius of a ball is a finite real number"),
        (lambda: Ball(3, "1"), "the radius of a ball is a number or a SymPy expression, got str '1'"),
        (lambda: Ball(3, sp.Symbol("R")), "the radius of a ball is a finite real number, got Symbol R"),
        (lambda: Ball(3, 1e200), "between 1e-18 and 1e18"),
        (lambda: Ball(3, 10**400), "below 1e308"),
        (lambda: Box(2, 1, 0), "a box has low < high"),
        (lambda: Box(2, (0, 0), (1, 0)), "a box has low < high"),
        (lambda: Box(2, 1, 1 + 1e-12), "low < high in float32"),
        (lambda: Box(2, [0, 0]), "`low` of a box, a number or a tuple of numbers, .* got list"),
        (lambda: Box(2, 0, (1, 1, 1)), "has one for each of 2 coordinates"),
        (lambda: Box(2, 0, float("inf")), "`high` of a box, .* finite"),
        (lambda: Box(2, 0, None), "`high` of a box, .* got NoneType"),
        (lambda: Gaussian(2, horizon=0), "the horizon of a domain is positive"),
        (lambda: Gaussian(2, scale=-1.0), "the scale of a domain is positive"),
        (lambda: BrownianTube(2, None), "give it a horizon"),
    ],
)
def test_numbers_that_make_no_domain_are_refused(wrong: Callable[[], Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        wrong()


@pytest.mark.parametrize("domain", [Ball, Box, Gaussian, lambda dim: BrownianTube(dim, 1.0)])
def test_a_dimension_that_is_none_is_told_from_other_mistakes(domain: Callable[[Any], Any]) -> None:
    """Harness and contract ask for dimensions that a problem may not have."""
    with pytest.raises(BadDimension, match="whole number of at least 1, got int 0"):
        domain(0)


def test_numbers_of_sympy_and_numpy_are_numbers() -> None:
    """What is drawn and named is what Python's own number gives."""
    one = Box(2, (np.float32(0), 0), (sp.pi, sp.Rational(1, 2)), sp.Integer(2), np.float64(3))
    assert one == Box(2, (0.0, 0), (float(sp.pi), 0.5), 2.0, 3.0)
    points = one.sample(jax.random.key(0), 4)
    assert bool(one.contains(points).all())
