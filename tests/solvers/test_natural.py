"""The natural gradient with momentum: its formula, what it remembers, and the memory of its step."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fields import Plain
from jax.flatten_util import ravel_pytree
from test_memory import largest_array

import pdezoo
import solvers
from pdezoo import Points, in_float64
from solvers import MLP, Compiled, LeastSquares, NaturalGradient, Term

BATCH, WIDTH = 5, 8
SMALL = {"width": WIDTH, "depth": 3}


PARAMS = {"w": jnp.array([[0.3, -0.2], [0.1, 0.4], [-0.5, 0.2]]), "v": jnp.array([0.7, -0.6])}


def a_loss(progress: float = 0.0, scale: float = 1.0) -> LeastSquares:
    """Two rows of residuals of a small function at random points of three coordinates, times `scale`."""

    def terms(key: Any) -> tuple[Term, ...]:
        def rows(params: Any, points: Points) -> Any:
            value = jnp.tanh(points.x @ params["w"]) @ params["v"]
            return scale * jnp.stack([value - 1, value**2])

        return (Term(Points(jax.random.normal(key, (BATCH, 3)), None), rows),)

    return LeastSquares(lambda params, key: jnp.zeros(()), progress, Plain(MLP()), terms)


@pytest.mark.parametrize("momentum", [0.0, 0.8])
def test_a_step_is_the_formula_with_an_explicit_jacobian(momentum: float) -> None:
    """φ = μφ₋ + Jᵀ(JJᵀ + λI)⁻¹(r − μJφ₋) and θ − η(1 − progress)φ, in double precision, with J by reverse mode."""
    trainer = NaturalGradient(learning_rate=0.3, momentum=momentum, damping=0.01)

    def run(params: Any) -> Any:
        loss, key = a_loss(progress=0.25), jax.random.key(2)
        flat, unravel = ravel_pytree(params)
        before = jax.random.normal(jax.random.key(3), flat.shape)
        moved, later, value = trainer.step(loss, params, unravel(before) if momentum else None, key)
        after = before if later is None else ravel_pytree(later)[0]
        jacobian = jax.jacrev(lambda p: loss.residuals(unravel(p), key))(flat)
        return flat, before, ravel_pytree(moved)[0], after, value, loss.residuals(params, key), jacobian

    flat, before, moved, after, value, r, jacobian = in_float64(jax.jit(run), PARAMS)
    kernel = jacobian @ jacobian.T
    shifted = kernel + 0.01 * np.trace(kernel) / r.size * np.eye(r.size)
    want = momentum * before + jacobian.T @ np.linalg.solve(shifted, r - momentum * jacobian @ before)
    np.testing.assert_allclose(moved, flat - 0.3 * 0.75 * want, rtol=1e-9, atol=1e-11)
    if momentum:
        np.testing.assert_allclose(after, want, rtol=1e-9, atol=1e-11)
    assert value == pytest.approx(np.mean(r**2), rel=1e-12)


@pytest.mark.parametrize("scale", [jnp.inf, 1e30])
def test_a_loss_that_is_not_finite_changes_nothing(scale: float) -> None:
    """Residuals of 1e30 have squares beyond float32; so have the numbers of their kernel."""
    trainer, state = NaturalGradient(), jax.tree.map(jnp.ones_like, PARAMS)
    moved, later, value = jax.jit(lambda p, s: trainer.step(a_loss(scale=scale), p, s, jax.random.key(0)))(
        PARAMS, state
    )
    assert not jnp.isfinite(value)
    jax.tree.map(np.testing.assert_array_equal, (moved, later), (PARAMS, state))


def test_only_momentum_is_remembered() -> None:
    params = {"w": jnp.ones((2, 3))}
    assert NaturalGradient(momentum=0.0).init(params, 1) is None
    assert NaturalGradient().init(params, 1)["w"].shape == (2, 3)
    assert solvers.make("engd").trainer.momentum == 0


@pytest.mark.parametrize("wrong", [{"damping": 0.0}, {"momentum": 1.0}, {"momentum": -0.1}])
def test_numbers_that_cannot_be_meant_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"damping is|momentum is"):
        NaturalGradient(**wrong)


def compiled_step(name: str, dim: int) -> Compiled:
    return solvers.make(name, **SMALL).compile(
        pdezoo.make("allen-cahn/two-body", dim=dim), steps=10, batch=BATCH
    )


@pytest.mark.slow
def test_memory_grows_as_a_few_weights_and_no_jacobian_is_formed() -> None:
    """Nothing is larger than the first weight or the points, and what a dimension adds to the plan are weights, and points."""
    few, many = (compiled_step("spring", dim) for dim in (5_003, 10_007))
    assert largest_array(many) <= max(BATCH, WIDTH) * 10_007
    numbers = (many.bytes - few.bytes) / 4 / (10_007 - 5_003)
    assert numbers <= 6 * WIDTH + 8 * BATCH
