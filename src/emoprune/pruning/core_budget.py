"""How far along its course a method goes."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from functools import partial

from emoprune.errors import UsageFault
from emoprune.networks.footprint import Footprint
from emoprune.pruning.budget import Amount
from emoprune.pruning.context import Subject
from emoprune.pruning.methods import METHODS
from emoprune.pruning.pruning import Pruning
from emoprune.pruning.schedules import Course
from emoprune.pruning.types import Plan


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


def step_for(pruning: Pruning, course: Course, amount: Amount) -> int:
    """The first step of a course at which units, costs or weights come down to an amount.

    UsageFault names the nearest amount that can be met where this one cannot.
    """
    if METHODS[pruning.method].weights:
        return _weights(course, amount)
    step = first_step(course, partial(is_met, pruning, amount))
    if step is None:
        raise _out_of_reach(pruning, course, amount)
    return step


def is_met(pruning: Pruning, amount: Amount, plan: Plan) -> bool:
    """Whether a plan leaves no more units than an amount, or costs no more."""
    return _left(pruning, amount, plan) <= _wanted(pruning, amount)


def is_too_much(amount: Amount, before: tuple[float, float | None], now: tuple[float, float | None]) -> bool:
    """Whether mean loss or accuracy, as pairs of the two, got worse by more than an amount allows."""
    (loss, accuracy), (now_loss, now_accuracy) = before, now
    points = 100 * ((accuracy or 0) - (now_accuracy or 0))
    lost = points if amount.option == "--max-drop" else now_loss - loss
    # not the other way round: a network that computes NaN has lost too much
    return not lost <= amount.value + 1e-9


def _left(pruning: Pruning, amount: Amount, plan: Plan) -> int:
    """What a plan leaves of what the amount counts."""
    if amount.option in ("--amount", "--units"):
        return sum(len(removal.kept) for removal in plan.removals)
    left = after(plan, pruning.subject, pruning.footprint)
    if amount.option == "--macs":
        return pruning.cost.macs - pruning.footprint.macs + left.macs
    return pruning.cost.parameters - pruning.footprint.parameters + left.parameters


def _wanted(pruning: Pruning, amount: Amount) -> float:
    units = sum(pruning.subject.statistics[layer.name].units for layer in pruning.subject.layers)
    return {
        "--amount": units - round(units * amount.value),
        "--units": amount.value,
        "--macs": pruning.cost.macs * amount.value,
        "--params": pruning.cost.parameters * amount.value,
    }[amount.option]


def _out_of_reach(pruning: Pruning, course: Course, amount: Amount) -> UsageFault:
    left = _left(pruning, amount, course.plan(course.length))
    if pruning.request.round_to > 1 and left == _left(pruning, amount, course.plan(0)):
        fact = f"{amount} cannot be met: no layer has more than --round-to {pruning.request.round_to} units"
        return UsageFault(fact, "round to fewer")
    if amount.option == "--units":
        stay = "1 unit has" if left == 1 else f"{left:,} units have"
        return UsageFault(f"{amount} cannot be met: {stay} to stay", f"give --units {left}")
    if amount.option == "--amount":
        most = math.floor(1e4 * (1 - left / _left(pruning, amount, course.plan(0)))) / 1e4
        fact = f"{amount} would leave layers without units: at most {most:.2%} can go"
        return UsageFault(fact, f"give --amount {most:g} or less")
    whole = pruning.cost.macs if amount.option == "--macs" else pruning.cost.parameters
    least = math.ceil(1e4 * left / whole) / 1e4
    what = "multiply-accumulates" if amount.option == "--macs" else "parameters"
    fact = f"{amount} cannot be met: the least that can stay is {least:.2%} of the {what}"
    return UsageFault(fact, f"give {amount.option} {least:g} or more")


def _weights(course: Course, amount: Amount) -> int:
    wanted = round((course.length + 1) * amount.value)
    if wanted > course.length:
        most = math.floor(1e4 * course.length / (course.length + 1)) / 1e4
        raise UsageFault(f"{amount} would leave no weight", f"give --amount {most:g} or less")
    return wanted
