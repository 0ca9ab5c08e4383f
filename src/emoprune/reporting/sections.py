"""The sections of a report: which there are of what it was given, and each in every form."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, get_args

from emoprune.choices import EvaluationSection, Section
from emoprune.errors import BadMetrics
from emoprune.reporting import curve_tables, labels, model_tables, pruning_tables
from emoprune.reporting.steps import by_units, shared_out
from emoprune.reporting.tables import Table
from emoprune.reporting.types import Printed, Runs

T = TypeVar("T")

EVALUATED = ("no metrics", "give what emoprune eval printed")
MISSING: dict[Section, tuple[str, str]] = {
    "summary": EVALUATED,
    "classes": EVALUATED,
    "confusion": EVALUATED,
    "steps": ("no steps of a pruning", "give what emoprune prune --steps printed"),
    "curves": ("no learning curves", "give what emoprune train --curve wrote"),
}
"""The fact and the remedy where a section has nothing to show."""


@dataclass(frozen=True)
class Part:
    """One section: sheets for people, flat rows for programs."""

    sheets: Callable[[], Sequence[Table]]
    flat: Callable[[], Table]


@dataclass(frozen=True)
class View:
    """The sections that have something, all as one record, and what a reader should be warned of."""

    parts: Mapping[Section, Part]
    to_record: Callable[[], dict[str, Any]]
    warnings: Sequence[str] = ()

    def chosen(self, section: Section | None) -> Sequence[Part]:
        """The wanted section, or all; BadMetrics where the wanted one has nothing."""
        if section is None:
            return list(self.parts.values())
        if section not in self.parts:
            raise BadMetrics(*MISSING[section])
        return [self.parts[section]]


def one_by_one(found: Runs) -> View:
    """Every evaluation, pruning and learning curve for itself."""
    names = get_args(EvaluationSection) if found.evaluations else ()
    parts = _evaluated(found.evaluations, names, sheets=model_tables.sheets, flat=model_tables.flat)
    steps, curves = pruning_tables.one_by_one(found.prunings), curve_tables.one_by_one(found.curves)
    if steps.groups:
        parts["steps"] = Part(
            lambda: [pruning_tables.sheet(steps)], partial(pruning_tables.flat_prunings, found.prunings)
        )
    if curves.entries:
        parts["curves"] = _curves(curves)
    return View(
        parts,
        lambda: {
            **model_tables.to_record(found.evaluations),
            "steps": pruning_tables.prunings_to_records(found.prunings),
            "curves": curve_tables.to_records(curves),
        },
        _incomparable(found),
    )


def by_label(found: Runs, printed: Sequence[Printed] = ()) -> View:
    """The runs of each label as one, beside what a paper prints."""
    groups = by_units(found.prunings)
    evaluated = {run.name for run in found.evaluations}
    of_evaluations, of_steps = shared_out(printed, evaluated=evaluated, found=groups)
    overview = labels.overview(found.evaluations, of_evaluations)
    steps, curves = pruning_tables.gathered(groups, of_steps), curve_tables.gathered(found.curves)
    names = [name for name, there in _there(overview).items() if there]
    parts = _evaluated(overview, names, sheets=labels.sheets, flat=labels.flat)
    if steps.groups:
        parts["steps"] = Part(lambda: [pruning_tables.sheet(steps)], lambda: pruning_tables.flat(steps))
    if curves.entries:
        parts["curves"] = _curves(curves)
    return View(
        parts,
        lambda: {
            **labels.to_record(overview),
            "steps": pruning_tables.to_records(steps),
            "curves": curve_tables.to_records(curves),
        },
        [*_incomparable(found), *_mixed(found)],
    )


def _there(overview: labels.Overview) -> dict[EvaluationSection, bool]:
    return {
        "summary": bool(overview.labels),
        "classes": bool(overview.classes),
        "confusion": bool(overview.ours),
    }


def _evaluated(
    subject: T,
    names: Iterable[EvaluationSection],
    *,
    sheets: Callable[[T, Sequence[EvaluationSection]], Sequence[Table]],
    flat: Callable[[T, EvaluationSection], Table],
) -> dict[Section, Part]:
    """The named sections of evaluations, as `sheets` and `flat` make them of `subject`."""
    return {name: Part(partial(sheets, subject, [name]), partial(flat, subject, name)) for name in names}


def _curves(view: curve_tables.Curves) -> Part:
    return Part(lambda: [curve_tables.sheet(view)], lambda: curve_tables.flat(view))


def _incomparable(found: Runs) -> list[str]:
    if model_tables.comparable(found.evaluations):
        return []
    return ["not all were measured on the same part of the same data"]


def _mixed(found: Runs) -> Iterator[str]:
    """What differs within a label, over which means should not be taken."""
    for label in dict.fromkeys(pruning.name for pruning in found.prunings):
        if len({pruning.method for pruning in found.prunings if pruning.name == label}) > 1:
            yield f"steps of label {label!r} differ in method; their mean is over all of these"
