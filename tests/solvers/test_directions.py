"""Random axes and random signs, and the first layer's view of them."""

from __future__ import annotations

from itertools import combinations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from toys import few

from solvers import MLP, Axes, Rademacher
from solvers.derivatives import directions
from solvers.derivatives.directions import distinct


@pytest.mark.parametrize(("count", "dim"), [(3, 5), (1, 4), (4, 5), (2, 6)])
def test_every_set_of_axes_is_equally_likely(count: int, dim: int) -> None:
    drawn = jax.jit(jax.vmap(lambda s: distinct(jax.random.key(s), count, dim)))(jnp.arange(8000))
    sets = list(combinations(range(dim), count))
    found = [tuple(row) for row in np.sort(np.asarray(drawn), axis=1).tolist()]
    assert set(found) == set(sets)
    assert stats.chisquare([found.count(s) for s in sets]).pvalue > 1e-4


@pytest.mark.parametrize(("count", "dim"), [(1, 1), (3, 3), (5, 6), (16, 17), (16, 40), (33, 34)])
def test_axes_are_those_that_floyd_chooses_one_by_one(count: int, dim: int) -> None:
    most = jnp.arange(dim - count, dim) + 1

    def both(seed: jax.Array) -> tuple[jax.Array, jax.Array]:
        key = jax.random.key(seed)
        return distinct(key, count, dim), jax.random.randint(key, (count,), 0, most)

    for found, draws in zip(*map(np.asarray, jax.jit(jax.vmap(both))(jnp.arange(100))), strict=True):
        chosen: list[int] = []
        for last, draw in enumerate(draws.tolist(), start=dim - count):
            chosen.append(last if draw in chosen else draw)
        assert found.tolist() == chosen


@pytest.mark.parametrize(("count", "dim"), [(1, 1), (6, 6), (16, 10_000_019)])
def test_axes_are_different_and_within_the_space(count: int, dim: int) -> None:
    drawn = np.asarray(Axes.draw(jax.random.key(1), count, dim).indices)
    assert len(set(drawn.tolist())) == count
    assert drawn.min() >= 0
    assert drawn.max() < dim


def test_axes_beyond_the_dimension_are_all_axes() -> None:
    axes = Axes.draw(jax.random.key(0), 9, 4)
    assert sorted(np.asarray(axes.indices).tolist()) == [0, 1, 2, 3]
    assert axes.weight == 1


@pytest.mark.parametrize("size", [3, 4, 5, 10, 4096])
def test_blocks_of_signs_are_the_same_directions_everywhere(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Projections made block by block equal the whole vectors' product, also where the last block is short."""
    monkeypatch.setattr(directions, "BLOCK", size)
    network, dim = MLP(width=4, depth=2), 10
    params = network.init(jax.random.key(0), dim, has_time=False)
    made = Rademacher(jax.random.key(1), 6, dim)
    vectors = made.vectors()
    assert vectors.shape == (6, dim)
    assert set(np.unique(vectors)) == {-1.0, 1.0}
    np.testing.assert_allclose(made.rows(network, params), vectors @ params["first"], rtol=1e-5, atol=1e-6)


def test_signs_are_independent_across_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks come of different keys: the average of v vᵀ is the identity, between blocks too."""
    monkeypatch.setattr(directions, "BLOCK", 3)
    v = np.asarray(jax.vmap(lambda s: Rademacher(jax.random.key(s), 4, 8).vectors())(jnp.arange(2000)))
    flat = v.reshape(-1, 8)
    moment = flat.T @ flat / len(flat)
    assert np.abs(moment - np.eye(8)).max() < 5 / np.sqrt(len(flat))


@pytest.mark.parametrize("size", few([3, 1, 4, 12], keep=2))
def test_blockwise_products_have_the_dense_gradient(size: int) -> None:
    """Blocks are made again in the reverse pass: the same numbers, or the gradient is another function's."""
    network, dim = MLP(width=5, depth=2), 12
    params = network.init(jax.random.key(0), dim, has_time=False)
    made = Rademacher(jax.random.key(2), 7, dim)

    def blockwise(first: jax.Array) -> jax.Array:
        return jnp.sum(jnp.sin(network.blocks(params | {"first": first}, dim, made.block, size)))

    def dense(first: jax.Array) -> jax.Array:
        whole = [made.block(s, min(size, dim - s)) for s in range(0, dim, size)]
        return jnp.sum(jnp.sin(jnp.concatenate(whole, axis=1) @ first))

    one, other = (jax.value_and_grad(f)(params["first"]) for f in (blockwise, dense))
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5)
