"""The reference solutions against published digits, independent methods and 30-digit arithmetic."""

from __future__ import annotations

from importlib.resources import as_file, files
from itertools import pairwise

import mpmath
import numpy as np
import pytest
from numpy.polynomial.chebyshev import chebvander
from scipy.special import roots_genlaguerre, roots_hermitenorm

from pdezoo.references import (
    ALLEN_CAHN,
    ALLEN_CAHN_VALUES,
    HEAT,
    SINE,
    allen_cahn_mean,
    allen_cahn_mean_field,
    gaussian_average,
    hopf_cole_coordinate,
    hopf_cole_l1,
    initial_value,
    log_cost_value,
    mean_field,
    radial_solution,
)
from pdezoo.references.mean_field import gaussian_average_slope
from pdezoo.references.radial import COARSE, FINE, Resolution, solve_defect

DIMS = [10, 100, 1_000, 10_000]
REACTIONS = {"heat": HEAT, "sine": SINE}
BOTH = pytest.mark.parametrize("reaction", [HEAT, SINE], ids=lambda r: r.name)
ALL = pytest.mark.parametrize("reaction", [HEAT, SINE, ALLEN_CAHN], ids=lambda r: r.name)

# u(0.3, 0) to about two units in the last digit, from collocation for u itself and from a splitting method
POINT = {
    ("heat", 10): "0.4695498713521",
    ("heat", 100): "0.3166278075858",
    ("heat", 1_000): "0.2874683916039",
    ("heat", 10_000): "0.2843071315915",
    ("sine", 10): "0.3229263853357",
    ("sine", 100): "0.05280943540291",
    ("sine", 1_000): "0.005588915870749",
    ("sine", 10_000): "0.000562085082282",
}
JENSEN = {
    ("heat", 10): "0.469772882246",
    ("heat", 100): "0.316631671287",
    ("heat", 1_000): "0.287468396941",
    ("heat", 10_000): "0.284307131597",
    ("sine", 10): "0.322981574836",
    ("sine", 100): "0.052809517914",
    ("sine", 1_000): "0.005588915882",
    ("sine", 10_000): "0.000562085082283",
}
AT_0_6 = {  # u at t = 0.3, |x|²/d = 0.6
    ("heat", 10): "0.409635038",
    ("heat", 100): "0.301039518",
    ("heat", 1_000): "0.285718876",
    ("heat", 10_000): "0.284130118",
    ("sine", 10): "0.213363053",
    ("sine", 100): "0.0273756183",
    ("sine", 1_000): "0.00280470967",
    ("sine", 10_000): "0.000281145596",
}
MEAN_FIELD_ERROR = {  # relative, at t = 0.3, x = 0, to two digits
    ("heat", 10): 4.7e-4,
    ("heat", 100): 1.2e-5,
    ("heat", 1_000): 1.9e-8,
    ("heat", 10_000): 1.9e-11,
    ("sine", 10): 1.7e-4,
    ("sine", 100): 1.6e-6,
    ("sine", 1_000): 2.0e-9,
    ("sine", 10_000): 1.8e-12,
}


def agrees(value: float, digits: str, units: float = 1.0) -> bool:
    """Whether value agrees with a printed decimal to so many units of its last digit."""
    return abs(value - float(digits)) <= units * 10.0 ** -len(digits.partition(".")[2])


# --- the radial solver ---


@pytest.mark.parametrize(("name", "dim"), POINT)
def test_point_values(name: str, dim: int) -> None:
    reference = radial_solution(dim, REACTIONS[name])
    assert agrees(reference.value(0.0, 0.3), POINT[name, dim], units=2)
    assert agrees(reference.value(0.6 * dim, 0.3), AT_0_6[name, dim])
    assert reference.error_bound < 1e-14


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize(("name", "key"), [("heat", "heat"), ("sine", "sg")])
def test_field_tables(name: str, key: str, dim: int) -> None:
    """Tables by collocation for u itself, whose own error near x = 0 grows with d for the sine."""
    with as_file(files("pdezoo.references") / "radial_ref.npz") as path, np.load(path) as tables:
        y, length, times = tables[f"y_{dim}"][1:], tables[f"Lm_{dim}"], tables["t"][:, None]
        table = tables[f"{key}_{dim}"][:, 1:]
    s = length * (1 + y) / (1 - y)
    value = radial_solution(dim, REACTIONS[name]).value(s, times)
    worst = {1_000: 2e-12, 10_000: 4e-11}.get(dim, 1.5e-13) if key == "sg" else 3e-13
    np.testing.assert_allclose(value, table, rtol=worst, atol=0)
    np.testing.assert_allclose(value, table, rtol=0, atol=4e-14)


def test_high_dimensions() -> None:
    for name, dim, digits in [
        ("heat", 100_000, "0.283988384715169"),
        ("heat", 1_000_000, "0.28395648364315"),
        ("sine", 100_000, "0.000056240554980099"),
        ("sine", 1_000_000, "0.000005624376077084"),
    ]:
        reference = radial_solution(dim, REACTIONS[name])
        assert reference.error_bound < 5e-13
        assert float(reference.value(0.0, 0.3)) == pytest.approx(float(digits), rel=1e-13)
    assert float(HEAT.flow(0.0, 0.3)) == pytest.approx(0.283952938783272, rel=4e-15)  # d → ∞


@pytest.mark.parametrize(("name", "dim"), MEAN_FIELD_ERROR)
def test_mean_field_error_and_jensen_bound(name: str, dim: int) -> None:
    reaction = REACTIONS[name]
    exact, bound = radial_solution(dim, reaction).value(0.0, 0.3), mean_field(dim, reaction, 0.0, 0.3)
    assert agrees(bound, JENSEN[name, dim])
    assert bound > exact
    assert bound / exact - 1 == pytest.approx(MEAN_FIELD_ERROR[name, dim], rel=0.04)


@pytest.mark.parametrize(
    ("name", "dim", "largest"),
    [
        ("heat", 2, 1.2e-3),
        ("heat", 100, 3.9e-5),
        ("heat", 10_000, 1.2e-8),
        ("heat", 100_000, 1.4e-10),
        ("sine", 100, 2.3e-6),
        ("sine", 10_000, 2.2e-10),
    ],
)
def test_largest_mean_field_error_over_the_domain(name: str, dim: int, largest: float) -> None:
    """The largest error of the mean field falls like d^-2, near x = 0 at times of order 1/d: far above that at t = 0.3, x = 0."""
    s, t = np.append(0.0, np.geomspace(0.01, 100.0 * dim, 80)), np.geomspace(1e-3 / dim, 0.3, 80)[:, None]
    approximate, exact = (
        mean_field(dim, REACTIONS[name], s, t),
        radial_solution(dim, REACTIONS[name]).value(s, t),
    )
    assert np.abs(approximate / exact - 1).max() == pytest.approx(largest, rel=0.05)


@BOTH
def test_mean_field_bounds_the_whole_field(reaction) -> None:
    s, t = np.geomspace(1e-2, 1e4, 40), np.linspace(0.002, 0.3, 15)[:, None]
    assert np.all(radial_solution(100, reaction).value(s, t) <= mean_field(100, reaction, s, t))


@BOTH
@pytest.mark.parametrize("dim", [3, 30])
def test_independent_splitting_method(reaction, dim: int) -> None:
    """Strang splitting with the exact semigroup and the exact flow, extrapolated: no derivatives, no Radau.

    Its own rounding, over 64 averagings, is 2e-14 to 5e-14 on data whose average is known.
    """
    for horizon in (0.04, 0.3):
        s, other = splitting(dim, reaction, horizon)
        value = radial_solution(dim, reaction).value(s, horizon)
        np.testing.assert_allclose(value, other, rtol=0, atol=1e-13)


def splitting(dim: int, reaction, horizon: float) -> tuple[np.ndarray, np.ndarray]:
    """u at nodes |x|² < 40 d by five levels of Richardson extrapolation; the error is even in the step."""
    degree, length = 96, 2.0 * np.sqrt(dim)
    y = np.cos(np.pi * (np.arange(degree) + 0.5) / degree)
    s = length * (1 + y) / (1 - y)
    rows = [strang(dim, reaction, horizon, steps, y, s, length) for steps in (4, 8, 16, 32, 64)]
    for order in range(1, 5):
        rows = [fine + (fine - rough) / (4**order - 1) for rough, fine in pairwise(rows)]
    near = s < 40 * dim
    return s[near], rows[0][near]


def strang(dim: int, reaction, horizon: float, steps: int, y, s, length: float) -> np.ndarray:
    semigroup = averaging(dim, horizon / steps, y, s, length)
    u = reaction.flow(initial_value(s), horizon / steps / 2)
    for step in range(1, steps + 1):
        u = reaction.flow(semigroup @ u, horizon / steps / (2 if step == steps else 1))
    return u


def averaging(dim: int, h: float, y, s, length: float) -> np.ndarray:
    """E u(|x + √(2h) Z|²) of the interpolant at the nodes: one normal along x, a chi-square across it."""
    normal, normal_weight = roots_hermitenorm(28)
    gamma, gamma_weight = roots_genlaguerre(28, (dim - 3) / 2)
    weight = np.outer(normal_weight / normal_weight.sum(), gamma_weight / gamma_weight.sum()).ravel()
    along = (np.sqrt(s)[:, None] + np.sqrt(2 * h) * normal) ** 2
    moved = (along[:, :, None] + 4 * h * gamma).reshape(len(s), -1)
    basis = chebvander((moved - length) / (moved + length), len(y) - 1)
    return np.einsum("q,iqk->ik", weight, basis) @ np.linalg.inv(chebvander(y, len(y) - 1))


@BOTH
@pytest.mark.parametrize("dim", [1, 2, 10, 1_000])
def test_residual_by_finite_differences(reaction, dim: int) -> None:
    value = radial_solution(dim, reaction).value
    s, t = np.array([0.3, 2.0, 9.0, 40.0]), np.array([0.04, 0.11, 0.27])[:, None]
    time_derivative = difference(lambda e: value(s, t + e), 1e-3)
    slope = difference(lambda e: value(s + e * s, t), 1e-2) / s
    second = difference(lambda e: difference(lambda b: value((1 + e + b) * s, t), 1e-2), 1e-2) / s**2
    residual = time_derivative - 4 * s * second - 2 * dim * slope - reaction.rate(value(s, t))
    assert np.abs(residual).max() < 1e-8 * max(1.0, dim / 10)


def difference(function, step: float) -> np.ndarray:
    """Central difference of order six."""
    weights = {1: 45, 2: -9, 3: 1}
    return sum(w * (function(k * step) - function(-k * step)) for k, w in weights.items()) / (60 * step)


def test_initial_value_shapes_and_dense_time() -> None:
    reference = radial_solution(10, HEAT)
    s = np.array([[0.0, 1.0, 50.0]])
    np.testing.assert_allclose(
        reference.value(s, 0.0), initial_value(s), rtol=1e-14
    )  # processors round differently
    assert reference.value(s, np.zeros((4, 1))).shape == (4, 3)
    assert reference.value(np.empty(0), 0.1).shape == (0,)
    ends = reference.defect.times[1:-1]
    before, after = reference.value(1.0, ends * (1 - 1e-12)), reference.value(1.0, ends * (1 + 1e-12))
    np.testing.assert_allclose(before, after, rtol=1e-11)


def test_horizon_does_not_matter() -> None:
    short, long = radial_solution(10, SINE, 0.1), radial_solution(10, SINE, 1.0)
    s, t = np.geomspace(0.1, 1e3, 30), np.linspace(0, 0.1, 11)[:, None]
    np.testing.assert_allclose(short.value(s, t), long.value(s, t), rtol=short.error_bound + long.error_bound)


def test_error_bound_sees_a_poor_solution() -> None:
    """The bound's ingredient, the difference of resolutions, exceeds the finer one's error many times."""
    s, t = np.geomspace(0.01, 1e3, 50), np.full(50, 0.03)
    poor, coarse, fine = (solve_defect(30, HEAT, 0.3, r)(s, t) for r in (Resolution(32, 4, 12), COARSE, FINE))
    assert np.abs(poor - coarse).max() > 100 * np.abs(coarse - fine).max()


@pytest.mark.parametrize(
    ("dim", "s", "t", "message"),
    [
        (0, 1.0, 0.1, "dimension"),
        (2, -1.0, 0.1, "x_norm_sq"),
        (2, 1.0, 0.31, "longer"),
        (2, 1.0, np.nan, "time"),
    ],
)
def test_bad_points(dim: int, s: float, t: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        radial_solution(dim, HEAT).value(s, t)


def test_bad_horizon() -> None:
    with pytest.raises(ValueError, match="horizon"):
        radial_solution(2, HEAT, 0.0)


# --- reactions, averages ---


@ALL
def test_flow_solves_its_equation(reaction) -> None:
    u, t = np.linspace(-0.9, 0.9, 19), 0.7
    rate = difference(lambda e: reaction.flow(u, t + e), 1e-2)
    np.testing.assert_allclose(rate, reaction.rate(reaction.flow(u, t)), atol=1e-10)
    np.testing.assert_allclose(reaction.flow(reaction.flow(u, 0.3), 0.4), reaction.flow(u, t), rtol=1e-13)
    np.testing.assert_allclose(reaction.flow(u, 0.0), u, rtol=1e-15)


@ALL
def test_slope_and_curvature(reaction) -> None:
    u, t = np.linspace(-0.7, 0.7, 14), 0.7
    np.testing.assert_allclose(difference(lambda e: reaction.rate(u + e), 1e-2), reaction.slope(u), atol=1e-9)
    second = difference(lambda e: difference(lambda b: reaction.flow(u + e + b, t), 1e-2), 1e-2)
    np.testing.assert_allclose(reaction.curvature(u, t), second, atol=1e-7)


def test_sine_flow_beyond_the_first_branch() -> None:
    u = np.array([4.0, 9.0, -20.0])
    rate = difference(lambda e: SINE.flow(u, 0.7 + e), 1e-2)
    np.testing.assert_allclose(rate, np.sin(SINE.flow(u, 0.7)), atol=1e-10)


def test_heat_flow_rejects_values_outside() -> None:
    with pytest.raises(ValueError, match=r"\|u\| < 1"):
        HEAT.flow(1.0, 0.1)


@pytest.mark.parametrize("dim", [1, 2, 10, 1_000, 10_000_000])
def test_gaussian_average_against_thirty_digits(dim: int) -> None:
    for s in (0.0, 0.7, 30.0, 1e5):
        for t in (0.0, 1e-4, 0.3):
            exact = precise_average(dim, s, t)
            assert abs(gaussian_average(dim, s, t) / exact - 1) < 4e-15
            assert abs(mean_field(dim, HEAT, s, t) / precise_heat_flow(exact, t) - 1) < 5e-15
            assert abs(mean_field(dim, SINE, s, t) / precise_sine_flow(exact, t) - 1) < 5e-15


@mpmath.workdps(30)
def precise_average(dim: int, s: float, t: float) -> mpmath.mpf:
    """∫ e^-2l (1+al)^(-d/2) exp(-(2/5) l s/(1+al)) dl with a = 8t/5, in the logarithm of l."""
    a = mpmath.mpf(8) * t / 5

    def integrand(y: mpmath.mpf) -> mpmath.mpf:
        size = mpmath.exp(y)
        return (
            size
            * mpmath.exp(-2 * size - mpmath.mpf(2) / 5 * size * s / (1 + a * size))
            / (1 + a * size) ** (mpmath.mpf(dim) / 2)
        )

    center = -mpmath.log(2 + a * dim / 2 + mpmath.mpf(2) / 5 * s)
    return mpmath.quad(integrand, [center + k for k in (-70, -30, -15, -8, -4, -2, 0, 1, 2, 3, 4, 6, 9)])


@mpmath.workdps(30)
def precise_heat_flow(u: mpmath.mpf, t: float) -> mpmath.mpf:
    target = 2 * mpmath.atanh(u) - u + t
    return mpmath.tanh(
        mpmath.findroot(lambda angle: 2 * angle - mpmath.tanh(angle) - target, mpmath.atanh(u) + t)
    )


@mpmath.workdps(30)
def precise_sine_flow(u: mpmath.mpf, t: float) -> mpmath.mpf:
    return 2 * mpmath.atan(mpmath.tan(u / 2) * mpmath.exp(t))


@pytest.mark.parametrize("dim", [2, 10, 101])
def test_gaussian_average_at_the_origin(dim: int) -> None:
    """(1/a) e^(2/a) E_{d/2}(2/a), the generalised exponential integral."""
    a = 8 * 0.3 / 5
    exact = mpmath.exp(2 / a) * mpmath.expint(dim / 2, 2 / a) / a
    assert float(gaussian_average(dim, 0.0, 0.3)) == pytest.approx(float(exact), rel=5e-15)


def test_gaussian_average_slope() -> None:
    s, t = np.array([0.5, 3.0, 40.0]), np.array([0.0, 0.01, 0.3])[:, None]
    slope = difference(lambda e: gaussian_average(50, s + e, t), 1e-2)
    np.testing.assert_allclose(gaussian_average_slope(50, s, t), slope, rtol=1e-9)


# --- Allen-Cahn with arctan of the maximum ---


@pytest.mark.parametrize(
    ("dim", "mean", "closed", "error"),
    [
        (10, "0.8322120241", "0.896723", 7.0e-3),
        (100, "1.0862697278", "1.0446805", 4.2e-4),
        (1_000, "1.1884414482", "1.0912473", 7.6e-5),
        (10_000, "1.2457642713", "1.1146808", 2.3e-5),
        (100_000, "1.2835108230", "1.1291498", 7.8e-6),
    ],
)
def test_allen_cahn(dim: int, mean: str, closed: str, error: float) -> None:
    value = ALLEN_CAHN_VALUES[dim]
    assert agrees(allen_cahn_mean(dim), mean)
    assert agrees(allen_cahn_mean_field(dim), closed)
    relative = allen_cahn_mean_field(dim) / value.value - 1
    assert abs(relative - error) <= 0.02 * error + 2 * value.standard_error


def test_allen_cahn_mean_by_sampling() -> None:
    draws = np.arctan(np.sqrt(0.6) * np.random.default_rng(0).standard_normal((200_000, 10)).max(axis=1))
    assert abs(allen_cahn_mean(10) - draws.mean()) < 4 * draws.std() / np.sqrt(draws.size)


def test_allen_cahn_mean_at_zero_time_and_bad_time() -> None:
    assert allen_cahn_mean(100, 0.0) == 0.0
    with pytest.raises(ValueError, match="at most 1"):
        allen_cahn_mean(100, 2.0)


# --- control ---


@pytest.mark.parametrize(
    ("dim", "digits"),
    [
        (10, "2.1570224648247"),
        (100, "4.5901617246049"),
        (1_000, "6.9062551578732"),
        (10_000, "9.2101903707301"),
        (100_000, "11.512910464958"),
    ],
)
def test_log_cost_digits(dim: int, digits: str) -> None:
    assert agrees(log_cost_value(dim, 0.0, 1.0), digits)


@pytest.mark.parametrize("mu", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("dim", [1, 10, 1_000])
def test_log_cost_solves_its_equation(dim: int, mu: float) -> None:
    s, tau = np.array([0.4, 3.0, 2.0 * dim]), np.array([0.2, 1.0])[:, None]
    np.testing.assert_allclose(log_cost_value(dim, s, 0.0, mu), np.log((1 + s) / 2), atol=1e-14)
    rate = difference(lambda e: log_cost_value(dim, s, tau + e, mu), 1e-3)
    slope = difference(lambda e: log_cost_value(dim, s + e * s, tau, mu), 1e-2) / s
    inner = 1e-2
    second = difference(
        lambda e: difference(lambda b: log_cost_value(dim, (1 + e + b) * s, tau, mu), inner), inner
    )
    residual = rate - 4 * second / s - 2 * dim * slope + mu * 4 * s * slope**2
    assert np.abs(residual).max() < 2e-8


def test_log_cost_at_ten_million_dimensions() -> None:
    s = np.linspace(0, 1e8, 20_000)
    value = log_cost_value(10_000_000, s, 0.5, 20.0)
    np.testing.assert_allclose(value, np.log((1 + s + 1e7) / 2), atol=1e-4)  # X concentrates
    with pytest.raises(ValueError, match="power"):
        log_cost_value(10, 0.0, 1.0, 0.0)


def test_hopf_cole_digits() -> None:
    x = np.full((3, 20), 0.5)
    assert agrees(hopf_cole_l1(x, 1.0, 0.01)[0], "25.8823493148")
    assert agrees(hopf_cole_l1(x, np.ones(3), 0.05)[2], "25.5623141637")


def test_hopf_cole_against_sixty_digits() -> None:
    for x in (0.0, 1e-3, 0.5, -3.0, 40.0):
        for tau in (1e-12, 1e-3, 1.0, 100.0):
            for kappa in (0.01, 1.0, 30.0):
                error = abs(hopf_cole_coordinate(x, tau, kappa) - precise_coordinate(abs(x), tau, kappa))
                assert error <= 1e-15 * (1 + 1 / kappa + abs(x))


@mpmath.workdps(60)
def precise_coordinate(x: float, tau: float, kappa: float) -> mpmath.mpf:
    x, tau, kappa = mpmath.mpf(x), mpmath.mpf(tau), mpmath.mpf(kappa)
    width = 2 * mpmath.sqrt(tau)
    terms = [
        mpmath.exp(sign * kappa * x) * mpmath.erfc((2 * kappa * tau + sign * x) / width) for sign in (-1, 1)
    ]
    return -(kappa * tau + mpmath.log(mpmath.fsum(terms) / 2) / kappa)


def test_hopf_cole_extremes_are_finite() -> None:
    x = np.array([0.0, 1e-300, 1e-8, 1.0, 1e4, 1e150, -1e300])
    tau = np.array([0.0, 1e-300, 1e-8, 1.0, 1e8])[:, None]
    for kappa in (1e-6, 1.0, 1e6):
        assert np.all(np.isfinite(hopf_cole_coordinate(x, tau, kappa)))
    np.testing.assert_array_equal(hopf_cole_coordinate(x, 0.0, 0.05), np.abs(x))


def test_hopf_cole_solves_its_equation() -> None:
    x, tau, kappa = np.array([0.0, 0.3, 2.0, -4.0]), np.array([0.1, 1.0])[:, None], 0.3
    rate = difference(lambda e: hopf_cole_coordinate(x, tau + e, kappa), 1e-3)
    slope = difference(lambda e: hopf_cole_coordinate(x + e, tau, kappa), 1e-2)
    second = difference(
        lambda e: difference(lambda b: hopf_cole_coordinate(x + e + b, tau, kappa), 1e-2), 1e-2
    )
    np.testing.assert_allclose(rate, second - kappa * slope**2, atol=1e-8)


def test_hopf_cole_bad_arguments() -> None:
    with pytest.raises(ValueError, match="kappa"):
        hopf_cole_l1(np.zeros(3), 1.0, 0.0)
    with pytest.raises(ValueError, match="time to go"):
        hopf_cole_l1(np.zeros(3), -1.0, 0.1)
