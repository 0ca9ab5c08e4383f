"""What happens while units go one by one: loss, accuracy, angles and kernels after every step."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from itertools import groupby
from typing import Any

from emoprune import events
from emoprune.cli import output
from emoprune.pruning.amounts import Amount
from emoprune.pruning.budget import last_step
from emoprune.pruning.methods import METHODS
from emoprune.pruning.prune_job import Job
from emoprune.pruning.types import STEPS_SCHEMA, Plan, PruningCurve, PruningStep
from emoprune.reporting import tables
from emoprune.reporting.aggregate import STEP_KEYS


def show(job: Job, amount: Amount | None, model: str, *, label: str | None, as_json: bool) -> None:
    """Print every step down to the amount, or to one unit a layer (schema emoprune.steps/1)."""
    schedule = job.schedule()
    last = schedule.length if amount is None else last_step(job, schedule, amount)
    plans = events.tracked(map(schedule.plan, range(last + 1)), "steps", last + 1)
    # rounded to a multiple, some steps take nothing
    steps = tuple(_step(job, plan) for plan, _ in groupby(plans))
    record = {"schema": STEPS_SCHEMA, **asdict(PruningCurve(model, job.method, steps, label))}
    output.emit([record], lambda: [_table(job, steps)], as_json=as_json)


def _step(job: Job, plan: Plan) -> PruningStep:
    pruned = job.carried_out(plan)
    loss, accuracy = job.judge(pruned)
    units = sum(len(removal.kept) for removal in plan.removals)
    tells = METHODS[job.method].tells
    told = job.least_importance(plan) if tells == "least importance" else job.smallest_angle_deg(pruned)
    return PruningStep(units, loss, accuracy, **{STEP_KEYS[tells]: told})


def _table(job: Job, steps: Iterable[PruningStep]) -> tables.Table:
    rows = [asdict(step) for step in steps]
    present = [key for key in rows[0] if any(row[key] is not None for row in rows)]
    headings = {key: measure for measure, key in STEP_KEYS.items()}
    return tables.table(
        f"RemovalStep by step ({job.method}, {job.request.merge})",
        [headings.get(key, key) for key in present],
        ([_cell(key, row[key]) for key in present] for row in rows),
        left=0,
    )


def _cell(key: str, value: Any) -> object:
    return f"{value:.1%}" if key == "accuracy" and value is not None else value
