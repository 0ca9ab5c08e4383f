"""How far a pruning goes: from an amount to a plan, and from a layer to its ladder of amounts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from emoprune.cli import console
from emoprune.cli.amounts import Amount
from emoprune.cli.prune_job import Job
from emoprune.core.budget import after, first_step
from emoprune.core.certificate import certify
from emoprune.core.courses import Course
from emoprune.core.methods import METHODS
from emoprune.errors import UsageFault
from emoprune.records import HiddenLayer, Plan


def plan_of(job: Job, amount: Amount) -> Plan:
    """What goes; UsageFault names the nearest amount that can be met where this one cannot."""
    method = METHODS[job.method]
    if amount.option == "--angle":
        return method.plan_within(job.subject, job.request, amount.value)
    course = job.course()
    return job.whole(course.plan(last_step(job, course, amount)))


def last_step(job: Job, course: Course, amount: Amount) -> int:
    """The step of a course at which an amount that is no angle is met."""
    if amount.needs_images:
        return _last_bearable(job, course, amount)
    if METHODS[job.method].weights:
        return _weights(course, amount)
    step = first_step(course, partial(_enough, job, amount))
    if step is None:
        raise _out_of_reach(job, course, amount)
    return step


def _enough(job: Job, amount: Amount, plan: Plan) -> bool:
    return _left(job, amount, plan) <= _wanted(job, amount)


def _left(job: Job, amount: Amount, plan: Plan) -> float:
    """What a plan leaves of what the amount counts."""
    if amount.option in ("--amount", "--units"):
        return sum(len(removal.kept) for removal in plan.removals)
    left = after(plan, job.subject, job.footprint)
    if amount.option == "--macs":
        return job.cost.macs - job.footprint.macs + left.macs
    return job.cost.parameters - job.footprint.parameters + left.parameters


def _wanted(job: Job, amount: Amount) -> float:
    units = sum(job.subject.statistics[layer.name].units for layer in job.subject.layers)
    return {
        "--amount": units - round(units * amount.value),
        "--units": amount.value,
        "--macs": job.cost.macs * amount.value,
        "--params": job.cost.parameters * amount.value,
    }[amount.option]


def _out_of_reach(job: Job, course: Course, amount: Amount) -> UsageFault:
    left = _left(job, amount, course.plan(course.length))
    if amount.option == "--units":
        stay = f"{console.counted(round(left), 'unit')} {'has' if round(left) == 1 else 'have'} to stay"
        return UsageFault(f"{amount} cannot be met: {stay}", f"give --units {left:.0f}")
    if amount.option == "--amount":
        most = math.floor(1e4 * (1 - left / _left(job, amount, course.plan(0)))) / 1e4
        fact = f"{amount} would leave layers without units: at most {most:.2%} can go"
        return UsageFault(fact, f"give --amount {most:g} or less")
    whole = job.cost.macs if amount.option == "--macs" else job.cost.parameters
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


def _last_bearable(job: Job, course: Course, amount: Amount) -> int:
    """The last step whose network loses no more than the amount allows."""
    loss, accuracy = job.judgement
    if accuracy is None and amount.option == "--max-drop":
        raise UsageFault(f"{job.before.spec.arch} has no accuracy to drop", "give --max-loss-increase")

    def too_much(plan: Plan) -> bool:
        now_loss, now = job.judge(job.carried_out(job.whole(plan)))
        points = 100 * ((accuracy or 0) - (now or 0))
        lost = points if amount.option == "--max-drop" else now_loss - loss
        # not the other way round: a network that computes NaN has lost too much
        return not lost <= amount.value + 1e-9

    # the harshest plan, then a bisection of the rest
    most, answers = 1 + course.length.bit_length(), list[bool]()
    with console.progress("search", most) as advance:

        def answer(plan: Plan) -> bool:
            answers.append(too_much(plan))
            advance()
            return answers[-1]

        step = first_step(course, answer)
        advance(most - len(answers))
    return course.length if step is None else max(0, step - 1)


def ladder(job: Job, layer: HiddenLayer, amounts: Sequence[float]) -> Iterator[dict[str, Any]]:
    """What each share of one layer's units costs if nothing else goes."""
    alone = replace(job, subject=replace(job.subject, layers=(layer,)))
    course = alone.course()
    for amount in amounts:
        step = first_step(course, partial(_enough, alone, Amount("--amount", amount)))
        if step is not None:
            plan = course.plan(step)
            (certificate,) = certify(alone.subject, plan, alone.merges(plan))
            yield {"amount": amount, **asdict(certificate)}
