"""From a plan to a physically smaller network: thinner tensors, narrower spec, survivors' statistics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from emoprune.core.compensation import MERGES
from emoprune.core.statistics import survivors
from emoprune.records import Checkpoint, HiddenLayer, LayerView, Plan, Removal
from emoprune.records.choices import Merge


def view(checkpoint: Checkpoint, layer: HiddenLayer) -> LayerView:
    """What selection and compensation need to see of one layer."""
    tensors = checkpoint.tensors
    return LayerView(
        layer=layer,
        statistics=checkpoint.statistics[layer.name],
        weight=tensors[f"{layer.name}.weight"],
        bias=tensors.get(f"{layer.name}.bias"),
        readers={name: (tensors[f"{name}.weight"], tensors.get(f"{name}.bias")) for name in layer.consumers},
    )


def apply(plan: Plan, checkpoint: Checkpoint, *, merge: Merge) -> Checkpoint:
    """The checkpoint without the plan's removed units, their share of the next layers merged as asked.

    Removals in several layers commute: one narrows the rows of a tensor that another narrows the columns
    of. The statistics of the survivors stay, so that pruning can go on in steps.
    """
    for removal in plan.removals:
        if removal.removed:
            checkpoint = _without(removal, checkpoint, merge)
    return checkpoint


def _without(removal: Removal, checkpoint: Checkpoint, merge: Merge) -> Checkpoint:
    layer = next(layer for layer in checkpoint.layers if layer.name == removal.layer)
    seen = view(checkpoint, layer)
    readers = MERGES[merge](seen, removal)
    kept = torch.tensor(removal.kept)
    tensors = dict(checkpoint.tensors)
    tensors[f"{layer.name}.weight"] = seen.weight[kept]
    if seen.bias is not None:
        tensors[f"{layer.name}.bias"] = seen.bias[kept]
    for name, (weight, bias) in readers.items():
        tensors[f"{name}.weight"] = weight
        if bias is not None:
            tensors[f"{name}.bias"] = bias
    narrowed = {name: _width(tensors, name) for name in (layer.name, *layer.consumers)}
    statistics = {**checkpoint.statistics, layer.name: survivors(seen.statistics, removal.kept)}
    return replace(
        checkpoint,
        tensors=tensors,
        spec=replace(checkpoint.spec, widths={**checkpoint.spec.widths, **narrowed}),
        statistics=statistics,
    )


def _width(tensors: Mapping[str, Tensor], layer: str) -> tuple[int, int]:
    outputs, inputs = tensors[f"{layer}.weight"].shape
    return int(inputs), int(outputs)
