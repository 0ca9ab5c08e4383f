"""Torch-Pruning (Fang et al. 2023) as an oracle: it follows autograd where we follow torch.fx."""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import dataclass

import pytest
import torch
import torch_pruning  # type: ignore[import-untyped]
from torch import Tensor, nn

from emoprune.networks import build
from emoprune.networks.graph import channel_graph
from emoprune.networks.graph.types import ChannelGraph
from emoprune.networks.types import Spec
from emoprune.pruning import surgery

NAMES = ("resnet18", "resnet50", "vgg13_bn", "densenet121", "mobilenet_v2")
SINGLE = 4
"""How many layers of each network, besides its first and last, are pruned one by one."""

REMOVERS = {
    nn.Conv2d: torch_pruning.prune_conv_out_channels,
    nn.Linear: torch_pruning.prune_linear_out_channels,
}


@dataclass(frozen=True)
class Case:
    """A network with its graph; neither is changed."""

    spec: Spec
    net: nn.Module
    graph: ChannelGraph

    def channels_of(self, layer: str, units: Tensor) -> list[int]:
        """The outputs of `layer` that `units` are."""
        (owner,) = (p.owner for p in self.graph.cuts if (p.tensor, p.dim) == (f"{layer}.weight", 0))
        return torch.nonzero(torch.isin(owner, units)).flatten().tolist()


@pytest.fixture(scope="module", params=NAMES)
def case(request: pytest.FixtureRequest) -> Case:
    torch.manual_seed(0)
    spec = Spec(request.param, 5, (3, 32, 32))
    net = build.build(spec).eval()
    for name, tensor in net.state_dict().items():
        # the values of a fresh batch norm are all alike, and would not show which of them went
        if name.endswith(("running_mean", "bias")):
            tensor.normal_(0, 0.1)
        elif name.endswith("running_var") or (name.endswith("weight") and tensor.ndim == 1):
            tensor.uniform_(0.5, 2)
    return Case(spec, net, channel_graph(net, spec.input))


def drawn(case: Case, layer: str) -> Tensor:
    """Units of a layer to remove, at least one of them and not all."""
    start, stop = case.graph.spans[layer]
    count = int(torch.randint(1, stop - start, ()))
    return start + torch.randperm(stop - start)[:count]


def theirs(case: Case, removed: dict[str, Tensor]) -> nn.Module:
    net = copy.deepcopy(case.net)
    graph = torch_pruning.DependencyGraph().build_dependency(net, torch.randn(2, *case.spec.input))
    for layer, units in removed.items():
        module = net.get_submodule(layer)
        channels = case.channels_of(layer, units)
        graph.get_pruning_group(module, REMOVERS[type(module)], idxs=channels).prune()
    return net


def ours(case: Case, removed: dict[str, Tensor]) -> nn.Module:
    alive = torch.ones(case.graph.units, dtype=torch.bool)
    alive[torch.cat([*removed.values()])] = False
    left = surgery.cut(case.net.state_dict(), case.graph, alive)
    widths = surgery._widths(case.graph, left, alive)
    return build.restore(dataclasses.replace(case.spec, widths=widths), left)


def check_same(case: Case, removed: dict[str, Tensor]) -> None:
    expected, found = theirs(case, removed), ours(case, removed)
    whole = {name: tensor.shape for name, tensor in case.net.state_dict().items()}
    shapes = {name: tensor.shape for name, tensor in expected.state_dict().items()}
    assert shapes != whole
    assert {name: tensor.shape for name, tensor in found.state_dict().items()} == shapes
    batch = torch.randn(2, *case.spec.input)
    with torch.inference_mode():
        wanted, got = expected(batch), found(batch)
    assert float((wanted - got).norm()) <= 1e-5 * float(wanted.norm())


def test_one_layer_at_a_time_leaves_what_torch_pruning_leaves(case: Case) -> None:
    layers = list(case.graph.spans)
    torch.manual_seed(1)
    for index in {0, len(layers) - 1, *torch.randperm(len(layers))[:SINGLE].tolist()}:
        check_same(case, {layers[index]: drawn(case, layers[index])})


def test_all_layers_at_once_leave_what_torch_pruning_leaves(case: Case) -> None:
    torch.manual_seed(2)
    check_same(case, {layer: drawn(case, layer) for layer in case.graph.spans})
