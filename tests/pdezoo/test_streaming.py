"""Streamed coordinates: the same numbers however they are cut, of the declared measure, and the same sums as held ones."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import kstest

import pdezoo
from pdezoo import Ball, Points, stream_normals, streamed_product


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
    """By the same statistics as held points; |x|² as it is declared."""
    ball = Ball(5000, radius=2)
    x = ball.stream(jax.random.key(1), 300, size).x
    held = Points(x.block(0, 5000))
    assert bool(ball.contains(held).all())
    np.testing.assert_allclose(x.squares, jnp.sum(held.x**2, 1), rtol=1e-4)
    for values in ball.uniforms(held).values():
        assert kstest(values, "uniform").pvalue > 1e-4


@pytest.mark.parametrize("name", ["allen-cahn/two-body", "poisson/sin-three-body", "biharmonic/two-body"])
@pytest.mark.parametrize("size", [333])
def test_sources_and_ansatz_are_those_of_held_points(name: str, size: int) -> None:
    """Windows of two and three coordinates cross the blocks' ends."""
    pde = pdezoo.make(name, dim=1000)
    problem = pde.lower()
    streamed = pde.domain.stream(jax.random.key(2), 4, size)
    held = Points(streamed.x.block(0, 1000))
    for function in (problem.source, problem.ansatz):
        for one, other in zip(function(streamed), function(held), strict=True):
            np.testing.assert_allclose(one, other, rtol=2e-4, atol=1e-3 * float(jnp.abs(other).max()))
    axes = jnp.asarray([0, 99, 100, 999])
    for one, other in zip(
        problem.ansatz.along_axes(streamed, axes)(jnp.full((4, 4), 0.1)),
        problem.ansatz.along_axes(held, axes)(jnp.full((4, 4), 0.1)),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_the_gradient_of_a_streamed_product() -> None:
    x = stream_normals(jax.random.key(4), 5, 100, 30)
    weight = jax.random.normal(jax.random.key(5), (100, 3))
    loss = lambda w: jnp.sum(jnp.sin(streamed_product(x.block, w, 30)))
    held = lambda w: jnp.sum(jnp.sin(x.block(0, 100) @ w))
    np.testing.assert_allclose(jax.grad(loss)(weight), jax.grad(held)(weight), rtol=1e-4, atol=1e-5)
