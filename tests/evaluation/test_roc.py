"""The area under the curve agrees with scikit-learn, also of samples that count several times."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from emoprune.evaluation.roc import macro_auc


@given(st.integers(2, 5), st.integers(1, 30), st.integers(0, 10**6), st.sampled_from([2, 16]))
def test_macro_auc_agrees_with_scikit_learn(width: int, n: int, seed: int, digits: int) -> None:
    generator = np.random.default_rng(seed)
    # two digits give ties
    probabilities = generator.dirichlet(np.ones(width), size=n).round(digits)
    labels = generator.integers(generator.integers(1, width + 1), size=n)
    weights = generator.integers(4, size=(n, 3))
    weights[:, 0] = 1
    found = macro_auc(probabilities, labels, weights.astype(float))
    for column, times in zip(found, weights.T, strict=True):
        actual = np.repeat(labels, times)
        there = sorted(set(actual))
        if len(there) < 2:
            assert np.isnan(column)
            continue
        rows = np.repeat(probabilities, times, axis=0)
        wanted = np.mean([roc_auc_score(actual == index, rows[:, index]) for index in there])
        assert column == pytest.approx(wanted, abs=1e-9)


def test_macro_auc_is_that_of_scikit_learn_for_several_classes() -> None:
    generator = np.random.default_rng(0)
    probabilities, labels = generator.dirichlet(np.ones(4), size=60), generator.integers(4, size=60)
    (found,) = macro_auc(probabilities, labels, np.ones((60, 1)))
    assert found == pytest.approx(roc_auc_score(labels, probabilities, multi_class="ovr"), abs=1e-9)
