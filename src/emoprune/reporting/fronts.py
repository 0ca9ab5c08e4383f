"""Networks that no other one is both smaller and better than (the Pareto front), and which to show first."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import TypeVar

from emoprune.evaluation.types import Metrics
from emoprune.reporting.aggregate import Group

T = TypeVar("T")

REST = "off the front of MACs and accuracy, or less accurate"
"""What is left out, as a note of a figure says it."""


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


def foremost(groups: Sequence[Group[Metrics]], most: int) -> list[Group[Metrics]]:
    """At most so many of the groups, in their order.

    The first stays, then those on the front of multiply-accumulates and accuracy, then the most accurate.
    """
    worth = [
        (fmean(run.macs for run in group.runs), fmean(run.accuracy for run in group.runs)) for group in groups
    ]
    front = on_front(worth)
    order = sorted(range(len(groups)), key=lambda place: (place > 0, not front[place], -worth[place][1]))
    return [groups[place] for place in sorted(order[:most])]


def left_out(all_of: int, shown: int, noun: str) -> str:
    """The note of a figure that shows only the foremost; empty where it shows all."""
    return f"{all_of - shown} more {noun} left out: {REST}" if all_of > shown else ""
