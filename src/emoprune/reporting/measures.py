"""The numbers of an evaluation: what they are called, how they are written, what guessing gets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, NamedTuple

from emoprune.choices import Measured
from emoprune.evaluation.confidence import ANY, CORRELATION, FRACTION, Estimate, Limits
from emoprune.evaluation.confusion import Confusion, chance, majority, one_recall
from emoprune.evaluation.types import Metrics
from emoprune.io.number_text import number_text
from emoprune.reporting.tables import DECIMALS, DIFFERENCE, FILE, PERCENT, POINTS, Format

WHOLE = Format(",.0f")
SMALL = 100
"""Means of counts below it have a decimal."""


@dataclass(frozen=True)
class Measure:
    """A number of an evaluation: its heading, its field of Metrics, the form of it and of its difference.

    Changes without a `difference` are in percent. `limits` are those of the values. `name` is what a paper's
    table calls it. `in_rows`: tables with a row per label or model have a column of it. Values that are a
    `count` are whole.
    """

    heading: str
    key: str
    form: Format
    difference: Format | None = None
    limits: Limits = ANY
    name: Measured | None = None
    in_rows: bool = False
    count: bool = False

    def value(self, run: Metrics) -> Any:
        """The number, None where it was not measured."""
        return getattr(run, self.key)

    def text(self, value: float) -> str:
        """The number as people read it."""
        return self.form.text(value)

    def written(self, value: float | None, first: float | None = None) -> str:
        """A number and, beside a first one, its change: "30.0% (-5.0 pt)"."""
        if value is None or first is None:
            return "-" if value is None else self.text(value)
        relative = number_text(value / first - 1, "+.1%") if first else "-"
        return f"{self.text(value)} ({self.difference.text(value - first) if self.difference else relative})"

    def mean(self, found: Estimate | None) -> str | None:
        """A mean over runs; of counts that differ from run to run it says that it is one: "31.3 mean"."""
        if found is None:
            return None
        if not self.count or found.low == found.high:
            return self.text(found.mean)
        return f"{number_text(found.mean, ',.1f' if found.mean < SMALL else ',.0f')} mean"


def _score(heading: str, key: str, limits: Limits = FRACTION, **more: Any) -> Measure:
    return Measure(heading, key, DECIMALS, DIFFERENCE, limits, **more)


def _accuracy(heading: str, key: str, **more: Any) -> Measure:
    return Measure(heading, key, PERCENT, POINTS, FRACTION, **more)


def _cost(heading: str, key: str, name: Measured | None = None) -> Measure:
    return Measure(heading, key, WHOLE, name=name, in_rows=True, count=True)


PARAMETERS = _cost("parameters", "parameters", "parameters")
NONZERO = _cost("non-zero", "nonzero_parameters", "non-zero")
ACCURACY = _accuracy("accuracy", "accuracy", name="accuracy", in_rows=True)
MEASURES = (
    ACCURACY,
    _accuracy("balanced accuracy", "balanced_accuracy", in_rows=True),
    _accuracy("top-2 accuracy", "top2_accuracy"),
    _score("macro F1", "macro_f1", name="macro F1", in_rows=True),
    _score("Cohen's kappa", "kappa", CORRELATION),
    _score("Matthews correlation", "matthews_correlation", CORRELATION),
    _score("AUC", "auc"),
    _score("log loss", "log_loss", ANY),
    _score("calibration error", "calibration_error"),
    _cost("hidden units", "units", "units"),
    PARAMETERS,
    NONZERO,
    _cost("MACs", "macs", "MACs"),
    _cost(FILE, "bytes"),
    Measure("latency (ms)", "latency_ms", DECIMALS, in_rows=True),
)


class Baseline(NamedTuple):
    """What guessing gets, and what one answer for all gets; None without samples."""

    chance: float
    always: float | None

    def text(self, measure: Measure) -> str:
        """Both: "14.3%, 25.4%"."""
        return ", ".join(map(measure.written, self))


@dataclass(frozen=True)
class Baselines:
    """What a measure is without looking at the samples, and what answer for all `always` is of."""

    always: str
    of: Callable[[Confusion], Baseline]

    def mean(self, runs: Sequence[Metrics]) -> Baseline | None:
        """Over runs; None without any."""
        found = [self.of(run.confusion) for run in runs]
        there = [each.always for each in found if each.always is not None]
        return (
            Baseline(fmean(each.chance for each in found), fmean(there) if there else None) if found else None
        )

    def column(
        self, measure: Measure, found: Sequence[Baseline | None]
    ) -> tuple[list[str | None], str | None]:
        """A cell per row, and a line to say it once where all rows have the same.

        "14.3%, 25.4%", and "accuracy: chance 14.3%, always the most frequent class 25.4%".
        """
        texts = [each and each.text(measure) for each in found]
        if len({*texts} - {None}) != 1:
            return texts, None
        chance, always = map(measure.written, next(filter(None, found)))
        return texts, f"{measure.heading}: chance {chance}, always {self.always} {always}"


BASELINES = {
    "accuracy": Baselines("the most frequent class", lambda found: Baseline(chance(found), majority(found))),
    "balanced_accuracy": Baselines("one class", lambda found: Baseline(chance(found), one_recall(found))),
    "top2_accuracy": Baselines(
        "the two most frequent classes", lambda found: Baseline(chance(found, 2), majority(found, 2))
    ),
}
"""By the key of a measure."""
