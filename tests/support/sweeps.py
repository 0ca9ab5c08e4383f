"""Evaluations as a sweep makes them, whose scores follow from their confusion."""

from __future__ import annotations

from typing import Any

from emoprune.evaluation.types import ClassScore, Metrics

EMOTIONS = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")


def measured(
    label: str | None, right: float, *, macs: int = 1000, classes: tuple[str, ...] = EMOTIONS, **changes: Any
) -> Metrics:
    """An evaluation of 30 images of each class, of which about a fraction is right; scores follow from it."""
    hits = [max(1, min(30, round(30 * right) + place % 3 - 1)) for place in range(len(classes))]
    confusion = [[0] * len(classes) for _ in classes]
    for place, hit in enumerate(hits):
        confusion[place][place] += hit
        confusion[place][(place + 1) % len(classes)] += 30 - hit
    n, accuracy = (
        30 * len(classes),
        sum(confusion[place][place] for place in range(len(classes))) / (30 * len(classes)),
    )
    answered = [sum(row[place] for row in confusion) for place in range(len(classes))]
    scores = {
        name: ClassScore(hit / (count or 1), hit / 30, 2 * hit / (30 + count), 30)
        for name, hit, count in zip(classes, hits, answered, strict=True)
    }
    fields: dict[str, Any] = {
        **{"model": f"{label}.st", "model_fingerprint": f"{label} {macs}", "data": "faces"},
        **{"data_fingerprint": "d" * 64, "split": "val", "n": n, "classes": classes, "accuracy": accuracy},
        **{"accuracy_interval": (max(0, accuracy - 0.06), min(1, accuracy + 0.06))},
        **{"macro_f1": accuracy, "per_class": scores, "confusion": tuple(map(tuple, confusion))},
        **{"log_loss": 2 * (1 - accuracy), "calibration_error": 0.05, "parameters": macs // 10},
        **{"nonzero_parameters": macs // 10, "macs": macs, "bytes": macs // 2, "units": macs // 1000},
        **{"label": label, "seen": 0, "test_looks": 0},
    }
    return Metrics(**{**fields, **changes})


MACS = 5_400_000
PATH = {
    "distinct": (0.52, 0.43, 0.31, 0.22),
    "importance": (0.54, 0.5, 0.44, 0.35),
    "reconstruct": (0.55, 0.54, 0.49, 0.47),
}
"""Accuracies at FRACTIONS of the MACs."""
FRACTIONS = (0.75, 0.5, 0.25, 0.125)


def swept(**changes: Any) -> tuple[Metrics, ...]:
    """Evaluations as a sweep makes them, of the whole network and of three methods at four sizes."""
    found = [measured("whole network", 0.55, macs=MACS, settings={"macs": 1, "seed": 0}, **changes)]
    for method, accuracies in PATH.items():
        for fraction, accuracy in zip(FRACTIONS, accuracies, strict=True):
            settings = {"method": method, "macs": fraction, "macs_left": fraction, "seed": 0}
            macs = int(MACS * fraction)
            found.append(measured(method, accuracy, macs=macs, settings=settings, **changes))
    return tuple(found)
