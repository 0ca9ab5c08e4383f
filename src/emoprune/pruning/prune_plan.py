"""How far a pruning goes: from an amount to a plan, run on images where accuracy or loss says it."""

from __future__ import annotations

from emoprune.cli import output
from emoprune.errors import UsageFault
from emoprune.pruning.budget import Amount
from emoprune.pruning.core_budget import first_step, is_too_much, step_for
from emoprune.pruning.methods import METHODS
from emoprune.pruning.prune_job import Job
from emoprune.pruning.schedules import Course
from emoprune.pruning.types import Plan


def plan_of(job: Job, amount: Amount) -> Plan:
    """What goes; UsageFault names the nearest amount that can be met where this one cannot."""
    method = METHODS[job.method]
    if amount.option == "--angle":
        return method.plan_within(job.subject, job.request, amount.value)
    course = job.course()
    return job.whole(course.plan(last_step(job, course, amount)))


def last_step(job: Job, course: Course, amount: Amount) -> int:
    """The step of a course at which an amount that is no angle is met."""
    return _last_bearable(job, course, amount) if amount.needs_images else step_for(job, course, amount)


def _last_bearable(job: Job, course: Course, amount: Amount) -> int:
    """The last step whose network loses no more than the amount allows."""
    before = job.judgement
    if before[1] is None and amount.option == "--max-drop":
        raise UsageFault(f"{job.before.spec.arch} has no accuracy to drop", "give --max-loss-increase")

    # the harshest plan, then a bisection of the rest
    most, answers = 1 + course.length.bit_length(), list[bool]()
    with output.progress("search", most) as advance:

        def answer(plan: Plan) -> bool:
            now = job.judge(job.carried_out(job.whole(plan)))
            answers.append(is_too_much(amount, before, now))
            advance()
            return answers[-1]

        step = first_step(course, answer)
        advance(most - len(answers))
    return course.length if step is None else max(0, step - 1)
