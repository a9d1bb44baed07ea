"""STDE's rows against what its published code computes: the full gradient, and the weight of the gradient-enhanced loss."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toys import few

import pdezoo
import solvers
from pdezoo import GradNormSq, Laplacian, u
from solvers import Axes, Exact, Field
from solvers.loss import Residual
from solvers.methods.stde import FullGradientSTDE, ScaledGradientEnhancedLoss


@pytest.mark.parametrize(("dim", "width"), few([(6, 4), (5, 16)]), ids=["d > h", "d < h"])
def test_the_gradient_is_full_and_the_laplacian_is_sampled(dim: int, width: int) -> None:
    """|∇u|² is that of nested automatic differentiation for every key; Δu is that of `stde`."""
    problem = pdezoo.make("hjb-lqg/log", dim=dim).lower()
    rows = {
        name: solvers.make(name, samples=2, width=width, depth=3) for name in ("stde", "stde-full-gradient")
    }
    network = rows["stde"].network
    field = Field(problem, network.init(jax.random.key(0), dim, True), network)
    points, key = problem.sample(jax.random.key(1), 4), jax.random.key(2)
    found = {name: row.estimator(field, problem.atoms, points, key) for name, row in rows.items()}
    exact = pdezoo.nested_autodiff(field.value, points, (GradNormSq(u),))[GradNormSq(u)]
    full = found["stde-full-gradient"]
    np.testing.assert_allclose(full[GradNormSq(u)], exact, rtol=2e-4)
    assert np.abs(found["stde"][GradNormSq(u)] / exact - 1).max() > 1e-2
    np.testing.assert_allclose(full[Laplacian(u)], found["stde"][Laplacian(u)], rtol=1e-5)
    assert set(full) >= set(problem.atoms)


def test_it_is_stde_where_the_operator_has_no_square_of_the_gradient() -> None:
    problem = pdezoo.make("poisson/two-body", dim=5).lower()
    network = solvers.make("stde", width=4, depth=2).network
    field = Field(problem, network.init(jax.random.key(0), 5, False), network)
    points, key = problem.sample(jax.random.key(1), 3), jax.random.key(2)
    one, other = (e(field, problem.atoms, points, key) for e in (FullGradientSTDE(2), solvers.STDE(2)))
    assert all(jnp.array_equal(one[atom], other[atom]) for atom in problem.atoms)


@pytest.mark.slow
def test_the_gradient_is_weighted_as_published() -> None:
    """mean r² + w · (J/d) · (mean over J axes and points of (∂_j r)²), with ∂_j r from the whole gradient."""
    problem = pdezoo.make("allen-cahn/two-body", dim=7).lower()
    network = solvers.make("exact", width=4, depth=2).network
    field = Field(problem, network.init(jax.random.key(0), 7, False), network)
    points, key = problem.sample(jax.random.key(1), 3), jax.random.key(2)
    residual = lambda p, k: problem.residual(Exact()(field, problem.atoms, p, k), p)
    found = ScaledGradientEnhancedLoss(weight=0.3, axes=2)(Residual(residual, points), key)
    at = lambda x: residual(pdezoo.Points(x[None]), key)[0, 0]
    values, slopes = jax.vmap(jax.value_and_grad(at))(points.x)
    axes = Axes.draw(jax.random.split(key)[1], 2, 7).indices
    expected = jnp.mean(values**2) + 0.3 * (2 / 7) * jnp.mean(slopes[:, axes] ** 2)
    assert float(found) == pytest.approx(float(expected), rel=1e-4)
    alike = ScaledGradientEnhancedLoss(weight=0.3, axes=2).rows(Residual(residual, points), key)
    assert float(jnp.sum(jnp.mean(alike**2, axis=1))) == pytest.approx(float(expected), rel=1e-4)


def test_dense_stde_is_hte_with_random_signs() -> None:
    assert solvers.make("stde-dense").parts() == solvers.make("hte").parts()
