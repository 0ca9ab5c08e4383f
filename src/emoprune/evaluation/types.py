"""Metrics: how well a network does and what it costs."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from emoprune.errors import InvalidRecord
from emoprune.evaluation import confusion as confusions
from emoprune.io.json_records import DAMAGED, EXACT

RECONSTRUCTION_SCHEMA = "emoprune.reconstruction/1"
EVALUATE_AGAIN = "run emoprune eval again"
COUNTS = ("n", "parameters", "nonzero_parameters", "macs", "bytes", "units")
PERCENTILE = "percentile bootstrap"
"""The kind of the intervals."""
MAYBE_COUNTS = ("seen", "test_looks")
KNOWN = ("train", "val")
"""Parts that training learns from, or chooses by."""
MARGIN = 1.0
"""Percentage points by which a model may be worse, unless a user says otherwise."""


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
class ReliabilityBin:
    """The samples whose confidence, the probability of the answer, is in one of 15 equal bins.

    `confidence` is its mean and `accuracy` the fraction of right answers, both None without samples.
    """

    count: int
    confidence: float | None
    accuracy: float | None

    def __post_init__(self) -> None:
        check_counts(self.count, of="count of a bin")
        check_fractions(self.confidence, self.accuracy, of="a figure of a bin")


@dataclass(frozen=True)
class Intervals:
    """95% intervals by the bootstrap, low and high by the name of the score; undefined scores have none.

    Drawn were `count` samples or, whole, groups of them, `resamples` times.
    """

    kind: str
    over: Literal["samples", "groups"]
    count: int
    resamples: int
    of: Mapping[str, tuple[float, float]]

    def __post_init__(self) -> None:
        check_counts(self.count, self.resamples, of="a count of intervals")
        for name, (low, high) in self.of.items():
            if low > high:
                raise InvalidRecord(f"the interval of {name} ends before it begins", EVALUATE_AGAIN)


@dataclass(frozen=True)
class Latency:
    """Percentiles of the milliseconds of so many `runs` of one batch, on `threads` threads of the processor.

    `device` is cpu or cuda.
    """

    batch: int
    threads: int
    device: str
    runs: int
    p50_ms: float
    p90_ms: float
    p99_ms: float

    def __post_init__(self) -> None:
        check_counts(self.batch, self.threads, self.runs, of="a count of a latency")
        if not 0 <= self.p50_ms <= self.p90_ms <= self.p99_ms:
            raise InvalidRecord("percentiles of a latency do not ascend", EVALUATE_AGAIN)


@dataclass(frozen=True)
class Metrics:
    """How one model does on one part of one data set (schema emoprune.metrics/1).

    `accuracy_interval` is Wilson's 95% interval; `confusion` is [actual][predicted]; `log_loss` in nats;
    `calibration_error` the expected one over 15 equal bins, `reliability` those bins; `units` the hidden
    units of prunable layers; `latency_ms` the median time of one sample, None unless asked for. `label` and
    `settings` (numbers and texts) are the user's own: the name of the run, and what it was made with. `seen`
    counts samples that the network knows from its training. `test_looks` counts earlier evaluations of the
    same test part by this user, and differs where nothing else does. Both are None where nobody knows.
    `top2_accuracy` counts a sample whose class is among the two most likely; `auc` is the mean over the
    classes that have samples, each against the others, None where one class has all. `intervals` are those
    of the other scores, and of the accuracy where groups are known. Older records have none of these.
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
    top2_accuracy: float | None = None
    auc: float | None = None
    reliability: tuple[ReliabilityBin, ...] | None = None
    intervals: Intervals | None = None
    latency: tuple[Latency, ...] | None = None

    @property
    def balanced_accuracy(self) -> float | None:
        """The mean recall of the classes that have samples."""
        return confusions.balanced_accuracy(self.confusion)

    @property
    def kappa(self) -> float | None:
        """Cohen's kappa; None where it is 0/0."""
        return confusions.kappa(self.confusion)

    @property
    def matthews_correlation(self) -> float | None:
        """None where the labels or the answers are of one class."""
        return confusions.matthews_correlation(self.confusion)

    @property
    def chance(self) -> float:
        """The accuracy of guessing."""
        return confusions.chance(self.confusion)

    @property
    def majority(self) -> float | None:
        """The accuracy of always answering the most frequent class; None without samples."""
        return confusions.majority(self.confusion)

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
        check_fractions(self.top2_accuracy, self.auc, of="top-2 accuracy or AUC")
        if self.reliability is not None and sum(each.count for each in self.reliability) != self.n:
            raise InvalidRecord(f"the reliability bins do not add up to n = {self.n}", EVALUATE_AGAIN)


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
    latency: tuple[Latency, ...] | None = None


def check_counts(*counts: int, of: str) -> None:
    """Raise InvalidRecord for a count that is negative, or that floats cannot hold."""
    for count in counts:
        if not 0 <= count < EXACT:
            raise InvalidRecord(f"{of} cannot be {str(count)[:40]}", DAMAGED)


def check_fractions(*values: float | None, of: str) -> None:
    """Raise InvalidRecord for a value that is there and not from 0 to 1."""
    for value in values:
        if value is not None and not 0 <= value <= 1:
            raise InvalidRecord(f"{of} cannot be {value:g}", EVALUATE_AGAIN)


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
