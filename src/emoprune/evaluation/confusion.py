"""What follows from a confusion matrix, [actual][predicted], alone.

Values without a meaning are None: of no samples, or 0/0. A report shows them, so nothing here needs numpy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

Confusion = Sequence[Sequence[int]]


def balanced_accuracy(confusion: Confusion) -> float | None:
    """The mean recall of the classes that have samples."""
    recalls = [row[index] / sum(row) for index, row in enumerate(confusion) if any(row)]
    return fmean(recalls) if recalls else None


def kappa(confusion: Confusion) -> float | None:
    """Cohen's kappa (1960): the agreement beyond that of as many answers of each class at random."""
    samples, right, expected, _, _ = _sums(confusion)
    return (samples * right - expected) / (samples**2 - expected) if samples**2 > expected else None


def matthews_correlation(confusion: Confusion) -> float | None:
    """The correlation of labels and answers (Gorodkin 2004); None where either is of one class only."""
    samples, right, expected, actual, predicted = _sums(confusion)
    scale = (samples**2 - actual) * (samples**2 - predicted)
    return (samples * right - expected) / math.sqrt(scale) if scale else None


def _sums(confusion: Confusion) -> tuple[int, int, int, int, int]:
    """Samples, right ones, and of the counts per class: products of both sides, squares of each."""
    actual = [sum(row) for row in confusion]
    predicted = [sum(column) for column in zip(*confusion, strict=True)]
    return (
        sum(actual),
        sum(row[index] for index, row in enumerate(confusion)),
        sum(count * other for count, other in zip(actual, predicted, strict=True)),
        sum(count**2 for count in actual),
        sum(count**2 for count in predicted),
    )


def one_recall(confusion: Confusion) -> float | None:
    """The balanced accuracy of always answering one class that has samples."""
    there = sum(any(row) for row in confusion)
    return 1 / there if there else None


def chance(confusion: Confusion, top: int = 1) -> float:
    """How often the class is among `top` that are guessed, each as likely as any."""
    return min(top, len(confusion)) / len(confusion)


def majority(confusion: Confusion, top: int = 1) -> float | None:
    """How often the class is among the `top` most frequent."""
    support = sorted((sum(row) for row in confusion), reverse=True)
    return sum(support[:top]) / sum(support) if any(support) else None
