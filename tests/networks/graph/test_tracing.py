"""Tracing: what it asks of a network, what it leaves alone, and what it cannot follow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from emoprune.networks.build import blueprint, build
from emoprune.networks.graph import channel_graph
from emoprune.networks.graph.types import ChannelGraph, Obstacle
from emoprune.networks.types import HiddenLayer, Spec
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
        and [(found.name, found.owner.tolist()) for found in first.readings]
        == [(found.name, found.owner.tolist()) for found in second.readings]
    )


@pytest.mark.parametrize("training", [False, True])
def test_looking_leaves_the_network_as_it_was(training: bool) -> None:
    net = sample().train(training)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    channel_graph(net, IMAGE)
    assert all(module.training == training for module in net.modules())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_looking_leaves_each_module_in_the_mode_that_it_was_in() -> None:
    net = sample().train()
    net.bn.eval()
    channel_graph(net, IMAGE)
    assert net.training
    assert net.drop.training
    assert not net.bn.training


def test_looking_draws_no_random_numbers() -> None:
    net = Wired(
        lambda net, x: net.head(nn.functional.dropout(net.a(x), training=net.training)),
        **{"a": conv(3, 4), "head": head(4)},
    ).train()
    before = torch.get_rng_state()
    channel_graph(net, IMAGE)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_network_in_training_has_the_same_graph() -> None:
    assert alike(channel_graph(sample().train(), IMAGE), channel_graph(sample().eval(), IMAGE))


def test_frozen_parameters_are_no_obstacle() -> None:
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
    assert all(reader.inside.device.type == "cpu" for found in graph.readings for reader in found.readers)


@pytest.mark.parametrize("parts", [[nn.Flatten()], [nn.Flatten(), nn.Linear(108, 2)], [nn.BatchNorm2d(3)]])
def test_a_network_without_hidden_layers_has_none(parts: list[nn.Module]) -> None:
    check_frozen(nn.Sequential(*parts))


def test_a_module_called_twice_keeps_what_it_reads() -> None:
    net = Wired(lambda net, x: net.c(net.b(torch.relu(net.b(torch.relu(net.a(x)))))))
    net.a, net.b, net.c = nn.Linear(4, 3), nn.Linear(3, 3), nn.Linear(3, 2)
    check_frozen(net, Obstacle("a", 3, "Linear called 2 times"), shape=(4,))


@pytest.mark.parametrize("parts", [(nn.Linear(4, 4), nn.Linear(4, 2)), (nn.Linear(4, 4), nn.Linear(4, 4))])
def test_a_module_called_twice_keeps_what_it_writes(parts: tuple[nn.Linear, nn.Linear]) -> None:
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


def test_an_activation_called_twice_is_none_the_worse() -> None:
    net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 5))
    net.extend([net[1], nn.Linear(5, 2)])
    assert [layer.name for layer in graph_of(net, (4,)).layers] == ["0", "2"]


def test_a_weight_that_the_network_also_uses_by_itself_keeps_its_layer_whole() -> None:
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
def test_a_layer_that_reads_what_no_rule_knows_can_lose_units_of_its_own(
    cropped: Callable[[Any], Any],
) -> None:
    net = Wired(lambda net, x: net.head(net.b(net.a(cropped(x)))), a=conv(2, 4), b=conv(4, 4), head=head(4))
    graph = graph_of(net)
    assert graph.layers[0] == HiddenLayer("a", "identity", ("b",))
    assert cuts(graph)["a.weight", 0] == [0, 1, 2, 3]
    assert ("a.weight", 1) not in cuts(graph)
    assert graph.obstacles == ()


def test_a_dense_layer_that_reads_what_no_rule_knows_can_lose_units_of_its_own() -> None:
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


def test_what_an_opaque_tensor_meets_stays_and_the_opaque_operation_is_named() -> None:
    def forward(net: Any, x: Any) -> Any:
        return net.c(net.a(x) + torch.roll(net.b(x), 1, 1))

    net = Wired(forward, a=conv(3, 4), b=conv(3, 4), c=conv(4, 2))
    check_frozen(net, Obstacle("a", 4, "roll"), Obstacle("b", 4, "roll"))


def test_attention_keeps_what_it_reads_and_is_named() -> None:
    def forward(net: Any, x: Any) -> Any:
        h = net.a(x)
        return net.b(h + net.attention(h, h, h)[0])

    net = Wired(forward, a=nn.Linear(4, 6), b=nn.Linear(6, 2))
    net.attention = nn.MultiheadAttention(6, 2, batch_first=True)
    net = Wired(lambda net, x: net.inner(x.flip(1)), inner=net)
    check_frozen(net, Obstacle("inner.a", 6, "MultiheadAttention"), shape=(5, 4))


def test_a_pool_that_returns_its_indices_too_keeps_what_it_reads() -> None:
    net = Wired(lambda net, x: net.b(net.pool(net.a(x))[0]), a=conv(3, 4), b=conv(4, 2))
    net.pool = nn.MaxPool2d(2, return_indices=True)
    check_frozen(net, Obstacle("a", 4, "MaxPool2d"))


def test_the_answer_is_the_same_every_time() -> None:
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
