"""The diagnostics against dense linear algebra and closed forms, and what they say of a small network.

A tolerance of `WITHIN` standard errors is passed by chance less than once in 10⁴ comparisons; all seeds are fixed.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import pdezoo
import solvers
from solvers import theory

WITHIN = 4.0
PDE = pdezoo.make("poisson/two-body", dim=8)


def small(**changes: Any) -> Any:
    return solvers.make("sdze", width=6, depth=2, samples=3, rank=2, queries=2, **changes)


def as_predicted(curve: theory.Curve) -> None:
    """Within sampling error, which is small enough to mean something."""
    seen, error, predicted = (np.asarray(a) for a in (curve.seen, curve.error, curve.predicted))
    assert (np.abs(seen - predicted) < WITHIN * error).all(), curve
    assert (error < 0.1 * predicted).all(), curve


@pytest.mark.slow
def test_variance_against_epsilon() -> None:
    """Slopes 0 and −2. The draws are the same at every ε, so that sampling error moves a curve and hardly tilts it."""
    locked, apart = theory.slope_variance(small(), PDE, epsilons=(1e-4, 1e-3, 1e-2), draws=500, batch=8)
    assert locked.slope() == pytest.approx(0, abs=0.02)
    assert apart.slope() == pytest.approx(-2, abs=0.02)
    np.testing.assert_allclose(locked.seen, locked.predicted, rtol=0.02)
    as_predicted(apart)


@pytest.mark.slow
def test_moments_of_the_gradient_estimate() -> None:
    for curve in theory.gradient_moments(small(), PDE, ranks=(2,), draws=4096, batch=4):
        as_predicted(curve)


@pytest.mark.slow
def test_alignment_with_the_gradient_of_all_parameters() -> None:
    curves = theory.alignment(small(), PDE, ranks=(2,), queries=(1, 8), draws=2000, batch=4)
    assert [c.variable for c in curves] == ["q", "rank", "rank"]
    for curve in curves:
        as_predicted(curve)


@pytest.mark.parametrize(("name", "wrong"), [("stde", {}), ("sdze", {"width": 20_000})])
def test_what_cannot_be_measured_is_refused(name: str, wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"got .*(sdze|Adam|smaller)"):
        theory.begin(solvers.make(name, depth=2, **wrong), PDE, 4, 0)


def two_layers(params: Any) -> Any:
    """b tanh(x A) at four points."""
    return jnp.tanh(X @ params["A"]) @ params["b"]


X = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
LAYERS = {"A": jax.random.normal(jax.random.key(1), (3, 5)), "b": jax.random.normal(jax.random.key(2), (5,))}
FLAT, UNRAVEL = ravel_pytree(LAYERS)


def test_the_kernel_is_that_of_the_explicit_jacobian() -> None:
    """∂f/∂A_ij = x_i b_j (1 − tanh²), ∂f/∂b_j = tanh, written out in double precision."""
    weight, read = (np.asarray(LAYERS[name], np.float64) for name in ("A", "b"))
    hidden = np.tanh(X.astype(np.float64) @ weight)
    inner = np.einsum("ni,nj->nij", X, read * (1 - hidden**2)).reshape(4, -1)
    jacobian = np.concatenate([inner, hidden], 1)
    found = theory.tangent_kernel(lambda p: two_layers(UNRAVEL(p)), FLAT)
    np.testing.assert_allclose(found, jacobian @ jacobian.T, rtol=1e-5, atol=1e-6)


def test_the_mean_of_estimated_kernels_is_the_kernel() -> None:
    function = lambda p: two_layers(UNRAVEL(p))
    drawn = theory.random_tangents(function, FLAT, jax.random.key(3), 4096)
    kernels = theory.zeroth_order_kernels(drawn, 4)
    error = kernels.std(0) / math.sqrt(len(kernels))
    assert (np.abs(kernels.mean(0) - theory.tangent_kernel(function, FLAT)) < WITHIN * error).all()
    explicit = sum(np.outer(y, y) for y in drawn[4:8]) / 4
    np.testing.assert_allclose(kernels[1], explicit, rtol=1e-12)


@pytest.mark.slow
def test_the_error_halves_when_queries_quadruple() -> None:
    """And is the predicted one for every number of queries and of parameters."""
    curves = theory.kernel_error(small(), PDE, widths=(4, 24), queries=(1, 4, 16), outputs=(3, 6))
    errors = [c for c in curves if c.quantity == "relative error of K̂"]
    for curve in errors:
        as_predicted(curve)
    against_q = [c for c in errors if c.variable == "q"]
    assert len(against_q) == 2
    for curve in against_q:
        assert curve.slope() == pytest.approx(-0.5, abs=0.05)
    for curve in curves[len(errors) :]:
        assert (np.asarray(curve.seen) < curve.predicted).all()


@pytest.mark.slow
@pytest.mark.parametrize("queries", [1, 16])
def test_the_error_does_not_depend_on_the_number_of_parameters(queries: int) -> None:
    """Linear functions with one and the same kernel, of 6 and of 3,000 parameters."""
    random = np.random.default_rng(5)
    root = random.normal(size=(6, 6))
    seen = []
    for size in (6, 3000):
        frame = np.linalg.qr(random.normal(size=(size, 6)))[0]
        matrix = jnp.asarray(root @ frame.T, jnp.float32)
        along = theory.random_tangents(lambda p, m=matrix: m @ p, jnp.zeros(size), jax.random.key(size), 8192)
        seen.append(theory._frobenius(along, root @ root.T, queries))
    (few, few_error, few_predicted), (many, many_error, many_predicted) = seen
    assert few_predicted == many_predicted
    assert abs(few - many) < WITHIN * math.hypot(few_error, many_error) < 0.25 * few
    assert abs(many - many_predicted) < WITHIN * many_error


def test_a_slope_is_fitted_between_bounds() -> None:
    at = (0.1, 1.0, 10.0, 100.0)
    curve = theory.Curve("", "", "", at, (99.0, 3.0, 0.3, 0.03), (0.0,) * 4, at)
    assert curve.slope(low=1) == pytest.approx(-1)
    assert curve.slope() != pytest.approx(-1, abs=0.01)
