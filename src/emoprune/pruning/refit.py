"""Refit pruned layers on images, from the front: each to what the original layer computes.

The moments of the original network know nothing of the errors that earlier layers pass on. Here each layer
of the pruned network is regressed, all taps at once, on its own inputs toward the original layer's outputs
for the same images (He, Zhang & Sun 2017 do so for the inputs that are kept). No gradient is computed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.nn import functional as F

from emoprune import events
from emoprune.networks.graph.types import ChannelGraph
from emoprune.pruning.context import stays
from emoprune.pruning.merging import ROUNDING

MEMORY = 3 * 2**30
"""Bytes that activations may take; images beyond that are left out."""

ROWS_PER_FEATURE = 32
FEWEST_ROWS = 20_000
UNFOLDED = 2**28
"""Bytes of patches that are laid out at once."""

WIDEST = 8192
"""Features of a layer beyond which its equations take too much memory; it is not refitted then."""


def images_that_fit(net: nn.Module, sample: Tensor) -> int:
    """How many images both networks can keep the activations of at once; `sample` (1, ...) is one."""
    traced = fx.symbolic_trace(net)
    with torch.inference_mode():
        ShapeProp(traced).propagate(sample)
    waiting = {node: len(node.users) for node in traced.graph.nodes}
    live = peak = 0
    for node in traced.graph.nodes:
        live += _size(node)
        peak = max(peak, live)
        for source in node.all_input_nodes:
            waiting[source] -= 1
            live -= _size(source) * (waiting[source] == 0)
    return max(1, MEMORY // (2 * max(peak, 1)))


def _size(node: fx.Node) -> int:
    shape = getattr(node.meta.get("tensor_meta"), "shape", None)
    return 0 if shape is None else 4 * math.prod(shape)


class Refit:
    """Refits a pruned network to the original, in place.

    `alive` (units,) are the units of `graph` that the pruned network still has. `run` takes batches of
    network input; the last fifth of each is held out to choose the ridge.
    """

    def __init__(
        self, original: nn.Module, pruned: nn.Module, graph: ChannelGraph, alive: Tensor, *, seed: int
    ) -> None:
        self._graph = fx.symbolic_trace(original).graph
        nets = original, pruned
        self._original, self._pruned = (fx.Interpreter(net, False, self._graph) for net in nets)
        self._before, self._now = (dict(net.named_parameters()) | dict(net.named_buffers()) for net in nets)
        # outputs of each original layer that the pruned one still has
        self._kept = {
            cut.tensor.removesuffix(".weight"): torch.nonzero(stays(cut.owner, alive)).flatten()
            for cut in graph.cuts
            if cut.dim == 0 and cut.tensor in graph.works
        }
        # the batch norm that alone reads a layer: its mean absorbs a constant
        consumers = (consumer for layer_input in graph.layer_inputs for consumer in layer_input.consumers)
        self._norms = {consumer.layer: consumer.norm for consumer in consumers}
        self._generator = torch.Generator().manual_seed(seed)

    def run(self, images: Sequence[Tensor]) -> Iterator[str]:
        """Go through all operations in order; yields the name of each when it is done."""
        truth: dict[fx.Node, list[Any]] = {}
        now: dict[fx.Node, list[Any]] = {}
        waiting = {node: len(node.users) for node in self._graph.nodes}
        operations = [node for node in self._graph.nodes if node.op != "output"]
        with torch.inference_mode():
            for node in events.tracked(operations, "refit", len(operations)):
                self._step(node, truth, now, images)
                for source in node.all_input_nodes:
                    waiting[source] -= 1
                    if not waiting[source]:
                        del truth[source], now[source]
                yield node.name

    def _step(
        self,
        node: fx.Node,
        truth: dict[fx.Node, list[Any]],
        now: dict[fx.Node, list[Any]],
        images: Sequence[Tensor],
    ) -> None:
        if node.op == "placeholder":
            truth[node] = now[node] = list(images)
            return
        untouched = all(truth[source] is now[source] for source in node.all_input_nodes)
        truth[node] = _computed(self._original, node, truth, len(images))
        if untouched and self._same(node):
            now[node] = truth[node]
            return
        layer = self._pruned.submodules[str(node.target)] if node.op == "call_module" else None
        if not untouched and _solvable(layer):
            self._refit(str(node.target), layer, now[node.all_input_nodes[0]], truth[node])
        now[node] = _computed(self._pruned, node, now, len(images))

    def _same(self, node: fx.Node) -> bool:
        """Whether an operation is still what it was in the original."""
        if node.op == "get_attr":
            shapes = (
                getattr(each.get(str(node.target)), "shape", None) for each in (self._before, self._now)
            )
            return len(set(shapes)) == 1
        if node.op != "call_module":
            return True
        old, new = (net.submodules[str(node.target)].state_dict() for net in (self._original, self._pruned))
        return all(old[name].shape == new[name].shape and torch.equal(old[name], new[name]) for name in old)

    def _refit(self, name: str, layer: Any, inputs: list[Tensor], wanted: list[Tensor]) -> None:
        """Add to a layer's weights what brings its outputs nearest to `wanted`."""
        kept = self._kept.get(name, slice(None))
        norm = self._norms.get(name)
        mean, moved = f"{norm}.running_mean", torch.zeros(1)
        if layer.bias is None and norm:
            # how far the merge has moved it already
            moved = self._now[mean] - self._before[mean][kept]
        features, positions = layer.weight[0].numel(), layer(inputs[0][:1]).numel() // len(layer.weight)
        rows = sum(len(x) for x in inputs) * positions
        if features > min(rows, WIDEST):
            return
        learned, held = Sums(), Sums()
        share = min(1.0, max(FEWEST_ROWS, ROWS_PER_FEATURE * features) / rows)
        chunk = max(1, UNFOLDED // (4 * features * positions))
        for given, target in zip(inputs, wanted, strict=True):
            back = max(1, len(given) // 5)
            for sums, part in ((learned, slice(None, -back)), (held, slice(-back, None))):
                for x, z in zip(given[part].split(chunk), target[part].split(chunk), strict=True):
                    z = z[:, kept] if isinstance(layer, nn.Conv2d) else z[..., kept]
                    laid_out, missing = self._rows(layer, x, z - layer(x), share)
                    sums.add(laid_out, missing + moved)
        found = correction(learned, held, constant=layer.bias is not None or norm is not None)
        if found is None:
            return
        change, constant = found
        layer.weight.data += change.reshape(layer.weight.shape).to(layer.weight)
        if layer.bias is not None:
            layer.bias.data += constant.to(layer.bias)
        elif norm:
            self._now[mean] -= constant.to(self._now[mean])

    def _rows(self, layer: Any, x: Tensor, z: Tensor, share: float) -> tuple[Tensor, Tensor]:
        """Inputs (rows, features) and outputs (rows, outputs) at a random share of the positions."""
        if not isinstance(layer, nn.Conv2d):
            return x.flatten(0, -2), z.flatten(0, -2)
        positions = z.shape[2] * z.shape[3]
        chosen = torch.randperm(positions, generator=self._generator)[: max(1, round(share * positions))]
        patches = F.unfold(x, layer.kernel_size, layer.dilation, layer.padding, layer.stride)  # type: ignore[arg-type]
        return (
            patches[:, :, chosen].transpose(1, 2).flatten(0, 1),
            z.flatten(2)[:, :, chosen].transpose(1, 2).flatten(0, 1),
        )


def _computed(
    net: fx.Interpreter, node: fx.Node, values: Mapping[fx.Node, list[Any]], count: int
) -> list[Any]:
    """What an operation makes of each of the `count` batches."""
    found = []
    for index in range(count):
        net.env = {source: values[source][index] for source in node.all_input_nodes}
        found.append(net.run_node(node))
    return found


def _solvable(layer: nn.Module | None) -> bool:
    if isinstance(layer, nn.Conv2d):
        # patches are laid out with zeros around them
        return layer.groups == 1 and layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
    return isinstance(layer, nn.Linear)


RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Strengths tried, relative to the features' mean variance."""


class Sums:
    """Second moments of features and of the outputs' residuals, in float64."""

    def __init__(self) -> None:
        self.count = 0
        self.features = self.crossed = self.feature_total = self.missing_total = torch.zeros(())
        self.missing = 0.0

    def add(self, features: Tensor, missing: Tensor) -> None:
        """Add features (rows, features) and residuals of the outputs (rows, outputs)."""
        features, missing = features.double(), missing.double()
        self.count += len(features)
        self.features = self.features + features.T @ features
        self.crossed = self.crossed + missing.T @ features
        self.feature_total = self.feature_total + features.sum(0)
        self.missing_total = self.missing_total + missing.sum(0)
        self.missing += float(missing.square().sum())

    def joined(self, other: Sums) -> Sums:
        """Sums over both sets of rows."""
        both = Sums()
        for name, value in vars(self).items():
            setattr(both, name, value + getattr(other, name))
        return both

    def error(self, change: Tensor, constant: Tensor) -> float:
        """Mean squared distance of features @ change' + constant from the residuals."""
        explained = change @ self.features
        fitted = (explained * change).sum() - 2 * (change * self.crossed).sum()
        shift = constant @ (2 * change @ self.feature_total - 2 * self.missing_total + self.count * constant)
        return (self.missing + float(fitted + shift)) / self.count


def correction(learned: Sums, held: Sums, *, constant: bool) -> tuple[Tensor, Tensor] | None:
    """Weights (outputs, features) and constant (outputs,) to add; None where none helps on held-out rows.

    The ridge pulls toward no change; its strength is the one that does best on `held`, the solution then
    that of all rows. Without `constant` there is none to add.
    """
    if not learned.count or not held.count:
        return None
    none = torch.zeros_like(learned.crossed), torch.zeros_like(learned.missing_total)
    best, chosen = held.error(*none), None
    for ridge in RIDGES:
        found = _solution(learned, ridge, constant=constant)
        error = best if found is None else held.error(*found)
        if error < best:
            best, chosen = error, ridge
    return None if chosen is None else _solution(learned.joined(held), chosen, constant=constant)


def _solution(sums: Sums, ridge: float, *, constant: bool) -> tuple[Tensor, Tensor] | None:
    """What `correction` adds at one ridge; None where rounding makes the equations singular."""
    features, missing = sums.feature_total / sums.count, sums.missing_total / sums.count
    second, crossed = sums.features / sums.count, sums.crossed / sums.count
    if constant:
        energy = second.diagonal().clone()
        second = second - torch.outer(features, features)
        crossed = crossed - torch.outer(missing, features)
        # of a feature that hardly varies only rounding is left: the constant covers it
        still = second.diagonal() <= ROUNDING * energy
        second[still], second[:, still], crossed[:, still] = 0, 0, 0
    strength = ridge * float(second.diagonal().mean())
    if strength <= 0:
        return torch.zeros_like(crossed), missing if constant else torch.zeros_like(missing)
    second.diagonal().add_(strength)
    factor, fault = torch.linalg.cholesky_ex(second)
    if int(fault):
        return None
    change = torch.cholesky_solve(crossed.T, factor).T
    offset = missing - change @ features if constant else torch.zeros_like(missing)
    return change, offset
