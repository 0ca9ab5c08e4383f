"""Intervals by the bootstrap against scipy, and what drawing whole groups changes."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import softmax
from scipy.stats import bootstrap, ks_2samp
from sklearn import metrics

from emoprune.evaluation import confusion as confusions
from emoprune.evaluation.bootstrap import intervals, resampled, scores

Case = tuple[NDArray[np.float64], NDArray[np.int64]]


def case(n: int, width: int = 3, *, seed: int = 0) -> Case:
    """Logits and labels of a network that is often right."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(width, size=n)
    logits = generator.normal(size=(n, width))
    logits[np.arange(n), labels] += 1
    return logits, labels


def macro(actual: NDArray[Any], predicted: NDArray[Any]) -> float:
    there = np.unique(actual)
    return float(metrics.f1_score(actual, predicted, average="macro", labels=there, zero_division=0))


def within(found: tuple[float, float], wanted: Any, *, errors: float) -> bool:
    """Whether an interval is that of scipy's result but for so many of its standard errors."""
    apart = np.abs(np.array(found) - np.array(wanted.confidence_interval))
    return bool((apart <= errors * wanted.standard_error).all())


OF_CONFUSION = ("balanced_accuracy", "kappa", "matthews_correlation")


@given(st.integers(1, 25), st.integers(2, 4), st.integers(0, 10**6))
@settings(max_examples=40)
def test_scores_of_weights_are_those_of_repeated_samples(n: int, width: int, seed: int) -> None:
    logits, labels = case(n, width, seed=seed)
    times = np.random.default_rng(seed).integers(3, size=n)
    times[0] += 1
    found = scores(logits, labels, times[:, None].astype(float))
    rows, actual = np.repeat(logits, times, axis=0), np.repeat(labels, times)
    predicted = rows.argmax(axis=1)
    confusion = metrics.confusion_matrix(actual, predicted, labels=range(width)).tolist()
    wanted = {
        "accuracy": (actual == predicted).mean(),
        "macro_f1": macro(actual, predicted),
        "log_loss": metrics.log_loss(actual, softmax(rows, axis=1), labels=range(width)),
        **{name: getattr(confusions, name)(confusion) for name in OF_CONFUSION},
    }
    for name, value in wanted.items():
        known = np.nan if value is None else value
        assert found[name][0] == pytest.approx(known, abs=1e-9, nan_ok=True), name


def test_intervals_agree_with_scipy() -> None:
    logits, labels = case(120)
    found = intervals(logits, labels)
    assert found is not None
    assert (found.kind, found.over, found.count) == ("percentile bootstrap", "samples", 120)
    assert found.of.keys() == {*OF_CONFUSION, "macro_f1", "auc", "log_loss"}
    wanted = bootstrap(
        (labels, logits.argmax(axis=1)),
        metrics.cohen_kappa_score,
        **{"paired": True, "vectorized": False, "n_resamples": 999, "method": "percentile"},
        random_state=1,
    )
    # a quantile of 999 draws is off by about a tenth of a standard error
    assert within(found.of["kappa"], wanted, errors=0.4)
    own = -np.log(softmax(logits, axis=1)[np.arange(120), labels])
    wanted = bootstrap((own,), np.mean, method="percentile", random_state=1)
    assert within(found.of["log_loss"], wanted, errors=0.3)


def test_intervals_of_groups_agree_with_scipy_over_their_numbers() -> None:
    logits, labels = case(90)
    films = np.random.default_rng(3).integers(12, size=90)
    logits[films < 4] = -logits[films < 4]
    found = intervals(logits, labels, [f"film{number}" for number in films])
    assert found is not None
    assert (found.over, found.count) == ("groups", 12)
    right, held = (np.bincount(films, weights) for weights in (logits.argmax(axis=1) == labels, None))
    wanted = bootstrap(
        (right, held),
        lambda hits, counts, axis: hits.sum(axis) / counts.sum(axis),
        **{"paired": True, "method": "percentile", "random_state": 1},
    )
    assert within(found.of["accuracy"], wanted, errors=0.3)
    alone = intervals(logits, labels)
    assert alone is not None
    for name, (low, high) in alone.of.items():
        # films are right or wrong as a whole, so there is less to learn from them
        assert found.of[name][1] - found.of[name][0] > 1.3 * (high - low)


@given(st.permutations(range(40)))
@settings(max_examples=10)
def test_groups_of_one_sample_have_the_distribution_of_samples(order: list[int]) -> None:
    logits, labels = case(40)
    alone = resampled(logits, labels, np.arange(40), resamples=600)
    grouped = resampled(logits, labels, np.array(order), resamples=600, seed=1)
    for name, values in alone.items():
        assert ks_2samp(values, grouped[name]).pvalue > 1e-4, name


def test_intervals_are_the_same_each_time_and_for_other_names_of_groups() -> None:
    logits, labels = case(50)
    names = [f"{index % 7}" for index in range(50)]
    first = intervals(logits, labels, names)
    assert (
        first
        == intervals(logits, labels, names)
        == intervals(logits, labels, [f"film {name}" for name in names])
    )
    assert intervals(logits, labels) == intervals(logits, labels)


@pytest.mark.parametrize(("n", "groups"), [(1, None), (1, ["a"]), (5, ["a"] * 5)])
def test_intervals_need_two_samples_or_groups(n: int, groups: list[str] | None) -> None:
    assert intervals(*case(n), groups) is None


def test_intervals_leave_out_what_is_undefined() -> None:
    logits = np.array([[3.0, 0.0], [2.0, 0.0], [1.0, 0.0]])
    with warnings.catch_warnings(action="error"):
        found = intervals(logits, np.zeros(3, dtype=np.int64))
    assert found is not None
    assert found.of.keys() == {"balanced_accuracy", "macro_f1", "log_loss"}
    # of two samples of different classes, half of the draws have one of them only
    with warnings.catch_warnings(action="error"):
        found = intervals(np.array([[3.0, 0.0], [0.0, 1.0]]), np.array([0, 1]))
    assert found is not None
    assert (found.of["kappa"], found.of["auc"]) == ((1, 1), (1, 1))
