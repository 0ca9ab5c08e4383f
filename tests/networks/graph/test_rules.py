"""Layers and norms: what writes units, what reads them, and what goes with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from emoprune.networks.graph import channel_graph
from emoprune.networks.graph.rules import inside_shares
from emoprune.networks.graph.types import Obstacle, Work
from emoprune.networks.types import HiddenLayer
from tests.support.wiring import IMAGE, Wired, check_frozen, conv, cuts, graph_of, head, layer_input, owner


def test_a_chain_is_written_normed_and_read_layer_by_layer() -> None:
    net = Wired(
        lambda net, x: net.fc(torch.flatten(net.b(F.relu(net.bn(net.a(x)))), 1)),
        a=conv(3, 4),
        bn=nn.BatchNorm2d(4),
        b=conv(4, 2),
        fc=nn.Linear(2 * 36, 3),
    )
    graph = graph_of(net)
    assert graph.layers == (HiddenLayer("a", "relu", ("b",)), HiddenLayer("b", "identity", ("fc",)))
    assert graph.spans == {"a": (0, 4), "b": (4, 6)}
    assert graph.sources == {"a": "b", "b": "fc"}
    assert graph.units == 6
    first, second = [0, 1, 2, 3], [4, 5]
    assert cuts(graph) == {
        ("a.weight", 0): first,
        ("a.bias", 0): first,
        ("bn.weight", 0): first,
        ("bn.bias", 0): first,
        ("bn.running_mean", 0): first,
        ("bn.running_var", 0): first,
        ("b.weight", 1): first,
        ("b.weight", 0): second,
        ("b.bias", 0): second,
        ("fc.weight", 1): [4] * 36 + [5] * 36,
    }
    assert graph.works == {"a.weight": Work(36, 1), "b.weight": Work(36, 1), "fc.weight": Work(1, 1)}
    assert graph.obstacles == ()


def test_a_reading_says_what_its_readers_see() -> None:
    net = Wired(
        lambda net, x: net.fc(torch.flatten(net.b(net.a(x)), 1)),
        a=conv(3, 4),
        b=conv(4, 2),
        fc=nn.Linear(2 * 36, 3),
    )
    graph = graph_of(net)
    assert [found.name for found in graph.layer_inputs] == ["b", "fc"]
    map_, flat = graph.layer_inputs
    assert (map_.owner.tolist(), map_.spread, map_.mapped, map_.dim) == ([0, 1, 2, 3], 1, True, 1)
    assert (flat.owner.tolist(), flat.spread, flat.mapped, flat.dim) == ([4, 5], 36, True, 1)
    assert [consumer.layer for found in graph.layer_inputs for consumer in found.consumers] == ["b", "fc"]


def test_a_chain_of_dense_layers_is_hidden_but_for_its_last() -> None:
    net = nn.Sequential(nn.Linear(4, 3), nn.Sigmoid(), nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2))
    graph = graph_of(net, (4,))
    assert graph.layers == (HiddenLayer("0", "sigmoid", ("2",)), HiddenLayer("2", "tanh", ("4",)))
    assert cuts(graph)["2.weight", 1] == [0, 1, 2]
    assert cuts(graph)["2.weight", 0] == [3, 4, 5, 6, 7]
    assert not any(found.mapped for found in graph.layer_inputs)


def test_tensors_that_a_layer_lacks_are_not_cut() -> None:
    net = Wired(
        lambda net, x: net.head(net.b(net.bn(net.a(x)))),
        a=conv(3, 4, bias=False),
        bn=nn.BatchNorm2d(4, affine=False),
        b=conv(4, 4),
        head=head(4),
    )
    graph = cuts(channel_graph(net, IMAGE))
    assert ("a.bias", 0) not in graph
    assert ("bn.weight", 0) not in graph
    assert graph["bn.running_var", 0] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("between", "wanted"),
    [
        (nn.Sigmoid(), "sigmoid"),
        (nn.ReLU(inplace=True), "relu"),
        (nn.ReLU6(), "relu6"),
        (nn.Tanh(), "tanh"),
        (nn.GELU(), "gelu"),
        (nn.SiLU(inplace=True), "silu"),
        (nn.Hardswish(), "hardswish"),
        (nn.Hardsigmoid(), "hardsigmoid"),
        (nn.Identity(), "identity"),
        (nn.BatchNorm2d(4), "identity"),
        (nn.Sequential(nn.ReLU(), nn.BatchNorm2d(4)), "identity"),
        (nn.Sequential(nn.BatchNorm2d(4), nn.ReLU()), "relu"),
        (nn.Sequential(nn.Dropout(0.5), nn.ReLU()), "relu"),
        (nn.Sequential(nn.SiLU(), nn.Dropout2d(0.5)), "silu"),
        (nn.Sequential(nn.ReLU(), nn.MaxPool2d(2)), "relu"),
        (nn.Sequential(nn.Tanh(), nn.ReLU()), "relu"),
    ],
)
def test_the_activation_is_the_last_function_between_a_layer_and_its_reader(
    between: nn.Module, wanted: str
) -> None:
    net = Wired(lambda net, x: net.head(net.b(net.f(net.a(x)))), a=conv(3, 4), f=between, b=conv(4, 4))
    net.head = head(4)
    assert graph_of(net).layers[0] == HiddenLayer("a", wanted, ("b",))


@pytest.mark.parametrize(
    ("function", "wanted"),
    [
        (torch.relu, "relu"),
        (torch.sigmoid, "sigmoid"),
        (torch.tanh, "tanh"),
        (F.relu, "relu"),
        (F.gelu, "gelu"),
        (F.silu, "silu"),
        (lambda x: x.relu(), "relu"),
        (lambda x: x.sigmoid(), "sigmoid"),
        (lambda x: x.tanh(), "tanh"),
        (lambda x: F.relu(x, inplace=True), "relu"),
        (lambda x: F.dropout(torch.relu(x), 0.5, training=False), "relu"),
        (lambda x: x.contiguous(), "identity"),
    ],
)
def test_a_function_is_named_like_the_module_that_does_the_same(
    function: Callable[[Any], Any], wanted: str
) -> None:
    net = Wired(lambda net, x: net.b(function(net.a(x))), a=nn.Linear(4, 3), b=nn.Linear(3, 2))
    assert graph_of(net, (4,)).layers == (HiddenLayer("a", wanted, ("b",)),)


def test_units_seen_through_two_functions_bear_the_name_of_the_first() -> None:
    def forward(net: Any, x: Any) -> Any:
        h = net.a(x)
        return net.b(torch.sigmoid(h)), net.c(torch.relu(h))

    net = Wired(forward, a=nn.Linear(4, 3), b=nn.Linear(3, 2), c=nn.Linear(3, 2))
    graph = graph_of(net, (4,))
    assert graph.layers == (HiddenLayer("a", "sigmoid", ("b", "c")),)
    assert graph.sources == {"a": "b"}
    assert [found.name for found in graph.layer_inputs] == ["b", "c"]


def test_one_tensor_that_two_layers_read_is_one_reading() -> None:
    def forward(net: Any, x: Any) -> Any:
        h = torch.tanh(net.a(x))
        return net.b(h), net.c(h)

    graph = graph_of(
        Wired(forward, a=nn.Linear(4, 3), b=nn.Linear(3, 2), c=nn.Linear(3, 5)),
        (4,),
    )
    assert graph.layers == (HiddenLayer("a", "tanh", ("b", "c")),)
    assert [consumer.layer for consumer in layer_input(graph, "b").consumers] == ["b", "c"]
    assert cuts(graph)["c.weight", 1] == [0, 1, 2]


def test_a_batch_norm_of_dense_units_goes_with_them() -> None:
    net = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Linear(3, 2))
    graph = graph_of(net, (4,))
    assert graph.layers == (HiddenLayer("0", "relu", ("3",)),)
    for name in ("weight", "bias", "running_mean", "running_var"):
        assert cuts(graph)[f"1.{name}", 0] == [0, 1, 2]


def test_a_batch_norm_behind_a_reader_is_its_norm() -> None:
    net = Wired(
        lambda net, x: net.head(F.relu(net.bn(net.b(net.a(x))))),
        a=conv(3, 4),
        b=conv(4, 4),
        bn=nn.BatchNorm2d(4),
        head=head(4),
    )
    assert [consumer.norm for consumer in layer_input(graph_of(net), "b").consumers] == ["bn"]


def test_a_batch_norm_of_dense_units_is_the_norm_of_their_layer() -> None:
    net = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Linear(5, 2))
    graph = graph_of(net, (4,))
    assert [consumer.norm for consumer in layer_input(graph, "1").consumers] == ["2"]
    assert [consumer.norm for consumer in layer_input(graph, "3").consumers] == [None]


def test_a_batch_norm_is_not_its_readers_norm_where_something_else_reads_that_too() -> None:
    def forward(net: Any, x: Any) -> Any:
        h = net.b(net.a(x))
        return net.head(h + net.bn(h))

    net = Wired(forward, a=conv(3, 4), b=conv(4, 4), bn=nn.BatchNorm2d(4), head=head(4))
    assert [consumer.norm for consumer in layer_input(graph_of(net), "b").consumers] == [None]


def test_a_batch_norm_is_not_its_readers_norm_where_the_network_returns_that_too() -> None:
    def forward(net: Any, x: Any) -> Any:
        h = net.b(net.a(x))
        return h, net.bn(h)

    net = Wired(forward, a=conv(3, 4), b=conv(4, 2), bn=nn.BatchNorm2d(2))
    assert [consumer.norm for consumer in layer_input(graph_of(net), "b").consumers] == [None]


def test_a_batch_norm_called_twice_is_no_layers_norm() -> None:
    def forward(net: Any, x: Any) -> Any:
        h = net.a(x)
        return net.head(net.bn(net.b(h)) + net.bn(net.c(h)))

    net = Wired(forward, a=conv(3, 5), b=conv(5, 4), c=conv(5, 4), bn=nn.BatchNorm2d(4), head=head(4))
    graph = channel_graph(net, IMAGE)
    norms = {consumer.layer: consumer.norm for found in graph.layer_inputs for consumer in found.consumers}
    assert norms["b"] is norms["c"] is None


def test_a_batch_norm_over_tokens_is_no_norm_of_a_dense_layers_units() -> None:
    # samples of five tokens: the norm has a number for each token and none for a unit
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 3), nn.Linear(3, 5), nn.BatchNorm1d(5))
    graph = graph_of(net, (5, 4))
    assert {consumer.norm for found in graph.layer_inputs for consumer in found.consumers} <= {None}


def test_a_batch_norm_called_twice_loses_nothing_that_one_of_its_calls_needs() -> None:
    net = Wired(
        lambda net, x: net.head(net.c(net.bn(net.a(x))) + net.d(net.bn(net.b(x)))),
        **{"a": conv(3, 4), "b": conv(3, 4), "c": conv(4, 4), "d": conv(4, 4)},
        bn=nn.BatchNorm2d(4),
        head=head(4),
    )
    graph_of(net)


def test_a_layer_norm_keeps_what_it_mixes() -> None:
    net = nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3), nn.Linear(3, 2))
    check_frozen(net, Obstacle("0", 3, "LayerNorm"), shape=(4,))


def test_what_follows_a_layer_norm_can_be_removed_again() -> None:
    net = nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3), nn.Linear(3, 5), nn.GELU(), nn.Linear(5, 2))
    graph = graph_of(net, (4,))
    assert graph.layers == (HiddenLayer("2", "gelu", ("4",)),)
    assert graph.obstacles == (Obstacle("0", 3, "LayerNorm"),)


@pytest.mark.parametrize(
    ("name", "between"),
    [
        ("Softmax", nn.Softmax(1)),
        ("PReLU", nn.PReLU(4)),
        ("GroupNorm", nn.GroupNorm(2, 4)),
        ("InstanceNorm2d", nn.InstanceNorm2d(4, affine=True)),
        ("LocalResponseNorm", nn.LocalResponseNorm(2)),
        ("Threshold", nn.Threshold(0.5, 1)),
        ("PixelShuffle", nn.Sequential(nn.PixelShuffle(2), nn.PixelUnshuffle(2))),
        ("ConvTranspose2d", nn.ConvTranspose2d(4, 4, 1)),
    ],
)
def test_a_module_without_a_rule_keeps_what_it_reads(name: str, between: nn.Module) -> None:
    net = Wired(lambda net, x: net.b(net.f(net.a(x))), a=conv(3, 4), f=between, b=conv(4, 2))
    check_frozen(net, Obstacle("a", 4, name))


@pytest.mark.parametrize("options", [{"padding": "same"}, {"padding_mode": "circular"}])
def test_a_convolution_that_pads_in_a_way_of_its_own_keeps_what_it_reads(options: dict[str, Any]) -> None:
    net = Wired(lambda net, x: net.b(net.a(x)), a=conv(3, 4), b=conv(4, 2, **options))
    check_frozen(net, Obstacle("a", 4, "Conv2d"))


def test_the_positions_of_a_strided_convolution_are_those_that_it_writes() -> None:
    net = Wired(lambda net, x: net.head(net.b(net.a(x))), a=conv(3, 4, stride=2), b=conv(4, 4, padding=0))
    net.head = head(4)
    graph = graph_of(net, (3, 12, 8))
    assert graph.works["a.weight"] == Work(6 * 4, 1)
    assert graph.works["b.weight"] == Work(4 * 2, 1)


def test_units_are_seen_where_a_dense_layer_reads_pooled_maps() -> None:
    graph = graph_of(Wired(lambda net, x: net.head(net.a(x)), a=conv(3, 4), head=head(4)))
    found = layer_input(graph, "head.2")
    assert (found.owner.tolist(), found.spread, found.mapped) == ([0, 1, 2, 3], 1, False)
    assert owner(graph, "head.2") == [0, 1, 2, 3]


Pair = tuple[int, int]
PAIR = st.tuples(st.integers(1, 3), st.integers(1, 3))


def positions(side: int, kernel: int, stride: int, padding: int, dilation: int) -> list[int]:
    """Where the first tap stands, one position after another, as long as the last one fits."""
    found = []
    start = -padding
    while start + dilation * (kernel - 1) < side + padding:
        found.append(start)
        start += stride
    return found


def counted(size: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> list[float]:
    """The shares of all taps, row by row, by looking at every tap at every position."""
    rows, columns = (positions(*axis) for axis in zip(size, kernel, stride, padding, dilation, strict=True))
    shares = []
    for row in range(kernel[0]):
        for column in range(kernel[1]):
            inside = 0
            for y in rows:
                for x in columns:
                    inside += 0 <= y + row * dilation[0] < size[0] and 0 <= x + column * dilation[1] < size[1]
            shares.append(inside / (len(rows) * len(columns)))
    return shares


@given(
    size=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=PAIR,
    padding=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    dilation=PAIR,
)
def test_the_shares_are_those_that_counting_gives(
    size: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> None:
    options: Any = {"stride": stride, "padding": padding, "dilation": dilation}
    wanted = [len(positions(*axis)) for axis in zip(size, kernel, stride, padding, dilation, strict=True)]
    assume(min(wanted) > 0)
    layer = nn.Conv2d(1, 1, kernel, **options)
    after = tuple(layer(torch.zeros(1, 1, *size)).shape[2:])
    assert list(after) == wanted
    found = inside_shares(layer, size, after)
    assert found.dtype == torch.float64
    assert found.tolist() == pytest.approx(counted(size, kernel, stride, padding, dilation))


@given(kernel=PAIR, padding=st.tuples(st.integers(0, 2), st.integers(0, 2)))
def test_a_map_of_ones_through_one_tap_at_a_time_has_the_share_as_its_mean(
    kernel: Pair, padding: Pair
) -> None:
    layer = nn.Conv2d(1, 1, kernel, padding=padding, bias=False)
    taps = kernel[0] * kernel[1]
    with torch.inference_mode():
        means = []
        for tap in range(taps):
            layer.weight.copy_(torch.eye(taps)[tap].reshape(layer.weight.shape))
            means.append(float(layer(torch.ones(1, 1, 5, 4)).mean()))
        after = tuple(layer(torch.ones(1, 1, 5, 4)).shape[2:])
    assert inside_shares(layer, (5, 4), after).tolist() == pytest.approx(means)


def test_a_reader_has_the_shares_of_the_map_that_it_reads() -> None:
    net = Wired(lambda net, x: net.head(net.b(net.pool(net.a(x)))), a=conv(3, 4), b=conv(4, 4), head=head(4))
    net.pool = nn.MaxPool2d(2)
    (consumer,) = layer_input(graph_of(net), "b").consumers
    # a map of 3x3: the outer taps miss one of three positions on each side
    assert consumer.inside.tolist() == pytest.approx(
        [4 / 9, 6 / 9, 4 / 9, 6 / 9, 1, 6 / 9, 4 / 9, 6 / 9, 4 / 9]
    )


def test_without_padding_all_taps_are_always_inside() -> None:
    net = Wired(lambda net, x: net.head(net.b(net.a(x))), a=conv(3, 4), b=conv(4, 4, padding=0), head=head(4))
    (consumer,) = layer_input(graph_of(net), "b").consumers
    assert consumer.inside.tolist() == [1.0] * 9


def test_a_dense_layer_has_one_tap_that_is_always_inside() -> None:
    graph = channel_graph(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)), (4,))
    (consumer,) = layer_input(graph, "2").consumers
    assert consumer.inside.tolist() == [1.0]
