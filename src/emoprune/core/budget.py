"""How far along its course a method goes."""

from __future__ import annotations

import copy
from collections.abc import Callable

from emoprune.core.courses import Course
from emoprune.core.footprint import Footprint
from emoprune.core.subject import Subject
from emoprune.records import Plan


def after(plan: Plan, subject: Subject, footprint: Footprint) -> Footprint:
    """The footprint of the network once the plan is carried out; `footprint` is that of the whole."""
    left = copy.deepcopy(footprint)
    numbers = {name: number for number, name in enumerate(subject.graph.spans)}
    for removal in plan.removals:
        left.take(numbers[removal.layer], len(removal.removed))
    return left


def first_step(course: Course, enough: Callable[[Plan], bool]) -> int | None:
    """The first step whose plan is enough, found by bisection; None where even the last is not."""
    if not enough(course.plan(course.length)):
        return None
    low, high = 0, course.length
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(course.plan(middle)) else (middle + 1, high)
    return low
