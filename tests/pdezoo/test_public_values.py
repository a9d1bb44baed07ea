"""u* and the residual of any function, as a user asks for them."""

from __future__ import annotations

import doctest
import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toys import few, small

import pdezoo
import solvers
from pdezoo import Ball, Points, Problem, TestSet, in_float64
from pdezoo.lowering.lowered import lower

KINDS = [
    "poisson/two-body",
    "kdv/one-soliton",
    "black-scholes-barenblatt",
    "semilinear-heat/hard",
    "hjb-lqg/log",
]


@pytest.mark.parametrize("name", KINDS)
def test_the_solution_at_test_points_is_the_test_set_s(name: str) -> None:
    """`solution_at` gives the test set's values, for closed forms and for computed references."""
    test = TestSet(small(name), size=50)
    (where, points), *_ = test.chunks()
    found = test.pde.solution_at(points)
    assert (found.dtype, found.shape) == (np.float64, (50,))
    np.testing.assert_allclose(found, test.exact[where], rtol=1e-13)


def test_points_need_not_be_held() -> None:
    pde = pdezoo.make("poisson/two-body", dim=40)
    ball: Any = pde.domain
    lazy = ball.stream(jax.random.key(0), 3, 7)
    held = Points(pdezoo.materialize(lazy.x))
    np.testing.assert_allclose(pde.solution_at(lazy), pde.solution_at(held), rtol=1e-13)


def test_a_solution_known_at_one_point_says_so() -> None:
    pde = pdezoo.make("semilinear-allen-cahn/soft", dim=10)
    points = pde.domain.sample(jax.random.key(0), 3)
    with pytest.raises(ValueError, match=r"one point only, x = \(0, …, 0\) and t = 0: .*TestSet"):
        pde.solution_at(points)


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (Points(jnp.zeros((2, 3)), jnp.zeros(2)), r"x of shape \(B, 4\), got \(2, 3\)"),
        (Points(jnp.zeros(4), jnp.zeros(1)), r"x of shape \(B, 4\), got \(4,\)"),
        (Points(jnp.zeros((2, 4))), r"times t of shape \(2,\), got None"),
        (Points(jnp.zeros((2, 4)), jnp.zeros(3)), r"times t of shape \(2,\), got \(3,\)"),
    ],
)
def test_points_of_another_problem_are_refused(points: Points, message: str) -> None:
    pde = pdezoo.make("black-scholes-barenblatt", dim=4)
    for ask in (pde.solution_at, lambda p: pde.lower().residual_of(lambda q: q.x[:, 0], p)):
        with pytest.raises(ValueError, match=message):
            ask(points)


@pytest.mark.parametrize(
    "name", few(["kdv/one-soliton", "poisson/two-body", "black-scholes-barenblatt", "gkdv/gradient-enhanced"])
)
def test_the_residual_of_the_solution_is_zero_and_another_s_is_not(name: str) -> None:
    pde = small(name)
    problem, exact = pde.lower(), lower((pde.exact,), pde.dim)
    points = pde.domain.sample(jax.random.key(0), 8)
    of = lambda f: in_float64(jax.jit(lambda p: problem.residual_of(f, p)), points)
    found = of(lambda p: exact(p)[0])
    size = np.abs(in_float64(jax.jit(lambda p: jnp.stack(problem.source(p))), points)).max() + 1
    assert found.shape == (len(pde.operators), 8)
    assert np.abs(found).max() < 1e-9 * size
    assert np.abs(of(lambda p: exact(p)[0] + jnp.sin(p.x[:, 0]))).max() > 1e-3


def test_the_residual_of_a_function_by_hand() -> None:
    """f = |x|²: Δf = 2d, divided by the scale d/R² of a ball."""
    ball = Ball(5, radius=2)
    pde = pdezoo.PDE(pdezoo.Laplacian(pdezoo.u), ball, ball.vanishing(), pdezoo.Exact(pdezoo.r2), source=3)
    found = pde.lower().residual_of(lambda p: jnp.sum(p.x**2, 1), ball.sample(jax.random.key(0), 4))
    np.testing.assert_allclose(found, np.full((1, 4), (10 - 3) / (5 / 4)), rtol=1e-5)


def test_a_function_gives_one_number_for_each_point() -> None:
    problem = pdezoo.make("poisson/two-body", dim=4).lower()
    points = problem.sample(jax.random.key(0), 3)
    for wrong in (lambda p: p.x, lambda p: jnp.sum(p.x), lambda p: p.x[:, :1]):
        with pytest.raises(ValueError, match=r"an array of shape \(3,\), got"):
            problem.residual_of(wrong, points)


@pytest.mark.parametrize("heading", ["Values and residuals", "An atom of your own"])
def test_the_examples_of_the_guide(heading: str) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "adding-a-pde.md").read_text(encoding="utf-8")
    section = guide.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    found: dict[str, Any] = {"__name__": "example"}
    exec(code, found)
    if "residual" in found:
        assert (found["exact"].shape, found["residual"].shape) == ((5,), (1, 5))
    else:
        assert "∂²u/∂xᵢ∂xᵢ₊₁" in str(solvers.make("stde").unsupported(found["mixed"](5)))


@pytest.mark.parametrize("method", [pdezoo.PDE.solution_at, Problem.residual_of])
def test_the_examples_of_the_docstrings(method: Any) -> None:
    (example,) = doctest.DocTestFinder().find(method, method.__name__, globs={})
    assert example.examples
    assert doctest.DocTestRunner().run(example).failed == 0
