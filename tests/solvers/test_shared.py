"""Shared first layers: the linear one is a ridge network, and the fast paths of both agree with independent derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toys import few

import pdezoo
import solvers
from solvers import Rademacher
from solvers.methods.shared import FilteredMLP, SharedMLP


@pytest.fixture(
    params=[(10, 4), (12, 4), pytest.param((7, 16), marks=pytest.mark.slow)],
    ids=lambda p: f"d={p[0]}, b={p[1]}",
)
def network(request):
    dim, block = request.param
    shared = SharedMLP(width=6, depth=3, block=block)
    params = shared.init(jax.random.key(0), dim, False)
    weight = shared.rows(params, jnp.arange(dim))
    return shared, params, weight, dim


def test_projection_is_the_dense_product(network):
    shared, params, weight, dim = network
    x = jax.random.normal(jax.random.key(1), (5, dim))
    np.testing.assert_allclose(shared.project(params, x), x @ weight, rtol=1e-5, atol=1e-6)


def test_rows_repeat_the_filter(network):
    shared, params, weight, dim = network
    expected = np.stack(
        [params["filter"][i % shared.block] * params["first"][i // shared.block] for i in range(dim)]
    )
    np.testing.assert_allclose(weight, expected, rtol=1e-6)


def test_gram_and_random_directions(network):
    shared, params, weight, dim = network
    np.testing.assert_allclose(shared.gram(params, dim), weight.T @ weight, rtol=1e-5, atol=1e-6)
    made = Rademacher(jax.random.key(2), 3, dim)
    for size in (3, 4, dim):
        block = lambda start, n: jax.lax.dynamic_slice_in_dim(made.vectors(), start, n, axis=1)
        np.testing.assert_allclose(
            shared.blocks(params, dim, block, size), made.vectors() @ weight, rtol=1e-4, atol=1e-5
        )


def test_it_has_fewer_numbers_and_unit_scale():
    dim, shared = 4096, SharedMLP(width=64, depth=3, block=32)
    params = shared.init(jax.random.key(3), dim, False)
    assert params["first"].size + params["filter"].size == 64 * dim // 32 + 32
    features = shared.project(params, jax.random.normal(jax.random.key(4), (200, dim)))
    assert 0.5 < float(jnp.std(features)) < 1.6


@pytest.mark.parametrize("dim", few([7, 12]))
@pytest.mark.parametrize("weighted", few([True, False]))
@pytest.mark.slow
def test_jets_through_the_filter_are_derivatives_of_values(dim, weighted):
    """Along axes, two of them in one block and one in the padded last block, against nested automatic differentiation."""
    with jax.enable_x64(True):
        network = FilteredMLP(width=6, depth=3, block=4)
        params = network.init(jax.random.key(0), dim, False)
        params["bias of the filter"] = jnp.asarray(0.3)
        x = jax.random.normal(jax.random.key(1), (5, dim))
        axes = jnp.array([1, 2, dim - 1])
        weights = jax.random.normal(jax.random.key(2), (3, 5)) if weighted else jnp.ones((3, 5))
        found = network.jets_along_axes(params, pdezoo.Points(x), axes, weights if weighted else None)
        value = lambda p: network.value(params, pdezoo.Points(p[None]))[0]
        first = jax.vmap(jax.grad(value))(x)[:, axes].T
        second = jax.vmap(lambda p: jnp.diagonal(jax.hessian(value)(p)))(x)[:, axes].T
        np.testing.assert_allclose(found.value[:, 0], jax.vmap(value)(x), rtol=1e-12)
        np.testing.assert_allclose(found.first[..., 0], first, rtol=1e-10)
        np.testing.assert_allclose(found.second[:, 0], (weights * second).sum(0), rtol=1e-10)


def test_the_filtered_network_is_the_published_one():
    """A filter, a bias and tanh for every block, then a dense network: 50 of 100 coordinates give two inputs."""
    network = FilteredMLP(width=3, depth=2, block=50)
    params = network.init(jax.random.key(0), 100, False) | {"bias of the filter": jnp.asarray(0.5)}
    x = jax.random.normal(jax.random.key(1), (4, 100))
    y = np.tanh([[np.dot(row[k : k + 50], params["filter"]) + 0.5 for k in (0, 50)] for row in np.asarray(x)])
    ((weight, bias),) = params["layers"]
    expected = np.tanh(y @ params["first"] + params["bias"]) @ weight + bias
    np.testing.assert_allclose(network.value(params, pdezoo.Points(x)), expected[:, 0], rtol=1e-5)
    assert params["first"].shape == (2, 3)


@pytest.mark.slow
def test_stde_trains_on_it():
    pde = pdezoo.make("poisson/two-body", dim=20)
    test = pdezoo.TestSet(pde, 500)
    solver = solvers.make("stde-shared-linear", width=32, depth=3, block=4)
    result = solver.fit(pde, steps=400, test=test, progress=None, evaluations=1)
    assert result.status == "ok"
    assert result.errors["relative_l2"] < 0.2


def test_blocks_of_no_coordinates_are_refused():
    with pytest.raises(solvers.BadHyperparameter, match="at least 1, got 0"):
        solvers.make("stde-shared", block=0)
