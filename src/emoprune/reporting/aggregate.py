"""Runs of one label, most often seeds, as one: means, intervals, and differences against another label."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from emoprune.choices import ClassMeasure, Measured
from emoprune.errors import BadMetrics
from emoprune.evaluation.types import Metrics
from emoprune.reporting.confidence import estimate, paired
from emoprune.reporting.types import Estimate
from emoprune.training.types import LearningCurve

SEED = "seed"
IDENTITY = (SEED, "trial")
"""Settings that tell runs apart and are nothing that a network is made with."""

KEYS: dict[Measured, str] = {
    "accuracy": "accuracy",
    "macro F1": "macro_f1",
    "units": "units",
    "parameters": "parameters",
    "non-zero": "nonzero_parameters",
    "MACs": "macs",
}
"""The names of measures in JSON and CSV."""

CLASS_KEYS: dict[ClassMeasure, str] = {"precision": "precision", "recall": "recall", "F1": "f1"}


@dataclass(frozen=True)
class Labeled:
    """All runs of one label, which have the same classes."""

    label: str
    runs: tuple[Metrics, ...]

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of every one of its runs."""
        return self.runs[0].classes

    def mean(self, measure: Measured) -> Estimate:
        """A measure over the runs."""
        return estimate(getattr(run, KEYS[measure]) for run in self.runs)

    def change(self, measure: Measured, first: Labeled) -> Estimate | None:
        """How a measure differs from `first`'s in runs of the same setting `seed`; None without such runs."""
        return paired(first._by_seed(measure), self._by_seed(measure))

    def _by_seed(self, measure: Measured) -> Iterator[tuple[object, float]]:
        for run in self.runs:
            if SEED in run.settings:
                yield run.settings[SEED], getattr(run, KEYS[measure])

    def mean_of_class(self, measure: ClassMeasure, name: str) -> Estimate | None:
        """A class's measure over the runs where it is defined; None where it is in none."""
        scores = (run.per_class.get(name) for run in self.runs)
        values = [getattr(score, CLASS_KEYS[measure]) for score in scores if score is not None]
        defined = [value for value in values if value is not None]
        return estimate(defined) if defined else None

    @property
    def confusion(self) -> tuple[tuple[int, ...], ...]:
        """The confusion matrices added up, [actual][predicted]."""
        matrices = [run.confusion for run in self.runs]
        return tuple(
            tuple(sum(cells) for cells in zip(*rows, strict=True)) for rows in zip(*matrices, strict=True)
        )


def by_label(found: Iterable[Metrics]) -> list[Labeled]:
    """Runs gathered by label, in the order in which labels first come; without one, by model.

    Raises BadMetrics where runs of one label tell different classes apart.
    """
    gathered: dict[str, list[Metrics]] = {}
    for run in found:
        gathered.setdefault(run.name, []).append(run)
    for label, runs in gathered.items():
        if len({run.classes for run in runs}) > 1:
            raise BadMetrics(f"runs of label {label!r} have different classes", "give them different labels")
    return [Labeled(label, tuple(runs)) for label, runs in gathered.items()]


def by_setting(entries: Iterable[Labeled]) -> list[Labeled]:
    """The same, but runs of a label whose settings differ apart, for a mean over them would mean nothing.

    Such a row is named after what it was made with: "pruned, hidden 200".
    """
    found: list[Labeled] = []
    for entry in entries:
        apart: dict[str, list[Metrics]] = {}
        keys = varying(entry.runs, but=IDENTITY)
        for run in entry.runs:
            made = {key: run.settings[key] for key in keys if key in run.settings}
            apart.setdefault(told_apart(entry.label, made), []).append(run)
        taken = {each.label for each in found}
        found += [Labeled(_free(label, taken), tuple(runs)) for label, runs in apart.items()]
    return found


def _free(label: str, taken: Collection[str]) -> str:
    """The label or, where a user has written one just like it, the label numbered."""
    number = 1
    while (free := label if number == 1 else f"{label} ({number})") in taken:
        number += 1
    return free


def told_apart(label: str, settings: Mapping[str, object]) -> str:
    """A label and what was set: "pruned, hidden 200"."""
    return ", ".join([*([label] if label else []), *(f"{key} {value}" for key, value in settings.items())])


def settings_of(runs: Sequence[Metrics]) -> list[str]:
    """Every key that some run has a setting of, in order of appearance."""
    return list(dict.fromkeys(key for run in runs for key in run.settings))


def varying(runs: Sequence[Metrics], *, but: Collection[str]) -> list[str]:
    """The settings, without those in `but`, that are not the same in all of the runs."""
    return [
        key
        for key in settings_of(runs)
        if key not in but and len({run.settings.get(key) for run in runs}) > 1
    ]


def all_changes(entry: Labeled, first: Labeled) -> Mapping[Measured, Estimate | None]:
    """Every measure's paired difference against `first`."""
    return {measure: entry.change(measure, first) for measure in get_args(Measured)}


Pick = Literal["last", "best"]
LearningPart = Literal["train", "val"]
PICKS: dict[Pick, Callable[[Sequence[float]], float]] = {"last": lambda values: values[-1], "best": max}


@dataclass(frozen=True)
class Learned:
    """All learning curves of one label."""

    label: str
    curves: tuple[LearningCurve, ...]

    @property
    def epochs(self) -> Estimate:
        """How many epochs a curve has."""
        return estimate(len(curve.training) for curve in self.curves)

    def accuracy(self, part: LearningPart, pick: Pick) -> Estimate | None:
        """The last or the best accuracy on a part, over the curves that have any; None where none has."""
        found = [
            [value for epoch in curve.training if (value := getattr(epoch, f"{part}_accuracy")) is not None]
            for curve in self.curves
        ]
        picked = [PICKS[pick](values) for values in found if values]
        return estimate(picked) if picked else None


def learned_by_label(curves: Iterable[LearningCurve]) -> list[Learned]:
    """Curves gathered by label, in the order in which labels first come; without one, by model."""
    gathered: dict[str, list[LearningCurve]] = {}
    for curve in curves:
        gathered.setdefault(curve.name, []).append(curve)
    return [Learned(label, tuple(found)) for label, found in gathered.items()]
