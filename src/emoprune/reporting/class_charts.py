"""What networks answer: confusion and how it changes, recall by class, confidence and accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from emoprune.evaluation.confidence import Estimate, wilson_interval
from emoprune.evaluation.types import Metrics, ReliabilityBin
from emoprune.reporting import aggregate
from emoprune.reporting.aggregate import Group
from emoprune.reporting.fronts import foremost, left_out
from emoprune.reporting.types import BarChart, ChangeChart, HeatChart, ReliabilityChart, Runs

MOST_CHANGES, MOST_BARS, MOST_BINNED = 8, 6, 3
"""Networks that are compared with the first; bars of a class; lines of bins."""


def confusion(runs: Runs) -> list[HeatChart]:
    """One heatmap per label, its runs added up; none where the runs differ in more than their seed.

    The runs of a search, or over several hidden widths, are not repetitions of one network.
    """
    return [
        HeatChart(f"confusion-{group.label}", group.label, group.runs[0].classes, aggregate.confusion(group))
        for group in aggregate.evaluations_by_label(runs.evaluations)
        if not aggregate.varying(group.runs, but=aggregate.IDENTITY)
    ]


def confusion_change(runs: Runs) -> list[ChangeChart]:
    """The first network beside each other one, on the same samples, their runs added up.

    Of many networks the foremost; none that has another number of runs, or the same answers in number.
    """
    groups = _networks(runs)
    same = [group for group in groups if _samples(group) == _samples(groups[0])]
    return [
        ChangeChart(
            f"confusion-change-{group.label}",
            (same[0].label, group.label),
            group.runs[0].classes,
            aggregate.confusion(same[0]),
            aggregate.confusion(group),
        )
        for group in foremost(same, 1 + MOST_CHANGES)[1:]
        if aggregate.confusion(group) != aggregate.confusion(same[0])
    ]


def recall_by_class(runs: Runs) -> list[BarChart]:
    """The recall of every class, a bar for each network; of many networks the foremost."""
    groups = _networks(runs)
    if not groups:
        return []
    shown = foremost(groups, MOST_BARS)
    classes = groups[0].runs[0].classes
    return [
        BarChart(
            "recall-by-class",
            "class",
            "recall",
            classes,
            tuple(group.label for group in shown),
            tuple(tuple(_recall(group, name) for name in classes) for group in shown),
            note=left_out(len(groups) - len(shown), "network"),
        )
    ]


def reliability(runs: Runs) -> list[ReliabilityChart]:
    """Accuracy over confidence, a line for each network; of many networks the foremost."""
    groups = [group for group in _networks(runs) if all(run.reliability for run in group.runs)]
    # bins of another number cannot be added up
    groups = [group for group in groups if len({len(run.reliability or ()) for run in group.runs}) == 1]
    if not groups:
        return []
    shown = foremost(groups, MOST_BINNED)
    return [
        ReliabilityChart(
            "reliability",
            tuple(group.label for group in shown),
            tuple(_bins(group) for group in shown),
            tuple(len(group.runs) for group in shown),
            note=left_out(len(groups) - len(shown), "network"),
        )
    ]


def _networks(runs: Runs) -> list[Group[Metrics]]:
    """The runs of each network that has the classes of the first."""
    groups = aggregate.by_setting(runs.evaluations)
    return [group for group in groups if group.runs[0].classes == groups[0].runs[0].classes]


def _samples(group: Group[Metrics]) -> list[tuple[str, str, int]]:
    return sorted((run.data_fingerprint, run.split, run.n) for run in group.runs)


def _recall(group: Group[Metrics], name: str) -> Estimate | None:
    """The mean over runs or, of one run, the recall with its interval over the samples of the class."""
    found = aggregate.class_mean(group, "recall", name)
    if found is None or found.n > 1:
        return found
    support = next(score.support for run in group.runs if (score := run.per_class[name]).recall is not None)
    if not support:
        return None
    return Estimate(1, found.mean, *wilson_interval(round(found.mean * support), support))


def _bins(group: Group[Metrics]) -> tuple[ReliabilityBin, ...]:
    """The bins of all runs of a group together."""
    return tuple(
        _together(found) for found in zip(*(run.reliability or () for run in group.runs), strict=True)
    )


def _together(found: Sequence[ReliabilityBin]) -> ReliabilityBin:
    filled = [each for each in found if each.count]
    if not filled:
        return ReliabilityBin(0, None, None)
    weights = [each.count for each in filled]
    confidence, accuracy = (
        fmean((getattr(each, name) or 0.0 for each in filled), weights) for name in ("confidence", "accuracy")
    )
    return ReliabilityBin(sum(weights), min(confidence, 1.0), min(accuracy, 1.0))
