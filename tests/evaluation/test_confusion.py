"""What follows from a confusion matrix agrees with scikit-learn, and is None where it has no meaning."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from emoprune.evaluation.confusion import (
    balanced_accuracy,
    chance,
    kappa,
    majority,
    matthews_correlation,
    one_recall,
)

Matrix = tuple[tuple[int, ...], ...]


@st.composite
def confusions(draw: st.DrawFn) -> Matrix:
    """Of up to five classes; often some have no samples, or are never answered."""
    width = draw(st.integers(1, 5))
    cells = st.lists(st.integers(0, 9), min_size=width**2, max_size=width**2)
    rows = np.array(draw(cells)).reshape(width, width)
    rows *= np.array(draw(st.lists(st.booleans(), min_size=width, max_size=width)))[:, None]
    rows *= np.array(draw(st.lists(st.booleans(), min_size=width, max_size=width)))
    return tuple(map(tuple, rows.tolist()))


@given(confusions())
def test_measures_agree_with_scikit_learn(confusion: Matrix) -> None:
    places = [(i, j) for i, row in enumerate(confusion) for j, count in enumerate(row) for _ in range(count)]
    if not places:
        measures = (balanced_accuracy, kappa, matthews_correlation, majority)
        assert {measure(confusion) for measure in measures} == {None}
        return
    actual, predicted = np.array(places).T
    with warnings.catch_warnings(action="ignore"):
        assert balanced_accuracy(confusion) == pytest.approx(
            metrics.balanced_accuracy_score(actual, predicted), abs=1e-9
        )
        wanted = metrics.cohen_kappa_score(actual, predicted)
        correlation = metrics.matthews_corrcoef(actual, predicted)
    found = kappa(confusion)
    assert (math.nan if found is None else found) == pytest.approx(wanted, abs=1e-9, nan_ok=True)
    found = matthews_correlation(confusion)
    one = len(set(actual)) == 1 or len(set(predicted)) == 1
    # where scikit-learn says 0 there is nothing to divide by
    assert (found is None) == one
    assert (found or 0) == pytest.approx(correlation, abs=1e-9)
    most = np.bincount(actual, minlength=len(confusion))
    assert majority(confusion) == pytest.approx(most.max() / len(actual))
    assert majority(confusion, 2) == pytest.approx(np.sort(most)[-2:].sum() / len(actual))


def test_kappa_of_a_network_that_answers_one_class_is_0() -> None:
    assert kappa(((5, 0), (3, 0))) == 0
    assert kappa(((5, 0), (0, 0))) is None


@pytest.mark.parametrize(("classes", "wanted"), [(1, (1, 1)), (2, (1 / 2, 1)), (7, (1 / 7, 2 / 7))])
def test_chance_is_of_all_classes(classes: int, wanted: tuple[float, float]) -> None:
    confusion = [[0] * classes for _ in range(classes)]
    assert (chance(confusion), chance(confusion, 2)) == wanted


def test_one_recall_is_of_the_classes_that_have_samples() -> None:
    always_first = ((5, 0, 0), (3, 0, 0), (0, 0, 0))
    assert one_recall(always_first) == balanced_accuracy(always_first) == 1 / 2
    assert one_recall(((0,),)) is None
