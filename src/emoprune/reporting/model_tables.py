"""Evaluations as tables, flat rows and records: each run by itself, or the runs of a label as one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import PurePath
from typing import Any, get_args

from emoprune import events
from emoprune.choices import ClassMeasure, Measured
from emoprune.evaluation.types import Metrics
from emoprune.reporting import aggregate
from emoprune.reporting.aggregate import CLASS_KEYS, Group, View, class_mean, confusion
from emoprune.reporting.tables import (
    DECIMALS,
    PERCENT,
    Table,
    as_record,
    flat_estimate,
    flat_mean,
    flat_printed,
    from_rows,
    table,
)
from emoprune.reporting.types import Estimate, PaperValue

SCHEMA, LABELS_SCHEMA = "emoprune.report/1", "emoprune.labels/1"
CLASS_MEASURES: tuple[ClassMeasure, ...] = get_args(ClassMeasure)


@dataclass(frozen=True)
class Measure:
    """A number of an evaluation: its heading, its field of Metrics, how it and its change are written.

    `name` is what a paper's table calls it; measures without one are not in tables by label.
    """

    heading: str
    key: str
    text: Callable[[float], str]
    change: Callable[[float, float], str]
    name: Measured | None = None

    def value(self, run: Metrics) -> Any:
        """The number, None where it was not measured."""
        return getattr(run, self.key)


def _points(before: float, after: float) -> str:
    return f"{100 * (after - before):+.1f} pt"


def _difference(before: float, after: float) -> str:
    return f"{after - before:+.3f}"


def _relative(before: float, after: float) -> str:
    return f"{after / before - 1:+.1%}" if before else "-"


def _count(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) else f"{value:,.1f}"


MEASURES = (
    Measure("accuracy", "accuracy", PERCENT.text, _points, "accuracy"),
    Measure("macro F1", "macro_f1", DECIMALS.text, _difference, "macro F1"),
    Measure("log loss", "log_loss", DECIMALS.text, _difference),
    Measure("calibration error", "calibration_error", DECIMALS.text, _difference),
    Measure("hidden units", "units", _count, _relative, "units"),
    Measure("parameters", "parameters", _count, _relative, "parameters"),
    Measure("non-zero", "nonzero_parameters", _count, _relative, "non-zero"),
    Measure("MACs", "macs", _count, _relative, "MACs"),
    Measure("bytes", "bytes", _count, _relative),
    Measure("latency (ms)", "latency_ms", DECIMALS.text, _relative),
)


@dataclass(frozen=True)
class Models(View[Group[Metrics]]):
    """Groups of evaluations, ours first."""

    @property
    def ours(self) -> list[Group[Metrics]]:
        """The groups that have runs."""
        return [group for group in self.groups if group.runs]

    @cached_property
    def classes(self) -> list[str]:
        """Every class, ours first."""
        ours = [name for group in self.groups for run in group.runs for name in run.classes]
        return list(dict.fromkeys([*ours, *(entry.of_class for entry in self.printed if entry.of_class)]))

    @property
    def measures(self) -> list[Measure]:
        """What tables have a column of."""
        return [measure for measure in MEASURES if measure.name or not self.by_label]

    def change(self, group: Group[Metrics], measure: Measure) -> Estimate | None:
        """How a label's measure differs from the first label's, which itself has no change."""
        first = self.groups[0]
        return None if group is first else aggregate.change(group, first, measure.value)


def one_by_one(found: Sequence[Metrics]) -> Models:
    """Every evaluation by itself, under the shortest name that tells it from the others."""
    names = headings(found)
    return Models([Group(name, (run,)) for name, run in zip(names, found, strict=True)], by_label=False)


def gathered(found: Sequence[Metrics], printed: Sequence[PaperValue] = ()) -> Models:
    """The runs of each label as one, beside what a paper prints."""
    ours = aggregate.by_setting(aggregate.evaluations_by_label(found))
    labels = {group.label for group in ours}
    theirs = dict.fromkeys(entry.label for entry in printed if entry.label not in labels)
    return Models([*ours, *(Group[Metrics](label) for label in theirs)], printed)


def headings(found: Sequence[Metrics]) -> list[str]:
    """The shortest names that tell models apart: file names, else paths, else paths with the part."""
    choices: tuple[list[str], ...] = (
        [PurePath(metrics.model).name for metrics in found],
        [metrics.model for metrics in found],
        [f"{metrics.model} ({metrics.split})" for metrics in found],
    )
    for names in choices:
        if max(Counter(names).values(), default=1) == 1:
            return names
    return [f"{name} #{index}" for index, name in enumerate(choices[-1], start=1)]


def comparable(found: Sequence[Metrics]) -> bool:
    """Whether all were measured on the same samples."""
    return len({(metrics.data_fingerprint, metrics.split) for metrics in found}) <= 1


def summary(view: Models) -> Table:
    """Of labels, one row each; of single runs, one column each."""
    return _labels_down(view) if view.by_label else _models_across(view)


def _models_across(view: Models) -> Table:
    """One row per measure; from the second model on with the change against the first."""
    runs = [run for group in view.groups for run in group.runs]
    rows = [["part", *(run.split for run in runs)], ["samples", *(_count(run.n) for run in runs)]]
    for measure in view.measures:
        values = [measure.value(run) for run in runs]
        if any(value is not None for value in values):
            changed = [_with_change(measure, values[0], value) for value in values[1:]]
            rows.append([measure.heading, _with_change(measure, None, values[0]), *changed])
        if measure.name == "accuracy":
            rows.append(["  95% interval", *(_interval(run.accuracy_interval, "%") for run in runs)])
    return table("Summary", ["", *(group.label for group in view.groups)], rows)


def _with_change(measure: Measure, first: float | None, value: float | None) -> str:
    if value is None:
        return "-"
    return measure.text(value) + (f" ({measure.change(first, value)})" if first is not None else "")


def _labels_down(view: Models) -> Table:
    """One row per label: runs, means, the accuracy's interval and its paired difference from the first."""
    several = len(view.ours) > 1
    columns = ["label", "runs"]
    for measure in view.measures:
        columns.append(measure.heading)
        if measure.name == "accuracy":
            columns += ["95% interval", *(["against the first", "95% interval"] if several else [])]
        columns += ["paper"] if view.has(measure.name) else []
    return table("Summary by label", columns, (_means(view, group, several) for group in view.groups))


def _means(view: Models, group: Group[Metrics], several: bool) -> Iterator[object]:
    yield group.label
    yield len(group.runs) or None
    for measure in view.measures:
        found = group.mean(measure.value)
        yield measure.text(found.mean) if found else None
        if measure.name == "accuracy":
            yield _ends(found, "%")
            if several:
                change = view.change(group, measure)
                yield f"{100 * change.mean:+.1f} pt" if change else None
                yield _ends(change, " pt", sign="+")
        if view.has(measure.name):
            yield _printed(view.paper(group, measure.name), measure.text)


def _ends(found: Estimate | None, unit: str, *, sign: str = "") -> str | None:
    if found is None or found.low is None or found.high is None:
        return None
    return _interval((found.low, found.high), unit, sign=sign)


def _interval(ends: tuple[float, float], unit: str, *, sign: str = "") -> str:
    low, high = (f"{100 * end:{sign}.1f}" for end in ends)
    return f"{low} to {high}{unit}"


def _printed(entry: PaperValue | None, text: Callable[[float], str]) -> str | None:
    if entry is None:
        return None
    return text(entry.value) + (f" ({entry.where})" if entry.where else "")


def by_class(view: Models) -> list[Table]:
    """Precision, recall and F1 per class: classes down, labels across, the paper's beside ours."""
    return [_class_table(view, measure) for measure in CLASS_MEASURES]


def _class_table(view: Models, measure: ClassMeasure) -> Table:
    heads, columns = ["class"], [[*view.classes]]
    for group in view.groups:
        if group.runs:
            means = [class_mean(group, measure, name) for name in view.classes]
            heads.append(group.label)
            columns.append([DECIMALS.text(found.mean) if found else "-" for found in means])
        if view.has(measure, group.label):
            printed = [view.paper(group, measure, name) for name in view.classes]
            heads.append(f"{group.label} (paper)")
            columns.append([_printed(entry, DECIMALS.text) or "-" for entry in printed])
    return table(f"{measure.capitalize()} by class", heads, zip(*columns, strict=True))


def confusions(view: Models) -> list[Table]:
    """The confusion matrix of each group, added up over its runs, with each class's support."""
    return [_confusion_table(view, group) for group in view.ours]


def _confusion_table(view: Models, group: Group[Metrics]) -> Table:
    classes = group.runs[0].classes
    runs = f", {events.counted(len(group.runs), 'run')}" if view.by_label else ""
    title = f"Confusion of {group.label}{runs} (down: actual, across: predicted)"
    rows = ((actual, *row, sum(row)) for actual, row in zip(classes, confusion(group), strict=True))
    return table(title, ("actual", *classes, "support"), rows)


def flat_summary(view: Models) -> Table:
    """Raw values, one row per label or run."""
    return from_rows("summary", _summary_rows(view))


def _summary_rows(view: Models) -> list[dict[str, Any]]:
    if view.by_label:
        return [_label_row(view, group) for group in view.groups]
    return [_run_row(run) for group in view.groups for run in group.runs]


def _run_row(run: Metrics) -> dict[str, Any]:
    row = {key: getattr(run, key) for key in ("model", "data", "split", "n")}
    for measure in MEASURES:
        row[measure.key] = measure.value(run)
        if measure.name == "accuracy":
            row["accuracy_low"], row["accuracy_high"] = run.accuracy_interval
    return row


def _label_row(view: Models, group: Group[Metrics]) -> dict[str, Any]:
    row: dict[str, Any] = {"label": group.label, "runs": len(group.runs)}
    for measure in view.measures:
        found = group.mean(measure.value)
        if measure.name == "accuracy":
            change = view.change(group, measure)
            row |= flat_estimate(measure.key, found) | flat_estimate("accuracy_change", change)
            row["pairs"] = change.n if change else None
        else:
            row |= flat_mean(measure.key, found)
        if view.has(measure.name):
            row |= flat_printed(measure.key, view.paper(group, measure.name))
    return row


def flat_classes(view: Models) -> Table:
    """Raw values, one row per class of a label or run."""
    return from_rows("classes", [row for group in view.groups for row in _class_rows(view, group)])


def _class_rows(view: Models, group: Group[Metrics]) -> Iterator[dict[str, Any]]:
    run = None if view.by_label else group.runs[0]
    of = {"model": run.model, "split": run.split} if run else {"label": group.label, "runs": len(group.runs)}
    for name in run.per_class if run else view.classes:
        row: dict[str, Any] = {**of, "class": name}
        for measure, key in CLASS_KEYS.items():
            row |= flat_mean(key, class_mean(group, measure, name))
            if view.has(measure):
                row |= flat_printed(key, view.paper(group, measure, name))
        yield row | ({"support": run.per_class[name].support} if run else {})


def flat_confusion(view: Models) -> Table:
    """Raw counts, one row per actual and predicted class of a label or run."""
    rows = []
    for group in view.ours:
        run = group.runs[0]
        of = {"label": group.label} if view.by_label else {"model": run.model, "split": run.split}
        rows += [
            {**of, "actual": actual, "predicted": predicted, "count": count}
            for actual, counts in zip(run.classes, confusion(group), strict=True)
            for predicted, count in zip(run.classes, counts, strict=True)
        ]
    return from_rows("confusion", rows)


def to_record(view: Models) -> dict[str, Any]:
    """One JSON object: of labels, means with intervals; of single runs, values; changes against the first."""
    same = comparable([run for group in view.groups for run in group.runs])
    if view.by_label:
        labels = [_label_record(view, group) for group in view.groups]
        return {"schema": LABELS_SCHEMA, "comparable": same, "labels": labels}
    rows = _summary_rows(view)
    models = [
        {
            **row,
            "change": _changes(rows[0], row),
            "per_class": {name: asdict(score) for name, score in group.runs[0].per_class.items()},
        }
        for row, group in zip(rows, view.groups, strict=True)
    ]
    return {"schema": SCHEMA, "comparable": same, "models": models}


def _changes(first: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, float]:
    """The difference of every number that both have."""
    return {
        key: value - first[key]
        for key, value in row.items()
        if isinstance(value, int | float) and first[key] is not None
    }


def _label_record(view: Models, group: Group[Metrics]) -> dict[str, Any]:
    record: dict[str, Any] = {"label": group.label, "runs": len(group.runs)}
    if group.runs:
        changes = {measure.key: view.change(group, measure) for measure in view.measures}
        record |= {measure.key: as_record(group.mean(measure.value)) for measure in view.measures}
        record["change"] = {key: asdict(found) for key, found in changes.items() if found}
        record["per_class"] = {
            name: {key: as_record(class_mean(group, measure, name)) for measure, key in CLASS_KEYS.items()}
            for name in group.runs[0].classes
        }
        record |= {"classes": group.runs[0].classes, "confusion": confusion(group)}
    record["paper"] = [
        {"measure": entry.measure, "class": entry.of_class, "value": entry.value, "where": entry.where}
        for entry in view.printed
        if entry.label == group.label
    ]
    return record
