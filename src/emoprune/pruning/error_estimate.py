"""What a plan is predicted to cost, from statistics alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import fields
from html import escape

import torch
from torch import Tensor

from emoprune import events
from emoprune.choices import Merge
from emoprune.errors import UsageFault
from emoprune.evaluation.answers import AnswerLoss
from emoprune.networks.graph.types import Consumer, LayerInput
from emoprune.networks.types import Moments
from emoprune.pruning.context import PruningContext
from emoprune.pruning.merging import inside_taps, variances
from emoprune.pruning.methods import METHODS
from emoprune.pruning.types import (
    LARGEST_ERROR,
    STRUCTURAL,
    Amount,
    ErrorEstimate,
    Plan,
    PruneConfig,
    PruneOutcome,
)

ROUNDING = 1e-12


class ErrorEstimates(tuple[ErrorEstimate, ...]):
    """The predicted errors of all layers; a notebook shows them as a table."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        names = [entry.name for entry in fields(ErrorEstimate)]
        shown = [name for name in names if any(getattr(each, name) not in (None, 0) for each in self)]
        head = "".join(f"<th>{escape(name.replace('_', ' '))}</th>" for name in shown)
        rows = "".join(f"<tr>{''.join(_cell(getattr(each, key)) for key in shown)}</tr>" for each in self)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _cell(value: object) -> str:
    text = "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
    return f"<td>{escape(text)}</td>"


def estimate_errors(
    context: PruningContext, plan: Plan, merged: Mapping[Merge, Mapping[str, Tensor]]
) -> tuple[ErrorEstimate, ...]:
    """Per layer: units before and after, why they are removed, and the error of its consumers by merge.

    `merged` are the tensors after the plan, by merge (see merging); masks alone have no merge.
    """
    errors: dict[Merge, dict[str, float | None]] = {"sum": {}, "lstsq": {}}
    changed = {name for tensors in merged.values() for name in tensors}
    for layer_input in context.graph.layer_inputs:
        touched = [consumer for consumer in layer_input.consumers if f"{consumer.layer}.weight" in changed]
        moments = context.moments_at(layer_input) if touched and context.knows(layer_input) else None
        for consumer in touched:
            found = relative_errors(context, layer_input, consumer, moments, merged) if moments else {}
            for merge in errors:
                errors[merge][consumer.layer] = found.get(merge)
    consumers = {layer.name: layer.consumers for layer in context.graph.layers}
    return tuple(
        ErrorEstimate(
            layer=removal.layer,
            before=removal.units,
            after=len(removal.kept),
            similar=len(removal.similar),
            complementary=len(removal.complementary),
            insignificant=len(removal.insignificant),
            error_sum=_together(errors["sum"], consumers[removal.layer]),
            error_lstsq=_together(errors["lstsq"], consumers[removal.layer]) if "lstsq" in merged else None,
        )
        for removal in plan.removals
    )


def _together(errors: Mapping[str, float | None], consumers: tuple[str, ...]) -> float | None:
    """Root of the mean squared error over the consumers whose input varies and is known; None without any."""
    found = [error for consumer in consumers if (error := errors.get(consumer, 0.0)) is not None]
    return math.sqrt(sum(error**2 for error in found) / len(found)) if found else None


def relative_errors(
    context: PruningContext,
    layer_input: LayerInput,
    consumer: Consumer,
    moments: Moments,
    merged: Mapping[Merge, Mapping[str, Tensor]],
) -> dict[Merge, float | None]:
    """Root of the mean squared change of what a consumer computes over its variance; None if it never varies.

    Both follow from the moments of what it reads, its taps taken as independent of one another.
    """
    weight = context.weight(consumer, layer_input)
    shares = inside_taps(consumer, weight)
    varying = float(variances(weight, shares, moments).sum())
    still = float(_means(weight, shares, moments).square().sum())
    errors: dict[Merge, float | None] = {}
    for merge, tensors in merged.items():
        new = tensors.get(f"{consumer.layer}.weight", weight).double().reshape(weight.shape)
        change = weight - new
        constant = _means(change, shares, moments) + _moved(context, consumer, tensors)
        changed = float(constant.square().sum()) + float(variances(change, shares, moments).sum())
        # the difference of equals is rounding, not variance
        varies = varying > ROUNDING * (varying + still)
        errors[merge] = math.sqrt(max(changed, 0.0) / varying) if varies else None
    return errors


def _means(weight: Tensor, shares: Tensor, moments: Moments) -> Tensor:
    return torch.einsum("oct,c,t->o", weight, moments.mean, shares)


def _moved(context: PruningContext, consumer: Consumer, merged: Mapping[str, Tensor]) -> Tensor:
    """Old minus new constant of a consumer: its bias, less the mean that a batch norm takes off."""
    moved = torch.zeros(1, dtype=torch.float64)
    for name, sign in ((f"{consumer.layer}.bias", 1), (f"{consumer.norm}.running_mean", -1)):
        if name in merged:
            moved = moved + sign * (context.tensors[name].double() - merged[name].double())
    return moved


def errors_of(config: PruneConfig, layers: Iterable[ErrorEstimate]) -> dict[str, float]:
    """The predicted error of each layer under the merge of the config, where it is known."""
    by_sum = METHODS[config.method].weights or config.merge == "sum"
    errors = ((layer.layer, layer.error_sum if by_sum else layer.error_lstsq) for layer in layers)
    return {name: error for name, error in errors if error is not None}


def check_errors(
    config: PruneConfig, amount: Amount, layers: Iterable[ErrorEstimate], *, most: float
) -> None:
    """Raise UsageFault where the predicted error of a layer is larger than `most`."""
    errors = errors_of(config, layers)
    large = [name for name, error in errors.items() if error > most]
    for name in large[:1]:
        others = _and_so_in(len(large) - 1)
        fact = f"{name}: the predicted error is {errors[name]:.0%}, more than {most:.0%}{others}"
        change = "raise" if amount.name in STRUCTURAL else "lower"
        worst = math.ceil(100 * max(errors.values())) / 100
        raise UsageFault(fact, f"{change} {amount}, or allow it with `max_error={worst:g}`")


def check_answers(amount: Amount, answers: AnswerLoss, *, most: float) -> None:
    """Raise UsageFault where a refitted network loses more than the part `most` of what the answers tell."""
    if not answers.lost <= most:
        fact = f"the answers would lose {answers.lost:.0%} of their information, more than {most:.0%}"
        change = f"{'raise' if amount.name in STRUCTURAL else 'lower'} {amount}"
        if math.isfinite(answers.lost):
            change += f", or allow it with `max_error={math.ceil(100 * answers.lost) / 100:g}`"
        raise UsageFault(f"{fact} ({answers.images:,} {answers.on})", change)


def report_warnings(config: PruneConfig, outcome: PruneOutcome) -> None:
    """Warn of what a user should not overlook."""
    masks = METHODS[config.method].weights
    removed = sum(len(layer.removed) for layer in outcome.layers)
    spared = [layer.layer for layer in outcome.layers if layer.spared]
    errors = errors_of(config, outcome.layers)
    heavy = [name for name, error in errors.items() if error > LARGEST_ERROR]
    for name in spared[:1]:
        events.warn(f"{name}: every unit would be removed; 1 is kept{_and_so_in(len(spared) - 1)}")
    if not removed and not masks:
        events.note("no unit is removed at this amount")
    for name in heavy[:1]:
        fact = f"{name}: the next layer's input changes by {errors[name]:.0%} of its spread"
        events.warn(f"{fact}{_and_so_in(len(heavy) - 1)}")
    if masks:
        counts, nonzero = outcome.parameters.after or 1, outcome.nonzero_parameters.after or 0
        are = "is" if removed == 1 else "are"
        really = f"; {events.counted(removed, 'silent unit')} {are} removed" if removed else ""
        fact = f"{1 - nonzero / counts:.1%} of the parameters are zero"
        events.note(f"{fact}, which a dense engine multiplies all the same{really}")


def _and_so_in(others: int) -> str:
    return f" (and so in {others:,} more {'layer' if others == 1 else 'layers'})" if others else ""
