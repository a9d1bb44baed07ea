"""The biases of RS-PINN: that of the square, ∝ 1/samples, and that of powers of u; neither with independent sample sets."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sympy as sp

import pdezoo
import solvers
from benchmarks.instruments.squared_loss_bias import bias
from pdezoo import Dt, Laplacian, u
from solvers import Field
from solvers.loss import Residual
from solvers.methods.rs_pinn import GrowingHybridLoss, _independent_factors, _polarised

DRAWS = 1000


def biases(name: str, samples: int) -> tuple[float, float]:
    """E loss − mean (E r̂)² and its standard error."""
    return bias(name, samples, DRAWS)


@pytest.mark.slow
def test_the_bias_falls_like_one_over_the_samples() -> None:
    """Slope −1 in log-log."""
    (first, error), (last, other) = (biases("rs-pinn", n) for n in (4, 64))
    uncertain = np.hypot(error / first, other / last) / np.log(16)
    assert abs(np.log(last / first) / np.log(16) + 1) < 4 * uncertain < 0.2


@pytest.mark.slow
@pytest.mark.parametrize("samples", [4, 64])
def test_two_sample_sets_have_no_bias(samples: int) -> None:
    bias, error = biases("rs-pinn-unbiased", samples)
    assert abs(bias) < 4 * error
    assert 8 * error < biases("rs-pinn", samples)[0]  # the two cases can be told apart


@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        (Laplacian(u), (0, False)),
        (Laplacian(u) + u, (1, False)),
        (Dt(u) - Laplacian(u) + u**2, (2, False)),
        (Laplacian(u) + u - u**3, (3, False)),
        (u * Dt(u) + Laplacian(u), (1, False)),
        (u**2 * Laplacian(u) + u, (2, True)),
        (Laplacian(u) + sp.sin(u), (0, False)),
        (Laplacian(u) ** 2, (0, False)),
    ],
    ids=str,
)
def test_as_many_sets_as_the_operator_multiplies(operator: Any, expected: tuple[int, bool]) -> None:
    atoms = (Dt(u), Laplacian(u), u)
    assert _independent_factors(SimpleNamespace(operators=(operator,), atoms=atoms)) == expected


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_a_polarised_power_is_the_product_of_its_factors(count: int) -> None:
    """uᵏ becomes u₁…u_k, and a lower power the mean of its products: by all tuples of different factors."""
    factors = [np.float64(n) for n in np.random.default_rng(0).normal(size=(count, 5))]
    with jax.enable_x64(True):
        means, weights = _polarised([jnp.asarray(f) for f in factors])
        for power in range(count + 1):
            products = [np.prod(p, axis=0) for p in itertools.permutations(factors, power)]
            np.testing.assert_allclose(
                weights @ means**power, np.mean(products, axis=0) * np.ones(5), atol=1e-12
            )


@pytest.mark.slow
def test_a_cubic_operator_is_estimated_without_bias() -> None:
    """E r̂ against the operator of E u, where one sample of a wide smoothing is far from its mean. Without Δu, whose noise would
    hide the bias.
    """
    known = pdezoo.make("allen-cahn/two-body", dim=3)
    pde = pdezoo.PDE(operator=u - u**3, domain=known.domain, ansatz=known.ansatz, solution=known.solution)
    problem = pde.lower()
    row = {
        n: solvers.make(n, samples=1, sigma=1.0, width=8, depth=2) for n in ("rs-pinn", "rs-pinn-unbiased")
    }
    points, network = problem.sample(jax.random.key(1), 6), row["rs-pinn"].network
    params = jax.tree.map(lambda a: 2 * a + 0.5, network.init(jax.random.key(0), 3, False))
    field = Field(problem, params, network)
    draw = lambda f, n: np.asarray(
        jax.jit(lambda seeds: jax.lax.map(lambda s: f(jax.random.key(s)), seeds))(n + jnp.arange(20_000)),
        np.float64,
    )
    value = draw(lambda k: row["rs-pinn"].estimator(field, (u,), points, k)[u], 10**6).mean(0)
    expected = (value - value**3 - np.asarray(problem.source(points)[0])) / problem.domain.scale
    drawn = {n: draw(lambda k, r=r: r.estimator.residual(field, points, k)[0], 0) for n, r in row.items()}
    far = {
        n: np.abs((d.mean(0) - expected) / (d.std(0) * np.sqrt(2 / len(d)))).max() for n, d in drawn.items()
    }  # the mean of u has about as much error again
    assert far["rs-pinn-unbiased"] < 4.5
    assert far["rs-pinn"] > 9


def test_the_hybrid_changes_where_the_published_code_does() -> None:
    """After 2,000, 4,000 and 8,000 of 10,000 steps in 10, 100 and 1,000 dimensions, and not later."""
    loss = GrowingHybridLoss()
    of_dim = lambda d: Residual(lambda p, k: jnp.zeros((1, 1)), pdezoo.Points(jnp.zeros((1, d))))
    assert [loss.until(of_dim(d)) for d in (10, 100, 1000, 10**5)] == pytest.approx([0.2, 0.4, 0.8, 0.8])
    biased = lambda p: float(loss(Residual(estimate, points), jax.random.key(0), p))
    estimate = lambda p, k: jnp.sign(jax.random.uniform(k, (1, 4)) - 0.5)
    points = pdezoo.Points(jnp.zeros((4, 100)))
    assert biased(0.39) == 1.0  # a mean of squares of ±1
    assert biased(0.41) < 1.0
