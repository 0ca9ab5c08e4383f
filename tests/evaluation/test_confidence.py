"""Means over runs, paired differences and proportions, against scipy, statsmodels and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from emoprune.errors import InvalidRecord
from emoprune.evaluation.confidence import (
    CORRELATION,
    FRACTION,
    Estimate,
    estimate,
    median_estimate,
    paired,
    t_quantile,
    wilson_interval,
)


@pytest.mark.parametrize("count", [1, 5, 6, 7, 12, 100, 401])
def test_median_estimate_leaves_out_what_the_binomial_distribution_allows(count: int) -> None:
    found = median_estimate(float(value) for value in np.random.default_rng(0).permutation(count))
    assert (found.n, found.mean) == (count, (count - 1) / 2)
    # the most values on one side such that as few or fewer lie there in at most 2.5% of cases
    out = max((each for each in range(count) if stats.binom.cdf(each, count, 0.5) <= 0.025), default=0)
    assert (found.low, found.high) == (out, count - 1 - out)


VALUES = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=12).filter(lambda found: np.std(found) > 1e-6)


@pytest.mark.parametrize("freedom", [*range(1, 40), 99, 100, 1001])
def test_t_quantile_agrees_with_scipy(freedom: int) -> None:
    assert t_quantile(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=1e-10)


def test_t_quantile_agrees_with_printed_tables() -> None:
    printed = {1: 12.706, 2: 4.303, 4: 2.776, 9: 2.262, 29: 2.045}
    assert {freedom: round(t_quantile(freedom), 3) for freedom in printed} == printed


@given(VALUES)
def test_estimate_agrees_with_scipy(values: list[float]) -> None:
    found = estimate(values)
    low, high = stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))
    assert found.n == len(values)
    assert found.mean == pytest.approx(np.mean(values), abs=1e-9)
    assert found.low == pytest.approx(low, rel=1e-6, abs=1e-9)
    assert found.high == pytest.approx(high, rel=1e-6, abs=1e-9)


def test_estimate_by_hand() -> None:
    # mean 0.5, standard deviation 0.1, of the mean 0.1 / sqrt(3), times 4.302653
    found = estimate([0.4, 0.5, 0.6])
    reach = 4.302653 * 0.1 / math.sqrt(3)
    assert found.mean == pytest.approx(0.5)
    assert found.low == pytest.approx(0.5 - reach, abs=1e-6)
    assert found.high == pytest.approx(0.5 + reach, abs=1e-6)


def test_estimate_of_one_run_has_no_interval() -> None:
    assert estimate([0.7]) == Estimate(1, 0.7)


def test_estimate_of_equal_runs_has_an_interval_of_zero_width() -> None:
    assert estimate([3.0, 3.0]) == Estimate(2, 3.0, 3.0, 3.0)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=12))
def test_estimate_of_fractions_is_a_fraction_and_has_its_mean_within(values: list[float]) -> None:
    found, whole = estimate(values, limits=FRACTION), estimate(values)
    assert found.low is not None
    assert found.high is not None
    assert 0 <= found.low <= found.mean <= found.high <= 1
    assert (found.low, found.high) == (max(0, whole.low or 0), min(1, whole.high or 0))


@pytest.mark.parametrize("runs", [3, 5, 10])
@pytest.mark.parametrize(
    ("mean", "deviation", "least"),
    # nearer to 1 fractions are skewed, which Student's interval does not expect
    [(0.6, 0.05, 0.94), (0.95, 0.03, 0.91), (0.98, 0.015, 0.89)],
)
def test_estimate_of_fractions_contains_the_true_mean_as_often_as_the_interval_before_its_cut(
    runs: int, mean: float, deviation: float, least: float
) -> None:
    scale = mean * (1 - mean) / deviation**2 - 1
    drawn = np.random.default_rng(0).beta(mean * scale, (1 - mean) * scale, (4000, runs)).tolist()

    def coverage(**limits: tuple[float, float]) -> float:
        found = [estimate(values, **limits) for values in drawn]
        return float(np.mean([(each.low or 0) <= mean <= (each.high or 0) for each in found]))

    assert coverage(limits=FRACTION) == coverage()
    # 0.01 is three standard errors
    assert least - 0.01 < coverage(limits=FRACTION) < 0.96


def test_paired_differences_of_fractions_are_within_one() -> None:
    before, after = [(0, 0.0), (1, 0.9)], [(0, 0.9), (1, 0.9)]
    assert paired(before, after, limits=FRACTION) == Estimate(2, 0.45, -1.0, 1.0)
    whole = paired(before, after, limits=CORRELATION)
    assert whole
    assert (whole.low, whole.high) == (-2.0, 2.0)


def test_paired_takes_differences_within_seeds() -> None:
    # seeds differ by tenths, pairs by hundredths: paired, the interval is that of 0.01, 0.02, 0.03
    found = paired([(0, 0.1), (1, 0.2), (2, 0.3), (7, 0.9)], [(2, 0.33), (0, 0.11), (1, 0.22), (9, 0.0)])
    by_hand = estimate([0.01, 0.02, 0.03])
    assert found is not None
    assert found.n == 3
    assert (found.mean, found.low, found.high) == pytest.approx((by_hand.mean, by_hand.low, by_hand.high))


def test_paired_counts_several_runs_of_a_seed_as_their_mean() -> None:
    assert paired([(0, 0.25), (0, 0.75)], [(0, 0.75)]) == Estimate(1, 0.25)


def test_paired_needs_a_seed_in_common() -> None:
    assert paired([(0, 0.1)], [(1, 0.2)]) is None
    assert paired([], []) is None


@pytest.mark.parametrize(
    ("n", "low", "high"), [(0, None, None), (1, 0.1, None), (2, None, None), (2, 0.1, None)]
)
def test_estimate_has_a_whole_interval_and_needs_one_for_several_runs(
    n: int, low: float | None, high: float | None
) -> None:
    with pytest.raises(InvalidRecord):
        Estimate(n, 0.15, low, high)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 500), st.data())
def test_wilson_interval_agrees_with_statsmodels(trials: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, trials))
    wanted = proportion_confint(successes, trials, method="wilson")
    low, high = wilson_interval(successes, trials)
    assert (low, high) == pytest.approx(wanted, abs=1e-9)
    assert 0 <= low <= successes / trials <= high <= 1
