"""The steps of prunings as a sheet of text, as flat rows and as records, with a paper's numbers beside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

from emoprune.choices import StepMeasure
from emoprune.pruning.types import PruningCourse
from emoprune.reporting.estimates import DECIMALS, SHARE, Unit, bounds, flat_printed, told_apart
from emoprune.reporting.steps import KEYS, Stage, by_units, with_printed
from emoprune.reporting.tables import Sheet, from_rows
from emoprune.reporting.types import Printed

UNITS: dict[StepMeasure, Unit] = {
    "loss": DECIMALS,
    "accuracy": SHARE,
    "smallest angle": Unit(".2f", sign="°"),
    "least importance": Unit(".3g"),
}


@dataclass(frozen=True)
class Steps:
    """Stages in order, and what a paper prints of them; not `together`, each stage is of one course."""

    stages: Sequence[Stage]
    printed: Sequence[Printed] = ()
    together: bool = True

    @cached_property
    def _by_key(self) -> dict[tuple[tuple[str, int] | None, str], Printed]:
        return {(entry.step, entry.measure): entry for entry in self.printed}

    def paper(self, stage: Stage, measure: StepMeasure) -> Printed | None:
        """What the paper prints, if it does."""
        return self._by_key.get(((stage.label, stage.units), measure))

    def has(self, measure: StepMeasure) -> bool:
        """Whether the paper prints the measure of any stage."""
        return any(entry.measure == measure for entry in self.printed)

    @cached_property
    def measures(self) -> list[StepMeasure]:
        """What some run measured or the paper prints."""
        return [measure for measure in KEYS if self.has(measure) or any(s.mean(measure) for s in self.stages)]


def gathered(found: Sequence[Stage], printed: Sequence[Printed] = ()) -> Steps:
    """Stages over the runs of each label, beside what a paper prints."""
    return Steps(with_printed(found, printed), printed)


def one_by_one(courses: Sequence[PruningCourse]) -> Steps:
    """The stages of every course for itself."""
    names = told_apart(course.name for course in courses)
    return Steps(
        [
            replace(stage, label=name)
            for course, name in zip(courses, names, strict=True)
            for stage in by_units([course])
        ],
        together=False,
    )


def sheet(view: Steps) -> Sheet:
    """One row per stage; of several runs means, with how far their 95% intervals reach either side."""
    columns = ["label", "units", *(["runs"] if view.together else [])]
    for measure in view.measures:
        columns += [measure, *(["paper"] if view.has(measure) else [])]
    columns += ["where"] if _has_places(view) else []
    title = "Steps by label (± 95% interval over runs)" if view.together else "Step by step"
    return Sheet(title, tuple(columns), tuple(tuple(_cells(view, stage)) for stage in view.stages))


def _cells(view: Steps, stage: Stage) -> Iterator[object]:
    yield stage.label
    yield stage.units
    if view.together:
        yield len(stage.steps) or None
    for measure in view.measures:
        yield UNITS[measure].estimate(stage.mean(measure))
        if view.has(measure):
            entry = view.paper(stage, measure)
            yield UNITS[measure].text(entry.value) if entry else None
    if _has_places(view):
        found = [view.paper(stage, measure) for measure in view.measures]
        yield ", ".join(dict.fromkeys(entry.where for entry in found if entry and entry.where)) or None


def _has_places(view: Steps) -> bool:
    return any(entry.where for entry in view.printed)


def flat(view: Steps) -> Sheet:
    """Means over runs, their intervals and the paper's numbers as raw values, one row per stage."""
    rows = []
    for stage in view.stages:
        row: dict[str, object] = {"label": stage.label, "units": stage.units, "runs": len(stage.steps)}
        for measure in view.measures:
            found = stage.mean(measure)
            row[KEYS[measure]] = found.mean if found else None
            row |= bounds(KEYS[measure], found)
            if view.has(measure):
                row |= flat_printed(KEYS[measure], view.paper(stage, measure))
        rows.append(row)
    return from_rows("steps", rows)


def flat_courses(courses: Sequence[PruningCourse]) -> Sheet:
    """Every step as it was measured, under what it is of; `course` counts the courses from 1."""
    present = [
        key
        for key in KEYS.values()
        if any(getattr(step, key) is not None for course in courses for step in course.steps)
    ]
    rows = [
        {
            **{"course": number, "model": course.model, "method": course.method, "label": course.label},
            **{key: getattr(step, key) for key in ("units", *present)},
        }
        for number, course in enumerate(courses, start=1)
        for step in course.steps
    ]
    return from_rows("steps", rows)


def to_records(view: Steps) -> list[dict[str, Any]]:
    """One JSON object per stage: means with intervals, and the paper's numbers."""
    return [_record(view, stage) for stage in view.stages]


def _record(view: Steps, stage: Stage) -> dict[str, Any]:
    means = {key: stage.mean(measure) for measure, key in KEYS.items()}
    printed = [entry for measure in KEYS if (entry := view.paper(stage, measure))]
    return {
        **{"label": stage.label, "units": stage.units, "runs": len(stage.steps)},
        **{key: vars(mean) if mean else None for key, mean in means.items()},
        "paper": [{key: getattr(entry, key) for key in ("measure", "value", "where")} for entry in printed],
    }


def courses_to_records(courses: Sequence[PruningCourse]) -> list[dict[str, Any]]:
    """One JSON object per course with all of its steps."""
    return [asdict(course) for course in courses]
