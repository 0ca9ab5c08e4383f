"""How what a page shows was measured, as far as its records say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath

from emoprune.evaluation.confidence import by_key
from emoprune.evaluation.types import KNOWN, Metrics
from emoprune.events import counted
from emoprune.reporting.tables import Table, table
from emoprune.reporting.types import Runs

SHORT = 12
"""Characters of a fingerprint that tell networks apart."""


def tables(runs: Runs) -> Iterator[Table]:
    """On which images, then which networks."""
    if runs.evaluations:
        found = by_key(((run.data, run.data_fingerprint, run.split, run.n), run) for run in runs.evaluations)
        rows = (
            (data, fingerprint, part, f"{images:,}", f"{len(group):,}", _looks(group), _seen(group))
            for (data, fingerprint, part, images), group in found.items()
        )
        columns = ("data", "fingerprint", "part", "images", "networks", "looks before", "trained on")
        yield table("Images", columns, rows, left=3)
        yield table("Networks", ("file", "fingerprint", "label", "settings"), _networks(runs), left=4)
    if runs.predictions:
        answers = (
            (each.run, each.model_fingerprint[:SHORT], each.data_fingerprint, f"{len(each.names):,}")
            for each in runs.predictions
        )
        yield table("Predictions", ("run", "network", "data", "images"), answers, left=3)


def _networks(runs: Runs) -> Iterator[tuple[object, ...]]:
    for run in runs.evaluations:
        made = ", ".join(f"{key} {value}" for key, value in run.settings.items())
        yield PurePath(run.model).name, run.model_fingerprint[:SHORT], run.label, made or None


def _looks(group: list[Metrics]) -> str | None:
    """How often the part was looked at before; None where nobody knows."""
    found = [run.test_looks for run in group if run.test_looks is not None]
    return _up_to(found, len(group))


def _seen(group: list[Metrics]) -> str | None:
    """How many images were trained on; of a training's own parts that is known, and nothing to be told."""
    found = [run.seen for run in group if run.seen is not None and run.split not in KNOWN]
    return _up_to(found, len(group))


def _up_to(found: list[int], runs: int) -> str | None:
    if not found:
        return None
    return "up to " * (len({*found}) > 1 or len(found) < runs) + f"{max(found):,}"


def intervals(runs: Runs) -> str | None:
    """What the intervals are of, where a record says so."""
    kinds = {
        f"{each.kind} over {counted(each.count, each.over.removesuffix('s'))}, {each.resamples:,} draws"
        for run in runs.evaluations
        if (each := run.intervals)
    }
    if not runs.evaluations:
        return None
    rest = f"; those of other scores: {'; '.join(sorted(kinds))}" if kinds else ""
    return f"Intervals are of 95%. That of the accuracy of one network is Wilson's, over single images{rest}."


def parts(runs: Runs) -> str:
    """What was measured, in a few words: "12 networks on faces/, part test"."""
    places = {(PurePath(run.data).name or run.data, run.split) for run in runs.evaluations}
    count = counted(len(runs.evaluations), "network")
    if len(places) != 1:
        return count if runs.evaluations else ""
    ((data, part),) = places
    return f"{count} on {data}, part {part}"
