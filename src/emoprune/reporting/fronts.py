"""The Pareto front of costs and accuracies, and what a figure shows of many networks, lines or layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any, TypeVar

from emoprune.evaluation.types import Metrics
from emoprune.events import counted
from emoprune.reporting.aggregate import Group

T = TypeVar("T")

LINES = 7
"""Lines of a figure that differ in color and marker."""
REST = "off the front of MACs and accuracy, or less accurate"
"""Which networks `foremost` leaves out."""


def on_front(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Whether each (cost, worth) is on the front: no other one costs less or the same and is worth more,
    and none of the same worth costs less."""
    best = float("-inf")
    front = set()
    for cost, worth in sorted(set(points), key=lambda point: (point[0], -point[1])):
        if worth > best:
            best = worth
            front.add((cost, worth))
    return [point in front for point in points]


def kept(items: Sequence[T], most: int, usefulness: Callable[[int], Any]) -> list[T]:
    """At most so many items in their order: those whose places are the most useful, of equals the first."""
    places = sorted(range(len(items)), key=usefulness, reverse=True)[:most]
    return [items[place] for place in sorted(places)]


def foremost(groups: Sequence[Group[Metrics]], most: int) -> list[Group[Metrics]]:
    """At most so many of the groups, in their order.

    The first stays, then those on the front of multiply-accumulates and accuracy, then the most accurate.
    """
    worth = [
        (fmean(run.macs for run in group.runs), fmean(run.accuracy for run in group.runs)) for group in groups
    ]
    front = on_front(worth)
    return kept(groups, most, lambda place: (place == 0, front[place], worth[place][1]))


def left_out(count: int, noun: str, which: str = REST) -> str:
    """The note of a figure that leaves something out; empty where it shows all."""
    return f"left out: {counted(count, noun)} {which}" if count > 0 else ""
