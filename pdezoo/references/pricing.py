"""The price of an option where money is borrowed and lent at different rates (Bergman 1995), by the best use of either rate.

u_t + (σ²/2) Σ x_i² u_ii + max_r r (x·∇u − u) = 0, r ∈ {R_l, R_b}: u is the largest E[e^{−∫r} g(X_T)] over all rules r(t, x) for
the rate on paths dX_i = r X_i dt + σ X_i dW_i. Whatever the rule, that is a lower bound, and its defect is of second order in that
of the rule. At a constant rate r the price is one integral, since g is a function of M = max X_i(T) alone, and

    x·∇u − u = e^{−rτ} E[g'(M) M − g(M)]

is a combination of two values of the distribution function of M. The sign of that is the rule here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from scipy.special import log_ndtr

from pdezoo.references.mean_field import Value

VOLATILITY, HORIZON = 0.2, 0.5
LENDING, BORROWING = 0.04, 0.06
_BOUGHT, _SOLD = 1.2, 1.5  # strikes, in units of 100
_BLOCK = 2_000  # paths at a time


def payoff(largest: np.ndarray) -> np.ndarray:
    """Computes g = 100 (max{m − 1.2, 0} − 2 max{m − 1.5, 0}) of the largest coordinate m."""
    return 100 * (np.maximum(largest - _BOUGHT, 0) - 2 * np.maximum(largest - _SOLD, 0))


def linear_price(dim: int, rate: float, start: float = 1.0) -> float:
    """Computes the price at t = 0, x_i = `start` where either rate is `rate`: ∫ e^{−rT} g(m) dP(M ≤ m), the trapezoidal rule.

    The integrand has two kinks, so that the rule is of second order: 1e-8 at its 200,001 points.
    """
    line = np.linspace(-10.0, 12.0, 200_001)
    log_density = np.log(dim) - line**2 / 2 - np.log(2 * np.pi) / 2 + (dim - 1) * log_ndtr(line)
    largest = start * np.exp((rate - VOLATILITY**2 / 2) * HORIZON + VOLATILITY * np.sqrt(HORIZON) * line)
    integral = float(np.exp(log_density) @ payoff(largest) * (line[1] - line[0]))
    return float(np.exp(-rate * HORIZON)) * integral


def borrowed(x: np.ndarray, to_go: float) -> np.ndarray:
    """Computes x·∇u − u of the price at the rate R_b, up to a positive factor, at points x (B, d) with `to_go` left: shape (B,)."""
    spread = VOLATILITY * np.sqrt(to_go)
    growth = (BORROWING - VOLATILITY**2 / 2) * to_go

    def below(level: float) -> np.ndarray:
        return np.exp(np.sum(log_ndtr((np.log(level / x) - growth) / spread), axis=1))

    return _BOUGHT * (below(_SOLD) - below(_BOUGHT)) - (2 * _SOLD - _BOUGHT) * (1 - below(_SOLD))


def different_rates_price(
    dim: int, paths: int, steps: int, seed: int = 0, start: float = 1.0
) -> tuple[float, float]:
    """Estimates the price at t = 0, x_i = `start`, and its standard error: that at R_b, and what the rule adds to it.

    The rule chooses anew at `steps` times, and what it adds is averaged over `paths` paths, rounded up to thousands, the same
    noise on both sides of the difference.
    """
    generator, gains = np.random.default_rng(seed), []
    for _ in range(-(-paths // _BLOCK)):
        gains.append(_gains(generator, dim, steps, start))
    gain = np.concatenate(gains)
    return linear_price(dim, BORROWING, start) + float(gain.mean()), float(gain.std() / np.sqrt(gain.size))


def _gains(generator: np.random.Generator, dim: int, steps: int, start: float) -> np.ndarray:
    """The discounted payoff under the rule less that under R_b, on a block of paths."""
    step = HORIZON / steps
    noise, interest = np.zeros((_BLOCK, dim)), np.zeros(_BLOCK)
    for number in range(steps):
        time = number * step
        x = start * np.exp(noise + interest[:, None] - VOLATILITY**2 / 2 * time)
        interest += step * np.where(borrowed(x, HORIZON - time) > 0, BORROWING, LENDING)
        noise += VOLATILITY * np.sqrt(step) * generator.standard_normal(noise.shape)
    largest = start * np.exp(noise.max(axis=1) - VOLATILITY**2 / 2 * HORIZON)
    discounted = lambda total: np.exp(-total) * payoff(largest * np.exp(total))
    return discounted(interest) - discounted(BORROWING * HORIZON)


_RULE = "paths under the better of both rates, a lower bound with a defect of second order"

DIFFERENT_RATES_VALUES: Mapping[int, Value] = MappingProxyType(
    {10: Value(7.8967, 2e-4, _RULE), 100: Value(21.169, 1e-3, _RULE)}
)
"""u(0, (1, …, 1)) by `different_rates_price`."""
