"""The bias of RS-PINN's squared loss: the variance of its estimate, ∝ 1/samples; none with two independent sample sets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pdezoo
import solvers
from solvers import Field
from solvers.loss import Residual

DRAWS = 1000


def over_keys(function: Callable[[Any], Any]) -> np.ndarray:
    return np.asarray(
        jax.jit(lambda s: jax.lax.map(lambda k: function(jax.random.key(k)), s))(jnp.arange(DRAWS))
    )


def centred(name: str, samples: int) -> tuple[Any, Residual]:
    """The row's loss, and its residual less its mean: what is left is the error of the estimate."""
    pde = pdezoo.make("allen-cahn/two-body", dim=10)
    problem, solver = pde.lower(), solvers.make(name, samples=samples, sigma=0.1, width=16, depth=3)
    points = pde.domain.sample(jax.random.key(1), 8)
    field = Field(problem, solver.network.init(jax.random.key(0), 10, False), solver.network)
    residual = lambda p, k: problem.residual(solver.estimator(field, problem.atoms, p, k), p)
    mean = over_keys(lambda k: residual(points, k)).mean(0)
    return solver.loss, Residual(lambda p, k: residual(p, k) - mean, points)


def biases(name: str, samples: int) -> tuple[float, float]:
    """E loss − mean (E r̂)² and its standard error."""
    loss, residual = centred(name, samples)
    drawn = over_keys(lambda k: loss(residual, k))
    return float(drawn.mean()), float(drawn.std() / np.sqrt(DRAWS))


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
