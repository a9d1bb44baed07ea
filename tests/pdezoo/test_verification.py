"""`verify` proves every registered problem, and finds every defect that is planted."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sympy as sp
from toys import NAMED, few, points, small

import pdezoo
from pdezoo import PDE, Ball, Exact, Laplacian, Points, Report, X, in_float64, r2, u, verify, window_sum
from pdezoo.calculus.atoms import Dt, EulerDerivative, GradNormSq
from pdezoo.lowering.autodiff import nested_autodiff
from pdezoo.lowering.lowered import lower


def representatives() -> list[Any]:
    """Every registered name; `slow` but for one of each family whose operator and kind of solution no other family has, and one
    few-body solution.
    """
    alike = {
        "biharmonic",
        "allen-cahn",
        "sine-gordon",
        "semilinear-allen-cahn",
        "kp",
        "kdv2d",
        "heat",
        "burgers-type",
        "burgers",
        "kuramoto-sivashinsky",
        "quadratic-gradient",
        "gkdv",
        "hjb",
        "reaction-diffusion",
    }
    families = {name: name.partition("/")[0] for name in pdezoo.names()}
    first = {family: name for name, family in reversed(families.items()) if family not in alike}
    quick = {*first.values(), "poisson/sin-three-body"}
    return [pytest.param(n, marks=[] if n in quick else [pytest.mark.slow]) for n in pdezoo.names()]


@pytest.mark.parametrize("name", representatives())
def test_every_registered_problem_is_proven(name: str) -> None:
    report = verify(small(name), test_size=500)
    assert report.ok, [c for c in report.checks if not c.ok]
    assert {"inside", "measure"} <= {c.name for c in report.checks}
    assert all(c.method for c in report.checks)
    assert json.loads(json.dumps(report.json()))["ok"] is True


def toy(dim: int, **changes: Any) -> PDE:
    """Δu + u² = g on the unit ball, u* = (1 − |x|²) Σ x_p x_{p+1}: cheap to prove."""
    ball = Ball(dim)
    pde = PDE(
        operator=Laplacian(u) + u**2,
        domain=ball,
        ansatz=ball.vanishing(),
        solution=Exact(ball.vanishing().factor * window_sum(X[0] * X[1])),
        name="toy",
    )
    return replace(pde, **changes)


def failures(make: Callable[[int], PDE]) -> set[str]:
    """The names of the checks that fail at some dimension."""
    report: Report = verify(make(6), remake=make, test_size=100)
    assert report.ok == all(c.ok for c in report.checks)
    return {c.name for c in report.checks if not c.ok}


def test_the_toy_without_a_defect_is_proven() -> None:
    assert failures(toy) == set()


@pytest.mark.parametrize(
    "wrong",
    few([sp.Rational(1, 10**9), sp.Integer(0), r2]),
    ids=["nearly no source", "no source", "another"],
)
def test_a_wrong_typed_source_is_found(wrong: sp.Expr) -> None:
    assert failures(lambda dim: toy(dim, source=wrong)) == {"residual", "source"}


def test_a_small_error_in_a_typed_source_is_found() -> None:
    """An error of one part in 10¹² is too small to see in double precision, and is found by the exact proof."""
    typed = lambda dim: toy(dim).exact_source * (1 + sp.Rational(1, 10**12))
    assert failures(lambda dim: toy(dim, source=typed(dim))) == {"residual"}


def test_the_right_source_may_be_typed() -> None:
    assert failures(lambda dim: toy(dim, source=toy(dim).exact_source)) == set()


@pytest.mark.parametrize(
    "change",
    [{"factor": 1 - r2 / 2}, {"factor": sp.Integer(1)}, {"offset": sp.Rational(1, 100)}, {"offset": r2}],
    ids=["larger ball", "none", "offset", "offset that grows"],
)
def test_an_ansatz_that_violates_the_boundary_is_found(change: dict[str, Any]) -> None:
    assert failures(lambda dim: toy(dim, ansatz=replace(Ball(dim).vanishing(), **change))) == {"condition"}


def test_a_solution_that_does_not_vanish_is_found() -> None:
    assert failures(lambda dim: toy(dim, solution=Exact((2 - r2) * window_sum(X[0] * X[1])))) == {"condition"}


@dataclass(frozen=True)
class Escaping(Ball):
    """Claims the unit ball but draws from a larger one."""

    def sample(self, key: Any, count: int, *rest: Any) -> Points:
        """Draws points of which some lie outside of the ball."""
        inside = super().sample(key, count, *rest)
        return inside._replace(x=1.02 * inside.x)


@dataclass(frozen=True)
class ByVolume(Ball):
    """Claims a uniform radius but draws uniformly by volume."""

    def sample(self, key: Any, count: int, *rest: Any) -> Points:
        """Draws points with the radius R r^{1/d}, r uniform."""
        x = super().sample(key, count, *rest).x
        norm = jnp.linalg.norm(x, axis=1, keepdims=True)
        return Points(x / norm * norm ** (1 / self.dim))


@dataclass(frozen=True)
class Biased(Ball):
    """Uniform radius, but its first coordinate is never negative."""

    def sample(self, key: Any, count: int, *rest: Any) -> Points:
        """Draws points from one half of the ball only."""
        inside = super().sample(key, count, *rest)
        return inside._replace(x=inside.x.at[:, 0].set(jnp.abs(inside.x[:, 0])))


@pytest.mark.parametrize(
    ("domain", "found"),
    few([(Biased, {"measure"}), (ByVolume, {"measure"}), (Escaping, {"inside", "measure"})], keep=2),
)
def test_a_domain_that_samples_otherwise_is_found(domain: type[Ball], found: set[str]) -> None:
    caught = failures(lambda dim: toy(dim, domain=domain(dim)))
    assert caught
    assert caught <= found


def test_the_audit_tells_a_leak() -> None:
    """An ansatz whose offset is the solution leaves nothing to learn."""
    leaky = toy(6, ansatz=replace(Ball(6).vanishing(), offset=toy(6).solution.expr))
    report = verify(leaky, remake=lambda dim: toy(dim), test_size=100)
    assert report.audit["leak"]
    assert not verify(toy(6), remake=toy, test_size=100).audit["leak"]


def still(dim: int, solution: Any) -> PDE:
    """Δu = g on the unit ball, with nothing that holds a condition."""
    return PDE(
        Laplacian(u), Ball(dim), pdezoo.Ansatz(sp.Integer(1), sp.Integer(0)), Exact(solution), name="still"
    )


HARMONIC = {
    "zero": sp.Integer(0),
    "constant": sp.Rational(7, 3),
    "linear": window_sum(X[0]),
    "bilinear": window_sum(X[0] * X[1]),
    "wave that decays": window_sum(sp.exp(X[0]) * sp.sin(X[1])),
}


@pytest.mark.parametrize("solution", HARMONIC.values(), ids=HARMONIC)
def test_nothing_divides_zero_by_zero(solution: sp.Expr) -> None:
    """The operator of a harmonic solution is 0, its source too; errors relative to the zero solution are absolute."""
    report = verify(still(6, solution), remake=lambda dim: still(dim, solution), test_size=100)
    assert report.ok, [c for c in report.checks if not c.ok]
    assert all(np.isfinite(c.value) for c in report.checks)
    assert "none is held" in report.audit["condition"]
    assert np.isfinite(list(report.audit["null_errors"].values())).all()
    json.dumps(report.json(), allow_nan=False)
    test = pdezoo.TestSet(still(6, solution), 100)
    errors = test.errors(lambda at: test.exact[: len(at.x)] + 0.5)
    size = np.sqrt(np.mean(test.exact**2)) or 1.0
    assert errors["relative_l2"] == pytest.approx(0.5 / size)


def test_a_harmonic_solution_with_a_wrong_source_is_found() -> None:
    wrong = lambda dim: replace(still(dim, window_sum(X[0])), source=sp.Rational(1, 10**6))
    assert failures(wrong) == {"residual", "source"}


def test_a_source_that_single_precision_cannot_hold_is_found() -> None:
    """cosh(60 x)² is beyond 10³⁸ at |x| > 0.73; the same function as 1 − tanh² is not."""
    holds = {"residual": True, "source": True, "single precision": False}
    sharp = lambda dim: still(dim, window_sum(1 / sp.cosh(60 * X[0]) ** 2))
    report = verify(sharp(2), remake=sharp, test_size=50)
    found = {c.name: c for c in report.checks}
    assert {name: found[name].ok for name in holds} == holds
    assert "not finite" in found["single precision"].detail
    tame = lambda dim: still(dim, window_sum(1 - sp.tanh(X[0]) ** 2))
    assert verify(tame(2), remake=tame, test_size=50).ok


def test_a_problem_outside_the_registry_is_proven_at_its_own_dimension() -> None:
    report = verify(still(5, window_sum(X[0] ** 2)), test_size=50)
    assert report.ok
    assert {c.method for c in report.checks if c.name == "residual"} == {"50-digit arithmetic, d = 5"}
    with pytest.raises(ValueError, match="give `remake`"):
        verify(still(400, sp.Integer(1)), test_size=50)


def test_a_changed_problem_is_not_proven_by_the_registered_one_of_its_name() -> None:
    registered = pdezoo.make("poisson/two-body", dim=5)
    changed = replace(registered, source=registered.exact_source + sp.Rational(1, 100))
    assert changed.name == registered.name
    assert {c.name for c in verify(changed, test_size=50).checks if not c.ok} == {"residual", "source"}


def test_nested_autodiff_against_a_known_function() -> None:
    """u = (1 − |x|²) exp(x_0 + 2 x_1): Δu, |∇u|² and x·∇u by hand."""
    at = points(3)
    x = np.asarray(at.x, np.float64)
    e, s = np.exp(x[:, 0] + 2 * x[:, 1]), (x**2).sum(1)
    gradient = e[:, None] * (-2 * x + (1 - s)[:, None] * np.array([1.0, 2.0, 0.0]))
    value = lambda p: (1 - jnp.sum(p.x**2, 1)) * jnp.exp(p.x[:, 0] + 2 * p.x[:, 1])
    wanted = (u, Laplacian(u), GradNormSq(u), EulerDerivative(u))
    found = in_float64(jax.jit(lambda p: [nested_autodiff(value, p, (a,))[a] for a in wanted]), at)
    laplacian = e * (-6 - 4 * (x[:, 0] + 2 * x[:, 1]) + 5 * (1 - s))
    expected = [(1 - s) * e, laplacian, (gradient**2).sum(1), (x * gradient).sum(1)]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_lowered_calculus_against_nested_autodiff() -> None:
    """Every atom with exact calculus, evaluated in O(d), against autodiff of the lowered function."""
    dim, at = 5, points(5, time=True)
    function = NAMED["evolving"].collective()
    wanted = (Laplacian(u), GradNormSq(u), EulerDerivative(u), Dt(u), Dt(u, 2))
    fast = lower(tuple(sp.sympify(a.calculus(function)) for a in wanted), dim)
    value = lower((function,), dim)
    found = in_float64(jax.jit(lambda p: fast(p)), at)
    expected = in_float64(
        jax.jit(lambda p: [nested_autodiff(lambda q: value(q)[0], p, (a,))[a] for a in wanted]), at
    )
    for atom, one, other in zip(wanted, found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9, err_msg=str(atom))
