"""Evaluations, learning curves and prunings with as little as a report reads."""

from __future__ import annotations

from typing import Any

from emoprune.evaluation.types import ClassScore, Metrics
from emoprune.networks.types import Epoch
from emoprune.pruning.types import PruningCurve, PruningStep
from emoprune.training.types import LearningCurve


def run(label: str | None, accuracy: float, *, units: int = 10, **settings: Any) -> Metrics:
    """One evaluation of a label, with its settings."""
    return Metrics(
        model="m.st",
        model_fingerprint="a",
        data="faces",
        data_fingerprint="d",
        split="test",
        n=10,
        classes=("angry", "happy"),
        accuracy=accuracy,
        accuracy_interval=(0.0, 1.0),
        macro_f1=accuracy / 2,
        per_class={"angry": ClassScore(0.5, accuracy, 0.5, 5), "happy": ClassScore(None, 0.0, 0.0, 5)},
        confusion=((4, 1), (2, 3)),
        log_loss=0.5,
        calibration_error=0.1,
        parameters=100 * units,
        nonzero_parameters=90 * units,
        macs=1000,
        bytes=1,
        units=units,
        label=label,
        settings=settings,
    )


def curve(label: str, *accuracies: tuple[float, float | None]) -> LearningCurve:
    """A learning curve of (training, validation) accuracies."""
    epochs = [Epoch(index, 1.0, train, None, val) for index, (train, val) in enumerate(accuracies, start=1)]
    return LearningCurve("m.st", tuple(epochs), label)


def pruning(label: str, *steps: PruningStep) -> PruningCurve:
    """A pruning of these steps."""
    return PruningCurve("m.st", "progressive", steps, label)
