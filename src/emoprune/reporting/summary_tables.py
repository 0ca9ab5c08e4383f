"""The summary of evaluations for people: few models side by side, labels and many models a row each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from emoprune import events
from emoprune.evaluation.types import Metrics, ReconstructionMetrics
from emoprune.reporting.measures import ACCURACY, BASELINES, MEASURES, NONZERO, PARAMETERS, Measure
from emoprune.reporting.model_tables import ACROSS, Models, over_groups, printed
from emoprune.reporting.tables import (
    BLIND,
    CHANGE,
    DECIMALS,
    INTERVAL,
    PAPER,
    PERCENT,
    POINTS,
    Table,
    table,
    telling,
)

AGAINST = "change: against the first label, over runs of the same seed"
ELSEWHERE = "other scores: in JSON and CSV"


def summary(view: Models) -> Table:
    """A row per label; of single runs a column each, or a row each where they are many."""
    if view.by_label:
        return _Rows(view).labels()
    return _side_by_side(view) if len(view.groups) <= ACROSS else _Rows(view).models()


def _side_by_side(view: Models) -> Table:
    """A row per measure, with what belongs to it; from the second model on with its change."""
    runs = [run for group in view.groups for run in group.runs]
    rows: list[list[object]] = [["part", *(run.split for run in runs)]]
    rows.append(["samples", *(run.n for run in runs)])
    rows += _known("groups", [run.intervals and over_groups(run.intervals) for run in runs])
    for measure in MEASURES:
        values = [measure.value(run) for run in runs]
        if any(value is not None for value in values) and _tells(view, measure):
            changed = [measure.written(value, values[0]) for value in values[1:]]
            rows.append([measure.heading, measure.written(values[0]), *changed])
            rows += _beside(measure, runs)
    return table("Summary", ["", *(group.label for group in view.groups)], rows)


def _tells(view: Models, measure: Measure) -> bool:
    """Whether a measure tells more than another: parameters that are not zero may be all."""
    runs = [run for group in view.groups for run in group.runs]
    same = all(NONZERO.value(run) == PARAMETERS.value(run) for run in runs)
    return measure is not NONZERO or not same or view.has(NONZERO.name)


def _beside(measure: Measure, runs: Sequence[Metrics]) -> Iterator[list[object]]:
    """What belongs to a measure: its interval, and what answering without looking would get."""
    intervals = [run.intervals.of.get(measure.key) if run.intervals else None for run in runs]
    written = [found and measure.form.interval(*found) for found in intervals]
    if measure is ACCURACY:
        yield ["  95% interval", *(measure.form.interval(*run.accuracy_interval) for run in runs)]
        yield from _known("  95%, by group", written)
    else:
        yield from _known("  95% interval", written)
    if measure.key in BASELINES:
        of = BASELINES[measure.key].of
        yield [f"  {BLIND}", *(of(run.confusion).text(measure) for run in runs)]
    if measure.key == "latency_ms":
        yield from latency_rows(runs)


def _known(heading: str, values: Sequence[object]) -> Iterator[list[object]]:
    """A row, if some run has the value."""
    if any(value is not None for value in values):
        yield [heading, *values]


def latency_rows(runs: Sequence[Metrics | ReconstructionMetrics]) -> Iterator[list[object]]:
    """The percentiles of each batch that was timed, and how."""
    found = [{each.batch: each for each in run.latency or ()} for run in runs]
    for batch in dict.fromkeys(batch for timed in found for batch in timed):
        each = [timed.get(batch) for timed in found]
        percentiles = [one and (one.p50_ms, one.p90_ms, one.p99_ms) for one in each]
        yield [
            f"  batch {batch}: p50, 90, 99",
            *(texts and ", ".join(map(DECIMALS.text, texts)) for texts in percentiles),
        ]
    timed = [next(iter(each.values()), None) for each in found]
    yield from _known(
        "  timed on", [one and f"{one.device}, {events.counted(one.threads, 'thread')}" for one in timed]
    )


@dataclass
class _Rows:
    """A table with a row per group, column by column; what is the same in every row is said below."""

    view: Models
    columns: list[tuple[str, Sequence[object]]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    same: list[str] = field(default_factory=list)

    def labels(self) -> Table:
        """Runs, means, the accuracy's interval and its paired difference from the first."""
        view = self.view
        self._add("runs", [len(group.runs) or None for group in view.groups])
        for measure in self._measures():
            means = [group.mean(measure.value, measure.limits) for group in view.groups]
            self._add(measure.heading, [*map(measure.mean, means)])
            if measure is ACCURACY:
                self._add(INTERVAL, [each and PERCENT.interval(each.low, each.high) for each in means])
            if view.has(measure.name):
                found = [view.paper(group, measure.name) for group in view.groups]
                self._add(PAPER, [printed(each, measure.text) for each in found])
            self._baselines(measure)
            if measure is ACCURACY:
                self._changes()
        return self._made("Summary by label: means over runs", "label", AGAINST)

    def models(self) -> Table:
        """What belongs to each model, with its changes against the first."""
        first, *others = runs = [run for group in self.view.groups for run in group.runs]
        self._shared("part", [run.split for run in runs])
        self._shared("samples", [f"{run.n:,}" for run in runs])
        for measure in self._measures():
            of_first = measure.value(first)
            changed = (measure.written(measure.value(run), of_first) for run in others)
            self._add(measure.heading, [measure.written(of_first), *changed])
            if measure is ACCURACY:
                self._add(INTERVAL, [measure.form.interval(*run.accuracy_interval) for run in runs])
            self._baselines(measure)
        self.notes.append("in brackets: change against the first model")
        return self._made("Summary", "model")

    def _measures(self) -> Iterator[Measure]:
        """What gets a column; costs that are the same in every row are said below."""
        for measure in MEASURES:
            if not (measure.in_rows and _tells(self.view, measure)):
                continue
            values = {measure.value(run) for group in self.view.ours for run in group.runs}
            if measure.count and len(values) == 1 < len(self.view.groups) and not self.view.has(measure.name):
                self.same.append(f"{measure.heading} {measure.text(*values)}")
            else:
                yield measure

    def _changes(self) -> None:
        changes = [self.view.change(group, ACCURACY) for group in self.view.groups]
        self._add(CHANGE, [each and POINTS.text(each.mean) for each in changes])
        self._add(INTERVAL, [each and POINTS.interval(each.low, each.high) for each in changes])

    def _baselines(self, measure: Measure) -> None:
        """What guessing gets, where the measure has that: below the table where every row has the same."""
        baselines = BASELINES.get(measure.key)
        if baselines:
            found = [baselines.mean(group.runs) for group in self.view.groups]
            texts, once = baselines.column(measure, found)
            if once:
                self.notes.append(once)
            else:
                self._add(BLIND, texts)

    def _shared(self, heading: str, texts: Sequence[str]) -> None:
        """A column, or a line below the table where every row has the same."""
        if len({*texts}) == 1:
            self.same.append(f"{heading} {texts[0]}")
        else:
            self._add(heading, texts)

    def _add(self, heading: str, cells: Sequence[object]) -> None:
        self.columns.append((heading, cells))

    def _made(self, title: str, corner: str, of_change: str = "") -> Table:
        headings, cells = zip(*self.columns, strict=True)
        rows = zip([group.label for group in self.view.groups], *cells, strict=True)
        made = telling(table(title, (corner, *headings), rows))
        notes = [*self.notes, *([of_change] if CHANGE in made.columns else [])]
        if self.same:
            notes.append(f"in every row: {', '.join(self.same)}")
        return replace(made, notes=(*notes, ELSEWHERE))
