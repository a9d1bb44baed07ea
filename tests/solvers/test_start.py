"""A read-out that is fitted by least squares before the training."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.flatten_util
import numpy as np
import pytest
from toys import few

import pdezoo
import solvers
from pdezoo import TestSet
from solvers import MLP, Adam, Exact, NeuralSolver, ReadoutStart

NETWORK = MLP(width=12, depth=3)
PLAIN = NeuralSolver("plain", Exact(), Adam(), NETWORK)
FITTED = replace(PLAIN, name="fitted", start=ReadoutStart(points=200, ridge=1e-6))


def parameters(solver: NeuralSolver, pde: pdezoo.PDE, seed: int = 0) -> dict:
    return jax.jit(lambda problem: solver.init(problem, seed, 10).params)(solvers.on_device(pde))


def test_a_linear_equation_is_fitted_as_by_a_library() -> None:
    """The residual of Poisson's equation is affine in the read-out: NumPy's least squares in float64 leaves the same loss."""
    pde = pdezoo.make("poisson/two-body-wide", dim=4)
    problem, params = solvers.on_device(pde), parameters(PLAIN, pde)
    (term,) = PLAIN.terms(problem, jax.random.key(5), 100)
    residuals = jax.jit(lambda p: term.rows(p, term.points)[0])
    fitted = jax.jit(lambda p: ReadoutStart(ridge=1e-7)(residuals, NETWORK, p))(params)
    flat, rebuilt = jax.flatten_util.ravel_pytree(NETWORK.readout(params))
    slopes = jax.jit(jax.jacfwd(lambda v: residuals(NETWORK.with_readout(params, rebuilt(v)))))(flat)
    slopes, begin = np.asarray(slopes, np.float64), np.asarray(residuals(params), np.float64)
    best = begin - slopes @ np.linalg.lstsq(slopes, begin, rcond=None)[0]
    assert np.sum(np.asarray(residuals(fitted)) ** 2) == pytest.approx(np.sum(best**2), rel=0.02)
    assert np.sum(best**2) < 0.5 * np.sum(begin**2)


@pytest.mark.parametrize("name", few(["semilinear-heat/hard", "allen-cahn/two-body"]))
def test_the_loss_falls_and_all_else_stays(name: str) -> None:
    pde = pdezoo.make(name, dim=5)
    problem, start, found = solvers.on_device(pde), parameters(PLAIN, pde), parameters(FITTED, pde)
    loss = jax.jit(lambda params: PLAIN.evaluate(problem, params, jax.random.key(7), 300))
    assert loss(found) < 0.8 * loss(start)
    assert np.array_equal(found["first"], start["first"])
    assert jax.tree.all(jax.tree.map(np.array_equal, parameters(FITTED, pde), found))


@pytest.mark.slow
def test_a_training_begins_there_within_its_seconds() -> None:
    pde = pdezoo.make("poisson/two-body", dim=4)
    fitted = FITTED.fit(pde, steps=3, test=TestSet(pde, 20), progress=None)
    assert fitted.steps == 3
    assert fitted.seconds > fitted.history[-1]["step"] / (fitted.steps_per_second or 1) * 0.5
    assert FITTED.fit(pde, steps=10**6, seconds=0.0, progress=None).steps == 0


def test_it_is_among_the_hyperparameters_only_where_there_is_one() -> None:
    assert "start" not in PLAIN.hyperparameters()
    assert solvers.make("stde-lsq", ridge=0.1).hyperparameters()["start"]["ridge"] == 0.1
    assert solvers.make("local").with_hyperparameters(window=2).start is None


def test_what_has_no_read_out_is_refused_in_words() -> None:
    pde = pdezoo.make("poisson/two-body", dim=4)
    for row in ("tt-fo", "local"):
        without = replace(solvers.make(row), start=ReadoutStart())
        assert "offers no read-out" in (without.unsupported(pde) or "")
    double = replace(solvers.make("stde-unbiased"), start=ReadoutStart())
    assert "sums of squares" in (double.unsupported(pde) or "")
    with pytest.raises(ValueError, match="positive"):
        ReadoutStart(ridge=0.0)
