"""Every architecture: how much of it can be pruned, what cannot, and how exact the removal is.

    python -m benchmarks.architectures [--only NAME ...] [--seed N]

Weights and the statistics of batch norms are random. About 4 in 10 units of every layer are removed at
random. The reference is the original with the same units silenced: the weights that read them are zero.
Both get the same two images. The difference between their outputs, relative to the output, is the error
of the removal itself. Inputs are as small as the network allows, from 32 pixels on.
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, replace
from unittest import mock

import torch
from torch import Tensor, nn

from benchmarks.common import machine, markdown, parser, progress
from emoprune.networks import build
from emoprune.networks.graph import channel_graph
from emoprune.networks.graph.types import ChannelGraph
from emoprune.networks.registry import ARCHITECTURES
from emoprune.networks.types import Spec
from emoprune.pruning import surgery
from emoprune.pruning.context import PruningContext, stays
from emoprune.pruning.types import Plan, Removal

CLASSES = 7
SIDE = 32
BATCH = 2
LEFT = 0.6
OWN = "ours (those of the papers)"
COLUMNS = 10

FAMILIES = (
    "alexnet",
    "vgg",
    "vgg_bn",
    "resnet",
    "resnext",
    "wide_resnet",
    "densenet",
    "googlenet",
    "inception_v3",
    "squeezenet",
    "mobilenet_v2",
    "mobilenet_v3",
    "mnasnet",
    "efficientnet",
    "efficientnet_v2",
    "regnet",
    "shufflenet_v2",
    "convnext",
    "vit",
    "swin",
    "maxvit",
    OWN,
)
"""Beginnings of names; the longest match counts."""

WORDS = {
    ("convnext", "a parameter of its own"): "layer scale",
    ("vit", "a parameter of its own"): "class token and position embedding",
    ("vit", "reshape"): "patches made tokens",
    ("maxvit", "reshape"): "windows",
    ("maxvit", "chunk"): "queries, keys and values of attention",
    ("shufflenet_v2", "view"): "channel shuffle",
    ("swin", "view"): "attention's position bias",
    ("*", "LayerNorm"): "layer norm",
}
"""What users call the operations that keep channels whole; others keep their own name."""


@dataclass(frozen=True)
class Trial:
    """The result of one network."""

    layers: int
    units: int
    obstacles: frozenset[str]
    difference: float


def family_of(name: str) -> str:
    """The row of a network."""
    if ARCHITECTURES[name].own:
        return OWN
    if name.startswith("vgg"):
        return "vgg_bn" if name.endswith("_bn") else "vgg"
    return max((family for family in FAMILIES if name.startswith(family)), key=len, default=name)


def spec_of(name: str) -> Spec:
    """The network at its smallest reasonable input."""
    entry = ARCHITECTURES[name]
    if entry.takes == ("table",):
        return Spec(name, CLASSES, (COLUMNS,), entry.hidden)
    side = math.ceil(max(entry.smallest, SIDE) / entry.step) * entry.step
    return Spec(name, CLASSES, (3, side, side), entry.hidden)


def drawn(spec: Spec, batch: Tensor) -> nn.Module:
    """A network with random weights and statistics, scaled so that signals neither vanish nor explode."""
    with ExitStack() as stack:
        # all is drawn again below, and torch's own initialization takes most of the time
        for name in dir(nn.init):
            if name.endswith("_") and not name.startswith("_"):
                stack.enter_context(mock.patch.object(nn.init, name, lambda tensor, *_, **__: tensor))
        net = build.build(spec).eval()
    with torch.no_grad():
        for name, tensor in net.named_parameters():
            if name.endswith("bias"):
                tensor.normal_(0, 0.1)
            elif tensor.ndim > 1:
                tensor.normal_(0, math.sqrt(2 / tensor[0].numel()))
            else:
                tensor.uniform_(0.5, 1.5)
        norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
        for norm in norms:
            norm.momentum = 1
            norm.train()
        net(batch)
        for norm in norms:
            assert norm.running_mean is not None
            assert norm.running_var is not None
            norm.running_mean.add_(torch.randn(norm.num_features), alpha=0.1)
            # over two images a channel may hardly vary; divided by that, it would dominate the others
            norm.running_var.copy_(norm.running_var.mean() * (torch.rand(norm.num_features) + 0.5))
    return net.eval()


def random_plan(graph: ChannelGraph) -> Plan:
    """Remove about 4 in 10 units of every layer, but never all."""
    removals = []
    for name, (start, stop) in graph.spans.items():
        gone = torch.rand(stop - start) >= LEFT
        gone[torch.randint(stop - start, ())] = False
        removals.append(Removal(name, stop - start, chosen=tuple(torch.nonzero(gone).flatten().tolist())))
    return Plan(tuple(removals))


def pruned(spec: Spec, context: PruningContext, plan: Plan) -> nn.Module:
    """The network without the units that the plan removes, without compensation."""
    small = surgery.apply(plan, context, {})
    return build.restore(replace(spec, widths=small.widths), small.tensors)


def silence(net: nn.Module, graph: ChannelGraph, alive: Tensor) -> None:
    """Set to zero, in place, all weights that read a unit that is not alive."""
    weights = dict(net.named_parameters())
    for layer_input in graph.layer_inputs:
        gone = ~stays(layer_input.owner, alive)
        for consumer in layer_input.consumers:
            weight = weights[f"{consumer.layer}.weight"].data
            weight.view(len(weight), len(layer_input.owner), -1)[:, gone] = 0


def tried(name: str, seed: int) -> Trial:
    """Prune one network at random, and compare it with the silenced original."""
    torch.manual_seed(seed)
    spec = spec_of(name)
    batch = torch.randn(BATCH, *spec.input)
    net = drawn(spec, batch)
    graph = channel_graph(build.blueprint(spec), spec.input)
    context = PruningContext(graph, net.state_dict(), {}, {}, graph.layers)
    plan = random_plan(graph)
    small = pruned(spec, context, plan)
    silence(net, graph, context.alive(plan))
    with torch.inference_mode():
        expected, found = net(batch), small(batch)
    return Trial(
        layers=len(graph.layers),
        units=graph.units,
        obstacles=frozenset(obstacle.operation for obstacle in graph.obstacles),
        difference=float((found - expected).norm() / expected.norm()),
    )


def span(values: list[int]) -> str:
    """Smallest to largest."""
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def row(family: str, trials: list[Trial]) -> list[str]:
    """The row of a family."""
    operations = sorted(frozenset().union(*(trial.obstacles for trial in trials)))
    words = [WORDS.get((family, name), WORDS.get(("*", name), name)) for name in operations]
    return [
        family,
        ", ".join(words) or "nothing",
        str(len(trials)),
        span([trial.layers for trial in trials]),
        span([trial.units for trial in trials]),
        f"{max(trial.difference for trial in trials):.1e}",
    ]


def arguments() -> argparse.Namespace:
    """The command line."""
    options = parser(__doc__)
    # a support vector machine does not have units
    names = [name for name in ARCHITECTURES if name != "svm"]
    options.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME")
    options.add_argument("--seed", type=int, default=0, help="of weights, images and removals")
    return options.parse_args()


def run() -> None:
    """Prune the networks one by one and print the table."""
    args = arguments()
    where = machine()
    families: dict[str, list[Trial]] = defaultdict(list)
    for name in args.only:
        trial = tried(name, args.seed)
        progress(f"{name}: {trial.units:,} units, difference {trial.difference:.1e}")
        families[family_of(name)].append(trial)
    headings = ["family", "kept whole by", "networks", "layers", "units", "largest difference"]
    ordered = sorted(families, key=lambda family: [*FAMILIES, family].index(family))
    print(markdown(headings, [row(family, families[family]) for family in ordered], left=2))
    print(f"\n{len(args.only)} networks, {where}")


if __name__ == "__main__":
    run()
