"""Losses as sums of squares: their residuals, the kernel J Jᵀ, and a trainer that solves with it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fields import Plain
from jax.flatten_util import ravel_pytree
from toys import few

import pdezoo
import solvers
from pdezoo import in_float64
from solvers import (
    MLP,
    STDE,
    Adam,
    DoubleSampledLoss,
    Exact,
    GradientEnhancedLoss,
    LeastSquares,
    NaturalGradient,
    NeuralSolver,
    SquaredLoss,
    residual_kernel,
)

SMALL = MLP(width=6, depth=3)
GAUSS_NEWTON = NaturalGradient(learning_rate=1.0, final_rate=1.0, momentum=0.0, damping=1e-4)


def solver_of(estimator: Any, network: Any = SMALL, loss: Any = None) -> NeuralSolver:
    return NeuralSolver("natural", estimator, GAUSS_NEWTON, network, loss or SquaredLoss())


CASES = {
    "exact, few dimensions": (solver_of(Exact()), "allen-cahn/two-body", 4),
    "exact, by WᵀW": (solver_of(Exact()), "allen-cahn/two-body", 9),
    "forward Laplacian": (solver_of(solvers.make("forward-laplacian").estimator), "poisson/two-body", 15),
    "sampled axes": (solver_of(STDE(samples=3)), "allen-cahn/two-body", 9),
    "time": (solver_of(STDE(samples=3)), "semilinear-heat/hard", 7),
    "dense directions": (solver_of(solvers.HTE(samples=3)), "poisson/two-body", 9),
    "axes in a loop": (solver_of(solvers.SDGDBackward(samples=3)), "poisson/two-body", 9),
    "axes side by side": (solver_of(solvers.SDGDParallel(samples=3)), "poisson/two-body", 9),
    "x·∇u": (solver_of(STDE(samples=3)), "black-scholes-barenblatt", 6),
    "mixed partials": (solver_of(STDE()), "kdv/one-soliton", None),
    "several operators": (solver_of(STDE()), "gkdv/gradient-enhanced", None),
    "a soft condition": (solver_of(STDE(samples=3)), "semilinear-allen-cahn/soft", 10),
    "an offset that is read": (
        replace(solvers.make("stde-offset-input", samples=3, width=6, depth=3), trainer=GAUSS_NEWTON),
        "hjb/corrected",
        6,
    ),
    "no structure": (solver_of(STDE(samples=3), Plain(SMALL)), "poisson/two-body", 6),
    "gradient-enhanced": (
        solver_of(STDE(samples=3), loss=GradientEnhancedLoss(0.3, 2)),
        "poisson/two-body",
        6,
    ),
}
HIDDEN = {
    "axes in a loop",
    "axes side by side",
    "x·∇u",
    "no structure",
    "a soft condition",
    "gradient-enhanced",
}
"""Those that use the first weight where its left factor is not there outside; all others have its part from Gram matrices."""

BATCH = 4


def begun(solver: NeuralSolver, name: str, dim: int | None) -> tuple[Any, Any, LeastSquares]:
    """Generic parameters, a key, and the loss as the trainer is handed it."""
    problem = pdezoo.make(name, dim=dim).lower()
    params = solver.network.init(jax.random.key(0), problem.domain.dim, problem.has_time)
    flat, unravel = ravel_pytree(params)
    moved = unravel(flat + 0.2 * jax.random.normal(jax.random.key(1), flat.shape))
    wide = jax.tree.map(jnp.asarray, problem)
    nothing = jax.tree.map(lambda leaf: None, params)
    loss = solver.objective(wide, nothing, BATCH, 0.0)
    assert isinstance(loss, LeastSquares)
    return moved, jax.random.key(2), loss


QUICK = ("time",)
"""The cases of the default tests; the others take up to eight seconds each."""


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=[] if case in QUICK else [pytest.mark.slow]) for case in CASES]
)
def test_residuals_and_their_kernel_are_those_of_the_loss(case: str) -> None:
    """mean r² is the loss, and K is J Jᵀ with J by reverse mode through all of it, in double precision."""

    def run(_: Any) -> Any:
        params, key, loss = begun(*CASES[case])
        flat, unravel = ravel_pytree(params)
        jacobian = jax.jacrev(lambda p: loss.residuals(unravel(p), key))(flat)
        return loss(params, key), loss.residuals(params, key), jacobian, residual_kernel(loss, params, key)

    value, residuals, jacobian, (again, kernel) = in_float64(jax.jit(run), 0)
    assert np.mean(residuals**2) == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(again, residuals, rtol=1e-12, atol=1e-12)
    want = jacobian @ jacobian.T
    np.testing.assert_allclose(kernel, want, rtol=1e-9, atol=1e-10 * np.abs(want).max())
    assert residuals.size >= BATCH


@pytest.mark.parametrize("case", few(CASES, keep=4))
def test_the_first_weight_is_apart_where_it_can_be(case: str) -> None:
    from solvers.trainers import kernel

    seen = []

    def run() -> Any:
        params, key, loss = begun(*CASES[case])
        parts = kernel._parts(loss.network, loss.terms(key), params)
        seen.extend(bool(part.uses) for part in parts)
        return [part.rest for part in parts]

    jax.eval_shape(run)
    assert set(seen) == {case not in HIDDEN}


@pytest.mark.slow
def test_a_trainer_of_residuals_learns_far_faster() -> None:
    """Natural-gradient steps in float32 end a hundred times below as many of Adam, whichever of two rates that has."""
    pde = pdezoo.make("poisson/two-body", dim=3)
    natural = NeuralSolver("natural", Exact(), GAUSS_NEWTON, MLP(width=16, depth=3))
    trainers = (natural.trainer, Adam(1e-2), Adam(3e-3))
    test = pdezoo.TestSet(pde, 200)
    ends = [
        replace(natural, trainer=t).fit(pde, steps=100, batch=64, test=test, evaluations=1, progress=None)
        for t in trainers
    ]
    losses, errors = [r.loss for r in ends], [r.errors["relative_l2"] for r in ends]
    assert losses[0] < 0.01 * min(losses[1:])
    assert errors[0] < 0.1 * min(errors[1:])


def test_progress_comes_from_one_place() -> None:
    """Trainer and loss of step n of N see n/N, and 1 from the end on."""
    seen: dict[str, list[float]] = {"trainer": [], "loss": []}

    @dataclass(frozen=True)
    class Watching(Adam):
        def step(self, loss: Any, params: Any, state: Any, key: Any) -> Any:
            jax.debug.callback(lambda p: seen["trainer"].append(float(p)), loss.progress)
            return super().step(loss, params, state, key)

    @dataclass(frozen=True)
    class Watched(SquaredLoss):
        def __call__(self, residual: Any, key: Any, progress: Any = 0.0) -> Any:
            jax.debug.callback(lambda p: seen["loss"].append(float(p)), progress)
            return super().__call__(residual, key, progress)

    solver = NeuralSolver("watched", STDE(samples=2), Watching(), SMALL, Watched())
    compiled = solver.compile(pdezoo.make("poisson/two-body", dim=4), steps=4, batch=4)
    state = compiled.init(0)
    seen["loss"].clear()  # a network may look at the loss before the first step
    jax.block_until_ready(compiled.advance(state, 6))
    jax.effects_barrier()
    assert sorted(seen["trainer"]) == [0, 0.25, 0.5, 0.75, 1, 1]
    assert sorted(set(seen["loss"])) == [0, 0.25, 0.5, 0.75, 1]


def test_a_loss_without_residuals_is_refused_in_words() -> None:
    pde = pdezoo.make("poisson/two-body", dim=4)
    solver = solver_of(Exact(), loss=DoubleSampledLoss())
    reason = "NaturalGradient minimises sums of squares, and DoubleSampledLoss is none; try SquaredLoss"
    assert solver.unsupported(pde) == reason
    assert solver_of(Exact()).unsupported(pde) is None
    with pytest.raises(ValueError, match="natural cannot solve"):
        solver.fit(pde, steps=1)
