"""Intervals of errors, and of the differences between two rows' errors, over replicates and over the points of the test set.

Errors are positive and spread by factors, so everything is done on logarithms: the mean over replicates of ln e, or of
ln(e/e') where two rows have the replicate in common, with Student's t for its spread. With three to five replicates that covers
the truth as often as it says, which a bootstrap of so few does not. Replicates that share a test set share its error too, which
their spread does not show; its variance is added.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import ndtri, stdtrit

COVERAGE = 0.9
"""The share of intervals that contain what they estimate."""
MIN_REPLICATES = 3
"""The fewest replicates from which a spread is estimated: a rank, an interval and a difference need as many."""

_UPPER = (1 + COVERAGE) / 2
_TINY = 1e-300  # stands for an error of 0, whose logarithm is infinite


class Replicate(NamedTuple):
    """One repetition of a measurement: the fingerprint of the problem instance, which also fixes the test set, and the training
    seed.
    """

    problem: str
    seed: int


class Interval(NamedTuple):
    """An interval of a mean of logarithms: (−∞, ∞) where a replicate failed, so that nothing is known.

    `resolution` is what the points of the test sets can tell apart, however well the replicates agree.
    """

    low: float
    high: float
    resolution: float = 0.0

    @property
    def below_zero(self) -> bool:
        """Whether all of it is below 0, by more than the resolution: the first error is then known to be smaller."""
        return self.high < 0.0 and (self.low + self.high) / 2 < -self.resolution


@dataclass(frozen=True)
class Sample:
    """The errors of a row by replicate, infinite where it failed, and the relative standard error of each from the size of the
    test set.
    """

    errors: Mapping[Replicate, float]
    test_set_error: float = 0.0


def of_mean(sample: Sample) -> Interval | None:
    """Returns the interval of the mean of ln e over all replicates; None if there are fewer than MIN_REPLICATES."""
    logarithms = {key: _logarithm(error) for key, error in sample.errors.items()}
    return _interval(logarithms, sample.test_set_error)


def of_ratio(one: Sample, other: Sample) -> Interval | None:
    """Returns the interval of the mean of ln(e/e') over the replicates that both have; None if these are fewer than
    MIN_REPLICATES. What either has beyond them does not enter.
    """
    shared = one.errors.keys() & other.errors.keys()
    differences = {key: _logarithm(one.errors[key]) - _logarithm(other.errors[key]) for key in shared}
    return _interval(differences, math.hypot(one.test_set_error, other.test_set_error))


def _logarithm(error: float) -> float:
    return math.log(max(error, _TINY))


def _interval(values: Mapping[Replicate, float], test_set_error: float) -> Interval | None:
    count = len(values)
    if count < MIN_REPLICATES:
        return None
    numbers = np.asarray(list(values.values()))
    if not np.isfinite(numbers).all():
        return Interval(-math.inf, math.inf)
    spread = float(np.var(numbers, ddof=1)) / count
    test_sets = len({key.problem for key in values})
    resolution = test_set_error**2 / test_sets
    added = (
        0.0 if test_sets == count else resolution
    )  # replicates with a test set each spread by its error already
    half = _half_width(spread, count - 1, added)
    mean = float(np.mean(numbers))
    return Interval(mean - half, mean + half, _half_width(0.0, 0, resolution))


def _half_width(estimated: float, degrees: int, known: float) -> float:
    """Returns half the width of an interval for a mean whose variance is the sum of one that is estimated with so many degrees of
    freedom and one that is known (Welch 1947, Satterthwaite 1946).
    """
    if estimated == 0.0:
        return float(ndtri(_UPPER)) * math.sqrt(known)
    total = estimated + known
    return float(stdtrit(degrees * (total / estimated) ** 2, _UPPER)) * math.sqrt(total)
