"""Tests and intervals of paired proportions, against statsmodels, printed values and slow versions."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import minimize_scalar
from statsmodels.api import OLS
from statsmodels.stats.contingency_tables import mcnemar as reference

from emoprune.evaluation.significance.paired import (
    INDEPENDENT,
    View,
    clustered_view,
    mcnemar,
    score_interval,
    smallest_difference,
    whole_groups_view,
)

Case = tuple[NDArray[np.float64], NDArray[np.intp]]
COUNTS = st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40)).filter(lambda each: sum(each))


@given(st.integers(0, 3000), st.integers(0, 3000))
def test_mcnemar_agrees_with_statsmodels(gained: int, lost: int) -> None:
    theirs = reference([[0, gained], [lost, 0]], exact=True).pvalue
    assert mcnemar(gained, lost).exact_p == pytest.approx(theirs, abs=1e-9)


@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_counts_the_observed_outcome_half_in_its_mid_p(gained: int, lost: int) -> None:
    tail = stats.binom(gained + lost, 0.5)
    fewer = min(gained, lost)
    literal = 2 * (tail.cdf(fewer) - tail.pmf(fewer) / 2)
    assert mcnemar(gained, lost).mid_p == pytest.approx(literal, abs=1e-9)


def test_mcnemar_and_score_interval_agree_with_printed_values() -> None:
    # complete response after therapy, 161 patients (Cavo et al. 2012), in Fagerland, Lydersen & Laake 2017, 8
    assert mcnemar(6, 16).mid_p == pytest.approx(0.034690, abs=5e-7)
    assert score_interval(6, 16, 161) == pytest.approx((-0.1240, -0.0054), abs=5e-5)


def score_test(gained: int, lost: int, images: int, difference: float) -> float:
    """The score statistic at a difference, with the likelihood maximized numerically."""
    same = images - gained - lost

    def unlikely(fraction: float) -> float:
        cells = (fraction + difference, fraction, 1 - 2 * fraction - difference)
        return -float(np.sum(stats.multinomial.logpmf((gained, lost, same), images, cells)))

    low, high = max(0.0, -difference), (1 - difference) / 2
    found = minimize_scalar(unlikely, bounds=(low, high), method="bounded", options={"xatol": 1e-10}).x
    variance = (2 * found + difference - difference**2) / images
    return ((gained - lost) / images - difference) / math.sqrt(variance)


@pytest.mark.parametrize(("gained", "lost", "images"), [(3, 9, 40), (0, 4, 60), (1, 1, 5), (70, 40, 650)])
def test_score_interval_ends_where_the_score_test_rejects(gained: int, lost: int, images: int) -> None:
    low, high = score_interval(gained, lost, images)
    assert score_test(gained, lost, images, low) == pytest.approx(1.959964, abs=1e-4)
    assert score_test(gained, lost, images, high) == pytest.approx(-1.959964, abs=1e-4)


@given(COUNTS, st.floats(0.01, 30), st.floats(1, 50))
def test_score_interval_holds_the_difference_and_turns_with_the_models(
    counts: tuple[int, int, int], design_effect: float, freedom: float
) -> None:
    gained, lost, images = *counts[:2], sum(counts)
    low, high = score_interval(gained, lost, images, view=View(design_effect, freedom))
    assert -1 <= low <= (gained - lost) / images <= high <= 1
    assert score_interval(lost, gained, images, view=View(design_effect, freedom)) == (-high, -low)


@pytest.mark.parametrize("images", [1, 3, 67, 2434, 10**6])
def test_score_interval_has_a_width_where_nothing_differs(images: int) -> None:
    # 3.84 / (n + 3.84): by the rule of three it would be 3 / n
    low, high = score_interval(0, 0, images)
    assert (low, high) == pytest.approx((-3.841459 / (images + 3.841459), 3.841459 / (images + 3.841459)))
    assert score_interval(images, 0, images)[1] == 1


@st.composite
def grouped(draw: st.DrawFn) -> Case:
    """Changes of answers, not all equal, and groups numbered from 0."""
    groups = np.repeat(*np.array([(i, draw(st.integers(1, 9))) for i in range(draw(st.integers(2, 12)))]).T)
    values = draw(st.lists(st.integers(-1, 1), min_size=len(groups), max_size=len(groups)))
    values[0], values[-1] = 1, 0
    return np.array(values, float), groups


@given(grouped())
def test_clustered_view_is_the_variance_of_means_without_one_group(case: Case) -> None:
    values, groups = case
    number = groups.max() + 1
    means = [values[groups != group].mean() for group in range(number)]
    jackknife = (number - 1) / number * np.sum((np.array(means) - values.mean()) ** 2)
    found = clustered_view(values, groups)
    assert found is not None
    assert found.design_effect == pytest.approx(max(0.5, jackknife / (values.var() / len(values))))


@given(grouped())
def test_clustered_view_has_the_degrees_of_freedom_of_satterthwaite(case: Case) -> None:
    values, groups = case
    sizes = np.bincount(groups).astype(float)
    # the jackknife is a quadratic form of the sums: twice (trace)^2 / trace of the square of its matrix
    center = np.eye(len(sizes)) - np.outer(sizes, np.ones(len(sizes))) / sizes.sum()
    form = np.diag((1 - sizes / sizes.sum()) ** -2.0) @ center @ np.diag(sizes) @ center.T
    found = clustered_view(values, groups)
    assert found is not None
    assert found.freedom == pytest.approx(np.trace(form) ** 2 / np.trace(form @ form))
    assert 1 - 1e-9 <= found.freedom <= len(sizes) - 1 + 1e-9


def test_clustered_view_agrees_with_statsmodels_for_groups_of_equal_size() -> None:
    generator = np.random.default_rng(0)
    groups = np.repeat(np.arange(30), 20)
    values = np.clip(np.round(generator.normal(size=30)[groups] + generator.normal(size=600)), -1, 1)
    theirs = OLS(values, np.ones(600)).fit(cov_type="cluster", cov_kwds={"groups": groups}, use_t=True)
    found = clustered_view(values, groups)
    assert found is not None
    assert found.freedom == pytest.approx(29)
    error = math.sqrt(found.design_effect * values.var() / 600)
    assert error == pytest.approx(theirs.bse[0], rel=1e-9)
    reach = found.quantile(0.975) * error
    assert (values.mean() - reach, values.mean() + reach) == pytest.approx(theirs.conf_int()[0], abs=1e-9)
    assert found.two_sided(values.mean() / error) == pytest.approx(theirs.pvalues[0], rel=1e-9)


def test_clustered_view_of_single_images_is_near_that_of_independent_ones() -> None:
    values = np.random.default_rng(0).integers(-1, 2, 500).astype(float)
    found = clustered_view(values, np.arange(500))
    assert found is not None
    assert found.design_effect == pytest.approx(500 / 499)
    assert found.freedom == pytest.approx(499)


def test_clustered_view_needs_values_that_vary() -> None:
    assert clustered_view(np.zeros(4), np.array([0, 0, 1, 1])) is None


def test_whole_groups_view_counts_groups_of_equal_size_as_images() -> None:
    assert whole_groups_view(np.repeat(np.arange(5), 8)).design_effect == pytest.approx(8)


@pytest.mark.parametrize(("more", "fewer", "images"), [(0.45, 0.05, 23), (0.3, 0.15, 155)])
def test_smallest_difference_agrees_with_sample_sizes_of_connor(
    more: float, fewer: float, images: int
) -> None:
    # the size for 80% power at 5% that his formula (1987) gives is rounded up
    at_most = [smallest_difference((more + fewer) * size, size) for size in (images, images - 1)]
    assert at_most[0] <= more - fewer < at_most[1]


@pytest.mark.parametrize(("pairs", "images"), [(60, 300), (150, 600)])
def test_smallest_difference_is_found_in_80_percent_of_all_outcomes(pairs: int, images: int) -> None:
    assert power(smallest_difference(pairs, images), pairs / images, images) == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize(("pairs", "images"), [(0, 67), (2, 150)])
def test_smallest_difference_is_found_where_it_makes_all_pairs(pairs: int, images: int) -> None:
    # so few pairs make the normal law careful: 80% would be found of a difference a tenth smaller
    difference = smallest_difference(pairs, images)
    assert difference > pairs / images
    assert 0.8 <= power(difference, difference, images) < 0.9


def power(difference: float, rate: float, images: int) -> float:
    """The probability of all outcomes with a mid-p below 5%."""
    found = 0.0
    for total in range(images + 1):
        likely = stats.binom.pmf(total, images, rate)
        if likely > 1e-9:
            gained = np.arange(total + 1)
            rejected = np.array([mcnemar(int(each), total - int(each)).mid_p < 0.05 for each in gained])
            found += likely * stats.binom.pmf(gained, total, (1 + difference / rate) / 2)[rejected].sum()
    return found


@settings(max_examples=50)
@given(st.integers(0, 200), st.integers(0, 2000))
def test_smallest_difference_grows_with_the_design_effect(pairs: int, more: int) -> None:
    images = pairs + more + 1
    found = [smallest_difference(pairs, images, view=view) for view in (INDEPENDENT, View(2.0, 12.0))]
    assert 0 < found[0] <= found[1]
    assert all(each <= 1 or math.isinf(each) for each in found)


def test_smallest_difference_needs_five_images() -> None:
    # of n pairs alike the mid-p is 0.5^n: 0.0625 of four
    assert [math.isinf(smallest_difference(0, images)) for images in range(1, 8)] == [True] * 4 + [False] * 3


def test_view_is_normal_with_infinite_freedom() -> None:
    for view, law in ((INDEPENDENT, stats.norm), (View(1.0, 7.5), stats.t(7.5))):
        for probability, sign in product((0.8, 0.975), (-1, 1)):
            quantile = view.quantile(probability)
            assert quantile == pytest.approx(law.ppf(probability))
            assert view.two_sided(sign * quantile) == pytest.approx(2 * (1 - probability))
