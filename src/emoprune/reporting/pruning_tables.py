"""Steps of prunings as tables, flat rows and records; the predicted errors of a pruning as tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from msgspec import to_builtins

from emoprune.choices import StepMeasure
from emoprune.pruning.types import PruningCurve
from emoprune.reporting import aggregate, tables
from emoprune.reporting.aggregate import STEP_KEYS, StepGroup, View
from emoprune.reporting.tables import DECIMALS, PERCENT, Format, Table
from emoprune.reporting.types import PaperValue

FORMATS: dict[StepMeasure, Format] = {
    "loss": DECIMALS,
    "accuracy": PERCENT,
    "smallest angle": Format(".2f", suffix="°"),
    "least importance": Format(".3g"),
}


@dataclass(frozen=True)
class Steps(View[StepGroup]):
    """Groups of steps; not `by_label`, each is of one of the `prunings`."""

    prunings: Sequence[PruningCurve] = ()

    @cached_property
    def has_places(self) -> bool:
        """Whether the paper's numbers say where they stand."""
        return any(entry.where for entry in self.printed)

    @cached_property
    def measures(self) -> list[StepMeasure]:
        """What some run measured or the paper prints."""
        return [
            measure
            for measure in STEP_KEYS
            if self.has(measure) or any(group.measured(measure) for group in self.groups)
        ]


def one_by_one(prunings: Sequence[PruningCurve]) -> Steps:
    """The steps of every pruning by itself."""
    groups = [
        replace(step, label=group.label)
        for group in aggregate.one_by_one(prunings)
        for step in aggregate.by_units(group.runs)
    ]
    return Steps(groups, by_label=False, prunings=prunings)


def gathered(found: Sequence[StepGroup], printed: Sequence[PaperValue] = ()) -> Steps:
    """Steps over the runs of each label, beside what a paper prints."""
    return Steps(aggregate.with_paper(found, printed), printed)


def steps_table(view: Steps) -> Table:
    """One row per group; of several runs means and half the widths of their 95% intervals."""
    title = "Steps by label (with 95% interval over runs)" if view.by_label else "Step by step"
    return tables.from_cells(title, (_cells(view, group) for group in view.groups))


def _cells(view: Steps, group: StepGroup) -> Iterator[tuple[str, object]]:
    yield "label", group.label
    yield "units", group.units
    if view.by_label:
        yield "runs", len(group.runs) or None
    for measure in view.measures:
        yield measure, FORMATS[measure].estimate(group.measured(measure))
        if view.has(measure):
            entry = view.paper(group, measure)
            yield "paper", entry and FORMATS[measure].text(entry.value)
    if view.has_places:
        found = [view.paper(group, measure) for measure in view.measures]
        places = dict.fromkeys(entry.where for entry in found if entry and entry.where)
        yield "where", ", ".join(places) or None


def flat(view: Steps) -> Table:
    """Raw values: by label one row per group, else one row per step as it was measured."""
    if not view.by_label:
        return _flat_steps(view)
    rows = []
    for group in view.groups:
        row: dict[str, Any] = {"label": group.label, "units": group.units, "runs": len(group.runs)}
        for measure in view.measures:
            key = STEP_KEYS[measure]
            row |= tables.flat_estimate(key, group.measured(measure)) | view.flat_paper(key, group, measure)
        rows.append(row)
    return tables.from_rows("steps", rows)


def _flat_steps(view: Steps) -> Table:
    """Every step under what it is of; `pruning` counts the prunings from 1."""
    every = [step for pruning in view.prunings for step in pruning.steps]
    keys = [key for key in STEP_KEYS.values() if any(getattr(step, key) is not None for step in every)]
    rows = [
        (number, of.model, of.method, of.label, step.units, *(getattr(step, key) for key in keys))
        for number, of in enumerate(view.prunings, start=1)
        for step in of.steps
    ]
    return tables.table("steps", ("pruning", "model", "method", "label", "units", *keys), rows)


def to_records(view: Steps) -> list[dict[str, Any]]:
    """One JSON object per group with means, intervals and the paper's numbers; else one per pruning."""
    if not view.by_label:
        return [to_builtins(pruning) for pruning in view.prunings]
    return [_record(view, group) for group in view.groups]


def _record(view: Steps, group: StepGroup) -> dict[str, Any]:
    printed = [entry for measure in STEP_KEYS if (entry := view.paper(group, measure))]
    return {
        **{"label": group.label, "units": group.units, "runs": len(group.runs)},
        **{key: tables.as_record(group.measured(measure)) for measure, key in STEP_KEYS.items()},
        "paper": [{key: getattr(entry, key) for key in ("measure", "value", "where")} for entry in printed],
    }
