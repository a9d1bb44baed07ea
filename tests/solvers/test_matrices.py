"""Low-rank and seeded weights against the same matrices formed, and the fold's index arithmetic."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pdezoo import in_float64, stream_normals
from solvers import LowRank, Replayed, Seeded, merged, near_square

RNG = np.random.default_rng(5)
SHAPES = [(12, 3), (3, 12), (7, 2), (13, 1), (1, 8), (97, 4), (64, 64), (1000, 8)]


def low_rank(rows: int, columns: int, rank: int = 2) -> LowRank:
    fold = near_square(rows, columns)
    rank = min(rank, fold.left, fold.right)
    draw = lambda *shape: RNG.standard_normal(shape)
    return LowRank(draw(rows, columns), draw(fold.left, rank), draw(rank, rank), draw(fold.right, rank), fold)


def formed(weight: LowRank) -> np.ndarray:
    """W₀ + the numbers of U C Vᵀ by the definition of the fold, one at a time."""
    change, fold = weight.left @ weight.core @ weight.right.T, weight.fold
    whole = np.array(weight.base)
    for i, j in np.ndindex(whole.shape):
        if fold.tall:
            whole[i, j] += change[i % fold.left, i // fold.left * fold.columns + j]
        else:
            whole[i, j] += change.ravel()[i * fold.columns + j]
    return whole


@given(st.integers(1, 3000), st.integers(1, 300))
@settings(max_examples=200, deadline=None)
def test_a_fold_has_room_for_every_number_and_is_near_square(rows: int, columns: int) -> None:
    fold = near_square(rows, columns)
    room = fold.left * fold.right
    assert rows * columns <= room <= rows * columns + fold.inner * columns
    assert max(fold.left, fold.right) <= 16 * min(fold.left, fold.right) or columns > rows


def test_ten_million_rows_fold_to_the_paper_s_factors() -> None:
    fold = near_square(10**7, 128)
    assert (fold.left, fold.right) == (40_000, 32_000)


@pytest.mark.parametrize(("rows", "columns"), SHAPES)
def test_products_rows_and_merging_are_those_of_the_formed_matrix(rows: int, columns: int) -> None:
    weight = low_rank(rows, columns)
    whole, x = formed(weight), RNG.standard_normal((2, 5, rows))
    axes = RNG.integers(0, rows, 4)

    def implicit(w: LowRank, x: Any) -> Any:
        return x @ w, w[jnp.asarray(axes)], merged(w, jnp.asarray(True)), merged(w, jnp.asarray(False))

    product, gathered, after, before = in_float64(jax.jit(implicit), weight, x)
    np.testing.assert_allclose(product, x @ whole, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(gathered, whole[axes], rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(after, whole, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(before, weight.base)


@pytest.mark.slow
@pytest.mark.parametrize(("rows", "size"), [(1000, 64), (997, 64), (1000, 250), (1000, 1000)])
def test_streamed_points_meet_low_rank_weights(rows: int, size: int) -> None:
    """Blocks that do and do not divide the coordinates, a fold with and without virtual rows; float32."""
    x = stream_normals(jax.random.key(0), 6, rows, size)
    weight = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), low_rank(rows, 4))
    held = x.block(0, rows)
    np.testing.assert_allclose(x @ weight, held @ weight, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(x @ weight.base, held @ weight.base, rtol=1e-4, atol=1e-3)


@pytest.mark.slow
def test_a_seeded_matrix_is_one_matrix() -> None:
    """Its rows, its blocks and its products, with held and with streamed points; variance 1/fan-in."""
    weight = Seeded.draw(jax.random.key(1), 5000, 16, fan_in=5000)
    whole = weight.block(0, 5000)
    np.testing.assert_array_equal(weight[jnp.asarray([3, 4999])], whole[jnp.asarray([3, 4999])])
    x = stream_normals(jax.random.key(2), 3, 5000, 700)
    held = x.block(0, 5000)
    for product in (held @ weight, x @ weight):
        np.testing.assert_allclose(product, held @ whole, rtol=1e-4, atol=1e-5)
    assert abs(float(jnp.var(whole)) * 5000 - 1) < 4 * np.sqrt(2 / whole.size)


def replayed(rows: int, columns: int, past: int, rank: int = 2) -> Replayed:
    """A matrix in its subspace number `past`, with room for two more."""
    weight = Replayed.begin(Seeded.draw(jax.random.key(3), rows, columns, rows), rank, past + 2)
    normal = lambda seed, shape: jax.random.normal(jax.random.key(seed), shape)
    cores = weight.cores.at[:past].set(normal(4, (past, *weight.cores.shape[1:])))
    left, right = weight.basis(past)
    now = replace(weight.now, left=left, core=normal(5, weight.now.core.shape), right=right)
    return replace(weight, now=now, cores=cores)


@pytest.mark.slow
@pytest.mark.parametrize(("rows", "columns", "past"), [(997, 4, 3), (24, 40, 2)])
def test_a_replayed_matrix_is_the_sum_of_its_subspaces(rows: int, columns: int, past: int) -> None:
    """W₀ + Σ_k fold(U_k C_k V_kᵀ) formed in float64; held and streamed points, rows; tall and wide folds, virtual rows."""
    axes = np.asarray([0, rows // 2, rows - 1])

    def everything() -> Any:
        weight = replayed(rows, columns, past)
        x = stream_normals(jax.random.key(0), 6, rows, 64)
        held = x.block(0, rows)
        parts = weight.now.base.block(0, rows), jax.vmap(weight.basis)(jnp.arange(past + 1))
        return held, weight, parts, (x @ weight, held @ weight, weight[jnp.asarray(axes)])

    held, weight, (base, bases), (streamed, product, gathered) = jax.jit(everything)()
    assert not np.allclose(bases.left[0], bases.left[1])
    cores = [*np.asarray(weight.cores[:past]), np.asarray(weight.now.core)]
    whole = np.asarray(base, np.float64)
    for left, core, right in zip(bases.left, cores, bases.right, strict=True):
        whole = formed(LowRank(whole, np.asarray(left, np.float64), core, np.asarray(right), weight.now.fold))
    held = np.asarray(held, np.float64)
    scale = np.abs(held @ whole).max()
    np.testing.assert_allclose(product / scale, held @ whole / scale, atol=1e-5)
    np.testing.assert_allclose(streamed / scale, held @ whole / scale, atol=1e-5)
    np.testing.assert_allclose(gathered, whole[axes], atol=1e-5)


def test_merging_in_parts_is_merging() -> None:
    """As many devices would do it, on one."""
    weight = low_rank(1024, 16)
    apart = replace(weight, fold=replace(weight.fold, parts=4))
    assert weight.fold.inner % 4 == 0
    assert weight.fold.left * weight.fold.inner == 1024
    after, before = in_float64(lambda w: (merged(w, jnp.asarray(True)), merged(w, jnp.asarray(False))), apart)
    np.testing.assert_allclose(after, formed(weight), rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(before, weight.base)
