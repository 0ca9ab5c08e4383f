"""Scores of logits: accuracy with its interval, F1, confusion, AUC, calibration."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor

from emoprune.errors import BadCheckpoint
from emoprune.evaluation.confidence import wilson_interval
from emoprune.evaluation.roc import macro_auc
from emoprune.evaluation.types import ClassScore, ReliabilityBin

CALIBRATION_BINS = 15


class Scores(TypedDict):
    """The fields of Metrics that follow from predictions alone."""

    n: int
    classes: tuple[str, ...]
    accuracy: float
    accuracy_interval: tuple[float, float]
    macro_f1: float
    per_class: dict[str, ClassScore]
    confusion: tuple[tuple[int, ...], ...]
    log_loss: float
    calibration_error: float
    top2_accuracy: float
    auc: float | None
    reliability: tuple[ReliabilityBin, ...]


def score(logits: Tensor, labels: Tensor, classes: Sequence[str]) -> Scores:
    """Scores of (n, classes) logits against (n,) labels.

    Macro F1 is the mean over the classes that have samples, a class never predicted counting 0. Raises
    BadCheckpoint for logits that are not finite.
    """
    if not bool(torch.isfinite(logits).all()):
        raise BadCheckpoint("its outputs are not finite", "train it again with a lower `lr`")
    probabilities = logits.double().softmax(1)
    predicted = probabilities.argmax(1)
    width = len(classes)
    confusion = torch.bincount(labels * width + predicted, minlength=width**2).reshape(width, width)
    correct = int(confusion.diagonal().sum())
    per_class = {name: _class_score(confusion, index) for index, name in enumerate(classes)}
    supported = [entry.f1 or 0.0 for entry in per_class.values() if entry.support]
    own = logits.double().log_softmax(1).gather(1, labels[:, None])
    likeliest = probabilities.argsort(dim=1, descending=True, stable=True)[:, :2]
    area = float(macro_auc(probabilities.numpy(), labels.numpy(), np.ones((len(labels), 1)))[0])
    bins = reliability(probabilities, labels)
    return Scores(
        n=len(labels),
        classes=tuple(classes),
        accuracy=correct / len(labels),
        accuracy_interval=wilson_interval(correct, len(labels)),
        macro_f1=sum(supported) / len(supported),
        per_class=per_class,
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        log_loss=float(-own.mean()),
        calibration_error=calibration_error(bins),
        top2_accuracy=float((likeliest == labels[:, None]).any(1).double().mean()),
        auc=None if math.isnan(area) else area,
        reliability=bins,
    )


def _class_score(confusion: Tensor, index: int) -> ClassScore:
    hits = int(confusion[index, index])
    support, predicted = int(confusion[index].sum()), int(confusion[:, index].sum())
    return ClassScore(
        precision=hits / predicted if predicted else None,
        recall=hits / support if support else None,
        f1=2 * hits / (support + predicted) if support + predicted else None,
        support=support,
    )


def reliability(probabilities: Tensor, labels: Tensor) -> tuple[ReliabilityBin, ...]:
    """The samples in 15 equal bins of confidence, from the least to the most confident."""
    confidence, predicted = probabilities.max(1)
    bins = (confidence * CALIBRATION_BINS).ceil().long().clamp(1, CALIBRATION_BINS) - 1
    none = torch.zeros(CALIBRATION_BINS, dtype=torch.float64)
    sums = (none.index_add(0, bins, each) for each in (confidence, (predicted == labels).double()))
    counts = bins.bincount(minlength=CALIBRATION_BINS).tolist()
    return tuple(
        ReliabilityBin(count, sure / count if count else None, right / count if count else None)
        for count, sure, right in zip(counts, *(each.tolist() for each in sums), strict=True)
    )


def calibration_error(bins: Sequence[ReliabilityBin]) -> float:
    """The expected calibration error: how far confidence is from accuracy, the mean over samples.

    By bins of equal width (Guo et al. 2017).
    """
    gaps = (each.count * abs((each.accuracy or 0) - (each.confidence or 0)) for each in bins)
    return math.fsum(gaps) / sum(each.count for each in bins)
