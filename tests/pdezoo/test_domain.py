"""The papers' ball: where points lie, and by which measure."""

from __future__ import annotations

import jax
import numpy as np
import pytest
import sympy as sp
from scipy import stats

import pdezoo
from pdezoo import Ball, Points, in_float64
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
