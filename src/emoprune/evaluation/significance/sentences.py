"""A comparison of two models in words."""

from __future__ import annotations

from emoprune.evaluation.significance.compare import Change, Comparison
from emoprune.events import counted
from emoprune.io.number_text import number_text


def sentence(comparison: Comparison, *, margin_points: float) -> str:
    """The verdict on accuracy, and the classes that pay: those whose recall is significantly lower."""
    said = verdict(comparison.accuracy, margin_points=margin_points)
    paid = (
        f"{name} ({number_text(100 * each.difference, '+.1f')} points)"
        for name, each in comparison.payers.items()
    )
    return f"{said}; lower recall of {', '.join(paid)}" if comparison.payers else said


def verdict(change: Change, *, margin_points: float) -> str:
    """The first of these that holds, in words.

    1. A single group of images: no verdict.
    2. A significant difference, by the adjusted p: worse or better, with the 95% interval. A model that is
       significantly worse may still not be worse by more than the margin; then both are said.
    3. Not worse by more than the margin: its 95% interval says so.
    4. No evidence either way, with the difference that so many images could have shown.

    The interval is that of one comparison, and is not widened for several of them.
    """
    found = kind(change, margin_points=margin_points)
    if why := why_none(change, margin_points=margin_points):
        return f"{found}: {why}"
    if change.significant:
        said = _significant(change)
        held = change.difference < 0 and change.not_worse_by(margin_points)
        return f"{said}, but not by more than {_points(margin_points)}" if held else said
    return f"{found} (95%, {_sample(change)})"


def why_none(change: Change, *, margin_points: float) -> str | None:
    """Why the images say nothing of the two models; None where they do."""
    if change.interval is None:
        return f"{counted(change.images, 'image')} of a single group say nothing of others"
    if change.significant or change.not_worse_by(margin_points):
        return None
    shown = "not show any difference" if change.shows is None else f" show {_rounded(100 * change.shows)}"
    return f"{_sample(change)} can{shown}"


def kind(change: Change, *, margin_points: float) -> str:
    """Which of the verdicts holds, without its figures, so that runs can be gathered by it."""
    if change.interval is None:
        return "no verdict"
    if change.significant:
        return "worse" if change.difference < 0 else "better"
    if change.not_worse_by(margin_points):
        return f"not worse by more than {_points(margin_points)}"
    return "no evidence either way"


def _significant(change: Change) -> str:
    """Worse or better, by how much, between which limits, and how sure."""
    assert change.interval is not None
    assert change.adjusted_p is not None
    sign = -1 if change.difference < 0 else 1
    low, high = sorted(100 * sign * limit for limit in change.interval)
    size = 100 * abs(change.difference)
    digits = 1 if size >= 0.1 else 2
    name = "p" if change.adjusted_p == change.p else "adjusted p"
    chance = f"{name} < 0.001" if change.adjusted_p < 0.001 else f"{name} = {change.adjusted_p:.3f}"
    way = "worse" if sign < 0 else "better"
    return f"{way} by {_points(round(size, digits))} ({low:.{digits}f} to {high:.{digits}f}; {chance})"


def _sample(change: Change) -> str:
    images = counted(change.images, "image")
    return images if change.groups is None else f"{images} of {counted(change.groups, 'group')}"


def _rounded(points: float) -> str:
    """In whole points, or in tenths below 10."""
    return _points(round(points, 0 if points >= 10 else 1))


def _points(number: float) -> str:
    return f"{number:g} point" if number == 1 else f"{number:g} points"
