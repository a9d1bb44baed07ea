"""Intervals contain the truth as often as they say: simulated errors whose true size is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.leaderboard.intervals import Interval, Replicate, Sample, of_mean, of_ratio

TRIALS = 3_000
SPREADS = {
    "normal": lambda random, size: random.normal(0.0, 0.1, size),
    "skewed": lambda random, size: 0.1 * (random.gumbel(size=size) - np.euler_gamma),
}
# Test sets whose error is none, or smaller than the spread over seeds, as large, or larger.
TEST_SETS = {"exact": 0.0, "smaller": 0.05, "as large": 0.1, "larger": 0.3}


def replicates(count: int, own_instance: bool) -> list[Replicate]:
    return [Replicate(str(k if own_instance else 0), k) for k in range(count)]


def errors(random: np.random.Generator, spread: str, keys: list[Replicate], precision: float) -> dict:
    """Errors whose logarithm is −3 on the average over replicates and test sets."""
    by_test_set = {
        problem: random.normal(0.0, precision) for problem in sorted({key.problem for key in keys})
    }
    seeds = SPREADS[spread](random, len(keys))
    return {k: math.exp(-3.0 + s + by_test_set[k.problem]) for k, s in zip(keys, seeds, strict=True)}


@pytest.mark.parametrize("count", [3, 4, 5])
@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("own_instance", [True, False], ids=["instances", "seeds"])
@pytest.mark.parametrize("precision", TEST_SETS.values(), ids=TEST_SETS)
def test_the_interval_of_an_error_covers_it(count, spread, own_instance, precision):
    random, keys = np.random.default_rng(count), replicates(count, own_instance)
    found = [of_mean(Sample(errors(random, spread, keys, precision), precision)) for _ in range(TRIALS)]
    covered = np.mean([interval.low <= -3.0 <= interval.high for interval in found])
    assert covered == pytest.approx(0.90, abs=0.03)


@pytest.mark.parametrize("count", [3, 4, 5])
def test_the_interval_of_a_difference_covers_it_and_does_not_see_what_both_share(count):
    """Instances differ by factors, and both rows by the same: only the difference of the rows counts."""
    random, keys = np.random.default_rng(count), replicates(count, True)
    covered, widths = [], []
    for _ in range(TRIALS):
        instance = random.normal(0.0, 2.0, count)
        one, other = (np.exp(instance + random.normal(mean, 0.05, count)) for mean in (-0.2, 0.0))
        pair = of_ratio(*(Sample(dict(zip(keys, e.tolist(), strict=True))) for e in (one, other)))
        covered.append(pair.low <= -0.2 <= pair.high)
        widths.append(pair.high - pair.low)
    assert np.mean(covered) == pytest.approx(0.90, abs=0.03)
    assert np.median(widths) < 0.5  # unpaired, the instances alone would make it about 4


def test_two_equal_rows_are_told_apart_as_often_as_the_interval_says():
    random, keys = np.random.default_rng(7), replicates(5, True)
    wrong = 0
    for _ in range(TRIALS):
        one, other = (Sample(errors(random, "normal", keys, 0.0)) for _ in range(2))
        wrong += of_ratio(one, other).below_zero or of_ratio(other, one).below_zero
    assert wrong / TRIALS == pytest.approx(0.10, abs=0.03)


def test_a_difference_needs_three_replicates_that_both_have():
    one = Sample({Replicate("p", k): 0.1 for k in (0, 1, 2, 3)})
    assert of_ratio(one, Sample({Replicate("p", k): 0.2 for k in (2, 3, 4)})) is None
    assert of_ratio(one, Sample({Replicate("q", k): 0.2 for k in (0, 1, 2)})) is None  # another problem
    shared = of_ratio(one, Sample({Replicate("p", k): 0.2 for k in (1, 2, 3, 9)}))
    assert shared == pytest.approx(Interval(math.log(0.5), math.log(0.5)))
    assert of_mean(Sample({Replicate("p", k): 0.1 for k in (0, 1)})) is None


def test_of_a_failure_nothing_is_known_and_an_error_of_zero_is_one():
    keys = replicates(3, False)
    fine = Sample(dict.fromkeys(keys, 0.1))
    failed = Sample(dict(zip(keys, (0.1, 0.1, math.inf), strict=True)))
    assert of_mean(failed) == of_ratio(failed, fine) == Interval(-math.inf, math.inf)
    assert of_ratio(Sample(dict.fromkeys(keys, 0.0)), fine).below_zero
    assert of_ratio(*[Sample(dict.fromkeys(keys, 0.0))] * 2) == Interval(0.0, 0.0)


def test_agreement_by_chance_is_no_resolution():
    """Rows whose replicates agree better than the test set can tell are told apart only beyond what it can tell."""
    for own_instance, bound in (
        (False, 1.6449 * math.hypot(0.01, 0.01)),
        (True, 1.6449 * 0.01 * math.sqrt(2 / 3)),
    ):
        keys = replicates(3, own_instance)
        for gap, apart in ((0.9 * bound, False), (1.1 * bound, True)):
            one, other = (Sample(dict.fromkeys(keys, e), 0.01) for e in (0.1, 0.1 * math.exp(gap)))
            assert of_ratio(one, other).below_zero is apart
