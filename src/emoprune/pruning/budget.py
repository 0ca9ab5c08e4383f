"""How much a pruning is to take, known before torch is imported."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from functools import partial

from emoprune import events
from emoprune.errors import UsageFault
from emoprune.networks.profiling import Footprint
from emoprune.pruning.amounts import Amount
from emoprune.pruning.context import PruningContext, Schedule
from emoprune.pruning.methods import METHODS
from emoprune.pruning.prune_job import Job
from emoprune.pruning.pruning import Pruning
from emoprune.pruning.types import Plan


def after(plan: Plan, context: PruningContext, footprint: Footprint) -> Footprint:
    """The footprint of the network once the plan is carried out; `footprint` is that of the whole."""
    left = copy.deepcopy(footprint)
    numbers = {name: number for number, name in enumerate(context.graph.spans)}
    for removal in plan.removals:
        left.take(numbers[removal.layer], len(removal.removed))
    return left


def first_step(schedule: Schedule, enough: Callable[[Plan], bool]) -> int | None:
    """The first step whose plan is enough, found by bisection; None where even the last is not."""
    if not enough(schedule.plan(schedule.length)):
        return None
    low, high = 0, schedule.length
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(schedule.plan(middle)) else (middle + 1, high)
    return low


def step_for(pruning: Pruning, schedule: Schedule, amount: Amount) -> int:
    """The first step of a schedule at which units, costs or weights come down to an amount.

    UsageFault names the nearest amount that can be met where this one cannot.
    """
    if METHODS[pruning.method].weights:
        return _weights(schedule, amount)
    step = first_step(schedule, partial(is_met, pruning, amount))
    if step is None:
        raise _out_of_reach(pruning, schedule, amount)
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
    left = after(plan, pruning.context, pruning.footprint)
    if amount.option == "--macs":
        return pruning.cost.macs - pruning.footprint.macs + left.macs
    return pruning.cost.parameters - pruning.footprint.parameters + left.parameters


def _wanted(pruning: Pruning, amount: Amount) -> float:
    units = sum(pruning.context.statistics[layer.name].units for layer in pruning.context.layers)
    return {
        "--amount": units - round(units * amount.value),
        "--units": amount.value,
        "--macs": pruning.cost.macs * amount.value,
        "--params": pruning.cost.parameters * amount.value,
    }[amount.option]


def _out_of_reach(pruning: Pruning, schedule: Schedule, amount: Amount) -> UsageFault:
    left = _left(pruning, amount, schedule.plan(schedule.length))
    if pruning.request.round_to > 1 and left == _left(pruning, amount, schedule.plan(0)):
        fact = f"{amount} cannot be met: no layer has more than --round-to {pruning.request.round_to} units"
        return UsageFault(fact, "round to fewer")
    if amount.option == "--units":
        stay = "1 unit has" if left == 1 else f"{left:,} units have"
        return UsageFault(f"{amount} cannot be met: {stay} to stay", f"give --units {left}")
    if amount.option == "--amount":
        most = math.floor(1e4 * (1 - left / _left(pruning, amount, schedule.plan(0)))) / 1e4
        fact = f"{amount} would leave layers without units: at most {most:.2%} can go"
        return UsageFault(fact, f"give --amount {most:g} or less")
    whole = pruning.cost.macs if amount.option == "--macs" else pruning.cost.parameters
    least = math.ceil(1e4 * left / whole) / 1e4
    what = "multiply-accumulates" if amount.option == "--macs" else "parameters"
    fact = f"{amount} cannot be met: the least that can stay is {least:.2%} of the {what}"
    return UsageFault(fact, f"give {amount.option} {least:g} or more")


def _weights(schedule: Schedule, amount: Amount) -> int:
    wanted = round((schedule.length + 1) * amount.value)
    if wanted > schedule.length:
        most = math.floor(1e4 * schedule.length / (schedule.length + 1)) / 1e4
        raise UsageFault(f"{amount} would leave no weight", f"give --amount {most:g} or less")
    return wanted


def plan_of(job: Job, amount: Amount) -> Plan:
    """What goes; UsageFault names the nearest amount that can be met where this one cannot."""
    method = METHODS[job.method]
    if amount.option == "--angle":
        return method.plan_within(job.context, job.request, amount.value)
    schedule = job.schedule()
    return job.whole(schedule.plan(last_step(job, schedule, amount)))


def last_step(job: Job, schedule: Schedule, amount: Amount) -> int:
    """The step of a schedule at which an amount that is no angle is met."""
    return _last_bearable(job, schedule, amount) if amount.needs_images else step_for(job, schedule, amount)


def _last_bearable(job: Job, schedule: Schedule, amount: Amount) -> int:
    """The last step whose network loses no more than the amount allows."""
    before = job.judgment
    if before[1] is None and amount.option == "--max-drop":
        raise UsageFault(f"{job.before.spec.arch} has no accuracy to drop", "give --max-loss-increase")

    # the harshest plan, then a bisection of the rest
    most, answers = 1 + schedule.length.bit_length(), list[bool]()
    with events.progress("search", most) as advance:

        def answer(plan: Plan) -> bool:
            now = job.judge(job.carried_out(job.whole(plan)))
            answers.append(is_too_much(amount, before, now))
            advance()
            return answers[-1]

        step = first_step(schedule, answer)
        advance(most - len(answers))
    return schedule.length if step is None else max(0, step - 1)
