"""Option prices: references against Black and Scholes' formula and finite differences, published values, and their domain."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import solve_banded
from scipy.stats import norm
from toys import few

import pdezoo
import solvers
from pdezoo import Points, TestSet
from pdezoo.families.pricing import GeometricTube
from pdezoo.references import DIFFERENT_RATES_VALUES, different_rates_price, linear_price
from pdezoo.references.pricing import BORROWING, HORIZON, LENDING, VOLATILITY, borrowed, payoff


def call(x: float, strike: float, rate: float) -> tuple[float, float]:
    """Price and delta of a call, by Black and Scholes' formula."""
    spread = VOLATILITY * math.sqrt(HORIZON)
    upper = (math.log(x / strike) + (rate + VOLATILITY**2 / 2) * HORIZON) / spread
    delta = norm.cdf(upper)
    return x * delta - strike * math.exp(-rate * HORIZON) * norm.cdf(upper - spread), delta


@pytest.mark.parametrize("start", [1.0, 1.3, 1.6])
def test_the_linear_price_of_one_share_is_black_and_scholes(start: float) -> None:
    (bought, delta), (sold, other) = (call(start, strike, BORROWING) for strike in (1.2, 1.5))
    price = 100 * (bought - 2 * sold)
    assert linear_price(1, BORROWING, start) == pytest.approx(price, rel=1e-7)
    loan = 100 * start * (delta - 2 * other) - price
    found = 100 * math.exp(-BORROWING * HORIZON) * borrowed(np.array([[start]]), HORIZON)[0]
    assert found == pytest.approx(loan, rel=1e-9)


def by_differences(start: float, nodes: int = 2_001, steps: int = 1_000) -> float:
    """The price of one share's option by implicit differences in ln x, the rate by Howard's iteration: independent of paths."""
    log, step = np.linspace(-2, 2, nodes, retstep=True)
    u, time = payoff(np.exp(log)), HORIZON / steps
    for _ in range(steps):
        new = u
        for _ in range(3):
            rate = np.where(np.gradient(new, step) > new, BORROWING, LENDING)
            second, first = VOLATILITY**2 / 2 / step**2, (rate - VOLATILITY**2 / 2) / (2 * step)
            bands = np.zeros((3, nodes))
            bands[0, 1:] = -time * (second + first)[:-1]
            bands[1] = 1 + time * (2 * second + rate)
            bands[2, :-1] = -time * (second - first)[1:]
            bands[0, 1] = bands[2, -2] = 0  # far from the strikes the values are left as they are
            bands[1, 0] = bands[1, -1] = 1
            new = solve_banded((1, 1), bands, u)
        u = new
    return float(np.interp(math.log(start), log, u))


def test_the_best_rule_is_the_solution_of_the_equation() -> None:
    """At x = 1.5 the rule adds 5% to the price at R_b."""
    value, error = different_rates_price(1, 40_000, 50, start=1.5)
    assert value - linear_price(1, BORROWING, 1.5) > 0.6
    assert abs(value - by_differences(1.5)) < 4 * error


@pytest.mark.parametrize("dim", few([10, 100]))
def test_tabulated_prices_are_those_of_the_rule(dim: int) -> None:
    value, error = different_rates_price(dim, 8_000, 40, seed=5)
    known = DIFFERENT_RATES_VALUES[dim]
    assert abs(value - known.value) < 4 * (error + known.standard_error)
    assert linear_price(dim, LENDING) < linear_price(dim, BORROWING) < known.value


def test_published_values() -> None:
    """u(0, x_0) at d = 100: what E, Han and Jentzen 2017 and Raissi 2018 report."""
    rates, risk = (pdezoo.make(name, dim=100) for name in ("different-rates", "default-risk"))
    assert 1.006 < 21.299 / TestSet(rates).exact[0] < 1.0065  # theirs is beyond what both rates can add
    assert TestSet(risk).exact[0] == 57.300
    assert TestSet(pdezoo.make("reaction-diffusion", dim=100), 1).probed == pytest.approx(1.6)
    x = jnp.asarray([[1.0, 0.5] * 50])
    value = pdezoo.make("black-scholes-barenblatt", dim=100).solution_at(Points(x, jnp.zeros(1)))
    assert value == pytest.approx(77.105, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("dim", [10, 100])
def test_picard_iterations_agree_with_the_price_of_default_risk(dim: int) -> None:
    pde = pdezoo.make("default-risk", dim=dim)
    solver = solvers.make("multilevel-picard", levels=3, basis=8, bound=1_000.0)
    errors = solver.fit(pde, steps=16, seed=3, test=TestSet(pde), progress=None).errors
    assert errors is not None
    assert errors["relative_l2"] < 3 * errors["estimated_error"] + 3e-4


def test_paths_have_the_mean_and_variance_of_a_geometric_brownian_motion() -> None:
    tube = GeometricTube(3, 1.0, volatility=0.3, drift=0.1, start=-2.0)
    points = tube.sample(jax.random.key(0), 100_000, 0.5)
    assert np.all(points.t == 0.5)
    mean = -2 * math.exp(0.05)
    np.testing.assert_allclose(points.x.mean(0), mean, rtol=3e-3)
    np.testing.assert_allclose(points.x.var(0), mean**2 * math.expm1(0.09 * 0.5), rtol=0.03)


@pytest.mark.parametrize("numbers", [{"volatility": 0.0}, {"volatility": 0.2, "start": 0.0}])
def test_paths_that_stand_still_are_refused(numbers: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="volatility above 0 and a start other than 0"):
        GeometricTube(3, 1.0, **numbers)


@pytest.mark.parametrize("name", ["default-risk", "different-rates"])
def test_prices_are_known_in_tabulated_dimensions_only(name: str) -> None:
    with pytest.raises(pdezoo.BadDimension, match="d = 10, 100 only, got 20"):
        pdezoo.make(name, dim=20)
