"""The fast step computes what the plain one does: the same losses from the same seeds, to float32 rounding."""

from __future__ import annotations

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import pdezoo
import solvers
from benchmarks.instruments.plain_step import plain_loss, plain_step
from solvers import Axes

DIM, STEPS, BATCH, SAMPLES = 30, 12, 20, 4


def test_training_gives_the_losses_of_the_plain_step() -> None:
    """Collapsed jets, gathered rows, polynomial sines, fused sums, one pass for all moments: all of it, twelve steps on."""
    solver = solvers.make("stde", samples=SAMPLES, width=16, depth=3)
    pde = pdezoo.make("allen-cahn/two-body", DIM)
    problem = solvers.on_device(pde)
    state = solver.init(problem, 0, STEPS)
    first = state.params
    plain = [(first["first"], first["bias"]), *first["layers"]]
    optimizer = optax.adam(optax.linear_schedule(1e-3, 0.0, STEPS))
    moments = optimizer.init(plain)
    coefficients = jnp.asarray(pdezoo.Coefficients(0).values(DIM - 1), jnp.float32)
    ours = jax.jit(lambda s: solver.step(problem, s, BATCH))
    theirs = jax.jit(jax.value_and_grad(plain_loss))
    for _ in range(STEPS):
        where, how, _ = jax.random.split(jax.random.fold_in(state.key, state.step), 3)
        axes = Axes.draw(how, SAMPLES, DIM).indices
        loss, gradient = theirs(plain, problem.sample(where, BATCH).x, axes, coefficients)
        state = ours(state)
        np.testing.assert_allclose(state.loss, loss, rtol=2e-5)
        updates, moments = optimizer.update(gradient, moments)
        plain = optax.apply_updates(plain, updates)


@pytest.mark.slow
def test_the_plain_step_trains() -> None:
    step, (params, moments, key) = plain_step(10)
    before = [np.asarray(weight) for weight, _ in params]
    params, moments, key = step(params, moments, key)
    after = [np.asarray(weight) for weight, _ in params]
    assert all(np.isfinite(a).all() and np.any(a != b) for a, b in zip(after, before, strict=True))


@pytest.mark.slow
def test_the_same_holds_as_users_compile_it() -> None:
    """In a process of its own, with all of the compiler's optimisations: the default tests go without those of LLVM."""
    test = f"{__file__}::{test_training_gives_the_losses_of_the_plain_step.__name__}"
    flags = os.environ.get("XLA_FLAGS", "").replace("level=0", "level=3")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", test]
    done = subprocess.run(
        command, env=os.environ | {"XLA_FLAGS": flags}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:]
