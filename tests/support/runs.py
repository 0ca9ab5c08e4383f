"""Evaluations, learning curves and prunings with as little as a report reads."""

from __future__ import annotations

from typing import Any

from emoprune.evaluation.types import ClassScore, Metrics
from emoprune.networks.types import Epoch
from emoprune.pruning.types import Change, ErrorEstimate, Pair, PruningCurve, PruningStep
from emoprune.reporting.types import LayerAngles, PruningSummary
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


def summary(
    *units: tuple[int, int], model: str = "m.st", method: str = "distinct", **other: Any
) -> PruningSummary:
    """What a pruning did to layers of so many units, before and after."""
    layers = tuple(
        ErrorEstimate(f"layer{number}", before, after, before - after, 0, 0, 0.25, 0.125)
        for number, (before, after) in enumerate(units)
    )
    counts = Change(sum(before for before, _ in units), sum(after for _, after in units))
    fields = {"output": None, "merge": "lstsq", "amount": {"angle": 15.0}, **other}
    return PruningSummary(
        **fields, input=model, method=method, units=counts, parameters=counts, macs=counts, layers=layers
    )


def layer_angles(*pairs: tuple[int, int, float], units: int = 3, **other: Any) -> LayerAngles:
    """The angles between the units of a layer, whose histogram has these pairs."""
    angles = [angle for _, _, angle in pairs]
    bins = [min(int(angle), 179) for angle in angles]
    similar = len({unit for i, j, angle in pairs for unit in (i, j) if angle < 15})
    complementary = len({unit for i, j, angle in pairs for unit in (i, j) if angle > 165})
    fields: dict[str, Any] = {
        **{"model": "m.st", "layer": "hidden1", "center": "half", "insignificant": 0},
        **{"smallest_deg": min(angles, default=None), "largest_deg": max(angles, default=None)},
        **{"below_deg": 15.0, "above_deg": 165.0, "histogram": tuple(map(bins.count, range(180)))},
    }
    counts = {"units": units, "similar": similar, "complementary": complementary}
    return LayerAngles(**{**counts, **fields, **other}, pairs=tuple(Pair(*pair) for pair in pairs))
