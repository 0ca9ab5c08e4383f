"""Runs of one label as one row, as sheets of text and as flat rows, with a paper's numbers beside ours."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, get_args

from emoprune import events
from emoprune.choices import ClassMeasure, EvaluationSection, Measured
from emoprune.evaluation.types import Metrics
from emoprune.reporting.aggregate import CLASS_KEYS, KEYS, Labeled, all_changes, by_label, by_setting
from emoprune.reporting.model_tables import comparable, confusion_sheet
from emoprune.reporting.tables import DECIMALS, SHARE, Table, bounds, flat_printed, from_rows
from emoprune.reporting.types import Estimate, Printed

SCHEMA = "emoprune.labels/1"
MEASURES: tuple[Measured, ...] = get_args(Measured)
CLASS_MEASURES: tuple[ClassMeasure, ...] = get_args(ClassMeasure)


def _count(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) else f"{value:,.1f}"


TEXTS: dict[Measured, Callable[[float], str]] = {
    "accuracy": SHARE.text,
    "macro F1": DECIMALS.text,
    "units": _count,
    "parameters": _count,
    "non-zero": _count,
    "MACs": _count,
}


@dataclass(frozen=True)
class Overview:
    """Labels in order, ours first, and what a paper prints of them."""

    ours: Sequence[Labeled]
    printed: Sequence[Printed] = ()

    @cached_property
    def labels(self) -> dict[str, Labeled | None]:
        """Every label, with our runs of it where there are some."""
        found: dict[str, Labeled | None] = {entry.label: entry for entry in self.ours}
        return found | {entry.label: None for entry in self.printed if entry.label not in found}

    @cached_property
    def _by_key(self) -> dict[tuple[str, str, str | None], Printed]:
        return {(entry.label, entry.measure, entry.of_class): entry for entry in self.printed}

    def paper(self, label: str, measure: str, of_class: str | None = None) -> Printed | None:
        """What the paper prints, if it does."""
        return self._by_key.get((label, measure, of_class))

    def has(self, measure: str, label: str | None = None) -> bool:
        """Whether the paper prints the measure, of a label or of any."""
        return any(entry.measure == measure and label in (None, entry.label) for entry in self.printed)

    @cached_property
    def classes(self) -> list[str]:
        """Every class, ours first."""
        ours = [name for entry in self.ours for name in entry.classes]
        return list(dict.fromkeys([*ours, *(entry.of_class for entry in self.printed if entry.of_class)]))


def overview(found: Iterable[Metrics], printed: Sequence[Printed] = ()) -> Overview:
    """Runs gathered by label, beside what a paper prints."""
    return Overview(by_setting(by_label(found)), printed)


def summary(view: Overview) -> Table:
    """One row per label: runs, means, the accuracy's interval and its paired difference from the first."""
    several = len(view.ours) > 1
    columns = ["label", "runs"]
    for measure in MEASURES:
        columns.append("hidden units" if measure == "units" else measure)
        if measure == "accuracy":
            columns += ["95% interval", *(["against the first", "95% interval"] if several else [])]
        columns += ["paper"] if view.has(measure) else []
    rows = tuple(
        (label, len(entry.runs) if entry else None, *_summary_cells(view, label, entry, several))
        for label, entry in view.labels.items()
    )
    return Table("Summary by label", tuple(columns), rows)


def _summary_cells(view: Overview, label: str, entry: Labeled | None, several: bool) -> Iterable[object]:
    for measure in MEASURES:
        found = entry.mean(measure) if entry else None
        yield TEXTS[measure](found.mean) if found else None
        if measure == "accuracy":
            yield _interval(found, "%")
            if several:
                change = _change(view, entry, measure)
                yield f"{100 * change.mean:+.1f} pt" if change else None
                yield _interval(change, " pt", signed=True)
        if view.has(measure):
            yield _printed(view.paper(label, measure), TEXTS[measure])


def _change(view: Overview, entry: Labeled | None, measure: Measured) -> Estimate | None:
    """Against the first label, which has none itself."""
    return None if entry is None or entry is view.ours[0] else entry.change(measure, view.ours[0])


def _interval(found: Estimate | None, unit: str, *, signed: bool = False) -> str | None:
    if found is None or found.low is None or found.high is None:
        return None
    form = "+.1f" if signed else ".1f"
    return f"{100 * found.low:{form}} to {100 * found.high:{form}}{unit}"


def _printed(entry: Printed | None, text: Callable[[float], str]) -> str | None:
    if entry is None:
        return None
    return text(entry.value) + (f" ({entry.where})" if entry.where else "")


def by_class(view: Overview) -> list[Table]:
    """Mean precision, recall and F1 per class: classes down, labels across, the paper's beside ours."""
    return [_class_sheet(view, measure) for measure in CLASS_MEASURES]


def _class_sheet(view: Overview, measure: ClassMeasure) -> Table:
    heads: list[str] = ["class"]
    columns: list[list[str | None]] = [[*view.classes]]
    for label, entry in view.labels.items():
        if entry is not None:
            heads.append(label)
            columns.append([_mean_of_class(entry, measure, name) for name in view.classes])
        if view.has(measure, label):
            heads.append(f"{label} (paper)")
            columns.append(
                [_printed(view.paper(label, measure, name), DECIMALS.text) for name in view.classes]
            )
    return Table(f"{measure.capitalize()} by class", tuple(heads), tuple(zip(*columns, strict=True)))


def _mean_of_class(entry: Labeled, measure: ClassMeasure, name: str) -> str | None:
    found = entry.mean_of_class(measure, name)
    return DECIMALS.text(found.mean) if found else None


def confusions(view: Overview) -> list[Table]:
    """The confusion matrix of each label, added up over its runs."""
    return [
        confusion_sheet(
            f"{entry.label}, {events.counted(len(entry.runs), 'run')}", entry.classes, entry.confusion
        )
        for entry in view.ours
    ]


def sheets(view: Overview, sections: Sequence[EvaluationSection]) -> list[Table]:
    """The sheets of the wanted sections, in the order wanted."""
    made: dict[EvaluationSection, Callable[[Overview], list[Table]]] = {
        "summary": lambda view: [summary(view)],
        "classes": by_class,
        "confusion": confusions,
    }
    return [sheet for section in sections for sheet in made[section](view)]


def flat(view: Overview, section: EvaluationSection) -> Table:
    """One section as a flat sheet of raw values, for other programs."""
    made: dict[EvaluationSection, Callable[[Overview], list[dict[str, object]]]] = {
        "summary": _flat_summary,
        "classes": _flat_classes,
        "confusion": _flat_confusion,
    }
    return from_rows(section, made[section](view))


def _flat_summary(view: Overview) -> list[dict[str, object]]:
    rows = []
    for label, entry in view.labels.items():
        row: dict[str, object] = {"label": label, "runs": len(entry.runs) if entry else 0}
        for measure, key in KEYS.items():
            found = entry.mean(measure) if entry else None
            row[key] = found.mean if found else None
            if measure == "accuracy":
                row |= bounds(key, found)
                change = _change(view, entry, measure)
                row |= {"accuracy_change": change.mean if change else None}
                row |= bounds("accuracy_change", change)
                row["pairs"] = change.n if change else None
            if view.has(measure):
                row |= flat_printed(key, view.paper(label, measure))
        rows.append(row)
    return rows


def _flat_classes(view: Overview) -> list[dict[str, object]]:
    rows = []
    for label, entry in view.labels.items():
        for name in view.classes:
            row: dict[str, object] = {"label": label, "runs": len(entry.runs) if entry else 0, "class": name}
            for measure, key in CLASS_KEYS.items():
                found = entry.mean_of_class(measure, name) if entry else None
                row[key] = found.mean if found else None
                if view.has(measure):
                    row |= flat_printed(key, view.paper(label, measure, name))
            rows.append(row)
    return rows


def _flat_confusion(view: Overview) -> list[dict[str, object]]:
    return [
        {"label": entry.label, "actual": actual, "predicted": predicted, "count": count}
        for entry in view.ours
        for actual, row in zip(entry.classes, entry.confusion, strict=True)
        for predicted, count in zip(entry.classes, row, strict=True)
    ]


def to_record(view: Overview) -> dict[str, Any]:
    """The overview as one JSON object: each label's means with intervals, and the paper's numbers."""
    return {
        "schema": SCHEMA,
        "comparable": comparable([run for entry in view.ours for run in entry.runs]),
        "labels": [_label_record(view, label, entry) for label, entry in view.labels.items()],
    }


def _label_record(view: Overview, label: str, entry: Labeled | None) -> dict[str, Any]:
    record: dict[str, Any] = {"label": label, "runs": len(entry.runs) if entry else 0}
    if entry is not None:
        changes = {} if entry is view.ours[0] else all_changes(entry, view.ours[0])
        record |= {key: vars(entry.mean(measure)) for measure, key in KEYS.items()}
        record["change"] = {KEYS[measure]: vars(change) for measure, change in changes.items() if change}
        record["per_class"] = {
            name: {
                key: vars(mean) if (mean := entry.mean_of_class(measure, name)) else None
                for measure, key in CLASS_KEYS.items()
            }
            for name in entry.classes
        }
        record |= {"classes": entry.classes, "confusion": entry.confusion}
    record["paper"] = [
        {
            "measure": printed.measure,
            "class": printed.of_class,
            "value": printed.value,
            "where": printed.where,
        }
        for printed in view.printed
        if printed.label == label
    ]
    return record
