"""Null predictors, against least squares over *all* affine functions and against the published floors."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import pdezoo
from pdezoo import TestSet, fit_nulls, null_errors
from pdezoo.evidence.nulls import degenerate
from pdezoo.lowering.lowered import lower


def arrays(test: TestSet) -> tuple[np.ndarray, np.ndarray]:
    x = np.concatenate([np.asarray(p.x, np.float64) for _, p in test.chunks()])[: test.size]
    return x, test.exact


def residual_of_best(features: np.ndarray, target: np.ndarray) -> float:
    weights, *_ = np.linalg.lstsq(features, target, rcond=None)
    return float(np.linalg.norm(features @ weights - target) / np.linalg.norm(target))


@pytest.mark.parametrize("variant", pdezoo.FEW_BODY)
def test_constant_and_affine_against_full_least_squares(variant: str) -> None:
    """Few parameters span the best affine predictor up to what d + 1 free ones fit of the sample's noise: √(d/size)."""
    dim, size = 8, 6000
    test = TestSet(pdezoo.make(f"poisson/{variant}", dim=dim), size)
    x, exact = arrays(test)
    factor = (1 - (x**2).sum(1) / test.pde.domain.size**2)[:, None]
    errors = {name: e["relative_l2"] for name, e in null_errors(test).items()}
    assert errors["zero"] == 1.0
    assert errors["constant"] == pytest.approx(residual_of_best(factor, exact), rel=1e-9)
    full = residual_of_best(factor * np.concatenate([np.ones((size, 1)), x], axis=1), exact)
    assert full <= errors["affine"] * (1 + 1e-9)
    assert errors["affine"] ** 2 <= full**2 * (1 + 6 * (dim + 1) / size)


def test_source_leak_formula() -> None:
    """The null predictor `source-leak` is −R² (1 − |x|²/R²) g/(2d), computed here from the source alone."""
    test = TestSet(pdezoo.make("poisson/two-body", dim=9), 300)
    x, exact = arrays(test)
    points = pdezoo.Points(np.asarray(x, np.float32))
    source = test.pde.lower().source
    g = pdezoo.in_float64(jax.jit(lambda p: source(p)[0]), points)
    leaked = -(1 - (x**2).sum(1)) * g / (2 * 9)
    want = np.linalg.norm(leaked - exact) / np.linalg.norm(exact)
    assert null_errors(test)["source-leak"]["relative_l2"] == pytest.approx(want, rel=1e-9)


@pytest.mark.parametrize("name", ["zero", "constant", "affine", "source-leak"])
def test_a_null_predicts_what_its_error_says(name: str) -> None:
    test = TestSet(pdezoo.make("allen-cahn/three-body", dim=9), 300)
    predicted = test.errors(fit_nulls(test)[name].predict)
    assert predicted == pytest.approx(null_errors(test)[name], rel=1e-9)


LEADING = {  # leading Taylor terms at d = 100: error = value/|Z|, Z = Σ c_i/√d
    "two-body": {"constant": 3.43e-2, "affine": 4.0e-3},
    "three-body": {"constant": 1.47e-4, "affine": 1.47e-4},
}
WINDOWS = {"two-body": 99, "three-body": 98}
WIDE = {
    "two-body-wide": {"constant": (0.4, 0.72), "affine": (0.25, 0.38)},
    "sin-three-body": {"constant": (0.99, 1.0), "affine": (0.99, 1.0)},
}


def floors(variant: str, seed: int) -> dict[str, float]:
    pde = pdezoo.make(f"poisson/{variant}", dim=100, seed=seed)
    return {name: e["relative_l2"] for name, e in null_errors(TestSet(pde, 1500)).items()}


@pytest.mark.parametrize("variant", LEADING)
@pytest.mark.parametrize("seed", [0, 2, 5, 8])
def test_floors_on_the_unit_ball(variant: str, seed: int) -> None:
    """Seed by seed, since the floor goes as 1/|Z|; the next Taylor term is 30% of it at this dimension."""
    found = floors(variant, seed)
    z = abs(np.random.RandomState([seed, 0]).standard_normal(WINDOWS[variant]).sum() / 10)
    for name, leading in LEADING[variant].items():
        assert found[name] * z == pytest.approx(leading, rel=0.35), name
    if variant == "two-body":
        assert found["source-leak"] == pytest.approx(1.15e-2, rel=0.05)  # 1.15/d, whatever Z


@pytest.mark.parametrize("variant", WIDE)
def test_floors_on_the_wide_ball(variant: str) -> None:
    found = floors(variant, seed=0)
    for name, (low, high) in WIDE[variant].items():
        assert low < found[name] <= high, (name, found[name])


def test_what_is_called_degenerate() -> None:
    fine, bad = {"relative_l2": 0.3}, {"relative_l2": 0.003}
    assert not degenerate({"constant": fine, "affine": fine, "source-leak": bad})
    assert degenerate({"constant": fine, "affine": bad})
    assert degenerate({"constant": bad, "affine": fine})


KINDS = {
    "poisson/two-body": {"zero", "source-leak"},
    "semilinear-heat/hard": {"zero", "mean-field", "terminal"},
    "semilinear-heat/manufactured": {"zero", "persistence"},
    "semilinear-allen-cahn/soft": {"zero", "mean-field", "terminal"},
    "hjb-lqg/log": {"zero", "mean-cost"},
    "kdv/one-soliton": {"zero", "persistence"},
    "black-scholes-barenblatt": {"zero"},  # its function of time grows as the solution does
}


@pytest.mark.parametrize("problem", KINDS)
def test_what_uses_no_solution_is_a_baseline(problem: str) -> None:
    pde = pdezoo.make(problem, dim=None if problem.startswith("kdv") else 10)
    assert set(pde.baseline_names) == KINDS[problem]
    assert set(pde.exact_nulls) >= KINDS[problem] - {"zero"}


def test_a_null_says_whether_it_sees_the_solution() -> None:
    fitted = fit_nulls(TestSet(pdezoo.make("black-scholes-barenblatt", dim=5), 100))
    seeing = {name: null.sees_solution for name, null in fitted.items()}
    assert seeing == {"zero": False, "constant": True, "affine": True, "function-of-time": True}


@pytest.mark.parametrize(
    ("problem", "baseline", "time"),
    [
        ("kdv/one-soliton", "persistence", 0.0),
        ("kdv2d/kink", "persistence", 0.0),
        ("semilinear-heat/manufactured", "persistence", 0.3),
        ("semilinear-heat/hard", "terminal", 0.3),
        ("semilinear-heat/soft", "terminal", 0.3),
        ("semilinear-allen-cahn/soft", "terminal", 0.3),
    ],
)
def test_a_baseline_of_given_values_is_what_the_problem_gives(
    problem: str, baseline: str, time: float
) -> None:
    """At the time at which u is given it is the condition of the problem, and it is the same at all times."""
    pde = pdezoo.make(problem, dim=None if problem.startswith("kdv") else 10)
    given = pde.conditions[0].target if pde.conditions else pde.ansatz.offset
    known = lower((pde.exact_nulls[baseline], given), pde.dim)
    x = pde.domain.sample(jax.random.key(0), 50).x
    at, later = (pdezoo.Points(x, np.full(50, t, np.float32)) for t in (time, 0.1))
    values, expected = pdezoo.in_float64(known, at)
    np.testing.assert_allclose(values, expected, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(pdezoo.in_float64(known, later)[0], values, rtol=1e-12)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"nulls": {"a": 1}, "baselines": {"a": 1}}, "'a' twice"),
        ({"baselines": {"zero": 0}}, "'zero' twice"),
        ({"baselines": [1]}, "`baselines` maps names"),
        ({"nulls": {1: 1}}, "`nulls` maps names"),
    ],
)
def test_a_null_predictor_has_one_name_and_one_kind(fields: dict, words: str) -> None:
    ball = pdezoo.Ball(3)
    with pytest.raises(ValueError, match=words):
        pdezoo.PDE(pdezoo.Laplacian(pdezoo.u), ball, ball.vanishing(), pdezoo.Exact(1 - pdezoo.r2), **fields)
