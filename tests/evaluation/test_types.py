import pytest

from emoprune.errors import InvalidRecord
from emoprune.evaluation.types import ClassScore, Metrics


def metrics(
    confusion: tuple[tuple[int, ...], ...], n: int, *, per_class: tuple[str, ...] = ("a", "b")
) -> Metrics:
    scores = {name: ClassScore(None, None, None, 0) for name in per_class}
    return Metrics(
        *("m", "f", "d", "f", "test", n, ("a", "b"), 0.5, (0.1, 0.9), 0.5, scores, confusion),
        *(0.7, 0.1, 1, 1, 1, 1, 1),
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
