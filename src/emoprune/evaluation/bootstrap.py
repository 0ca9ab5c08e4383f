"""95% intervals of scores by the bootstrap: samples, or whole groups of them, drawn with replacement.

scipy.stats.bootstrap cannot draw groups, and computes a score in Python for each draw.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax

from emoprune.evaluation.confidence import CONFIDENCE
from emoprune.evaluation.roc import macro_auc
from emoprune.evaluation.types import PERCENTILE, Intervals

RESAMPLES = 2_000
CELLS = 2**21
"""Weights of samples that are computed with at a time."""

Scores = dict[str, NDArray[np.float64]]


def intervals(
    logits: NDArray[np.float64],
    labels: NDArray[np.int64],
    groups: Sequence[str] | None = None,
    *,
    resamples: int = RESAMPLES,
) -> Intervals | None:
    """Percentile intervals of scores of (n, classes) logits against (n,) labels; the same each time.

    Whole `groups`, by the name of each sample's, are drawn where they are known; then the accuracy has an
    interval too, which Wilson's, of single samples, is not. A score has none where it is undefined. None for
    fewer than two samples or groups.
    """
    units = np.unique(groups, return_inverse=True)[1] if groups is not None else np.arange(len(labels))
    count = int(units.max()) + 1
    if count < 2:
        return None
    of_all = scores(logits, labels, np.ones((len(labels), 1)))
    drawn = resampled(logits, labels, units, resamples=resamples)
    tails = (1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2
    found = dict[str, tuple[float, float]]()
    for name, values in drawn.items():
        defined = values[~np.isnan(values)]
        if (name == "accuracy" and groups is None) or np.isnan(of_all[name][0]) or not len(defined):
            continue
        low, high = np.quantile(defined, tails)
        found[name] = float(low), float(high)
    return Intervals(
        kind=PERCENTILE,
        over="samples" if groups is None else "groups",
        count=count,
        resamples=resamples,
        of=found,
    )


def resampled(
    logits: NDArray[np.float64],
    labels: NDArray[np.int64],
    units: NDArray[np.int64],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Scores:
    """Scores of so many draws of as many units as there are, (resamples,) each; `units` (n,) number them."""
    count = int(units.max()) + 1
    generator = np.random.default_rng(seed)
    each = max(1, CELLS // max(len(labels), count))
    pieces = []
    for start in range(0, resamples, each):
        size = min(each, resamples - start)
        drawn = generator.integers(count, size=(size, count)) + count * np.arange(size)[:, None]
        times = np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count)
        pieces.append(scores(logits, labels, times.T[units].astype(float)))
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


def scores(logits: NDArray[np.float64], labels: NDArray[np.int64], weights: NDArray[np.float64]) -> Scores:
    """Scores of the samples counted by `weights` (n, weightings), (weightings,) each; NaN where undefined."""
    probabilities = softmax(logits, axis=1)
    every, width = np.arange(len(labels)), probabilities.shape[1]
    cells = np.zeros((len(labels), width**2))
    cells[every, labels * width + probabilities.argmax(axis=1)] = 1
    confusion = (weights.T @ cells).reshape(-1, width, width)
    total = weights.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            **_of_confusion(confusion, total),
            "auc": macro_auc(probabilities, labels, weights),
            "log_loss": weights.T @ -log_softmax(logits, axis=1)[every, labels] / total,
        }


def _of_confusion(confusion: NDArray[np.float64], total: NDArray[np.float64]) -> Scores:
    """What evaluation/confusion.py and the scores per class say of one, of many, (weightings, k, k)."""
    actual, predicted = confusion.sum(axis=2), confusion.sum(axis=1)
    hits = np.diagonal(confusion, axis1=1, axis2=2)
    there = actual > 0
    right, classes = hits.sum(axis=1), there.sum(axis=1)
    recalls = np.where(there, hits / actual, 0)
    f1 = np.where(there, 2 * hits / (actual + predicted), 0)
    beyond, square = total * right - (actual * predicted).sum(axis=1), total**2
    spread = [square - (side**2).sum(axis=1) for side in (actual, predicted)]
    return {
        "accuracy": right / total,
        "balanced_accuracy": recalls.sum(axis=1) / classes,
        "macro_f1": f1.sum(axis=1) / classes,
        "kappa": beyond / (square - (actual * predicted).sum(axis=1)),
        "matthews_correlation": beyond / np.sqrt(spread[0] * spread[1]),
    }
