"""Comparisons in words: which verdict comes first, and what it says."""

from __future__ import annotations

import numpy as np
import pytest

from emoprune.evaluation.significance.compare import adjust_all, compare
from emoprune.evaluation.significance.sentences import sentence, verdict


def of_pairs(gained: int, lost: int, images: int) -> list[list[int]]:
    """Labels and predictions of two models, with so many pairs that differ."""
    labels = np.zeros((3, images), int)
    labels[1, :gained] = labels[2, gained : gained + lost] = 1
    return labels.tolist()


@pytest.mark.parametrize(
    ("gained", "lost", "images", "said"),
    [
        (0, 0, 2434, "not worse by more than 1 point (95%, 2,434 images)"),
        (20, 22, 2434, "not worse by more than 1 point (95%, 2,434 images)"),
        (20, 96, 2434, "worse by 3.1 points (2.3 to 4.0; p < 0.001)"),
        (20, 40, 4000, "worse by 0.5 points (0.1 to 0.9; p = 0.010), but not by more than 1 point"),
        (40, 20, 4000, "better by 0.5 points (0.1 to 0.9; p = 0.010)"),
        (0, 0, 67, "no evidence either way: 67 images can show 11 points"),
        (40, 50, 650, "no evidence either way: 650 images can show 4.1 points"),
        (0, 0, 3, "no evidence either way: 3 images cannot show any difference"),
        (0, 1, 1, "no evidence either way: 1 image cannot show any difference"),
    ],
)
def test_verdict_says_the_first_that_holds(gained: int, lost: int, images: int, said: str) -> None:
    assert verdict(compare(*of_pairs(gained, lost, images)).accuracy, margin_points=1) == said


def test_verdict_counts_groups() -> None:
    groups = np.arange(2434) % 50
    found = compare(*of_pairs(0, 0, 2434), groups=groups).accuracy
    # all right in both: nothing tells how alike images of a group are, so groups count
    assert verdict(found, margin_points=1) == (
        "no evidence either way: 2,434 images of 50 groups can show 16 points"
    )
    assert verdict(compare(*of_pairs(1, 1, 9), groups=[7] * 9).accuracy, margin_points=1) == (
        "no verdict: 9 images of a single group say nothing of others"
    )


def test_verdict_takes_the_adjusted_p() -> None:
    one = compare(*of_pairs(20, 40, 4000))
    assert verdict(adjust_all([one] * 3)[0].accuracy, margin_points=2) == (
        "worse by 0.5 points (0.1 to 0.9; adjusted p = 0.030), but not by more than 2 points"
    )
    assert verdict(adjust_all([one] * 9)[0].accuracy, margin_points=1) == (
        "not worse by more than 1 point (95%, 4,000 images)"
    )


def test_sentence_names_the_classes_that_pay() -> None:
    labels = np.repeat(["fear", "happy", "sad"], 200)
    second = labels.copy()
    second[:30] = second[400:420] = "happy"
    found = compare(labels, labels, second)
    assert sentence(found, margin_points=1) == (
        "worse by 8.3 points (6.4 to 10.8; p < 0.001); "
        "lower recall of fear (-15.0 points), sad (-10.0 points)"
    )
    assert sentence(compare(labels, labels, labels), margin_points=1) == (
        "not worse by more than 1 point (95%, 600 images)"
    )
