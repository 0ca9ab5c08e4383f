"""The report: its sections of what it was given, as tables, flat rows and one record."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from emoprune.choices import Section
from emoprune.errors import BadMetrics, UsageFault
from emoprune.reporting import (
    aggregate,
    curve_tables,
    layer_tables,
    model_tables,
    paper_values,
    pruning_tables,
    summary_tables,
    tables,
    verdict_tables,
)
from emoprune.reporting.records_io import HOW
from emoprune.reporting.tables import Table
from emoprune.reporting.types import LayerAngles, PruningSummary, ReportConfig, Runs
from emoprune.reporting.verdict_tables import Verdicts

EVALUATED = ("no metrics", "give what emoprune eval printed")
COMPARED = ("no comparison", "give `baseline`, and predictions to compare with it")
MISSING: dict[Section, tuple[str, str]] = {
    "summary": EVALUATED,
    "classes": EVALUATED,
    "confusion": EVALUATED,
    "predictions": ("no predictions without a baseline", "give what emoprune eval `predictions` wrote"),
    "verdicts": COMPARED,
    "payers": COMPARED,
    "flipped": COMPARED,
    "steps": ("no steps of a pruning", "give what emoprune prune `steps=True` printed"),
    "layers": ("no layers of a pruning", "give what emoprune prune printed"),
    "angles": ("no angles", "give what emoprune angles printed"),
    "curves": ("no learning curves", "give what emoprune train `curve` wrote"),
}
"""The fact and the remedy where a section has nothing to show."""


@dataclass(frozen=True)
class Report:
    """What a report shows; `warnings` are what its reader should know."""

    models: model_tables.Models
    steps: pruning_tables.Steps
    curves: curve_tables.Curves
    verdicts: Verdicts
    warnings: tuple[str, ...] = ()
    pruned: tuple[PruningSummary, ...] = ()
    angles: tuple[LayerAngles, ...] = ()

    @property
    def sections(self) -> list[Section]:
        """The sections that have something to show, in order."""
        there: dict[Section, object] = {
            "summary": self.models.groups,
            "classes": self.models.classes,
            "confusion": self.models.ours,
            "predictions": self.verdicts.baseline is None and self.verdicts.listed,
            "verdicts": self.verdicts.found,
            "payers": self.verdicts.found,
            "flipped": self.verdicts.found,
            "steps": self.steps.groups,
            "layers": self.pruned,
            "angles": self.angles,
            "curves": self.curves.groups,
        }
        return [section for section, something in there.items() if something]

    def chosen(self, *sections: Section) -> list[Section]:
        """The sections in their order, or all of them; BadMetrics for one that has nothing to show."""
        there = self.sections
        for section in sections:
            if section not in there:
                raise BadMetrics(*MISSING[section])
        return [section for section in there if section in sections] if sections else there

    def tables_by_section(self, *sections: Section) -> dict[Section, list[Table]]:
        """The tables of some sections, or of all, for people."""
        made = {name: list(map(tables.telling, TABLES[name](self))) for name in self.chosen(*sections)}
        first = next(iter(made))
        if first in OF_MODELS:
            made[first][0] = replace(made[first][0], warnings=self.models.warnings)
        return made

    def tables(self, *sections: Section) -> list[Table]:
        """The tables of some sections, or of all, one after the other."""
        return [table for found in self.tables_by_section(*sections).values() for table in found]

    def flat(self, *sections: Section) -> Table:
        """A section, or the first, as one table of raw values, for other programs; UsageFault for several."""
        if len(sections) > 1:
            raise UsageFault("CSV is one table", "give one `section`")
        return FLAT[self.chosen(*sections)[0]](self)

    def to_record(self) -> dict[str, Any]:
        """All sections as one JSON object."""
        return {
            **model_tables.to_record(self.models),
            **verdict_tables.to_record(self.verdicts),
            "steps": pruning_tables.to_records(self.steps),
            "layers": layer_tables.layers_to_records(self.pruned),
            "angles": layer_tables.angles_to_records(self.angles),
            "curves": curve_tables.to_records(self.curves),
        }


OF_MODELS: tuple[Section, ...] = ("summary", "classes", "confusion")
"""The first sections: they show the same runs, and what is to be known of these stands below the first."""
TABLES: dict[Section, Callable[[Report], Iterable[Table]]] = {
    "summary": lambda report: [summary_tables.summary(report.models)],
    "classes": lambda report: model_tables.by_class(report.models),
    "confusion": lambda report: model_tables.confusions(report.models),
    "predictions": lambda report: [verdict_tables.listing(report.verdicts)],
    "verdicts": lambda report: verdict_tables.verdicts(report.verdicts),
    "payers": lambda report: verdict_tables.payers(report.verdicts),
    "flipped": lambda report: verdict_tables.flipped(report.verdicts),
    "steps": lambda report: [pruning_tables.steps_table(report.steps)],
    "layers": lambda report: layer_tables.layers(report.pruned),
    "angles": lambda report: layer_tables.angles(report.angles),
    "curves": lambda report: [curve_tables.curves_table(report.curves)],
}
FLAT: dict[Section, Callable[[Report], Table]] = {
    "summary": lambda report: model_tables.flat_summary(report.models),
    "classes": lambda report: model_tables.flat_classes(report.models),
    "confusion": lambda report: model_tables.flat_confusion(report.models),
    "predictions": lambda report: verdict_tables.flat_listing(report.verdicts),
    "verdicts": lambda report: verdict_tables.flat_verdicts(report.verdicts),
    "payers": lambda report: verdict_tables.flat_payers(report.verdicts),
    "flipped": lambda report: verdict_tables.flat_flipped(report.verdicts),
    "steps": lambda report: pruning_tables.flat(report.steps),
    "layers": lambda report: layer_tables.flat_layers(report.pruned),
    "angles": lambda report: layer_tables.flat_angles(report.angles),
    "curves": lambda report: curve_tables.flat(report.curves),
}


SINGLY = ReportConfig()


def report(runs: Runs, config: ReportConfig = SINGLY, *, force: bool = False) -> Report:
    """Every run by itself or, by label, the runs of each label as one, beside what a paper prints.

    With a baseline, also each run of predictions against it; with `force` those of other data and images.
    """
    if runs == Runs():
        raise BadMetrics("no runs", HOW)
    verdicts = _verdicts(runs, config, force=force)
    warnings = []
    if not model_tables.comparable(runs.evaluations):
        warnings.append("not all were measured on the same part of the same data")
    if not config.by_label:
        return Report(
            model_tables.one_by_one(runs.evaluations),
            pruning_tables.one_by_one(runs.prunings),
            curve_tables.Curves(aggregate.one_by_one(runs.curves), by_label=False),
            verdicts,
            tuple(warnings),
            runs.pruned,
            runs.angles,
        )
    warnings += [
        f"steps of label {group.label!r} differ in method; their mean is over all of these"
        for group in aggregate.by_label(runs.prunings)
        if len({pruning.method for pruning in group.runs}) > 1
    ]
    printed = [] if config.paper is None else paper_values.read(config.paper)
    steps = aggregate.by_units(runs.prunings)
    evaluated = {run.name for run in runs.evaluations}
    of_evaluations, of_steps = aggregate.split_by_kind(printed, evaluated=evaluated, found=steps)
    return Report(
        model_tables.gathered(runs.evaluations, of_evaluations),
        pruning_tables.gathered(steps, of_steps),
        curve_tables.Curves(aggregate.by_label(runs.curves)),
        verdicts,
        tuple(warnings),
        runs.pruned,
        runs.angles,
    )


def _verdicts(runs: Runs, config: ReportConfig, *, force: bool) -> Verdicts:
    if not runs.predictions and config.baseline is None:
        return Verdicts()
    # it needs numpy and scipy, which take longer to import than the rest of a report takes
    from emoprune.reporting import comparisons

    return comparisons.verdicts(runs.predictions, config, force=force)
