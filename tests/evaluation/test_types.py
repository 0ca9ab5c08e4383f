from typing import Any

import pytest

from emoprune.errors import InvalidRecord
from emoprune.evaluation.types import ClassScore, Intervals, Latency, Metrics, ReliabilityBin


def metrics(
    confusion: tuple[tuple[int, ...], ...], n: int, *, per_class: tuple[str, ...] = ("a", "b"), **more: Any
) -> Metrics:
    scores = {name: ClassScore(None, None, None, 0) for name in per_class}
    return Metrics(
        *("m", "f", "d", "f", "test", n, ("a", "b"), 0.5, (0.1, 0.9), 0.5, scores, confusion),
        *(0.7, 0.1, 1, 1, 1, 1, 1),
        **more,
    )


@pytest.mark.parametrize(
    ("confusion", "n"), [(((1, 2), (3, 4)), 9), (((1, 2),), 3), (((1, 2, 0), (3, 4, 0)), 10), ((), 0)]
)
def test_metrics_need_a_square_confusion_that_adds_up(confusion: tuple[tuple[int, ...], ...], n: int) -> None:
    assert metrics(((1, 2), (3, 4)), 10).n == 10
    with pytest.raises(InvalidRecord):
        metrics(confusion, n)


def test_metrics_need_a_score_per_class() -> None:
    for names in (("a",), ("a", "b", "c"), ("a", "x")):
        with pytest.raises(InvalidRecord, match="per_class"):
            metrics(((1, 2), (3, 4)), 10, per_class=names)


def test_metrics_derive_what_follows_from_their_confusion() -> None:
    found = metrics(((3, 1), (0, 4)), 8)
    assert (found.chance, found.majority, found.balanced_accuracy, found.kappa) == (0.5, 0.5, 0.875, 0.75)
    assert found.matthews_correlation == pytest.approx(12 / 240**0.5)
    nothing = metrics(((0, 0), (0, 0)), 0)
    assert (nothing.majority, nothing.kappa, nothing.matthews_correlation) == (None, None, None)


@pytest.mark.parametrize(
    "more", [{"auc": 1.5}, {"top2_accuracy": -0.1}, {"reliability": (ReliabilityBin(9, 0.5, 0.5),)}], ids=str
)
def test_metrics_refuse_impossible_scores(more: dict[str, Any]) -> None:
    with pytest.raises(InvalidRecord):
        metrics(((1, 2), (3, 4)), 10, **more)


def test_parts_of_metrics_check_themselves() -> None:
    with pytest.raises(InvalidRecord, match="interval of kappa"):
        Intervals("percentile bootstrap", "samples", 10, 2000, {"auc": (0.1, 0.2), "kappa": (0.2, 0.1)})
    with pytest.raises(InvalidRecord, match="percentiles"):
        Latency(1, 1, "cpu", 20, 2.0, 1.0, 3.0)
    with pytest.raises(InvalidRecord, match="a figure of a bin"):
        ReliabilityBin(1, 0.5, 2.0)
