"""What a network costs and how well it does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from emoprune.errors import InvalidRecord


@dataclass(frozen=True)
class Cost:
    """Parameters, those of them that are not zero, and multiply-accumulates for one sample."""

    parameters: int
    nonzero_parameters: int
    macs: int


@dataclass(frozen=True)
class ClassScore:
    """One class; precision is None for a class never predicted, recall for one without samples."""

    precision: float | None
    recall: float | None
    f1: float | None
    support: int


@dataclass(frozen=True)
class Metrics:
    """How one model does on one part of one data set (schema emoprune.metrics/1).

    `accuracy_interval` is Wilson's 95% interval; `confusion` is [actual][predicted]; `log_loss` in nats;
    `calibration_error` the expected one over 15 equal bins; `units` the hidden units of prunable layers;
    `latency_ms` the median time of one sample, where it was asked for.
    """

    model: str
    model_fingerprint: str
    data: str
    data_fingerprint: str
    split: str
    n: int
    classes: tuple[str, ...]
    accuracy: float
    accuracy_interval: tuple[float, float]
    macro_f1: float
    per_class: Mapping[str, ClassScore]
    confusion: tuple[tuple[int, ...], ...]
    log_loss: float
    calibration_error: float
    parameters: int
    nonzero_parameters: int
    macs: int
    bytes: int
    units: int
    latency_ms: float | None = None

    def __post_init__(self) -> None:
        width = len(self.classes)
        square = len(self.confusion) == width and all(len(row) == width for row in self.confusion)
        if not square or set(self.per_class) != set(self.classes):
            raise InvalidRecord("confusion or per_class contradict the classes", "run emoprune eval again")
        if sum(map(sum, self.confusion)) != self.n:
            raise InvalidRecord(
                f"the confusion matrix does not add up to n = {self.n}", "run emoprune eval again"
            )
