"""Several models' metrics side by side, as sheets of text and as flat rows; needs no torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from emoprune.choices import EvaluationSection
from emoprune.evaluation.types import Metrics
from emoprune.reporting.tables import DECIMALS, SHARE, Row, Table

SCHEMA = "emoprune.report/1"


@dataclass(frozen=True)
class Measure:
    """One line of the summary: how a value is read from metrics, written, and its change written."""

    name: str
    value: Callable[[Metrics], float | None]
    text: Callable[[float], str]
    change: Callable[[float, float], str]


def _points(before: float, after: float) -> str:
    return f"{100 * (after - before):+.1f} pt"


def _difference(before: float, after: float) -> str:
    return f"{after - before:+.3f}"


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _share(before: float, after: float) -> str:
    return f"{after / before - 1:+.1%}" if before else "-"


MEASURES: tuple[Measure, ...] = (
    Measure("accuracy", lambda m: m.accuracy, SHARE.text, _points),
    Measure("macro F1", lambda m: m.macro_f1, DECIMALS.text, _difference),
    Measure("log loss", lambda m: m.log_loss, DECIMALS.text, _difference),
    Measure("calibration error", lambda m: m.calibration_error, DECIMALS.text, _difference),
    Measure("hidden units", lambda m: m.units, _count, _share),
    Measure("parameters", lambda m: m.parameters, _count, _share),
    Measure("non-zero", lambda m: m.nonzero_parameters, _count, _share),
    Measure("MACs", lambda m: m.macs, _count, _share),
    Measure("bytes", lambda m: m.bytes, _count, _share),
    Measure("latency (ms)", lambda m: m.latency_ms, DECIMALS.text, _share),
)


def headings(found: Sequence[Metrics]) -> list[str]:
    """The shortest names that tell the models apart: file names, else paths, else paths with the part."""
    choices: tuple[list[str], ...] = (
        [PurePath(metrics.model).name for metrics in found],
        [metrics.model for metrics in found],
        [f"{metrics.model} ({metrics.split})" for metrics in found],
    )
    for names in choices:
        if max(Counter(names).values()) == 1:
            return names
    return [f"{name} #{index}" for index, name in enumerate(choices[-1], start=1)]


def comparable(found: Sequence[Metrics]) -> bool:
    """Whether all were measured on the same samples."""
    return len({(metrics.data_fingerprint, metrics.split) for metrics in found}) <= 1


def summary(found: Sequence[Metrics]) -> Table:
    """One line per measure, one column per model, with the change against the first from the second on."""
    rows: list[Row] = [
        ("part", *(metrics.split for metrics in found)),
        ("samples", *(_count(metrics.n) for metrics in found)),
    ]
    for measure in MEASURES:
        values = [measure.value(metrics) for metrics in found]
        if any(value is not None for value in values):
            rows.append(
                (measure.name, *(_cell(measure, values[0] if i else None, v) for i, v in enumerate(values)))
            )
        if measure.name == "accuracy":
            rows.append(("  95% interval", *(_interval(metrics) for metrics in found)))
    return Table("Summary", ("", *headings(found)), tuple(rows))


def _cell(measure: Measure, first: float | None, value: float | None) -> str:
    """The value, with its change against the first where there is one to compare with."""
    if value is None:
        return "-"
    return measure.text(value) + (f" ({measure.change(first, value)})" if first is not None else "")


def _interval(metrics: Metrics) -> str:
    low, high = metrics.accuracy_interval
    return f"{100 * low:.1f} to {high:.1%}"


def by_class(found: Sequence[Metrics]) -> list[Table]:
    """Precision, recall and F1 per class: classes down, models across."""
    names = headings(found)
    classes = list(dict.fromkeys(name for metrics in found for name in metrics.classes))
    sheets = []
    for measure in ("precision", "recall", "f1"):
        rows: list[Row] = []
        for name in classes:
            scores = [metrics.per_class.get(name) for metrics in found]
            values = [None if score is None else getattr(score, measure) for score in scores]
            rows.append((name, *("-" if value is None else DECIMALS.text(value) for value in values)))
        sheets.append(
            Table(measure.replace("f1", "F1").capitalize() + " by class", ("class", *names), tuple(rows))
        )
    return sheets


def confusions(found: Sequence[Metrics]) -> list[Table]:
    """The confusion matrix of each model, with each class's support."""
    return [
        confusion_sheet(name, metrics.classes, metrics.confusion)
        for name, metrics in zip(headings(found), found, strict=True)
    ]


def confusion_sheet(of: str, classes: Sequence[str], counts: Sequence[Sequence[int]]) -> Table:
    """A confusion matrix, [actual][predicted], with each class's support; `of` says whose."""
    rows = tuple((actual, *row, sum(row)) for actual, row in zip(classes, counts, strict=True))
    title = f"Confusion of {of} (down: actual, across: predicted)"
    return Table(title, ("actual", *classes, "support"), rows)


def sheets(found: Sequence[Metrics], sections: Sequence[EvaluationSection]) -> list[Table]:
    """The sheets of the wanted sections, in the order wanted."""
    made: dict[EvaluationSection, Callable[[], list[Table]]] = {
        "summary": lambda: [summary(found)],
        "classes": lambda: by_class(found),
        "confusion": lambda: confusions(found),
    }
    return [sheet for section in sections for sheet in made[section]()]


def flat(found: Sequence[Metrics], section: EvaluationSection) -> Table:
    """One section as a flat sheet of raw values, for other programs."""
    if section == "summary":
        columns = ("model", "data", "split", "n", "accuracy", "accuracy_low", "accuracy_high", "macro_f1")
        more = (
            "log_loss",
            "calibration_error",
            "units",
            "parameters",
            "nonzero_parameters",
            "macs",
            "bytes",
            "latency_ms",
        )
        rows = tuple(
            (
                *(m.model, m.data, m.split, m.n, m.accuracy, *m.accuracy_interval, m.macro_f1),
                *(getattr(m, name) for name in more),
            )
            for m in found
        )
        return Table("summary", (*columns, *more), rows)
    if section == "classes":
        names = ("precision", "recall", "f1", "support")
        return Table(
            "classes",
            ("model", "split", "class", *names),
            tuple(
                (m.model, m.split, name, *(getattr(score, key) for key in names))
                for m in found
                for name, score in m.per_class.items()
            ),
        )
    return Table(
        "confusion",
        ("model", "split", "actual", "predicted", "count"),
        tuple(
            (m.model, m.split, actual, predicted, count)
            for m in found
            for actual, row in zip(m.classes, m.confusion, strict=True)
            for predicted, count in zip(m.classes, row, strict=True)
        ),
    )


def to_record(found: Sequence[Metrics]) -> dict[str, Any]:
    """The comparison as one JSON object: each model's figures and their change against the first."""
    flattened = flat(found, "summary")
    models: list[dict[str, Any]] = [dict(zip(flattened.columns, row, strict=True)) for row in flattened.rows]
    changes = [
        {
            key: value - models[0][key]
            for key, value in model.items()
            if isinstance(value, int | float) and models[0][key] is not None
        }
        for model in models
    ]
    return {
        "schema": SCHEMA,
        "comparable": comparable(found),
        "models": [
            {**model, "change": change, "per_class": {name: vars(s) for name, s in metrics.per_class.items()}}
            for model, change, metrics in zip(models, changes, found, strict=True)
        ],
    }
