"""Tracing: what it asks of a network, what it leaves alone, and what it cannot follow."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch_pruning
from torch import Tensor, nn

from emoprune.networks.build import blueprint, build, restore
from emoprune.networks.graph import channel_graph
from emoprune.networks.graph.types import ChannelGraph, Obstacle
from emoprune.networks.types import HiddenLayer, Spec
from emoprune.pruning import surgery
from tests.support.wiring import IMAGE, Wired, check_frozen, conv, cuts, graph_of, head, owner


def sample() -> Wired:
    """A network with something of everything that has a mode or a state."""
    return Wired(
        lambda net, x: net.head(net.drop(net.bn(net.a(x)))),
        **{"a": conv(3, 4), "bn": nn.BatchNorm2d(4), "drop": nn.Dropout(0.5), "head": head(4)},
    )


def alike(first: ChannelGraph, second: ChannelGraph) -> bool:
    plain = ("layers", "spans", "sources", "works", "obstacles")
    return all(getattr(first, name) == getattr(second, name) for name in plain) and (
        cuts(first) == cuts(second)
        and [(found.name, found.owner.tolist()) for found in first.layer_inputs]
        == [(found.name, found.owner.tolist()) for found in second.layer_inputs]
    )


@pytest.mark.parametrize("training", [False, True])
def test_channel_graph_does_not_change_the_network(training: bool) -> None:
    net = sample().train(training)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    channel_graph(net, IMAGE)
    assert all(module.training == training for module in net.modules())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_channel_graph_keeps_the_mode_of_each_module() -> None:
    net = sample().train()
    net.bn.eval()
    channel_graph(net, IMAGE)
    assert net.training
    assert net.drop.training
    assert not net.bn.training


def test_channel_graph_draws_no_random_numbers() -> None:
    net = Wired(
        lambda net, x: net.head(nn.functional.dropout(net.a(x), training=net.training)),
        **{"a": conv(3, 4), "head": head(4)},
    ).train()
    before = torch.get_rng_state()
    channel_graph(net, IMAGE)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_network_in_training_has_the_same_graph() -> None:
    assert alike(channel_graph(sample().train(), IMAGE), channel_graph(sample().eval(), IMAGE))


def test_frozen_parameters_are_not_obstacles() -> None:
    net = sample()
    assert alike(channel_graph(net.requires_grad_(False), IMAGE), channel_graph(sample(), IMAGE))
    assert not any(parameter.requires_grad for parameter in net.parameters())


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad])
def test_a_graph_can_be_made_where_gradients_are_off(mode: Callable[[], Any]) -> None:
    with mode():
        inside = channel_graph(sample(), IMAGE)
    assert alike(inside, channel_graph(sample(), IMAGE))


def test_a_network_can_be_trained_afterwards() -> None:
    net = sample()
    channel_graph(net, IMAGE)
    net(torch.randn(2, *IMAGE)).sum().backward()
    assert net.a.weight.grad is not None


def test_a_network_on_the_meta_device_has_the_same_graph() -> None:
    with torch.device("meta"):
        net = sample()
    graph = channel_graph(net, IMAGE)
    assert alike(graph, channel_graph(sample(), IMAGE))
    assert all(place.owner.device.type == "cpu" for place in graph.cuts)
    assert all(
        consumer.inside.device.type == "cpu" for found in graph.layer_inputs for consumer in found.consumers
    )


@pytest.mark.parametrize("parts", [[nn.Flatten()], [nn.Flatten(), nn.Linear(108, 2)], [nn.BatchNorm2d(3)]])
def test_a_network_without_hidden_layers_has_none(parts: list[nn.Module]) -> None:
    check_frozen(nn.Sequential(*parts))


def test_a_module_called_twice_freezes_what_it_reads() -> None:
    net = Wired(lambda net, x: net.c(net.b(torch.relu(net.b(torch.relu(net.a(x)))))))
    net.a, net.b, net.c = nn.Linear(4, 3), nn.Linear(3, 3), nn.Linear(3, 2)
    check_frozen(net, Obstacle("a", 3, "Linear called 2 times"), shape=(4,))


@pytest.mark.parametrize("parts", [(nn.Linear(4, 4), nn.Linear(4, 2)), (nn.Linear(4, 4), nn.Linear(4, 4))])
def test_a_module_called_twice_freezes_what_it_writes(parts: tuple[nn.Linear, nn.Linear]) -> None:
    net = Wired(lambda net, x: net.b(torch.relu(net.a(torch.relu(net.a(x))))), a=parts[0], b=parts[1])
    graph = graph_of(net, (4,))
    assert graph.layers == ()
    assert graph.cuts == ()


def test_a_module_called_under_two_names_is_called_twice() -> None:
    shared = conv(4, 4)
    net = Wired(lambda net, x: net.d(net.c(net.b(net.a(x)))), a=conv(3, 4), b=shared, c=shared, d=conv(4, 2))
    graph = graph_of(net)
    assert graph.layers == ()
    assert graph.obstacles == (Obstacle("a", 4, "Conv2d called 2 times"),)


def test_an_activation_may_be_called_twice() -> None:
    net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 5))
    net.extend([net[1], nn.Linear(5, 2)])
    assert [layer.name for layer in graph_of(net, (4,)).layers] == ["0", "2"]


def test_a_weight_that_is_also_used_directly_freezes_its_layer() -> None:
    def forward(net: Any, x: Any) -> Any:
        # back to the inputs through the same weights
        return nn.functional.linear(torch.relu(net.b(net.a(x))), net.b.weight.t())

    net = Wired(forward, a=nn.Linear(4, 5), b=nn.Linear(5, 3))
    graph = graph_of(net, (4,))
    assert graph.cuts == ()


@pytest.mark.parametrize(
    "cropped",
    [lambda x: x[:, :2], lambda x: torch.cat([x[:, 1:2], x[:, :1]], 1), lambda x: x.chunk(2, 1)[0]],
)
def test_a_layer_after_an_unknown_operation_can_lose_its_units(
    cropped: Callable[[Any], Any],
) -> None:
    net = Wired(lambda net, x: net.head(net.b(net.a(cropped(x)))), a=conv(2, 4), b=conv(4, 4), head=head(4))
    graph = graph_of(net)
    assert graph.layers[0] == HiddenLayer("a", "identity", ("b",))
    assert cuts(graph)["a.weight", 0] == [0, 1, 2, 3]
    assert ("a.weight", 1) not in cuts(graph)
    assert graph.obstacles == ()


def test_a_dense_layer_after_an_unknown_operation_can_lose_its_units() -> None:
    net = Wired(lambda net, x: net.b(net.a(x.flip(1))), a=nn.Linear(4, 3), b=nn.Linear(3, 2))
    assert graph_of(net, (4,)).spans == {"a": (0, 3)}


def test_a_layer_that_reads_a_parameter_can_lose_units() -> None:
    net = Wired(
        lambda net, x: net.b(torch.tanh(net.a(net.table))).mean() + x,
        table=nn.Parameter(torch.rand(5, 2)),
        a=nn.Linear(2, 4),
        b=nn.Linear(4, 3),
    )
    graph = graph_of(net, (4,))
    assert graph.layers == (HiddenLayer("a", "tanh", ("b",)),)
    assert owner(graph, "b") == [0, 1, 2, 3]


def test_an_opaque_tensor_freezes_what_it_meets_and_is_named() -> None:
    def forward(net: Any, x: Any) -> Any:
        return net.c(net.a(x) + torch.roll(net.b(x), 1, 1))

    net = Wired(forward, a=conv(3, 4), b=conv(3, 4), c=conv(4, 2))
    check_frozen(net, Obstacle("a", 4, "roll"), Obstacle("b", 4, "roll"))


def test_attention_freezes_what_it_reads_and_is_named() -> None:
    def forward(net: Any, x: Any) -> Any:
        h = net.a(x)
        return net.b(h + net.attention(h, h, h)[0])

    net = Wired(forward, a=nn.Linear(4, 6), b=nn.Linear(6, 2))
    net.attention = nn.MultiheadAttention(6, 2, batch_first=True)
    net = Wired(lambda net, x: net.inner(x.flip(1)), inner=net)
    check_frozen(net, Obstacle("inner.a", 6, "MultiheadAttention"), shape=(5, 4))


def test_a_pool_that_returns_indices_freezes_what_it_reads() -> None:
    net = Wired(lambda net, x: net.b(net.pool(net.a(x))[0]), a=conv(3, 4), b=conv(4, 2))
    net.pool = nn.MaxPool2d(2, return_indices=True)
    check_frozen(net, Obstacle("a", 4, "MaxPool2d"))


def test_channel_graph_is_the_same_every_time() -> None:
    net = sample()
    assert alike(channel_graph(net, IMAGE), channel_graph(net, IMAGE))


@pytest.mark.parametrize("activation", ["sigmoid", "relu", "tanh"])
def test_our_head_has_every_hidden_layer_with_its_activation(activation: str) -> None:
    spec = Spec("conv2", 3, (1, 20, 20), (9, 5), activation, 0.5)  # type: ignore[arg-type]
    graph = graph_of(build(spec), spec.input)
    assert graph.layers == (
        HiddenLayer("features.0", "relu", ("features.3",)),
        HiddenLayer("features.3", "relu", ("classifier.hidden1",)),
        HiddenLayer("classifier.hidden1", activation, ("classifier.hidden2",)),
        HiddenLayer("classifier.hidden2", activation, ("classifier.output",)),
    )
    assert graph.units == 16 + 32 + 9 + 5


def test_a_table_network_without_hidden_layers_has_nothing_to_remove() -> None:
    spec = Spec("mlp", 3, (5,))
    assert channel_graph(blueprint(spec), spec.input).layers == ()


def test_a_table_network_scales_its_input_and_can_lose_all_hidden_units() -> None:
    spec = Spec("mlp", 3, (5,), (7, 6))
    graph = graph_of(build(spec), spec.input)
    assert graph.spans == {"classifier.hidden1": (0, 7), "classifier.hidden2": (7, 13)}


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
    net = build(spec).eval()
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
    widths = surgery.widths(case.graph, left, alive)
    return restore(dataclasses.replace(case.spec, widths=widths), left)


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


def test_cuts_of_one_layer_agree_with_torch_pruning(case: Case) -> None:
    layers = list(case.graph.spans)
    torch.manual_seed(1)
    for index in {0, len(layers) - 1, *torch.randperm(len(layers))[:SINGLE].tolist()}:
        check_same(case, {layers[index]: drawn(case, layers[index])})


def test_cuts_of_all_layers_agree_with_torch_pruning(case: Case) -> None:
    torch.manual_seed(2)
    check_same(case, {layer: drawn(case, layer) for layer in case.graph.spans})
