"""Comparisons with a baseline as tables, flat rows and records: verdicts, who pays, which images flip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from emoprune.events import counted
from emoprune.io.number_text import number_text
from emoprune.reporting import tables
from emoprune.reporting.measures import ACCURACY, BASELINES, Baseline
from emoprune.reporting.tables import (
    BLIND,
    CHANGE,
    INTERVAL,
    PERCENT,
    POINTS,
    Format,
    Prose,
    Table,
    table,
)

if TYPE_CHECKING:
    from emoprune.evaluation.significance.compare import Change, Comparison
    from emoprune.evaluation.significance.pairing import Flip

CELLS = ("before", "after", CHANGE, INTERVAL, "p", "adjusted p")
SHOWN = 10
"""Flipped images of a run that people see."""
_BLIND = BASELINES[ACCURACY.key]
ENDS, SIZE = Format("+.1f", 100), Format(".1f", 100, " pt")


@dataclass(frozen=True)
class Listed:
    """A run of predictions: how many images it has, of how many groups where these are known."""

    run: str
    images: int
    groups: int | None
    accuracy: float
    chance: float
    majority: float | None


@dataclass(frozen=True)
class Verdict:
    """A run against the baseline; `blind` is the accuracy on their images without looking at them."""

    run: str
    comparison: Comparison
    flips: Sequence[Flip]
    blind: Baseline

    @property
    def gained(self) -> int:
        """Images that the baseline has wrong, and the run right."""
        return self.comparison.accuracy.mcnemar.gained

    @property
    def lost(self) -> int:
        """Images that the baseline has right, and the run wrong."""
        return self.comparison.accuracy.mcnemar.lost


@dataclass(frozen=True)
class Verdicts:
    """All runs of predictions and, where a baseline is named, the others against it."""

    listed: Sequence[Listed] = ()
    baseline: str | None = None
    margin_points: float = 0.0
    found: Sequence[Verdict] = ()

    def sentence(self, verdict: Verdict) -> str:
        """What is said of a run."""
        return verdict.comparison.sentence(self.margin_points)


def listing(view: Verdicts) -> Table:
    """A row per run of predictions."""
    rows = ((each.run, each.images, each.groups, PERCENT.text(each.accuracy)) for each in view.listed)
    made = table("Predictions", ("run", "images", "groups", "accuracy"), rows, breaks=True)
    texts, once = _BLIND.column(ACCURACY, [Baseline(each.chance, each.majority) for each in view.listed])
    return replace(made, notes=(once,)) if once else _beside(made, texts)


def _beside(made: Table, blind: Sequence[str | None]) -> Table:
    """The table with a column of what guessing gets."""
    rows = tuple((*row, text) for row, text in zip(made.rows, blind, strict=True))
    return replace(made, columns=(*made.columns, BLIND), rows=rows)


def verdicts(view: Verdicts) -> Iterator[Table]:
    """A row per run: the sentence, the numbers in it, and how many images they are from."""
    changes = [(each, each.comparison.accuracy) for each in view.found]
    said = ((each.run, Prose(view.sentence(each))) for each in view.found)
    yield table(f"Verdicts against {view.baseline}", ("run", "verdict"), said, left=2, breaks=True)
    numbers = ((each.run, *_cells(change)) for each, change in changes)
    texts, once = _BLIND.column(ACCURACY, [each.blind for each in view.found])
    below = (once,) if once else ()
    yield table(f"Accuracy against {view.baseline}", ("run", *CELLS), numbers, breaks=True, notes=below)
    samples = (
        (each.run, change.images, change.groups, None if change.shows is None else SIZE.text(change.shows))
        for each, change in changes
    )
    columns = ("run", "images", "groups", "smallest difference shown")
    images = table("Images that both have", columns, samples, breaks=True)
    yield images if once else _beside(images, texts)


def _cells(change: Change) -> tuple[object, ...]:
    """What CELLS are the titles of."""
    return (
        PERCENT.text(change.before),
        PERCENT.text(change.after),
        POINTS.text(change.difference),
        change.interval and ENDS.interval(*change.interval),
        _chance(change.p),
        _chance(change.adjusted_p),
    )


def _chance(p: float | None) -> str | None:
    """A p-value as people read it."""
    if p is None:
        return None
    return "<0.001" if p < 0.001 else number_text(p, ".3f")


def _way(change: Change) -> str | None:
    """What is said of the recall of a class whose change is significant."""
    if not change.significant:
        return None
    return "lower" if change.difference < 0 else "higher"


def payers(view: Verdicts) -> Iterator[Table]:
    """The recall of each class that has images, a table per run."""
    for each in view.found:
        rows = ((name, *_cells(change), _way(change)) for name, change in each.comparison.recall.items())
        title = f"Who pays: recall of {each.run} against {view.baseline}"
        yield table(title, ("class", *CELLS, "is"), rows, breaks=True)


def flipped(view: Verdicts) -> Iterator[Table]:
    """How many images turn right or wrong, and the first of them: most confident errors first."""
    counts = ((each.run, each.lost, each.gained, each.comparison.accuracy.images) for each in view.found)
    columns = ("run", "right to wrong", "wrong to right", "images")
    yield table(f"Flipped against {view.baseline}", columns, counts, breaks=True)
    for each in view.found:
        shown, rest = each.flips[:SHOWN], each.flips[SHOWN:]
        if not shown:
            continue
        many = f"{len(shown)} of " * bool(rest) + counted(len(each.flips), "image")
        yield table(
            f"Flipped by {each.run}: {many}",
            ("name", "label", "before", "after", "confidence"),
            ((*_answers(flip), PERCENT.text(flip.confidence)) for flip in shown),
            left=4,
            breaks=True,
            notes=("All are in JSON, and in the section flipped as CSV.",) * bool(rest),
        )


def _answers(flip: Flip) -> tuple[str, ...]:
    return flip.name, flip.label, flip.before, flip.after


def flat_listing(view: Verdicts) -> Table:
    """Raw values, a row per run of predictions."""
    return tables.from_rows("predictions", [asdict(each) for each in view.listed])


NUMBERS = (
    *("images", "groups", "before", "after", "difference", "difference_low", "difference_high"),
    *("p", "adjusted_p", "shows"),
)


def _numbers(change: Change) -> dict[str, Any]:
    low, high = change.interval or (None, None)
    return {
        **{"images": change.images, "groups": change.groups, "before": change.before, "after": change.after},
        **{"difference": change.difference, "difference_low": low, "difference_high": high},
        **{"p": change.p, "adjusted_p": change.adjusted_p, "shows": change.shows},
    }


def _verdict_records(view: Verdicts) -> list[dict[str, Any]]:
    return [
        {
            **{"run": each.run, "baseline": view.baseline, "margin_points": view.margin_points},
            "verdict": view.sentence(each),
            **_numbers(each.comparison.accuracy),
            **{"right_to_wrong": each.lost, "wrong_to_right": each.gained},
        }
        for each in view.found
    ]


def _payer_records(view: Verdicts) -> list[dict[str, Any]]:
    return [
        {
            **{"run": each.run, "baseline": view.baseline, "class": name},
            **_numbers(change),
            "recall": _way(change),
        }
        for each in view.found
        for name, change in each.comparison.recall.items()
    ]


def flat_verdicts(view: Verdicts) -> Table:
    """Raw values, a row per run."""
    columns = (
        *("run", "baseline", "margin_points", "verdict", *NUMBERS),
        *("right_to_wrong", "wrong_to_right"),
    )
    return table("verdicts", columns, (row.values() for row in _verdict_records(view)))


def flat_payers(view: Verdicts) -> Table:
    """Raw values, a row per class and run; `recall` is lower or higher where that is significant."""
    columns = ("run", "baseline", "class", *NUMBERS, "recall")
    return table("payers", columns, (row.values() for row in _payer_records(view)))


def _way_of(flip: Flip) -> str:
    return "right to wrong" if flip.lost else "wrong to right"


def flat_flipped(view: Verdicts) -> Table:
    """A row per flipped image and run; the confidence is that of the wrong answer."""
    columns = ("run", "baseline", "flip", "name", "label", "before", "after", "confidence")
    rows = (
        (each.run, view.baseline, _way_of(flip), *asdict(flip).values())
        for each in view.found
        for flip in each.flips
    )
    return table("flipped", columns, rows)


def to_record(view: Verdicts) -> dict[str, Any]:
    """All of it as lists of JSON objects."""
    return {
        "predictions": [asdict(each) for each in view.listed],
        "verdicts": _verdict_records(view),
        "payers": _payer_records(view),
        "flipped": [
            {
                **{"run": each.run, "right_to_wrong": each.lost, "wrong_to_right": each.gained},
                "images": [{"flip": _way_of(flip), **asdict(flip)} for flip in each.flips],
            }
            for each in view.found
        ],
    }
