"""What a plan will cost, told from statistics alone before anything is written."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from emoprune.choices import Merge
from emoprune.networks.graph.types import Reader, Reading
from emoprune.networks.types import HiddenLayer, Moments
from emoprune.pruning.budget import Amount, first_step, is_met
from emoprune.pruning.context import Subject
from emoprune.pruning.merging import inside_taps, variances
from emoprune.pruning.pruning import Pruning
from emoprune.pruning.types import Certificate, Plan

ROUNDING = 1e-12


def certify(
    subject: Subject, plan: Plan, merged: Mapping[Merge, Mapping[str, Tensor]]
) -> tuple[Certificate, ...]:
    """Per layer: units before and after, why they go, and the error at its readers under either merge.

    `merged` are the tensors after the plan, by merge (core.compensation); masks alone are merged by none.
    """
    errors: dict[Merge, dict[str, float | None]] = {"sum": {}, "lstsq": {}}
    changed = {name for tensors in merged.values() for name in tensors}
    for reading in subject.graph.readings:
        touched = [reader for reader in reading.readers if f"{reader.layer}.weight" in changed]
        moments = subject.moments_at(reading) if touched and subject.knows(reading) else None
        for reader in touched:
            found = relative_errors(subject, reading, reader, moments, merged) if moments else {}
            for merge in errors:
                errors[merge][reader.layer] = found.get(merge)
    readers = {layer.name: layer.consumers for layer in subject.graph.layers}
    return tuple(
        Certificate(
            layer=removal.layer,
            before=removal.units,
            after=len(removal.kept),
            similar=len(removal.similar),
            complementary=len(removal.complementary),
            insignificant=len(removal.insignificant),
            error_sum=_together(errors["sum"], readers[removal.layer]),
            error_lstsq=_together(errors["lstsq"], readers[removal.layer]) if "lstsq" in merged else None,
        )
        for removal in plan.removals
    )


def _together(errors: Mapping[str, float | None], readers: tuple[str, ...]) -> float | None:
    """Root of the mean squared error over the readers whose input varies and is known; None without any."""
    found = [error for reader in readers if (error := errors.get(reader, 0.0)) is not None]
    return math.sqrt(sum(error**2 for error in found) / len(found)) if found else None


def relative_errors(
    subject: Subject,
    reading: Reading,
    reader: Reader,
    moments: Moments,
    merged: Mapping[Merge, Mapping[str, Tensor]],
) -> dict[Merge, float | None]:
    """Root of the mean squared change of what a reader computes over its variance; None if it never varies.

    Both follow from the moments of what it reads, its taps taken as independent of one another.
    """
    weight = subject.weight(reader, reading)
    shares = inside_taps(reader, weight)
    varying = float(variances(weight, shares, moments).sum())
    still = float(_means(weight, shares, moments).square().sum())
    errors: dict[Merge, float | None] = {}
    for merge, tensors in merged.items():
        change = weight - _new_weight(tensors, reader, weight)
        constant = _means(change, shares, moments) + _moved(subject, reader, tensors)
        changed = float(constant.square().sum()) + float(variances(change, shares, moments).sum())
        # the difference of equals is rounding, not variance
        varies = varying > ROUNDING * (varying + still)
        errors[merge] = math.sqrt(max(changed, 0.0) / varying) if varies else None
    return errors


def _means(weight: Tensor, shares: Tensor, moments: Moments) -> Tensor:
    return torch.einsum("oct,c,t->o", weight, moments.mean, shares)


def _new_weight(merged: Mapping[str, Tensor], reader: Reader, weight: Tensor) -> Tensor:
    new = merged.get(f"{reader.layer}.weight")
    return weight if new is None else new.double().reshape(weight.shape)


def _moved(subject: Subject, reader: Reader, merged: Mapping[str, Tensor]) -> Tensor:
    """Old minus new constant of a reader: its bias, less the mean that a batch norm takes off."""
    moved = torch.zeros(1, dtype=torch.float64)
    for name, sign in ((f"{reader.layer}.bias", 1), (f"{reader.norm}.running_mean", -1)):
        if name in merged:
            moved = moved + sign * (subject.tensors[name].double() - merged[name].double())
    return moved


def ladder(
    pruning: Pruning, layer: HiddenLayer, shares: Sequence[float]
) -> Iterator[tuple[float, Certificate]]:
    """What each share of one layer's units costs if nothing else goes; shares out of reach are left out."""
    alone = replace(pruning, subject=replace(pruning.subject, layers=(layer,)))
    course = alone.course()
    for share in shares:
        step = first_step(course, partial(is_met, alone, Amount("--amount", share)))
        if step is not None:
            plan = course.plan(step)
            (certificate,) = certify(alone.subject, plan, alone.merges(plan))
            yield share, certificate
