"""How far a pruning goes: from an amount to the step of a schedule that meets it."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from emoprune.errors import UsageFault
from emoprune.networks.costs.profiling import Footprint
from emoprune.pruning.context import PruningContext, Schedule
from emoprune.pruning.methods import METHODS
from emoprune.pruning.types import Amount, Plan

if TYPE_CHECKING:
    from emoprune.pruning.prune import PruningRun

COUNTS = {"macs": "multiply-accumulates", "params": "parameters"}


def footprint_after(plan: Plan, context: PruningContext, footprint: Footprint) -> Footprint:
    """The footprint of the network once the plan is applied; `footprint` is that of the whole network."""
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


def step_for(run: PruningRun, schedule: Schedule, amount: Amount) -> int:
    """The first step of a schedule at which units, costs or weights come down to an amount.

    Raises UsageFault with the nearest amount that can be met where this one cannot.
    """
    if METHODS[run.config.method].weights:
        wanted = round((schedule.length + 1) * amount.value)
        if wanted > schedule.length:
            most = math.floor(1e4 * schedule.length / (schedule.length + 1)) / 1e4
            raise UsageFault(f"{amount} would leave no weight", f"give `amount={most:g}` or less")
        return wanted
    step = first_step(schedule, partial(is_met, run, amount))
    if step is None:
        raise _out_of_reach(run, schedule, amount)
    return step


def is_met(run: PruningRun, amount: Amount, plan: Plan) -> bool:
    """Whether a plan keeps no more units than an amount allows, or costs no more."""
    units = sum(run.context.statistics[layer.name].units for layer in run.context.layers)
    wanted = {
        "amount": units - round(units * amount.value),
        "units": amount.value,
        "macs": run.cost.macs * amount.value,
        "params": run.cost.parameters * amount.value,
    }
    return _left(run, amount, plan) <= wanted[amount.name]


def is_too_much(amount: Amount, before: tuple[float, float | None], now: tuple[float, float | None]) -> bool:
    """Whether (mean loss, accuracy) got worse by more than an amount allows."""
    (loss, accuracy), (now_loss, now_accuracy) = before, now
    points = 100 * ((accuracy or 0) - (now_accuracy or 0))
    lost = points if amount.name == "max_drop" else now_loss - loss
    # not the other way round: a network that computes NaN has lost too much
    return not lost <= amount.value + 1e-9


def _left(run: PruningRun, amount: Amount, plan: Plan) -> int:
    """What a plan leaves of what the amount counts."""
    if amount.name in ("amount", "units"):
        return plan.kept
    left = footprint_after(plan, run.context, run.footprint)
    if amount.name == "macs":
        return run.cost.macs - run.footprint.macs + left.macs
    return run.cost.parameters - run.footprint.parameters + left.parameters


def _out_of_reach(run: PruningRun, schedule: Schedule, amount: Amount) -> UsageFault:
    left = _left(run, amount, schedule.plan(schedule.length))
    whole = _left(run, amount, schedule.plan(0))
    more = or_all_layers(run)
    if run.config.multiple > 1 and left == whole:
        fact = f"{amount} cannot be met: no layer has more than `round_to={run.config.multiple}` channels"
        return UsageFault(fact, "round to fewer")
    if amount.name == "units":
        stay = "1 unit has" if left == 1 else f"{left:,} units have"
        return UsageFault(f"{amount} cannot be met: {stay} to stay", f"give `units={left}`{more}")
    if amount.name == "amount":
        most = math.floor(1e4 * (1 - left / whole)) / 1e4
        fact = f"{amount} would leave layers without units: at most {most:.2%} can be removed"
        return UsageFault(fact, f"give `amount={most:g}` or less{more}")
    total = run.cost.macs if amount.name == "macs" else run.cost.parameters
    least = math.ceil(1e4 * left / total) / 1e4
    fact = f"{amount} cannot be met: at least {least:.2%} of the {COUNTS[amount.name]} have to stay"
    return UsageFault(fact, f"give `{amount.name}={least:g}` or more{more}")


def or_all_layers(run: PruningRun) -> str:
    """What a remedy adds where the method has left out layers of its own accord."""
    narrowed = run.config.layer is None and len(run.context.layers) < len(run.context.graph.layers)
    return ", or `layer=*` to prune all layers" if narrowed else ""
