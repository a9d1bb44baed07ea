"""The network of neighbouring coordinates: derivatives against nested autodiff, what it learns, and what its prior forbids."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sympy as sp
from toys import few

import pdezoo
import solvers
from pdezoo import (
    PDE,
    Ball,
    Coefficients,
    Exact,
    GradNormSq,
    Laplacian,
    Points,
    TestSet,
    X,
    nested_autodiff,
    u,
    window_sum,
)
from solvers import Field, GatedLocalMLP, LocalMLP


def field_on(pde: PDE, network: LocalMLP) -> Field:
    params = network.init(jax.random.key(0), pde.dim, pde.domain.horizon is not None)
    readout = jax.random.normal(jax.random.key(1), params["readout"].shape)
    return Field(pde.lower(), params | {"readout": readout}, network)


@pytest.mark.parametrize("kind", [LocalMLP, GatedLocalMLP])
@pytest.mark.parametrize(("name", "window"), few([("poisson/sin-three-body", 3), ("hjb-lqg/soft-min", 1)]))
def test_derivatives_are_those_of_nested_autodiff(name: str, window: int, kind: type[LocalMLP]) -> None:
    pde = pdezoo.make(name, dim=4)
    with jax.enable_x64(True):
        wide = lambda tree: jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), tree)
        field = wide(field_on(pde, kind(window=window, width=6, features=4)))
        points = wide(field.problem.sample(jax.random.key(2), 3))
        atoms = (u, Laplacian(u), GradNormSq(u))
        by_structure = jax.jit(
            lambda f, p: [solvers.Exact()(f, atoms, p, jax.random.key(3))[a] for a in atoms]
        )
        by_autodiff = jax.jit(lambda f, p: [nested_autodiff(f.value, p, atoms)[a] for a in atoms])
        for found, wanted in zip(by_structure(field, points), by_autodiff(field, points), strict=True):
            assert np.allclose(found, wanted, rtol=1e-9, atol=1e-10)


def few_body(kernel: sp.Expr) -> PDE:
    """Δu = g on the ball of radius √d with u* = (1 − |x|²/d) (8/√d) Σ c_i φ of a window, d = 12."""
    ball = Ball(12, sp.sqrt(12))
    many = 8 / sp.sqrt(12) * window_sum(kernel, coefficients=Coefficients(0))
    return PDE(Laplacian(u), ball, ball.vanishing(), Exact(ball.vanishing().factor * many))


@pytest.mark.parametrize(
    ("kernel", "low", "high"),
    few([(sp.sin(X[0] * X[1] * X[2]), 0.0, 0.6), (sp.sin(X[0] * X[3] * X[6]), 0.9, 1.1)]),
)
def test_it_learns_what_its_prior_allows_and_not_distant_coordinates(
    kernel: sp.Expr, low: float, high: float
) -> None:
    """Of sin(x_i x_{i+1} x_{i+2}) it has most after 400 steps, of sin(x_i x_{i+3} x_{i+6}) nothing: no window has three of them."""
    pde = few_body(kernel)
    solver = solvers.make("local", width=16, depth=2)
    errors = solver.fit(pde, steps=400, test=TestSet(pde, 200), progress=None).errors
    assert errors is not None
    assert low < errors["relative_l2"] < high


def test_it_needs_as_many_coordinates_as_a_window_has() -> None:
    reason = solvers.make("local").unsupported(pdezoo.make("poisson/two-body", dim=2))
    assert reason == "a window has 3 coordinates, the problem has 2"
    with pytest.raises(ValueError, match="at least 1"):
        solvers.make("local", window=0)


def test_time_is_one_more_input() -> None:
    network = LocalMLP(width=4, features=2)
    params = network.init(jax.random.key(0), 4, True)
    moved = params | {"readout": jnp.ones((2, 2))}
    at = lambda t: network.value(moved, Points(jnp.ones((1, 4)), jnp.full(1, t)))
    assert not np.allclose(at(0.0), at(1.0))
