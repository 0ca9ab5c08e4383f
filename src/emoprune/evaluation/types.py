"""Metrics: how well a network does and what it costs."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from emoprune.errors import InvalidRecord
from emoprune.io.json_records import DAMAGED, EXACT

RECONSTRUCTION_SCHEMA = "emoprune.reconstruction/1"
EVALUATE_AGAIN = "run emoprune eval again"
COUNTS = ("n", "parameters", "nonzero_parameters", "macs", "bytes", "units")
MAYBE_COUNTS = ("seen", "test_looks")


@dataclass(frozen=True)
class ClassScore:
    """One class; precision is None for a class never predicted, recall for one without samples."""

    precision: float | None
    recall: float | None
    f1: float | None
    support: int

    def __post_init__(self) -> None:
        check_counts(self.support, of="support")


@dataclass(frozen=True)
class Metrics:
    """How one model does on one part of one data set (schema emoprune.metrics/1).

    `accuracy_interval` is Wilson's 95% interval; `confusion` is [actual][predicted]; `log_loss` in nats;
    `calibration_error` the expected one over 15 equal bins; `units` the hidden units of prunable layers;
    `latency_ms` the median time of one sample, None unless asked for. `label` and `settings` (numbers and
    texts) are the user's own: the name of the run, and what it was made with. `seen` counts samples that the
    network knows from its training. `test_looks` counts earlier evaluations of the same test part by this
    user, and differs where nothing else does. Both are None where nobody knows.
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
    label: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    seen: int | None = None
    test_looks: int | None = field(default=None, compare=False)

    @property
    def name(self) -> str:
        """Its label or, without one, its model."""
        return self.label or self.model

    def number(self, key: str) -> float | None:
        """The setting `key` where it is a number."""
        value = self.settings.get(key)
        return None if isinstance(value, str) or value is None else float(value)

    def __post_init__(self) -> None:
        check_label(self.label)
        check_settings(self.settings)
        width = len(self.classes)
        square = len(self.confusion) == width and all(len(row) == width for row in self.confusion)
        if not width or not square or set(self.per_class) != set(self.classes):
            raise InvalidRecord("confusion or per_class contradict the classes", EVALUATE_AGAIN)
        for name in COUNTS:
            check_counts(getattr(self, name), of=name)
        for name in MAYBE_COUNTS:
            check_counts(getattr(self, name) or 0, of=name)
        low, high = self.accuracy_interval
        if not (0 <= self.accuracy <= 1 and 0 <= low <= high <= 1):
            raise InvalidRecord("accuracy or its interval is not a fraction", EVALUATE_AGAIN)
        check_counts(min(map(min, self.confusion)), of="a cell of confusion")
        if sum(map(sum, self.confusion)) != self.n:
            raise InvalidRecord(f"the confusion matrix does not add up to n = {self.n}", EVALUATE_AGAIN)


@dataclass(frozen=True)
class ReconstructionMetrics:
    """How well one model reconstructs its input, on one part of one data set.

    `loss` is the mean squared error as the network scales its input, over all outputs; `per_output` that of
    each. The rest is as in Metrics.
    """

    model: str
    data: str
    split: str
    n: int
    loss: float
    per_output: Mapping[str, float]
    parameters: int
    nonzero_parameters: int
    macs: int
    bytes: int
    units: int
    latency_ms: float | None = None
    seen: int | None = None
    test_looks: int | None = field(default=None, compare=False)


def check_counts(*counts: int, of: str) -> None:
    """Raise InvalidRecord for a count that is negative, or that floats cannot hold."""
    for count in counts:
        if not 0 <= count < EXACT:
            raise InvalidRecord(f"{of} cannot be {str(count)[:40]}", DAMAGED)


def check_label(label: str | None) -> None:
    """Raise InvalidRecord for a label without text."""
    if label is not None and not label.strip():
        raise InvalidRecord("an empty label", "give it a text")


def check_settings(settings: Mapping[str, Any]) -> None:
    """Raise InvalidRecord for a setting that is neither text nor a number that floats can hold."""
    for key, value in settings.items():
        number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < EXACT
        if not key.strip() or not (number or isinstance(value, str)):
            raise InvalidRecord(f"setting {key!r} cannot be {reprlib.repr(value)}", "give a number or a text")
