"""Evaluations by class, as flat rows and records: each run by itself, or the runs of a label as one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath
from typing import Any

from msgspec import to_builtins

from emoprune import events
from emoprune.choices import ClassMeasure
from emoprune.evaluation.confidence import Estimate, by_key
from emoprune.evaluation.confusion import Confusion
from emoprune.evaluation.types import KNOWN, MAYBE_COUNTS, Intervals, Metrics
from emoprune.reporting import aggregate, tables
from emoprune.reporting.aggregate import CLASS_KEYS, Group, View, class_mean, confusion
from emoprune.reporting.measures import ACCURACY, BASELINES, MEASURES, Measure
from emoprune.reporting.tables import DECIMALS, Table, as_record, table
from emoprune.reporting.types import PaperValue

SCHEMA, LABELS_SCHEMA = "emoprune.report/1", "emoprune.labels/1"
NAMED = 3
"""Names of runs in a warning."""
ACROSS, MOST_CLASSES = 3, 12
"""Models, and classes, that fit side by side into 80 columns; more go down, or are left to other forms."""
MOST_CONFUSED = 10
"""Pairs of classes that people see instead of a matrix that is too wide."""


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

    @cached_property
    def printed_of(self) -> dict[str, list[PaperValue]]:
        """What the paper prints, by label."""
        return by_key((entry.label, entry) for entry in self.printed)

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """What flatters the runs: looks at their test part before this one, and samples that they know.

        A line for each of the two, however many runs there are.
        """
        looks = {group.label: max(run.test_looks or 0 for run in group.runs) for group in self.ours}
        # a part to train on was asked for by name
        asked = {group.label: [run for run in group.runs if run.split not in KNOWN] for group in self.ours}
        seen = {label: max([run.seen or 0 for run in runs], default=0) for label, runs in asked.items()}
        return tuple(_warnings(+Counter(looks), +Counter(seen)))

    def change(self, group: Group[Metrics], measure: Measure) -> Estimate | None:
        """How a label's measure differs from the first label's, which itself has no change."""
        first = self.groups[0]
        return None if group is first else aggregate.change(group, first, measure.value, measure.limits)


def _warnings(looks: Counter[str], seen: Counter[str]) -> Iterator[str]:
    """A line for test parts that were looked at before, and one for samples that were trained on."""
    if looks:
        times = events.counted(max(looks.values()), "time")
        what = "its test part was" if len(looks) == 1 else "their test parts were"
        yield f"{events.listed(looks, NAMED)}: {what} looked at before, {'up to ' * (len(looks) > 1)}{times}"
    if seen:
        most = max(seen.values())
        count = f"{most:,} of its" if len(seen) == 1 else f"up to {most:,} of their"
        yield f"{events.listed(seen, NAMED)}: {count} samples were trained on"


def one_by_one(found: Sequence[Metrics]) -> Models:
    """Every evaluation by itself, under the shortest name that tells it from the others."""
    groups = [Group(name, (run,)) for name, run in zip(headings(found), found, strict=True)]
    return Models(groups, by_label=False)


def gathered(found: Sequence[Metrics], printed: Sequence[PaperValue] = ()) -> Models:
    """The runs of each label as one, beside what a paper prints."""
    ours = aggregate.by_setting(found)
    labels = {group.label for group in ours}
    theirs = dict.fromkeys(entry.label for entry in printed if entry.label not in labels)
    return Models([*ours, *(Group[Metrics](label) for label in theirs)], printed)


def headings(found: Sequence[Metrics]) -> list[str]:
    """The shortest names that tell models apart: labels, else file names, paths, paths with the part."""
    choices: tuple[list[str], ...] = (
        [metrics.label or PurePath(metrics.model).name for metrics in found],
        [PurePath(metrics.model).name for metrics in found],
        [metrics.model for metrics in found],
        [f"{metrics.model} ({metrics.split})" for metrics in found],
    )
    for names in choices:
        if len(set(names)) == len(names):
            return names
    return [f"{name} #{index}" for index, name in enumerate(choices[-1], start=1)]


def comparable(found: Sequence[Metrics]) -> bool:
    """Whether all were measured on the same samples."""
    return len({(metrics.data_fingerprint, metrics.split) for metrics in found}) <= 1


def over_groups(found: Intervals) -> int | None:
    """How many groups the intervals are over; None for those over samples."""
    return found.count if found.over == "groups" else None


def printed(entry: PaperValue | None, text: Callable[[float], str]) -> str | None:
    """What a paper prints, and where: "34.5% (Table 4)"."""
    if entry is None:
        return None
    return text(entry.value) + (f" ({entry.where})" if entry.where else "")


def by_class(view: Models) -> list[Table]:
    """Precision, recall and F1 per class: classes down, few labels across, the paper's beside ours."""
    made = [
        tables.from_cells(
            f"{measure.capitalize()} by class", (_class_cells(view, measure, name) for name in view.classes)
        )
        for measure in CLASS_KEYS
    ]
    few = len(view.groups) <= ACROSS or len(view.classes) > MOST_CLASSES
    return made if few else [tables.transposed(each, "label" if view.by_label else "model") for each in made]


def _class_cells(view: Models, measure: ClassMeasure, name: str) -> Iterator[tuple[str, object]]:
    yield "class", name
    for group in view.groups:
        if group.runs:
            found = class_mean(group, measure, name)
            yield group.label, found and DECIMALS.text(found.mean)
        if view.has(measure, group.label):
            yield f"{group.label} (paper)", printed(view.paper(group, measure, name), DECIMALS.text)


def confusions(view: Models) -> Iterator[Table]:
    """The confusion matrix of each group, added up over its runs, with each class's support.

    Of many classes the most frequent confusions.
    """
    for group in view.ours:
        classes, counts = group.runs[0].classes, confusion(group)
        runs = f", {events.counted(len(group.runs), 'run')}" if view.by_label else ""
        title = f"Confusion of {group.label}{runs}"
        if len(classes) > MOST_CLASSES:
            yield _most_confused(title, classes, counts)
        else:
            rows = ((actual, *row, sum(row)) for actual, row in zip(classes, counts, strict=True))
            down = f"{title} (down: actual, across: predicted)"
            yield table(down, ("actual", *classes, "support"), rows)


def _most_confused(title: str, classes: Sequence[str], counts: Confusion) -> Table:
    """The pairs of classes that are confused most often; ties in the order of the classes."""
    wrong = [
        (actual, predicted, count, sum(row))
        for actual, row in zip(classes, counts, strict=True)
        for predicted, count in zip(classes, row, strict=True)
        if count and predicted != actual
    ]
    wrong.sort(key=lambda entry: -entry[2])
    columns = ("actual", "predicted", "samples", "support")
    where = "in JSON, in the section confusion as CSV, and among the figures"
    note = f"The matrix of {len(classes)} classes is {where}."
    return table(f"{title}: most frequent errors", columns, wrong[:MOST_CONFUSED], left=2, notes=(note,))


def flat_summary(view: Models) -> Table:
    """Raw values, one row per label or run."""
    rows = [_label_row(view, group) if view.by_label else _run_row(group.runs[0]) for group in view.groups]
    return tables.from_rows("summary", rows)


def _run_row(run: Metrics) -> dict[str, Any]:
    row = {key: getattr(run, key) for key in ("model", "data", "split", "n")}
    for measure in MEASURES:
        row[measure.key] = measure.value(run)
        if measure is ACCURACY:
            row["accuracy_low"], row["accuracy_high"] = run.accuracy_interval
            row |= {"chance": run.chance, "majority": run.majority}
    if run.intervals:
        row["groups"] = over_groups(run.intervals)
        for key, (low, high) in run.intervals.of.items():
            # Wilson's has those names
            name = f"{key}_by_group" if key == "accuracy" else key
            row |= {f"{name}_low": low, f"{name}_high": high}
    row |= {key: value for key in MAYBE_COUNTS if (value := getattr(run, key)) is not None}
    for timed in run.latency or ():
        row |= {
            f"latency_batch{timed.batch}_p{each}_ms": getattr(timed, f"p{each}_ms") for each in (50, 90, 99)
        }
        row["latency_threads"] = timed.threads
    return row


def _label_row(view: Models, group: Group[Metrics]) -> dict[str, Any]:
    row: dict[str, Any] = {"label": group.label, "runs": len(group.runs)}
    for measure in MEASURES:
        found = group.mean(measure.value, measure.limits)
        row |= tables.flat_estimate(measure.key, found) | {f"{measure.key}_runs": found.n if found else 0}
        if measure is ACCURACY:
            change = view.change(group, measure)
            row |= tables.flat_estimate("accuracy_change", change) | {"pairs": change and change.n}
            blind = BASELINES[measure.key].mean(group.runs)
            row |= {"chance": blind and blind.chance, "majority": blind and blind.always}
        row |= view.flat_paper(measure.key, group, measure.name)
    return row


def flat_classes(view: Models) -> Table:
    """Raw values, one row per class of a label or run."""
    return tables.from_rows("classes", [row for group in view.groups for row in _class_rows(view, group)])


def _class_rows(view: Models, group: Group[Metrics]) -> Iterator[dict[str, Any]]:
    run = None if view.by_label else group.runs[0]
    of = {"model": run.model, "split": run.split} if run else {"label": group.label, "runs": len(group.runs)}
    for name in run.per_class if run else view.classes:
        row: dict[str, Any] = {**of, "class": name}
        for measure, key in CLASS_KEYS.items():
            row |= tables.flat_mean(key, class_mean(group, measure, name))
            row |= view.flat_paper(key, group, measure, name)
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
    return tables.from_rows("confusion", rows)


def to_record(view: Models) -> dict[str, Any]:
    """One JSON object: of labels, means with intervals; of single runs, values; changes against the first."""
    same = comparable([run for group in view.ours for run in group.runs])
    shared = {"comparable": same, "warnings": view.warnings}
    if view.by_label:
        labels = [_label_record(view, group) for group in view.groups]
        return {"schema": LABELS_SCHEMA, **shared, "labels": labels}
    models: list[dict[str, Any]] = []
    for (run,) in (group.runs for group in view.groups):
        row = _run_row(run)
        first = models[0] if models else row
        numbers = [
            key for key, value in row.items() if isinstance(value, int | float) and key not in MAYBE_COUNTS
        ]
        changes = {key: row[key] - first[key] for key in numbers if first.get(key) is not None}
        models.append({**row, "change": changes, "per_class": to_builtins(run.per_class)})
    return {"schema": SCHEMA, **shared, "models": models}


def _label_record(view: Models, group: Group[Metrics]) -> dict[str, Any]:
    record: dict[str, Any] = {"label": group.label, "runs": len(group.runs)}
    if group.runs:
        changes = {measure.key: view.change(group, measure) for measure in MEASURES}
        record |= {measure.key: as_record(group.mean(measure.value, measure.limits)) for measure in MEASURES}
        blind = BASELINES[ACCURACY.key].mean(group.runs)
        record |= {"chance": blind and blind.chance, "majority": blind and blind.always}
        record["change"] = {key: as_record(found) for key, found in changes.items() if found}
        record["per_class"] = {
            name: {key: as_record(class_mean(group, measure, name)) for measure, key in CLASS_KEYS.items()}
            for name in group.runs[0].classes
        }
        record |= {"classes": group.runs[0].classes, "confusion": confusion(group)}
    record["paper"] = [
        {"measure": entry.measure, "class": entry.of_class, "value": entry.value, "where": entry.where}
        for entry in view.printed_of.get(group.label, ())
    ]
    return record
