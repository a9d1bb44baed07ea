"""Hamilton-Jacobi-Bellman problems and Black-Scholes-Barenblatt: quoted values, floors, leaks, what is wrong as printed."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toys import few

import pdezoo
from pdezoo import Points, TestSet, d, in_float64, null_errors, verify
from pdezoo.calculus.atoms import apply
from pdezoo.lowering.lowered import lower
from pdezoo.references import hopf_cole_l1

SIZE = 2000


def floors(name: str, dim: int, seed: int = 0) -> dict[str, float]:
    test = TestSet(pdezoo.make(name, dim, seed), size=SIZE)
    return {k: e["relative_l2"] for k, e in null_errors(test).items()}


def exact(name: str, dim: int) -> Any:
    value = lower((pdezoo.make(name, dim).exact,), dim)
    return lambda points: value(points)[0]


def test_as_printed_the_claimed_solution_is_none() -> None:
    """The residual of the printed problem is 1 − d/100, zero at d = 100 only. `verify` expects that, since the caveat says so."""
    pde = pdezoo.make("hjb/printed", 20)
    assert (apply(pde.operator, pde.exact) - pde.exact_source).expand() == 1 - d / 100
    report = verify(pde, test_size=100)
    assert report.ok
    assert "0.01" in report.caveat
    assert {c.name for c in report.checks if not c.ok} == {"residual", "source"}


@pytest.mark.parametrize(
    ("variant", "leak", "degenerate"),
    [("printed", True, True), ("corrected-leaking", True, True), ("corrected", False, True)],
)
def test_leaks_are_flagged(variant: str, leak: bool, degenerate: bool) -> None:
    from pdezoo.evidence.verification import audit

    found = audit(TestSet(pdezoo.make(f"hjb/{variant}", 20), size=SIZE))
    assert (found["leak"], found["degenerate"]) == (leak, degenerate)


@pytest.mark.parametrize(
    ("name", "dim", "floor"),
    [
        ("hjb/corrected", 100, 1.1e-2),
        ("hjb/corrected", 1000, 1.15e-3),
        ("hjb-lin", 100, 5.8e-2),
        ("hjb-lin", 1000, 1.8e-2),
    ],
)
def test_the_data_alone_have_the_quoted_error(name: str, dim: int, floor: float) -> None:
    found = floors(name, dim)
    assert found["zero"] == pytest.approx(floor, rel=0.06)
    assert found["constant"] < 1e-12  # n = 1 is the solution


def test_hopf_cole_has_the_quoted_value() -> None:
    point = Points(np.full((1, 20), 0.5), np.zeros(1))
    assert in_float64(exact("hjb/whole-space", 20), point)[0] == pytest.approx(25.562314163746215, rel=1e-14)


@pytest.mark.parametrize("dim", few([20, 3, 1000]))
def test_hopf_cole_in_both_precisions(dim: int) -> None:
    """The lowered closed form against the scaled error functions of the reference, over the whole measure."""
    pde = pdezoo.make("hjb/whole-space", dim)
    points, value = pde.domain.sample(jax.random.key(0), 300), exact("hjb/whole-space", dim)
    x, t = (np.asarray(a, np.float64) for a in points)
    wanted = hopf_cole_l1(x, 1 - t, 1 / dim)
    np.testing.assert_allclose(in_float64(value, points), wanted, rtol=1e-11)
    np.testing.assert_allclose(jax.jit(value)(points), wanted, rtol=2e-4)


def test_the_whole_space_ansatz_starts_from_diffused_data() -> None:
    """The offset of the ansatz on R^d solves b_t + Δb = 0 and is |x|₁ at t = 1."""
    pde = pdezoo.make("hjb/whole-space", 4)
    heat = apply(pdezoo.Dt(pdezoo.u) + pdezoo.Laplacian(pdezoo.u), pde.ansatz.offset)
    both = lower((heat, pde.ansatz.offset), 4)
    points = pde.domain.sample(jax.random.key(0), 50)
    assert np.abs(in_float64(lambda p: both(p)[0], points)).max() < 1e-12
    end = points._replace(t=jnp.ones(50))
    np.testing.assert_allclose(both(end)[1], jnp.abs(points.x).sum(1), rtol=1e-6)


@pytest.mark.parametrize(
    ("dim", "value"), [(10, 2.1570224648247), (100, 4.5901617246049), (1000, 6.9062551578732)]
)
def test_the_logarithmic_cost_has_the_quoted_value(dim: int, value: float) -> None:
    assert TestSet(pdezoo.make("hjb-lqg/log", dim), size=1).probed == pytest.approx(value, rel=1e-13)


def test_the_quadratic_cost_by_hand() -> None:
    points = Points(np.full((1, 7), 0.5), np.array([0.25]))
    by_hand = 7 * 0.25 / 5 + 3.5 * np.log(2.5)
    assert in_float64(exact("hjb-lqg/quadratic", 7), points)[0] == pytest.approx(by_hand, rel=1e-14)


@pytest.mark.parametrize(("dim", "floor"), [(100, 5.7e-2), (1000, 1.8e-2)])
def test_the_quadratic_cost_concentrates(dim: int, floor: float) -> None:
    """Computes the error of the terminal data plus a function of time, fitted as a polynomial."""
    test = TestSet(pdezoo.make("hjb-lqg/quadratic", dim), size=SIZE)
    assert fitted(test, times(test)) == pytest.approx(floor, rel=0.08)


@pytest.mark.parametrize(
    ("variant", "floors"), [("soft-min", (0.5, 0.35, 0.2)), ("mixture", (0.9, 0.85, 0.3))]
)
def test_soft_minima_are_not_degenerate(variant: str, floors: tuple[float, ...]) -> None:
    """Lower bounds of the errors of a constant, of a function of time, and of the data plus one."""
    test = TestSet(pdezoo.make(f"hjb-lqg/{variant}", 100), size=SIZE)
    plain = [fitted(test, times(test, degree), data=False) for degree in (0, 5)]
    on_data = fitted(test, times(test) * test.table["factor"][:, None])
    assert all(found > floor for found, floor in zip([*plain, on_data], floors, strict=True))


def times(test: TestSet, degree: int = 5) -> np.ndarray:
    """The powers 1, t, …, t^degree at the test points."""
    return np.vander(test.predict(lambda p: p.t), degree + 1)


def fitted(test: TestSet, features: np.ndarray, data: bool = True) -> float:
    """Computes the relative L2 error of the terminal data plus the best linear combination of features."""
    target = test.exact - (test.table["offset"] if data else 0)
    rest = target - features @ np.linalg.lstsq(features, target, rcond=None)[0]
    return float(np.linalg.norm(rest) / np.linalg.norm(test.exact))


@pytest.mark.parametrize(
    ("variant", "dim"), few([("soft-min", 10_000), ("mixture", 100), ("soft-min", 3)], keep=2)
)
def test_soft_minima_are_stable_in_single_precision(variant: str, dim: int) -> None:
    points = pdezoo.make(f"hjb-lqg/{variant}", dim).domain.sample(jax.random.key(0), 200)
    value = exact(f"hjb-lqg/{variant}", dim)
    wanted = in_float64(value, points)
    np.testing.assert_allclose(jax.jit(value)(points), wanted, atol=2e-5 * np.abs(wanted).max())


@pytest.mark.parametrize(("dim", "floor"), [(100, 1.4e-1), (1000, 4.4e-2)])
def test_black_scholes_barenblatt_is_a_function_of_time(dim: int, floor: float) -> None:
    found = floors("black-scholes-barenblatt", dim)
    assert found["function-of-time"] == pytest.approx(floor, rel=0.06)
    assert found["constant"] < 1e-2  # under the papers' ansatz
