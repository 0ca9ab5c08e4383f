"""Rival ways to prune a network without gradient steps, written after their papers and public code.

- Model Folding (Wang, Sikic, Thiele & Saukh, "Forget the Data and Fine-Tuning! Just Fold the Network to
  Compress", ICLR 2025): k-means over what each channel is written with and read with. Filters of a cluster
  are averaged, the columns that read them are summed. Then REPAIR (Jordan et al., ICLR 2023).
- GRAIL (Tang et al., "GRAIL: Post-hoc Compensation by Linear Reconstruction for Compressed Networks", 2026):
  channels are chosen by the L2 norm of their filters or by Wanda (Sun et al., ICLR 2024). A ridge regression
  from the kept activations to all is merged into the weights that read them.
- AIMET's channel pruning (Qualcomm's documentation, after He, Zhang & Sun, ICCV 2017): input channels are
  chosen by the norm of their weights. Each layer is then solved by least squares, from what it reads in the
  pruned network to what it computes in the original.

Ours is what they leave open, or what they do for other structures. Channels that are tied, by an addition or
a depthwise convolution, are one unit: their norms are added up, and folding clusters all their weights
together. Every layer keeps the same fraction of its units, and the units are emoprune's. Folding takes
weights as they are, with biases and the scale and shift of batch norms, as its code does: multiplied by their
batch norms they do worse. REPAIR with images is batch norms with the statistics of their new input. GRAIL
regresses the activations of the original, as its code for ResNets does; in closed loop, from the front with
batch norms re-estimated on the way, it does about the same. AIMET's rule solves at random positions, as many
in all as He, Zhang & Sun have.
"""

from __future__ import annotations

import copy
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from sklearn.cluster import KMeans
from torch import Tensor, fx, nn
from torch.nn import functional as F

from emoprune.networks import build
from emoprune.networks.costs import profiling
from emoprune.networks.graph import channel_graph
from emoprune.networks.graph.recording import record
from emoprune.networks.graph.types import FROZEN, ChannelGraph, Cut, LayerInput
from emoprune.pruning import surgery
from emoprune.pruning.context import stays
from emoprune.training.steps.batch_norms import adapt_norms

BISECTIONS = 14
STARTS = 10
"""Runs of k-means, of which the best counts."""
RIDGE = 1e-3
"""Of GRAIL, relative to the mean diagonal of the kept activations' products: its code's default."""
MINIMUM_NORM = 1e-6
"""In the same way of AIMET's least squares, which have none: for features that depend on one another."""
SAMPLES = 50_000
"""Of each of AIMET's regressions: He, Zhang & Sun take 10 positions of 5,000 images."""

ENOUGH = 2
"""Samples for each unknown, under which AIMET's least squares are left out."""

Draw = Callable[[int], Tensor]
"""Some of so many positions."""


@dataclass(frozen=True)
class Subject:
    """A network to prune, the shape of its inputs, and the images that may be seen, in batches."""

    net: nn.Module
    shape: tuple[int, ...]
    images: Sequence[Tensor]
    seed: int = 0

    @cached_property
    def graph(self) -> ChannelGraph:
        """Its channel graph."""
        return channel_graph(self.net, self.shape)

    @property
    def copied(self) -> nn.Module:
        """A copy to change."""
        return copy.deepcopy(self.net)

    def cut(self, net: nn.Module, alive: Tensor) -> nn.Module:
        """`net`, of the same structure, without units that are not `alive` (units,)."""
        tensors = surgery.cut(net.state_dict(), self.graph, alive)
        return build.narrowed(net, surgery.widths(self.graph, tensors, alive), tensors)

    def kept(self, budget: float) -> dict[str, int]:
        """How many units each layer keeps, at the smallest ratio for this fraction of the MACs."""
        wanted = profiling.cost(self.net, self.shape).macs * budget

        def counts(ratio: float) -> dict[str, int]:
            spans = self.graph.spans.items()
            return {layer: max(1, round((stop - start) * (1 - ratio))) for layer, (start, stop) in spans}

        low, high = 0.0, 1.0
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            # the cost depends on how many units stay, not on which
            small = self.cut(self.net, self.largest(torch.zeros(self.graph.units), counts(middle)))
            low, high = (low, middle) if profiling.cost(small, self.shape).macs <= wanted else (middle, high)
        return counts(high)

    def largest(self, scores: Tensor, kept: Mapping[str, int]) -> Tensor:
        """Which units (units,) are the `kept` ones of each layer with the largest scores."""
        alive = torch.zeros(self.graph.units, dtype=torch.bool)
        for layer, (start, stop) in self.graph.spans.items():
            alive[start + scores[start:stop].topk(kept[layer]).indices] = True
        return alive

    @property
    def written(self) -> list[Cut]:
        """The weights that write units, row by row: those of depthwise convolutions too."""
        return [cut for cut in self.graph.cuts if cut.dim == 0 and cut.tensor in self.graph.works]

    def summed(self, parts: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
        """The sum for each unit (units,) over pairs of owner and value of each channel."""
        total = torch.zeros(self.graph.units, dtype=torch.float64)
        for owner, values in parts:
            total.index_add_(0, owner[owner != FROZEN], values[owner != FROZEN].double())
        return total


def walk(net: nn.Module, images: Sequence[Tensor]) -> Iterator[tuple[str, list[Tensor]]]:
    """Compute one operation after another, each for all images; before each module its name and input.

    What its caller changes of the module counts.
    """
    graph = record(net, images[0][:1]).graph
    interpreter = fx.Interpreter(net, False, graph)
    waiting = {node: len(node.users) for node in graph.nodes}
    values: dict[fx.Node, list[Any]] = {}
    for node in graph.nodes:
        sources = node.all_input_nodes
        if node.op == "call_module":
            yield str(node.target), values[sources[0]]
        if node.op == "placeholder":
            values[node] = list(images)
        elif node.op != "output":
            values[node] = []
            for index in range(len(images)):
                interpreter.env = {source: values[source][index] for source in sources}
                values[node].append(interpreter.run_node(node))
        for source in sources:
            waiting[source] -= 1
            if not waiting[source]:
                del values[source]


# Model Folding


def folded(subject: Subject, budget: float) -> nn.Module:
    """The network with clusters of units folded into one; its batch norms need REPAIR."""
    graph, kept = subject.graph, subject.kept(budget)
    net = subject.copied.double()
    tensors = net.state_dict()
    places = {id(cut): _places(cut.owner) for cut in graph.cuts}
    target = torch.arange(graph.units)
    for layer, (start, stop) in graph.spans.items():
        described = [
            tensors[cut.tensor].movedim(cut.dim, 0)[
                torch.tensor([places[id(cut)][unit] for unit in range(start, stop)])
            ]
            for cut in graph.cuts
            if set(range(start, stop)) <= places[id(cut)].keys() and "running" not in cut.tensor
        ]
        features = torch.cat([part.flatten(1) for part in described], 1)
        # distances stay the same with as many axes as units
        u, s, _ = torch.linalg.svd(features - features.mean(0), full_matrices=False)
        clusters = KMeans(kept[layer], n_init=STARTS, random_state=subject.seed).fit((u * s).numpy()).labels_
        first: dict[int, int] = {}
        for unit, cluster in enumerate(clusters.tolist(), start):
            target[unit] = first.setdefault(cluster, unit)
    members = target.bincount(minlength=graph.units)
    for cut in graph.cuts:
        found = _folded(tensors[cut.tensor], cut.dim, places[id(cut)], target)
        if cut.dim == 0 or cut.tensor not in graph.works:
            # a mean, where others read the sum
            count = torch.where(cut.owner == FROZEN, 1, members[cut.owner]).clamp(min=1)
            found /= count.reshape([-1 if dim == cut.dim else 1 for dim in range(found.ndim)])
        tensors[cut.tensor] = found
    net.load_state_dict(tensors)
    return subject.cut(net.float(), members > 0)


def _places(owner: Tensor) -> dict[int, list[int]]:
    """The indices of each unit."""
    found = defaultdict(list)
    for index, unit in enumerate(owner.tolist()):
        if unit != FROZEN:
            found[unit].append(index)
    return found


def _folded(tensor: Tensor, dim: int, places: Mapping[int, list[int]], target: Tensor) -> Tensor:
    """The sum of each cluster along one dimension, where its first unit is; zero where its others are."""
    into = torch.arange(tensor.shape[dim])
    for unit, indices in places.items():
        into[indices] = torch.tensor(places[int(target[unit])])
    return torch.zeros_like(tensor).index_add_(dim, into, tensor)


# GRAIL


def l2_scores(subject: Subject) -> Tensor:
    """The L2 norm of each unit's filters (units,)."""
    rows = {cut.tensor: subject.net.state_dict()[cut.tensor].flatten(1) for cut in subject.written}
    return subject.summed([(cut.owner, rows[cut.tensor].norm(dim=1)) for cut in subject.written])


def wanda_scores(subject: Subject) -> Tensor:
    """|weight| times the norm of what it reads, summed over each unit's filters (units,)."""
    tensors, owners = subject.net.state_dict(), {cut.tensor: cut.owner for cut in subject.written}
    parts = []
    for name, batches in walk(subject.net, subject.images):
        weight = f"{name}.weight"
        if weight in owners:
            size = tensors[weight].abs().flatten(1).unflatten(1, (tensors[weight].shape[1], -1)).sum(2)
            squares = sum(_by_channel(batch).double().square().sum(1) for batch in batches)
            assert isinstance(squares, Tensor)
            read = squares.sqrt().reshape(subject.graph.works[weight].groups, -1)
            read = read.repeat_interleave(len(size) // len(read), 0)
            parts.append((owners[weight], (size * read).sum(1)))
    return subject.summed(parts)


def _by_channel(batch: Tensor) -> Tensor:
    """What a convolution or dense layer reads, (channels, samples)."""
    return batch.transpose(0, 1).flatten(1) if batch.ndim == 4 else batch.flatten(0, -2).T


def grail(subject: Subject, budget: float, scores: Callable[[Subject], Tensor]) -> nn.Module:
    """The network with the units of the highest scores, and their activations mapped to all."""
    net, alive = subject.copied, subject.largest(scores(subject), subject.kept(budget))
    inputs = {each.name: each for each in subject.graph.layer_inputs}
    for name, batches in walk(subject.net, subject.images):
        if name in inputs:
            _compensate(net, inputs[name], batches, stays(inputs[name].owner, alive))
    return subject.cut(net, alive)


def _compensate(net: nn.Module, layer_input: LayerInput, batches: Sequence[Tensor], kept: Tensor) -> None:
    """Let all that read a layer input read only what is kept, as B = G_HP (G_PP + ridge)^-1 continues it."""
    channels = len(kept)
    products = torch.zeros(channels, channels, dtype=torch.float64)
    for batch in batches:
        maps = batch.ndim == 4 and layer_input.dim == 1
        h = batch.flatten(2) if maps else batch.reshape(-1, channels, layer_input.spread)
        h = h.transpose(0, 1).flatten(1)
        products += h @ h.T
    own = products[kept][:, kept]
    own.diagonal().add_(RIDGE * own.diagonal().mean())
    continued = torch.linalg.solve(own, products[kept]).T
    for consumer in layer_input.consumers:
        weight = net.get_parameter(f"{consumer.layer}.weight").data
        columns = weight.view(len(weight), channels, -1)
        merged = torch.einsum("oct,ck->okt", columns.double(), continued)
        columns.zero_()
        columns[:, kept] = merged.to(columns)


# AIMET's rule


def input_scores(subject: Subject) -> Tensor:
    """The L2 norm of the weights that read each unit (units,)."""
    tensors, parts = subject.net.state_dict(), []
    for layer_input in subject.graph.layer_inputs:
        for consumer in layer_input.consumers:
            weight = tensors[f"{consumer.layer}.weight"]
            columns = weight.reshape(len(weight), len(layer_input.owner), -1)
            parts.append((layer_input.owner, torch.linalg.vector_norm(columns, dim=(0, 2))))
    return subject.summed(parts)


def solved(subject: Subject, budget: float) -> nn.Module:
    """The network with the input channels of the largest norms, its layers solved from the front."""
    net, alive = subject.copied, subject.largest(input_scores(subject), subject.kept(budget))
    read = {
        consumer.layer: layer_input
        for layer_input in subject.graph.layer_inputs
        for consumer in layer_input.consumers
    }
    generator = torch.Generator().manual_seed(subject.seed)
    each = math.ceil(SAMPLES / sum(map(len, subject.images)))

    def draw(positions: int) -> Tensor:
        return torch.randperm(positions, generator=generator)[:each]

    walks = zip(walk(net, subject.images), walk(subject.net, subject.images), strict=True)
    for (name, batches), (_, originals) in walks:
        if name in read:
            pairs = zip(batches, map(subject.net.get_submodule(name), originals), strict=True)
            _solve(net.get_submodule(name), pairs, stays(read[name].owner, alive), draw)
    return subject.cut(net, alive)


def _solve(layer: nn.Module, pairs: Iterable[tuple[Tensor, Tensor]], kept: Tensor, draw: Draw) -> None:
    """Solve a layer for pairs of what it reads and what it should compute; it reads only what is kept.

    Its weights stay where there are too few samples, as the images for a wide dense layer may be.
    """
    assert isinstance(layer, nn.Conv2d | nn.Linear)
    weight, biased = layer.weight.data, layer.bias is not None
    features = kept.repeat_interleave(weight[0].numel() // len(kept))
    size = int(features.sum()) + biased
    own, crossed = (torch.zeros(size, side, dtype=torch.float64) for side in (size, len(weight)))
    count = 0
    for batch, wanted in pairs:
        if isinstance(layer, nn.Conv2d):
            chosen = draw(wanted[0, 0].numel())
            assert not isinstance(layer.padding, str)
            patches = F.unfold(batch, layer.kernel_size, layer.dilation, layer.padding, layer.stride)
            batch, wanted = (each[:, :, chosen].mT for each in (patches, wanted.flatten(2)))
        x, y = batch.flatten(0, -2)[:, features], wanted.flatten(0, -2)
        if biased:
            x = torch.cat([x, torch.ones(len(x), 1)], 1)
        count += len(x)
        own += x.T @ x
        crossed += x.T @ y
    flat = weight.view(len(weight), -1)
    flat[:, ~features] = 0
    if count < ENOUGH * size:
        return
    own.diagonal().add_(MINIMUM_NORM * own.diagonal().mean())
    solution = torch.linalg.solve(own, crossed).T.to(weight)
    flat[:, features] = solution[:, : size - biased]
    if layer.bias is not None:
        layer.bias.data = solution[:, -1].clone()


def reestimated(net: nn.Module, images: Sequence[Tensor]) -> nn.Module:
    """A copy whose batch norms have the statistics of their present input."""
    net = copy.deepcopy(net)
    adapt_norms(net, images)
    return net


RIVALS: dict[str, Callable[[Subject, float], nn.Module]] = {
    "Model Folding": folded,
    "GRAIL, L2": lambda subject, budget: grail(subject, budget, l2_scores),
    "GRAIL, Wanda": lambda subject, budget: grail(subject, budget, wanda_scores),
    "AIMET's rule": solved,
}
