"""Lazy coordinates: the same numbers for every block size, of the declared measure, with the same sums as arrays."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import kstest
from toys import few

import pdezoo
from pdezoo import (
    PDE,
    Ansatz,
    Ball,
    Exact,
    Points,
    coordinate_max,
    materialize,
    r2,
    stream_normals,
    streamed_product,
    u,
)
from pdezoo.lowering import coordinates


def test_blocks_and_columns_are_the_same_numbers() -> None:
    x = stream_normals(jax.random.key(0), 5, 1000, 64)
    whole = x.block(0, 1000)
    np.testing.assert_array_equal(x.block(300, 7), whole[:, 300:307])
    places = jnp.asarray([[0, 999], [5, 5]])
    np.testing.assert_array_equal(x.columns(places), whole[:, places])


def test_numbers_are_normal_and_rows_and_neighbours_are_independent() -> None:
    whole = np.asarray(stream_normals(jax.random.key(3), 40, 20_000, 64).block(0, 20_000), np.float64)
    assert kstest(whole.ravel(), "norm").pvalue > 1e-4
    bound = 5 / np.sqrt(whole.shape[1])
    correlations = np.corrcoef(whole) - np.eye(40)
    assert np.abs(correlations).max() < bound
    for lag in (1, 2, 64, 4096):
        assert np.abs((whole[:, lag:] * whole[:, :-lag]).mean(1)).max() < bound * 1.2
    squares = (whole**2 - 1) / np.sqrt(2)
    assert np.abs(np.corrcoef(squares) - np.eye(40)).max() < bound


@pytest.mark.parametrize("size", [333, 5000])
def test_points_of_a_ball_have_its_measure(size: int) -> None:
    """Streamed points pass the measure's tests as held points do, and their |x|² is the declared one."""
    ball = Ball(5000, radius=2)
    x = ball.stream(jax.random.key(1), 300, size).x
    whole = Points(materialize(x))
    assert bool(ball.contains(whole).all())
    np.testing.assert_allclose(x.squares, jnp.sum(whole.x**2, 1), rtol=1e-4)
    for values in ball.uniforms(whole).values():
        assert kstest(values, "uniform").pvalue > 1e-4


def forms(ball: Ball) -> dict[str, Points]:
    """Four points of the ball, generated in blocks of 333 coordinates, and factored as scale × direction."""
    return {
        "streamed": ball.stream(jax.random.key(2), 4, 333),
        "factored": ball.factored(jax.random.key(2), 4),
    }


@pytest.mark.parametrize("form", few(["streamed", "factored"]))
@pytest.mark.parametrize(
    "name", few(["allen-cahn/two-body", "poisson/sin-three-body", "biharmonic/two-body"])
)
def test_sources_and_ansatz_are_those_of_arrays(name: str, form: str, monkeypatch: Any) -> None:
    """Sources and ansatz agree with those of arrays, although windows cross the ends of blocks and pieces."""
    monkeypatch.setattr(coordinates, "_MANY", 0)
    pde = pdezoo.make(name, dim=1000)
    problem, points = pde.lower(), forms(pde.domain)[form]
    array = Points(materialize(points.x))
    for function in (problem.source, problem.ansatz):
        for one, other in zip(function(points), function(array), strict=True):
            np.testing.assert_allclose(one, other, rtol=2e-4, atol=1e-3 * float(jnp.abs(other).max()))
    axes = jnp.asarray([0, 99, 100, 999])
    for one, other in zip(
        problem.ansatz.along_axes(points, axes)(jnp.full((4, 4), 0.1)),
        problem.ansatz.along_axes(array, axes)(jnp.full((4, 4), 0.1)),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [333, 250, 1000])
def test_the_largest_coordinate_is_that_of_the_array(size: int) -> None:
    """max x_i as a coefficient, of coordinates in blocks that do and do not divide the dimension, and of factored ones."""
    ball = Ball(1000)
    operator = PDE(coordinate_max * u, ball, Ansatz(), Exact(r2), source=r2).lower().operator
    for points in (ball.stream(jax.random.key(2), 4, size), ball.factored(jax.random.key(2), 4)):
        (found,) = operator(jnp.full(4, 2.0), points=points)
        np.testing.assert_allclose(found, 2 * np.asarray(materialize(points.x)).max(axis=1), rtol=1e-6)


@pytest.mark.parametrize("form", ["streamed", "factored"])
def test_coordinates_are_those_of_the_array(form: str) -> None:
    """Columns, blocks, products and multiples agree with those of the array, and so does |x|²."""
    points = forms(Ball(1000, radius=3))[form]
    x, array = points.x, materialize(points.x)
    assert x.shape == array.shape
    places = jnp.asarray([[0, 999], [5, 5]])
    np.testing.assert_allclose(x.columns(places), array[:, places], rtol=1e-6)
    np.testing.assert_allclose(x.block(jnp.asarray(300), 7), array[:, 300:307], rtol=1e-6)
    weight = jax.random.normal(jax.random.key(5), (1000, 3))
    np.testing.assert_allclose(x @ weight, array @ weight, rtol=1e-4, atol=1e-5)
    doubled = x * jnp.full((4, 1), 2.0)
    np.testing.assert_allclose(materialize(doubled), 2 * array, rtol=1e-6)
    np.testing.assert_allclose(doubled.squares, jnp.sum(materialize(doubled) ** 2, axis=1), rtol=1e-4)


@pytest.mark.parametrize("many", [0, 2**22])
@pytest.mark.parametrize("count", [1, 2, 5, 999, 1000])
def test_every_coordinate_is_in_one_piece(count: int, many: int, monkeypatch: Any) -> None:
    monkeypatch.setattr(coordinates, "_MANY", many)
    x = forms(Ball(1000))["factored"].x
    part = lambda start, n: [jnp.sum(x.block(start, n), axis=1), jnp.asarray(n)]
    total, numbers = x.accumulate(part, count)
    assert int(numbers) == count
    np.testing.assert_allclose(total, jnp.sum(materialize(x)[:, :count], axis=1), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dim", [1, 2, 50])
def test_factored_points_are_the_sampled_ones(dim: int) -> None:
    """Factored points agree with the ball's formula applied to the generator's normal numbers in float64."""
    ball, key = Ball(dim, radius=2), jax.random.key(7)
    radius_key, direction_key = jax.random.split(key)
    g = np.asarray(jax.random.normal(direction_key, (30, dim)), np.float64)
    radius = 2 * np.asarray(jax.random.uniform(radius_key, (30,)), np.float64)
    want = g * (radius / np.linalg.norm(g, axis=1))[:, None]
    np.testing.assert_allclose(ball.sample(key, 30).x, want, rtol=1e-5, atol=1e-6)
    points = ball.factored(key, 30)
    np.testing.assert_allclose(materialize(points.x), want, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(points.x.squares, radius**2, rtol=1e-6)


def test_the_gradient_of_a_streamed_product() -> None:
    x = stream_normals(jax.random.key(4), 5, 100, 30)
    weight = jax.random.normal(jax.random.key(5), (100, 3))
    loss = lambda w: jnp.sum(jnp.sin(streamed_product(x.block, w, 30)))
    plain = lambda w: jnp.sum(jnp.sin(x.block(0, 100) @ w))
    np.testing.assert_allclose(jax.grad(loss)(weight), jax.grad(plain)(weight), rtol=1e-4, atol=1e-5)
