"""One network to prune by one method: its plan, its certificate, what is left of it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from emoprune.choices import Merge
from emoprune.networks import build, profiling
from emoprune.networks.activation_statistics import collect
from emoprune.networks.profiling import Footprint
from emoprune.networks.types import Checkpoint, Cost
from emoprune.pruning import merging, surgery
from emoprune.pruning.angles import smallest_angle_deg
from emoprune.pruning.context import PruningContext, Request, Schedule, stays
from emoprune.pruning.magnitude import importances, silenced
from emoprune.pruning.merging import MERGES
from emoprune.pruning.methods import METHODS
from emoprune.pruning.refit import Refit
from emoprune.pruning.types import Plan, Removal

NOISE_BATCH = 2

Merged = Mapping[str, Tensor]


@dataclass(frozen=True)
class Pruning:
    """One network to prune by one method; `net` is that of `before`, the context is made of it.

    `resolve` runs the re-solving of its layers on images, where there are any to do so.
    """

    before: Checkpoint
    net: nn.Module
    context: PruningContext
    method: str
    request: Request
    resolve: Callable[[Refit], None] | None = None

    @cached_property
    def cost(self) -> Cost:
        """What it costs before."""
        return profiling.cost(self.net, self.before.spec)

    @cached_property
    def footprint(self) -> Footprint:
        """What its units cost, none taken."""
        return Footprint(self.context.graph, self.net)

    def schedule(self) -> Schedule:
        """All plans of the method."""
        return METHODS[self.method].plans(self.context, copy.deepcopy(self.footprint), self.request)

    def whole(self, plan: Plan) -> Plan:
        """A plan of masks together with the units that they silence; any other plan as it is."""
        if not plan.masks:
            return plan
        tensors = {**self.before.tensors}
        for name, mask in plan.masks.items():
            tensors[name] = tensors[name] * mask
        graph = self.context.graph
        noise = torch.randn(
            NOISE_BATCH, *self.before.spec.input, generator=torch.Generator().manual_seed(self.request.seed)
        )
        seen = collect(build.restore(self.before.spec, tensors), graph, graph.layers, [noise])
        found = {
            removal.layer: removal
            for removal in silenced(graph, tensors, seen).removals
            if f"{removal.layer}.weight" in self.request.weights
        }
        removals = [
            found.get(name, Removal(name, stop - start)) for name, (start, stop) in graph.spans.items()
        ]
        return Plan(tuple(removals), plan.masks)

    def merges(self, plan: Plan) -> dict[Merge, Merged]:
        """The tensors that the survivors take over with, under either merge; masks are merged by none."""
        if plan.masks:
            return {"sum": {name: self.before.tensors[name] * mask for name, mask in plan.masks.items()}}
        return {name: self._merged(plan, name) for name in MERGES}

    def _merged(self, plan: Plan, merge: Merge) -> Merged:
        """What a merge gives, with the zeros of an earlier pruning still zero."""
        merged = MERGES[merge](self.context, plan)
        return {
            name: tensor * self.before.masks[name] if name in self.before.masks else tensor
            for name, tensor in merged.items()
        }

    def carried_out(self, plan: Plan, merged: Merged | None = None) -> Checkpoint:
        """The smaller network: merged, its batch norm mended, and re-solved on images where there are any.

        `merged` are the tensors of the request's merge, where they are known already.
        """
        if self.request.merge == "sum" or plan.masks:
            merged = {} if plan.masks else merged or self._merged(plan, "sum")
            return surgery.apply(plan, self.before, self.context, merged)
        merged = merged or self._merged(plan, "lstsq")
        if self.resolve is None:
            merged = {**merged, **merging.rescaled(self.context, plan, merged)}
            return surgery.apply(plan, self.before, self.context, merged)
        return self._refitted(plan, surgery.apply(plan, self.before, self.context, merged), self.resolve)

    def _refitted(self, plan: Plan, pruned: Checkpoint, resolve: Callable[[Refit], None]) -> Checkpoint:
        alive, graph = self.context.alive(plan), self.context.graph
        kept = {
            cut.tensor.removesuffix(".weight"): torch.nonzero(stays(cut.owner, alive)).flatten()
            for cut in graph.cuts
            if cut.dim == 0 and cut.tensor in graph.works
        }
        norms = {
            consumer.layer: consumer.norm
            for layer_input in graph.layer_inputs
            for consumer in layer_input.consumers
        }
        # its own copy: what was not cut is the original's still
        tensors = {name: tensor.clone() for name, tensor in pruned.tensors.items()}
        net = build.restore(pruned.spec, tensors)
        resolve(Refit(self.net, net, kept=kept, norms=norms, seed=self.request.seed))
        left = {name: tensor.detach() for name, tensor in net.state_dict().items()}
        masked = {name: left[name] * mask for name, mask in pruned.masks.items()}
        return replace(pruned, tensors={**left, **masked})

    def smallest_angle_deg(self, pruned: Checkpoint) -> float | None:
        """The smallest angle between two units of a layer of what is left; None where no two have one."""
        found = [
            smallest_angle_deg(
                pruned.statistics[layer.name], center=self.request.center, activation=layer.activation
            )
            for layer in self.context.layers
        ]
        return min((angle for angle in found if angle is not None), default=None)

    def least_importance(self, plan: Plan) -> float:
        """The smallest norm of a kernel that stays (core.importance)."""
        return min(
            float(importances(self.context, removal.layer)[list(removal.kept)].min())
            for removal in plan.removals
        )
