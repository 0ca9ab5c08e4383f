"""Batch norm after pruning, mended without images."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from emoprune.pruning.context import Subject, stays
from emoprune.pruning.merging import inside_taps, variances
from emoprune.pruning.types import Plan

POWER = 1.5
"""More than 1, for what the layers before have lost reaches a reader too."""

LEAST = 0.25
"""Share taken where less is left: what survivors make of next to nothing is noise, not to be amplified."""


def rescaled(subject: Subject, plan: Plan, merged: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Running variances, scaled by what the survivors still make of each channel's variance.

    The factor is that share, at least a quarter, to the power of 1.5. Least squares shrinks what a layer
    computes towards its mean; a batch norm that divides by the old deviation would pass the shrinkage on and
    on. The share follows from the moments, the taps of a kernel taken as independent.
    """
    alive = subject.alive(plan)
    rescaled = {}
    for reading in subject.readings:
        if bool(stays(reading.owner, alive).all()):
            continue
        moments = subject.moments_at(reading)
        for reader in reading.readers:
            name = f"{reader.norm}.running_var"
            if name in subject.tensors:
                weight = subject.weight(reader, reading)
                new = merged[f"{reader.layer}.weight"].double().reshape(weight.shape)
                shares = inside_taps(reader, weight)
                before, after = (variances(each, shares, moments) for each in (weight, new))
                ratio = torch.where(before > 0, after / before, 1.0).clamp(LEAST, 1)
                old = subject.tensors[name]
                rescaled[name] = (old.double() * ratio**POWER).to(old.dtype)
    return rescaled
