"""Tensor trains against the dense matrices that they stand for, and networks of them against dense networks."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fields import SPACE, estimates, field_at
from hypothesis import given
from hypothesis import strategies as st

import solvers
from pdezoo import in_float64
from solvers import TTMLP, Field, TensorTrain
from solvers.networks.tensor_train import fold


def dense(train: TensorTrain) -> np.ndarray:
    """W by NumPy: cores multiplied out one after the other, indices interleaved at the end."""
    total = np.ones((1, 1, 1))
    for core in map(np.asarray, train.cores):
        total = np.einsum("abr,rmns->ambns", total, core)
        total = total.reshape(math.prod(total.shape[:2]), math.prod(total.shape[2:4]), -1)
    return total[: train.shape[0], : train.shape[1], 0]


@pytest.mark.parametrize(
    ("shape", "cores", "rank"), [((21, 64), 3, 3), ((13, 7), 2, 2), ((5, 1), 1, 2), ((1, 30), 4, 1)], ids=str
)
def test_products_and_rows_are_those_of_the_matrix(shape: tuple[int, int], cores: int, rank: int) -> None:
    """Sizes that factor and sizes that do not, one core and several."""
    train = TensorTrain.draw(jax.random.key(1), shape, fold(shape, cores), rank)
    matrix, x = dense(train), np.random.default_rng(0).standard_normal((2, 3, shape[0]))
    index = np.arange(shape[0])[::-2]
    products, rows = jax.jit(lambda t, x, i: (x @ t, t[i]))(train, jnp.asarray(x, jnp.float32), index)
    np.testing.assert_allclose(products, x @ matrix, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(rows, matrix[index], rtol=1e-4, atol=1e-5)


@given(st.integers(1, 3000), st.integers(1, 4))
def test_foldings_are_even_and_large_enough(size: int, cores: int) -> None:
    """Of a sum no larger than that of equal factors, which is the least that can be but for rounding."""
    factors = [m for m, _ in fold((size, 1), cores)]
    assert len(factors) == cores
    assert math.prod(factors) >= size
    assert cores * size ** (1 / cores) <= sum(factors) + 1e-9
    assert sum(factors) <= cores * math.ceil(size ** (1 / cores) - 1e-9)


def test_the_known_foldings() -> None:
    """768 = 8·8·12 factors evenly and is not padded; 23 is prime and becomes 24."""
    assert [math.prod(side) for side in zip(*fold((768, 23), 3), strict=True)] == [768, 24]


@pytest.mark.parametrize("cores", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_initial_matrices_have_the_variance_of_dense_ones(cores: int) -> None:
    """1/m, over many draws: products of cores are far from normal, so one draw says little."""
    shape = (30, 40)
    draw = lambda k: jnp.eye(30) @ TensorTrain.draw(k, shape, fold(shape, cores), 5)
    many = jax.jit(jax.vmap(draw))(jax.random.split(jax.random.key(0), 200))
    assert 0.85 < 30 * float(jnp.mean(many**2)) < 1.15


NETWORK = TTMLP(width=10, depth=4, rank=2, cores=2)


def densified(params: Any) -> Any:
    """The same function as parameters of a dense network, time's row apart."""
    matrix = dense(params["first"])
    layers = tuple((dense(w) if isinstance(w, TensorTrain) else w, b) for w, b in params["layers"])
    return {"first": matrix[:-1], "time": matrix[-1], "bias": params["bias"], "layers": layers}


@pytest.mark.parametrize("name", ["stde", pytest.param("exact", marks=pytest.mark.slow)])
def test_values_and_derivatives_are_those_of_the_dense_network(name: str) -> None:
    """By two-jets along axes, and by forward-over-reverse, in float64."""
    field, at = field_at(7, NETWORK, time=True)
    flat = Field(field.problem, densified(field.params), NETWORK.dense)
    estimator = solvers.make(name).estimator
    found, want = (estimates(estimator, f, at, SPACE, [0]) for f in (field, flat))
    for atom in SPACE:
        np.testing.assert_allclose(found[atom], want[atom], rtol=1e-9)


def columns(matrix: Any, start: Any, count: int) -> Any:
    return jax.lax.dynamic_slice_in_dim(matrix, start, count, axis=1)


@pytest.mark.slow
def test_random_directions_and_gram() -> None:
    field, _ = field_at(7, NETWORK, time=True)
    matrix = dense(field.params["first"])[:-1]
    vectors = np.random.default_rng(0).standard_normal((3, 7))
    for size in (3, 7):
        project = lambda p, v, size=size: NETWORK.blocks(p, 7, partial(columns, v), size)
        np.testing.assert_allclose(in_float64(project, field.params, vectors), vectors @ matrix, rtol=1e-9)
    gram = in_float64(lambda p: NETWORK.gram(p, 7), field.params)
    np.testing.assert_allclose(gram, matrix.T @ matrix, rtol=1e-9)


@pytest.mark.slow
def test_no_matrix_is_formed() -> None:
    """A product with a train of 4,096 × 4,096 takes a hundredth of the matrix' memory."""
    train = TensorTrain.draw(jax.random.key(0), (4096, 4096), fold((4096, 4096), 4), 3)
    compiled = jax.jit(lambda x, t: x @ t).lower(jnp.ones((1, 4096)), train).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 4 * 4096**2 / 100


@pytest.mark.parametrize("wrong", [{"rank": 0}, {"cores": 0}, {"depth": 1}, {"width": 0}], ids=str)
def test_numbers_that_make_no_sense_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        TTMLP(**wrong)
