"""From a plan to a physically smaller network: thinner tensors, narrower spec, survivors' statistics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from emoprune.core.compensation import Readers
from emoprune.core.statistics import survivors
from emoprune.records import Checkpoint, HiddenLayer, LayerView, Plan, Removal


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


def apply(plan: Plan, checkpoint: Checkpoint, merged: Mapping[str, Readers]) -> Checkpoint:
    """The checkpoint without the plan's removed units; `merged` has each layer's readers as they shall be.

    `merged` comes from the same plan and checkpoint (core.compensation). The statistics of the survivors
    stay, so that pruning can go on in steps.
    """
    removals = {removal.layer: removal for removal in plan.removals if removal.removed}
    # in network order: a layer's columns are replaced before its own rows go
    for layer in checkpoint.layers:
        if layer.name in removals:
            checkpoint = _without(removals[layer.name], layer, checkpoint, merged[layer.name])
    return checkpoint


def _without(removal: Removal, layer: HiddenLayer, checkpoint: Checkpoint, readers: Readers) -> Checkpoint:
    kept = torch.tensor(removal.kept)
    tensors = dict(checkpoint.tensors)
    for name in (f"{layer.name}.weight", f"{layer.name}.bias"):
        if name in tensors:
            tensors[name] = tensors[name][kept]
    for name, (weight, bias) in readers.items():
        tensors[f"{name}.weight"] = weight
        if bias is not None:
            tensors[f"{name}.bias"] = bias
    narrowed = {name: _width(tensors, name) for name in (layer.name, *layer.consumers)}
    remaining = survivors(checkpoint.statistics[layer.name], removal.kept)
    return replace(
        checkpoint,
        tensors=tensors,
        spec=replace(checkpoint.spec, widths={**checkpoint.spec.widths, **narrowed}),
        statistics={**checkpoint.statistics, layer.name: remaining},
    )


def _width(tensors: Mapping[str, Tensor], layer: str) -> tuple[int, int]:
    outputs, inputs = tensors[f"{layer}.weight"].shape
    return int(inputs), int(outputs)
