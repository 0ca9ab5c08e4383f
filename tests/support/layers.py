"""What the tests of pruning start from: layers made of given activations, and small networks."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from emoprune.choices import MethodName
from emoprune.data.types import Preprocess, SplitRule
from emoprune.networks import build
from emoprune.networks.graph import channel_graph
from emoprune.networks.graph.types import ChannelGraph, Consumer, LayerInput
from emoprune.networks.statistics.activation_statistics import UnitSums, channel_moments, collect
from emoprune.networks.types import Checkpoint, HiddenLayer, Spec, UnitStatistics
from emoprune.pruning.context import PruningContext, pruning_context
from emoprune.pruning.prune import PruningRun
from emoprune.pruning.types import Plan, PruneConfig, Removal
from tests.support.reference_pruning import Seen, samples
from tests.support.wiring import smaller

Array = NDArray[np.float64]

EPSILON = 1e-5
"""What a batch norm adds to a variance."""


def statistics_of(activations: Array) -> UnitStatistics:
    """One-pass statistics of (patterns, units) activations."""
    sums = UnitSums()
    sums.take(torch.from_numpy(activations))
    return sums.statistics()


def sigmoid_layer(seed: int, *, patterns: int = 60, units: int = 12, spread: float = 2.0) -> Array:
    """Sigmoid activations with near-copies and near-opposites among the units."""
    generator = np.random.default_rng(seed)
    sources = generator.normal(size=(patterns, max(2, units // 3))) * spread
    mixed = sources[:, generator.integers(sources.shape[1], size=units)]
    signs = generator.choice([-1.0, 1.0], size=units)
    noise = generator.normal(size=(patterns, units)) * generator.uniform(0, 1, size=units)
    return np.asarray(1 / (1 + np.exp(-(mixed * signs + noise))))


def relu_maps(seed: int, *, patterns: int = 200, channels: int = 8, positions: int = 1) -> Array:
    """Correlated activations, none of them negative, their means far from zero."""
    generator = np.random.default_rng(seed)
    sources = generator.normal(size=(patterns, channels, positions))
    mixing = np.eye(channels) + generator.normal(size=(channels, channels)) / np.sqrt(channels)
    return np.asarray(np.maximum(0.5 + np.einsum("cd,ndp->ncp", mixing, sources), 0.0))


def context_with(layer_inputs: Sequence[Seen], widths: Mapping[str, int] | None = None) -> PruningContext:
    """The context of layers that have these inputs; `widths` (layer: units) is one layer by default.

    Layer input number r is named "r.0", its consumers "r.0", "r.1" and so on, their batch norms "r.0.norm".
    """
    units = 1 + max(unit for seen in layer_inputs for unit in seen.owner)
    spans: dict[str, tuple[int, int]] = {}
    for name, width in (widths or {"hidden": units}).items():
        start = max((stop for _, stop in spans.values()), default=0)
        spans[name] = (start, start + width)
    tensors: dict[str, Tensor] = {}
    found = [_layer_input(number, seen, tensors) for number, seen in enumerate(layer_inputs)]
    sources = {
        name: next(each.name for each in found if start in each.owner.tolist())
        for name, (start, _) in spans.items()
    }
    layers = tuple(
        HiddenLayer(
            name,
            "relu",
            tuple(
                consumer.layer
                for each in found
                if not set(range(*spans[name])).isdisjoint(each.owner.tolist())
                for consumer in each.consumers
            ),
        )
        for name in spans
    )
    graph = ChannelGraph(layers, spans, sources, tuple(found), (), (), {}, ())
    statistics = {
        name: _unit_statistics(layer_inputs[[each.name for each in found].index(sources[name])], span)
        for name, span in spans.items()
    }
    moments = {
        each.name: channel_moments(torch.from_numpy(samples(seen.h).T.copy()))
        for each, seen in zip(found, layer_inputs, strict=True)
    }
    return PruningContext(graph, tensors, statistics, moments, layers)


def _unit_statistics(seen: Seen, span: tuple[int, int]) -> UnitStatistics:
    first = [seen.owner.index(unit) for unit in range(*span)]
    return statistics_of(seen.h.mean(2)[:, first])


def _layer_input(number: int, seen: Seen, tensors: dict[str, Tensor]) -> LayerInput:
    consumers = []
    for index, consumer in enumerate(seen.consumers):
        name, outputs = f"{number}.{index}", len(consumer.weight)
        tensors[f"{name}.weight"] = torch.from_numpy(consumer.weight)
        norm = f"{name}.norm" if consumer.deviation is not None else None
        if consumer.deviation is not None:
            tensors[f"{norm}.running_mean"] = torch.zeros(outputs, dtype=torch.float64)
            tensors[f"{norm}.running_var"] = torch.from_numpy(consumer.deviation**2 - EPSILON)
        elif consumer.constant:
            tensors[f"{name}.bias"] = torch.zeros(outputs, dtype=torch.float64)
        consumers.append(Consumer(name, norm, torch.from_numpy(consumer.inside)))
    mapped = seen.h.shape[2] > 1
    return LayerInput(f"{number}.0", tuple(consumers), torch.tensor(seen.owner), 1, mapped, 1)


def without(context: PruningContext, units: Iterable[int]) -> Plan:
    """The plan that removes these units, by their numbers in the graph."""
    gone = sorted(units)
    return Plan(
        tuple(
            Removal(name, stop - start, chosen=tuple(unit - start for unit in gone if start <= unit < stop))
            for name, (start, stop) in context.graph.spans.items()
        )
    )


def context_of_net(net: nn.Module, batches: Sequence[Tensor]) -> PruningContext:
    """The context of a network, its statistics those of some batches."""
    graph = channel_graph(net, tuple(batches[0].shape[1:]))
    seen = collect(net, graph, graph.layers, batches)
    return PruningContext(graph, net.state_dict(), seen.statistics, seen.moments, graph.layers)


def applied(net: nn.Module, context: PruningContext, plan: Plan, merged: Mapping[str, Tensor]) -> nn.Module:
    """The smaller network, its survivors' weights those of `merged`."""
    whole = copy.deepcopy(net)
    whole.load_state_dict({**net.state_dict(), **merged})
    return smaller(whole, context.graph, context.alive(plan))


def checkpoint_of(spec: Spec, inputs: Tensor, *, seed: int = 0) -> Checkpoint:
    """An untrained network with the statistics of `inputs`."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = build.build(spec)
    graph = channel_graph(net, spec.input)
    seen = collect(net, graph, graph.layers, [inputs])
    table = len(spec.input) == 1
    return Checkpoint(
        spec=spec,
        classes=tuple("abcdefghij"[: spec.classes]),
        preprocess=Preprocess("table") if table else picture(spec),
        split=SplitRule("80/20", 0, None, "0" * 64),
        tensors=net.state_dict(),
        layers=graph.layers,
        statistics=seen.statistics,
        moments=seen.moments,
    )


def picture(spec: Spec) -> Preprocess:
    """Preprocessing that makes images of the spec's size."""
    half = (0.5,) * spec.input[0]
    return Preprocess("image", spec.input[1:], "rgb" if len(half) == 3 else "gray", mean=half, std=half)


def context_of(checkpoint: Checkpoint, *, weights: tuple[str, ...] = ()) -> PruningContext:
    """The context of a whole checkpoint, of which `weights` may become zero."""
    graph = channel_graph(build.blueprint(checkpoint.spec), checkpoint.spec.input)
    return pruning_context(checkpoint, graph, graph.layers, weights)


def run_of(checkpoint: Checkpoint, config: PruneConfig, *, weights: tuple[str, ...] = ()) -> PruningRun:
    """The pruning of a whole checkpoint, without images."""
    context = context_of(checkpoint, weights=weights)
    return PruningRun(checkpoint.module(), checkpoint.spec.input, context, config)


def table_run(method: MethodName = "reconstruct", **settings: Any) -> PruningRun:
    """A network of 8 and 6 hidden units on 5 inputs; its second layer may lose single weights."""
    inputs = torch.randn(60, 5, generator=torch.Generator().manual_seed(1))
    before = checkpoint_of(Spec("mlp", 3, (5,), (8, 6)), inputs)
    weights = (f"{before.layers[1].name}.weight",)
    return run_of(before, PruneConfig(method=method, **settings), weights=weights)
