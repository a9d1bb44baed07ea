"""Monte Carlo labels: their mean against exact solutions, what a trainer sees of them, refusals, and what a fit to them finds."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toys import few

import pdezoo
import solvers
from pdezoo import PDE, TestSet, in_float64
from pdezoo.lowering.lowered import lower
from solvers import MLP, Field, MonteCarloLabels

LABELS = MonteCarloLabels()
LINEAR = ("poisson/sin-three-body", "fokker-planck/anisotropic", "heat", "black-scholes-barenblatt")
SEMILINEAR = ("sine-gordon/sin-three-body", "semilinear-sine-gordon/manufactured", "allen-cahn/two-body")


def exactly(pde: PDE) -> Any:
    """What labels need of a field, with the exact solution in place of a network."""
    lowered = lower((pde.exact,), pde.dim)
    return SimpleNamespace(problem=pde.lower(), value=lambda points: lowered(points)[0])


def moments(field: Any, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The mean of the residuals at three points over many keys, and its standard error, each (3,)."""
    points = field.problem.sample(jax.random.key(2), 3)
    one = lambda key: LABELS.residual(field, points, key)[0]
    drawn = jax.jit(lambda keys: jax.lax.map(one, keys))(jax.random.split(jax.random.key(3), count))
    drawn = np.asarray(drawn, np.float64)
    return drawn.mean(0), drawn.std(0) / np.sqrt(count)


@pytest.mark.parametrize("name", few(LINEAR, keep=2))
def test_labels_of_linear_equations_have_the_solution_as_their_mean(name: str) -> None:
    """Whatever the network is: the mean residual is u_θ − u*."""
    pde = pdezoo.make(name, dim=4)
    field = Field(
        pde.lower(),
        MLP(width=8, depth=2).init(jax.random.key(0), 4, pde.domain.horizon is not None),
        MLP(8, 2),
    )
    points = field.problem.sample(jax.random.key(2), 3)
    mean, error = moments(field, 600)
    off = np.asarray(field.value(points)) - np.asarray(exactly(pde).value(points))
    assert np.abs(off).max() > 5 * error.max()
    assert (np.abs(mean - off) <= 4 * error + 1e-5).all()


@pytest.mark.parametrize("name", few(SEMILINEAR))
def test_the_solution_is_the_fixed_point_of_labels_with_f_of_u(name: str) -> None:
    """E Y = A + K[f(u) − g] is u for the exact solution, and not for twice that."""
    pde = pdezoo.make(name, dim=4)
    field = exactly(pde)
    mean, error = moments(field, 600)
    assert (np.abs(mean) <= 4 * error + 1e-5).all()
    double = SimpleNamespace(problem=field.problem, value=lambda points: 2 * field.value(points))
    assert (np.abs(moments(double, 600)[0]) > 4 * error).any()


def test_a_label_is_no_function_of_the_parameters() -> None:
    """The gradient of a residual is that of u_θ, where the label has f(u_θ) too."""
    pde, network = pdezoo.make("sine-gordon/sin-three-body", dim=4), MLP(width=8, depth=2)

    def gradients(_: Any) -> Any:
        problem, params = pde.lower(), network.init(jax.random.key(0), 4, False)
        points = problem.sample(jax.random.key(1), 5)
        value = lambda p: jnp.sum(Field(problem, p, network).value(points))
        residual = lambda p: jnp.sum(LABELS.residual(Field(problem, p, network), points, jax.random.key(2)))
        return jax.grad(value)(params), jax.grad(residual)(params)

    want, found = in_float64(jax.jit(gradients), 0)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), found, want)


def test_a_function_of_a_mean_is_refused_and_so_is_a_cut_at_nothing() -> None:
    reason = LABELS.unsupported(pdezoo.make("hjb-lqg/log", dim=5), MLP())
    assert reason is not None
    assert "that of a draw is biased" in reason
    assert "no expectation is known" in str(
        LABELS.unsupported(pdezoo.make("biharmonic/two-body", dim=5), MLP())
    )
    with pytest.raises(ValueError, match="bound is where values are cut off"):
        MonteCarloLabels(bound=0)


@pytest.mark.parametrize(
    ("solver", "problem", "steps", "bound"),
    few(
        [
            ("local-regression", "poisson/sin-three-body", 400, 0.5),
            ("feynman-kac-regression-lsq", "heat", 200, 0.5),
            ("local-regression", "sine-gordon/sin-three-body", 200, 0.5),
        ]
    ),
)
def test_a_fit_to_labels_finds_the_solution(solver: str, problem: str, steps: int, bound: float) -> None:
    """Far below what an affine function leaves."""
    pde = pdezoo.make(problem, dim=5)
    test = TestSet(pde, 500)
    errors = solvers.make(solver).fit(pde, steps=steps, test=test, progress=None).errors
    affine = solvers.make("null-affine").fit(pde, steps=1, test=test, progress=None).errors
    assert errors is not None
    assert affine is not None
    assert errors["relative_l2"] < bound * affine["relative_l2"]
