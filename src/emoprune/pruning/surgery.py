"""From a plan to a physically smaller network: thinner tensors, narrower spec, survivors' statistics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from emoprune.errors import BadCheckpoint
from emoprune.events import counted, note
from emoprune.networks.graph.types import ChannelGraph
from emoprune.networks.statistics.activation_statistics import survivors
from emoprune.networks.types import Checkpoint
from emoprune.pruning.context import PruningContext, kept_outputs, masked, stays
from emoprune.pruning.types import Plan


@dataclass(frozen=True)
class Pruned:
    """A network after a plan: its tensors, its masks, and the (inputs, outputs) of every narrowed layer."""

    tensors: Mapping[str, Tensor]
    masks: Mapping[str, Tensor]
    widths: Mapping[str, tuple[int, int]]


def apply(plan: Plan, context: PruningContext, merged: Mapping[str, Tensor]) -> Pruned:
    """The network of `context` without the plan's removed units and with its masks.

    `merged` are the tensors with which the survivors take over, at their full size (see merging).
    """
    alive = context.alive(plan)
    tensors = cut({**context.tensors, **merged}, context.graph, alive)
    # what is zero already stays so, whatever the new masks would allow
    both = {name: mask & context.masks.get(name, mask) for name, mask in plan.masks.items()}
    masks = cut({**context.masks, **both}, context.graph, alive)
    return Pruned(masked(tensors, masks), masks, widths(context.graph, tensors, alive))


def pruned_checkpoint(
    checkpoint: Checkpoint, context: PruningContext, plan: Plan, pruned: Pruned, *, statistics: bool = True
) -> Checkpoint:
    """The checkpoint with the pruned network; the survivors keep their statistics, for pruning in steps.

    They are those of `context`, and only where `checkpoint` has any, so that its file does not grow; a note
    says so where some are left out. Without `statistics` there are none.
    """
    removals, alive = {removal.layer: removal for removal in plan.removals}, context.alive(plan)
    known = [name for name in checkpoint.statistics if statistics and name in context.statistics]
    moments = {
        each.name: survivors(context.moments[each.name], stays(each.owner, alive))
        for each in context.graph.layer_inputs
        if statistics and each.name in checkpoint.moments and each.name in context.moments
    }
    outputs = kept_outputs(context.graph, alive)
    sensitivities = {
        name: context.sensitivities[name][outputs[name]][:, outputs[name]]
        if name in outputs
        else context.sensitivities[name]
        for name in checkpoint.sensitivities
        if statistics and name in context.sensitivities
    }
    left = len(context.statistics) - len(known), len(context.moments) - len(moments)
    if statistics and any(left):
        fact = f"statistics of {counted(left[0], 'layer')} and {counted(left[1], 'layer input')} are left out"
        note(f"{fact}, as the original has none of them; prune it further with `data`")
    return replace(
        checkpoint,
        tensors=pruned.tensors,
        masks=pruned.masks,
        spec=replace(checkpoint.spec, widths={**checkpoint.spec.widths, **pruned.widths}),
        layers=tuple(layer for layer in context.graph.layers if layer.name in known),
        statistics={
            name: survivors(context.statistics[name], removals[name].kept)
            if name in removals
            else context.statistics[name]
            for name in known
        },
        moments=moments,
        sensitivities=sensitivities,
    )


def cut(tensors: Mapping[str, Tensor], graph: ChannelGraph, alive: Tensor) -> dict[str, Tensor]:
    """`tensors` without what belongs to units that are not `alive` (units,)."""
    left = dict(tensors)
    for place in graph.cuts:
        kept = stays(place.owner, alive)
        if place.tensor in left and not bool(kept.all()):
            left[place.tensor] = left[place.tensor].index_select(place.dim, torch.nonzero(kept).flatten())
    return left


def rewound(pruned: Checkpoint, earlier: Checkpoint, context: PruningContext, plan: Plan) -> Checkpoint:
    """The pruned network, its survivors set back to `earlier`, a checkpoint of the whole network.

    It should have no statistics, for those are of other weights (re-initialization of elazar2020, section 2).
    """
    tensors = masked(cut(earlier.tensors, context.graph, context.alive(plan)), pruned.masks)
    return replace(pruned, tensors=tensors)


def check_rewind(earlier: Checkpoint, whole: Checkpoint) -> None:
    """Raise BadCheckpoint where `earlier` is not of the shape and the classes of the network `whole`."""
    if earlier.classes != whole.classes:
        named = [", ".join(each.classes) for each in (earlier, whole)]
        fact = f"cannot be gone back to: its outputs are {named[0]}, those of the network {named[1]}"
        raise BadCheckpoint(fact, "give the file that train `save_init` wrote for that network")
    for name in sorted(whole.tensors.keys() | earlier.tensors.keys()):
        before, now = (each.tensors.get(name) for each in (earlier, whole))
        if before is None or now is None or before.shape != now.shape:
            has = ["not at all" if each is None else f"as {tuple(each.shape)}" for each in (before, now)]
            fact = f"cannot be gone back to: it has {name} {has[0]}, the network {has[1]}"
            raise BadCheckpoint(fact, "give the file that train `save_init` wrote for that network")


def widths(graph: ChannelGraph, tensors: Mapping[str, Tensor], alive: Tensor) -> dict[str, tuple[int, int]]:
    """What has become narrower: layers by inputs and outputs, numbers of modules by before and after.

    Of a parameter that belongs to no layer it is the dimension, counted from 1, and its new length.
    """
    found = {}
    for place in graph.cuts:
        layer, _, kind = place.tensor.rpartition(".")
        if place.tensor not in tensors or bool(stays(place.owner, alive).all()):
            continue
        weight = tensors[place.tensor]
        work = graph.works.get(place.tensor)
        if place.alone:
            found[place.tensor] = (place.dim + 1, weight.shape[place.dim])
        elif kind not in ("weight", "running_mean"):
            # a batch norm without weights still has a mean
            continue
        elif work is None:
            found[layer] = (weight.shape[0], weight.shape[0])
        elif work.groups == 1:
            found[layer] = (weight.shape[1], weight.shape[0])
        else:
            # whole groups go, so the channels of each stay what they were
            groups = work.groups * weight.shape[0] // len(place.owner)
            found[layer] = (weight.shape[1] * groups, weight.shape[0])
    for number in graph.numbers:
        kept = int(stays(number.owner, alive).sum())
        if kept < len(number.owner):
            found[number.name] = (len(number.owner), kept)
    return found
