"""What pruning would do at every amount: a sensitivity sweep layer by layer, and a curve unit by unit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby

from emoprune import events
from emoprune.data.datasets import Data
from emoprune.errors import UsageFault
from emoprune.networks.statistics.activation_statistics import survivors
from emoprune.networks.types import Checkpoint, HiddenLayer
from emoprune.pruning.angles import smallest_angle_deg
from emoprune.pruning.budget import first_step, is_met
from emoprune.pruning.error_estimate import estimate_errors
from emoprune.pruning.methods import METHODS
from emoprune.pruning.prune import PruningRun, last_step, prepare
from emoprune.pruning.selection.magnitude import importances
from emoprune.pruning.selection.reconstruction_cost import sensitivity_nats
from emoprune.pruning.types import (
    Amount,
    ErrorEstimate,
    Plan,
    PruneConfig,
    PruningCurve,
    PruningStep,
    SweptLayer,
    one_by_one,
)

AMOUNTS = tuple(tenths / 10 for tenths in range(1, 10))
"""Fractions of a sensitivity sweep."""


def sensitivity_sweep(
    original: Checkpoint, config: PruneConfig, *, data: Data | None = None
) -> list[SweptLayer]:
    """Every layer's sensitivity, and its predicted error where it alone loses 10% to 90% of its units.

    Raises UsageFault for a config with an amount, or a method of single weights.
    """
    if config.given_amount:
        fact = f"a sensitivity sweep tries all amounts, and {config.given_amount} is given"
        raise UsageFault(fact, "leave it out")
    if METHODS[config.method].weights:
        fact = f"a sensitivity sweep counts units, and `method={config.method}` removes single weights"
        raise UsageFault(fact, "give a method that removes units")
    config.check_counts(None)
    run = prepare(original, config, data, evaluates=False, refits=False)
    layers = run.context.layers
    found = [
        SweptLayer(
            layer.name,
            run.context.statistics[layer.name].units,
            sensitivity_nats(run.context, layer.name),
            dict(sensitivity(run, layer, AMOUNTS)),
        )
        for layer in events.tracked(layers, "sensitivity", len(layers))
    ]
    whole = sorted(each.layer for each in found if not each.estimates)
    if whole:
        count = events.counted(len(whole), "layer")
        events.note(f"{count} can lose none of these fractions, such as {whole[0]}")
    return found


def pruning_curve(
    original: Checkpoint,
    config: PruneConfig,
    *,
    model: str,
    label: str | None = None,
    data: Data | None = None,
) -> PruningCurve:
    """Loss, accuracy and angles or kernel norms while units are removed one by one; nothing is kept.

    Down to the amount, or to one unit a layer. `model` is what the checkpoint is called. Raises UsageFault
    for a method or an amount that does not remove units one by one.
    """
    if not METHODS[config.method].one_by_one:
        fact = f"a pruning curve removes units one by one, unlike `method={config.method}`"
        raise UsageFault(fact, f"use {one_by_one()}")
    amount = config.given_amount
    if amount is not None and amount.name == "angle":
        raise UsageFault("a pruning curve goes unit by unit, and `angle` is given", "leave it out")
    config.check_counts(amount)
    run = prepare(original, config, data, evaluates=True, refits=True)
    schedule = run.schedule()
    last = schedule.length if amount is None else last_step(run, schedule, amount)[0]
    plans = events.tracked(map(schedule.plan, range(last + 1)), "steps", last + 1)
    # rounded to a multiple, some steps remove nothing
    steps = tuple(_measured_step(run, each) for each, _ in groupby(plans))
    return PruningCurve(model, config.method, steps, label)


def _measured_step(run: PruningRun, decided: Plan) -> PruningStep:
    loss, accuracy = run.judge(decided)
    kept = {removal.layer: list(removal.kept) for removal in decided.removals}
    if METHODS[run.config.method].measure == "least importance":
        least = min(float(importances(run.context, name)[units].min()) for name, units in kept.items())
        return PruningStep(decided.kept, loss, accuracy, least_importance=least)
    found = [
        smallest_angle_deg(
            survivors(run.context.statistics[layer.name], kept[layer.name]),
            center=run.config.center,
            activation=layer.activation,
        )
        for layer in run.context.layers
    ]
    smallest = min((angle for angle in found if angle is not None), default=None)
    return PruningStep(decided.kept, loss, accuracy, smallest_angle_deg=smallest)


def sensitivity(
    run: PruningRun, layer: HiddenLayer, amounts: Sequence[float]
) -> Iterator[tuple[float, ErrorEstimate]]:
    """Each fraction of one layer's units with the predicted error, if no other layer loses any.

    Fractions that would leave the layer without units are left out.
    """
    alone = replace(run, context=replace(run.context, layers=(layer,)))
    schedule = alone.schedule()
    for amount in amounts:
        step = first_step(schedule, partial(is_met, alone, Amount("amount", amount)))
        if step is not None:
            plan = schedule.plan(step)
            (estimate,) = estimate_errors(alone.context, plan, alone.merges(plan))
            yield amount, estimate
