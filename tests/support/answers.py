"""Predictions of few images, each written as a letter."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emoprune.evaluation.predictions import Predictions


def answers(
    run: str,
    predicted: str,
    *,
    labels: str = "",
    names: Sequence[str] = (),
    groups: Sequence[str] | None = None,
    classes: str | Sequence[str] = "ab",
    sure: Sequence[float] = (),
    data: str = "data",
) -> Predictions:
    """A run that answers each letter, the place of a class; labels are all `a`, names numbers by default.

    `sure` are the probabilities of the answers; the other classes share the rest.
    """
    n, width = len(predicted), len(classes)
    truth, found = (
        np.array([ord(letter) - ord("a") for letter in text]) for text in (labels or "a" * n, predicted)
    )
    chances = np.array(sure or [0.9] * n)
    rest = (1 - chances) / max(1, width - 1)
    probabilities = np.repeat(rest[:, None], width, axis=1)
    probabilities[np.arange(n), found] = chances
    return Predictions(
        run=run,
        model_fingerprint=f"model of {run}",
        data_fingerprint=data,
        classes=tuple(classes),
        names=tuple(names) or tuple(f"{index:05d}.jpg" for index in range(n)),
        groups=None if groups is None else tuple(groups),
        labels=truth,
        predicted=found,
        probabilities=probabilities,
    )
