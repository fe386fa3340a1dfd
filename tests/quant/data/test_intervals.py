from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hexit.quant.data.intervals import (
    Interval,
    difference_interval,
    mcnemar_p,
    percentile_interval,
    resampled,
    weighted_correlations,
    wilson_interval,
)
from hexit.quant.data.scores import pearson


@pytest.mark.parametrize(
    ("n_right", "n", "low", "high"),
    [  # Newcombe, Statistics in Medicine 17 (1998) 857, table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_intervals_are_the_published_ones(n_right: int, n: int, low: float, high: float) -> None:
    found = wilson_interval(n_right, n)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)


@given(st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_ends_of_a_wilson_interval_are_where_the_score_test_turns(counts: tuple[int, int]) -> None:
    """Wilson's definition: the shares p with |share - p| = z sqrt(p (1 - p) / n)."""
    n_right, n = counts
    found = wilson_interval(n_right, n)
    assert 0 <= found.low <= n_right / n <= found.high <= 1
    for p in {found.low, found.high} - {0.0, 1.0}:
        assert abs(n_right / n - p) == pytest.approx(1.959964 * math.sqrt(p * (1 - p) / n), rel=1e-5, abs=1e-9)


@given(st.integers(0, 9), st.integers(0, 9))
def test_mcnemar_counts_the_coins_that_are_at_least_as_one_sided(n_gained: int, n_lost: int) -> None:
    n = n_gained + n_lost
    far = sum(abs(2 * sum(coins) - n) >= abs(n_gained - n_lost) for coins in itertools.product((0, 1), repeat=n))
    assert mcnemar_p(n_gained, n_lost) == pytest.approx(far / 2**n, rel=1e-12)


def bootstrap_by_enumeration(steps: list[int]) -> dict[int, Fraction]:
    """The probability of each sum over all n^n resamples of n steps."""
    sums: dict[int, Fraction] = {0: Fraction(1)}
    for _ in steps:
        ahead: dict[int, Fraction] = {}
        for total, mass in sums.items():
            for step in steps:
                ahead[total + step] = ahead.get(total + step, Fraction(0)) + mass / len(steps)
        sums = ahead
    return sums


@given(st.integers(0, 6), st.integers(0, 6), st.integers(0, 8))
def test_the_bootstrap_of_a_difference_is_that_of_all_resamples(n_gained: int, n_lost: int, n_same: int) -> None:
    n = n_gained + n_lost + n_same
    if n == 0:
        return
    sums = bootstrap_by_enumeration([1] * n_gained + [-1] * n_lost + [0] * n_same)
    # a level that no sum of masses meets exactly, so that rounding decides nothing
    low, high = Fraction(249, 10007), Fraction(9758, 10007)
    expected = []
    for tail in (low, high):
        below = Fraction(0)
        for total in sorted(sums):
            below += sums[total]
            if below >= tail:
                expected.append(total / n)
                break
    found = difference_interval(n_gained, n_lost, n, level=float(1 - 2 * low))
    assert (found.low, found.high) == tuple(expected)


def test_the_interval_of_a_difference_is_that_of_the_normal_distribution_for_many_samples() -> None:
    found = difference_interval(300, 200, 10_000)
    spread = 1.96 * math.sqrt(0.05 - 0.01**2) / 100
    assert found.low == pytest.approx(0.01 - spread, abs=2e-4)  # steps of 1e-4, either side
    assert found.high == pytest.approx(0.01 + spread, abs=2e-4)
    assert difference_interval(0, 0, 50) == Interval(low=0.0, high=0.0)


def test_correlations_of_resamples_are_those_of_the_repeated_sentences() -> None:
    random = np.random.default_rng(3)
    labels, values = random.normal(size=40), random.normal(size=40)
    counts = resampled(40)
    assert set(counts.sum(axis=1)) == {40.0}
    found = weighted_correlations(counts, values, labels)
    for row in range(5):
        drawn = np.repeat(np.arange(40), counts[row].astype(int))
        assert found[row] == pytest.approx(pearson(values[drawn], labels[drawn]), abs=1e-12)
    assert set(weighted_correlations(counts, np.ones(40), labels)) == {0.0}
    found_ends = percentile_interval(np.arange(101.0))
    assert (found_ends.low, found_ends.high) == pytest.approx((2.5, 97.5))
