"""Runs of predictions, each against a baseline: which are compared, and what they are called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from emoprune import events
from emoprune.errors import BadMetrics
from emoprune.evaluation import predictions
from emoprune.evaluation.predictions import Predictions
from emoprune.evaluation.significance.compare import adjust_all
from emoprune.evaluation.significance.pairing import pair
from emoprune.reporting.measures import ACCURACY, BASELINES, Baseline
from emoprune.reporting.types import ReportConfig
from emoprune.reporting.verdict_tables import Listed, Verdict, Verdicts


def verdicts(found: Sequence[Predictions], config: ReportConfig, *, force: bool = False) -> Verdicts:
    """Every run against the baseline, with p-values adjusted for how many they are; without one, a list.

    A run that is there twice counts once, and the baseline is not compared with itself. Raises BadMetrics
    where no other run is left, BadData as `pair` does.
    """
    runs = _distinct(found)
    if config.baseline is None:
        events.note("predictions are only listed; `baseline` names the file to compare them with")
        return Verdicts([*map(_listed, _named(runs))])
    baseline = predictions.read_one(config.baseline)
    others = [run for run in runs if _identity(run) != _identity(baseline)]
    if len(others) < len(runs):
        events.note(f"{baseline.run} is the baseline, and not compared with itself")
    if not others:
        remedy = "give what emoprune eval `predictions` wrote for another network"
        raise BadMetrics(f"no predictions to compare with {baseline.run}", remedy)
    baseline, *others = named = _named([baseline, *others])
    pairs = [pair(baseline, run, force=force) for run in others]
    compared = adjust_all([each.compared() for each in pairs])
    rows = zip(others, compared, pairs, strict=True)
    return Verdicts(
        [*map(_listed, named)],
        baseline.run,
        config.margin,
        [
            Verdict(run.run, comparison, both.flips(), _blind(both.labels, len(both.classes)))
            for run, comparison, both in rows
        ],
    )


def _listed(run: Predictions) -> Listed:
    groups = len(set(run.groups)) if run.groups else None
    blind = _blind(run.labels, len(run.classes))
    return Listed(run.run, len(run.names), groups, run.accuracy, blind.chance, blind.always)


def _blind(labels: NDArray[np.int64], classes: int) -> Baseline:
    """What guessing gets on these labels."""
    support = np.bincount(labels, minlength=classes).tolist()
    # of a confusion matrix only the sums of its rows count
    return BASELINES[ACCURACY.key].of([[count] for count in support])


def _distinct(found: Sequence[Predictions]) -> list[Predictions]:
    """The runs, each once."""
    runs: dict[Hashable, Predictions] = {}
    for run in found:
        runs.setdefault(_identity(run), run)
    again = len(found) - len(runs)
    if again:
        events.note(f"{events.counted(again, 'run')} of predictions given again, and counted once")
    return [*runs.values()]


def _identity(run: Predictions) -> Hashable:
    """What makes a run the same: its name, model and data, and the answer to each image."""
    answers = frozenset(zip(run.names, (run.classes[index] for index in run.predicted.tolist()), strict=True))
    return run.run, run.model_fingerprint, run.data_fingerprint, answers


def _named(runs: Sequence[Predictions]) -> list[Predictions]:
    """The runs under names that tell them apart: with the fingerprint of the model, else numbered."""
    counts = Counter(run.run for run in runs)
    found = [
        replace(run, run=f"{run.run} ({run.model_fingerprint[:8]})") if counts[run.run] > 1 else run
        for run in runs
    ]
    counts, seen = Counter(run.run for run in found), Counter[str]()
    for place, run in enumerate(found):
        seen[run.run] += 1
        if counts[run.run] > 1:
            found[place] = replace(run, run=f"{run.run} #{seen[run.run]}")
    return found
