"""Runs gathered by label, most often several seeds: means, intervals, differences from another label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, count
from operator import attrgetter
from typing import Any, Generic, TypeVar

from emoprune.choices import ClassMeasure, StepMeasure
from emoprune.errors import BadMetrics
from emoprune.evaluation.confidence import ANY, FRACTION, Estimate, Limits, by_key, estimate, paired
from emoprune.evaluation.types import Metrics
from emoprune.pruning.types import PruningCurve, PruningStep
from emoprune.reporting.types import Level, PaperValue, Run

SEED = "seed"
IDENTITY = (SEED, "trial")
"""Settings that number runs, and say nothing about how a network was made."""
FOUND = ("macs_left", "units_left", "predicted_error")
"""Settings that say what came of a pruning, not what it was asked for; a sweep writes them."""
UNTELLING = (*IDENTITY, *FOUND)
"""Settings that may differ between runs of one network."""
BUDGETS = ("macs", "params")
"""Settings that say what a pruning was to leave; a network's own costs say what it left."""

CLASS_KEYS: dict[ClassMeasure, str] = {"precision": "precision", "recall": "recall", "F1": "f1"}
STEP_KEYS: dict[StepMeasure, str] = {
    "loss": "loss",
    "accuracy": "accuracy",
    "smallest angle": "smallest_angle_deg",
    "least importance": "least_importance",
}
"""The fields of measures in records, JSON and CSV."""

T = TypeVar("T")
R = TypeVar("R", bound=Run)


@dataclass(frozen=True)
class Group(Generic[T]):
    """The runs of one label: evaluations, curves or steps; none where only a paper has the label."""

    label: str
    runs: tuple[T, ...] = ()

    @property
    def place(self) -> object:
        """What a paper's number is of: the label."""
        return self.label

    def mean(self, value: Callable[[T], float | None], limits: Limits = ANY) -> Estimate | None:
        """The mean of a value within limits over the runs that have it; None where no run has."""
        found = [each for each in map(value, self.runs) if each is not None]
        return estimate(found, limits=limits) if found else None


@dataclass(frozen=True)
class StepGroup(Group[PruningStep]):
    """Where prunings of one label have `units` left, one step of each."""

    units: int = 0

    @property
    def place(self) -> object:
        """What a paper's number is of: the label and the units left."""
        return self.label, self.units

    def measured(self, measure: StepMeasure) -> Estimate | None:
        """The mean of a measure, angles in degrees."""
        return self.mean(attrgetter(STEP_KEYS[measure]), FRACTION if measure == "accuracy" else ANY)


G = TypeVar("G", bound=Group[Any])


@dataclass(frozen=True)
class View(Generic[G]):
    """Groups in order, and what a paper prints of them; not `by_label`, a group is of one run."""

    groups: Sequence[G]
    printed: Sequence[PaperValue] = ()
    by_label: bool = True

    @cached_property
    def _by_place(self) -> dict[tuple[object, str | None, str | None], PaperValue]:
        return {
            (place, entry.measure, entry.of_class): entry
            for entry in self.printed
            for place in (entry.label, entry.step)
        }

    def paper(self, group: G, measure: str | None, of_class: str | None = None) -> PaperValue | None:
        """What the paper prints of a group, if it does."""
        return self._by_place.get((group.place, measure, of_class))

    @cached_property
    def _has(self) -> set[tuple[str | None, str | None]]:
        return {(entry.measure, label) for entry in self.printed for label in (None, entry.label)}

    def has(self, measure: str | None, label: str | None = None) -> bool:
        """Whether the paper prints the measure, of a label or of any."""
        return (measure, label) in self._has

    def flat_paper(
        self, key: str, group: G, measure: str | None, of_class: str | None = None
    ) -> dict[str, Any]:
        """What the paper prints and where, as columns of CSV; none where it never prints the measure."""
        if not self.has(measure):
            return {}
        entry = self.paper(group, measure, of_class)
        value, where = (entry.value, entry.where) if entry else (None, None)
        return {f"paper_{key}": value, f"paper_{key}_where": where}


def by_label(found: Iterable[R]) -> list[Group[R]]:
    """Runs gathered by name, in the order in which names first appear."""
    return [Group(label, tuple(runs)) for label, runs in by_key((run.name, run) for run in found).items()]


def one_by_one(found: Sequence[R]) -> list[Group[R]]:
    """Every run as a group of its own; names that appear more than once are numbered."""
    counts, seen = Counter(run.name for run in found), Counter[str]()
    groups = []
    for run in found:
        seen[run.name] += 1
        label = f"{run.name} #{seen[run.name]}" if counts[run.name] > 1 else run.name
        groups.append(Group(label, (run,)))
    return groups


def evaluations_by_label(found: Iterable[Metrics]) -> list[Group[Metrics]]:
    """Evaluations gathered by label; BadMetrics where those of one label have different classes."""
    groups = by_label(found)
    for group in groups:
        if len({run.classes for run in group.runs}) > 1:
            raise BadMetrics(
                f"runs of label {group.label!r} have different classes", "give them different labels"
            )
    return groups


def networks(found: Iterable[Metrics]) -> list[Group[Metrics]]:
    """The runs of each network, under its label: those with the same settings, but for their seed.

    A mean over others would mean nothing. Runs that have neither a label nor a seed are of one network only
    where the model is the same.
    """

    def same(run: Metrics) -> tuple[object, ...]:
        kept = sorted((key, str(value)) for key, value in run.settings.items() if key not in UNTELLING)
        alone = run.label is None and SEED not in run.settings
        return run.name, run.classes, run.model_fingerprint if alone else None, *kept

    return [Group(runs[0].name, tuple(runs)) for runs in by_key((same(run), run) for run in found).values()]


def by_setting(found: Iterable[Metrics]) -> list[Group[Metrics]]:
    """The runs of each network, under its label and what varies within that: "pruned, hidden 200"."""
    named: dict[str, Group[Metrics]] = {}
    for group in evaluations_by_label(found):
        keys = varying(group.runs, but=UNTELLING)
        for network in networks(group.runs):
            label = _with_settings(group.label, network.runs[0], keys)
            # a user may have written the same label
            numbered = chain([label], (f"{label} ({number})" for number in count(2)))
            name = next(name for name in numbered if name not in named)
            named[name] = replace(network, label=name)
    return list(named.values())


def split(group: Group[Metrics], keys: Sequence[str]) -> dict[str, list[Metrics]]:
    """The runs of a group by their settings of `keys`, under a label with these: "pruned, hidden 200"."""
    return by_key((_with_settings(group.label, run, keys), run) for run in group.runs)


def _with_settings(label: str, run: Metrics, keys: Sequence[str]) -> str:
    return label_with(label, {key: run.settings[key] for key in keys if key in run.settings})


def label_with(label: str, settings: Mapping[str, object]) -> str:
    """A label and settings: "pruned, hidden 200"."""
    return ", ".join([*([label] if label else []), *(f"{key} {value}" for key, value in settings.items())])


def settings_of(runs: Sequence[Metrics]) -> list[str]:
    """Every key that some run has a setting of, in order of appearance."""
    return list(dict.fromkeys(key for run in runs for key in run.settings))


def varying(runs: Sequence[Metrics], *, but: Collection[str]) -> list[str]:
    """The settings that differ between the runs, without those in `but`."""
    return [
        key
        for key in settings_of(runs)
        if key not in but and len({run.settings.get(key) for run in runs}) > 1
    ]


def change(
    group: Group[Metrics],
    first: Group[Metrics],
    value: Callable[[Metrics], float | None],
    limits: Limits = ANY,
) -> Estimate | None:
    """How a value within limits differs from `first`'s in runs of the same setting `seed`.

    None without such runs that have it.
    """
    before, after = (
        [
            (run.settings[SEED], found)
            for run in each.runs
            if SEED in run.settings and (found := value(run)) is not None
        ]
        for each in (first, group)
    )
    return paired(before, after, limits=limits)


def class_mean(group: Group[Metrics], measure: ClassMeasure, name: str) -> Estimate | None:
    """The mean of a class's measure over the runs where it is defined."""
    return group.mean(lambda run: getattr(run.per_class.get(name), CLASS_KEYS[measure], None), FRACTION)


def accuracy(runs: Sequence[Metrics]) -> Estimate:
    """The mean over runs or, of one run, its accuracy with the interval over its groups or samples."""
    if len(runs) > 1:
        return estimate((run.accuracy for run in runs), limits=FRACTION)
    (run,) = runs
    over_groups = run.intervals.of.get("accuracy") if run.intervals else None
    return Estimate(1, run.accuracy, *(over_groups or run.accuracy_interval))


def chance(runs: Iterable[Metrics]) -> tuple[Level, ...]:
    """The accuracy of guessing, for a figure, where it is the same for all."""
    values = {run.chance for run in runs}
    return tuple(Level("chance", value) for value in values) if len(values) == 1 else ()


def confusion(group: Group[Metrics]) -> tuple[tuple[int, ...], ...]:
    """The confusion matrices of a group added up, [actual][predicted]."""
    matrices = [run.confusion for run in group.runs]
    return tuple(tuple(map(sum, zip(*rows, strict=True))) for rows in zip(*matrices, strict=True))


def by_units(prunings: Iterable[PruningCurve]) -> list[StepGroup]:
    """A group per label and number of units left: labels in order of appearance, most units first.

    A pruning counts once in a group, with its last step of so many units.
    """
    found = []
    for group in by_label(prunings):
        last = ({step.units: step for step in curve.steps} for curve in group.runs)
        steps = by_key(entry for curve in last for entry in curve.items())
        found += [StepGroup(group.label, tuple(steps[units]), units) for units in sorted(steps, reverse=True)]
    return found


def with_paper(found: Sequence[StepGroup], printed: Iterable[PaperValue]) -> list[StepGroup]:
    """The groups, and those that only a paper has: in order of their units, new labels after ours."""
    ours = {(group.label, group.units): group for group in found}
    theirs = {step: StepGroup(step[0], units=step[1]) for entry in printed if (step := entry.step)}
    groups = theirs | ours
    labels = dict.fromkeys(label for label, _ in (*ours, *theirs))
    order = {label: place for place, label in enumerate(labels)}
    return [groups[place] for place in sorted(groups, key=lambda place: (order[place[0]], -place[1]))]


def split_by_kind(
    printed: Iterable[PaperValue], *, evaluated: Collection[str], found: Iterable[StepGroup]
) -> tuple[list[PaperValue], list[PaperValue]]:
    """A paper's numbers for the evaluations, and those for the steps.

    A label as "sum, 9 units" means a step. The accuracy of such a label belongs to the evaluations that have
    this very label; it stands beside the step too where there is one.
    """
    groups = {(group.label, group.units) for group in found}
    of_evaluations, of_steps = [], []
    for entry in printed:
        is_step = entry.step is not None and entry.measure in STEP_KEYS
        labeled = entry.label in evaluated and entry.measure == "accuracy"
        if is_step and (not labeled or entry.step in groups):
            of_steps.append(entry)
        if not is_step or labeled:
            of_evaluations.append(entry)
    return of_evaluations, of_steps
