"""What ties channels together: sums, products, concatenations and groups."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from emoprune.networks.graph import channel_graph
from emoprune.networks.graph.types import Obstacle, Work
from emoprune.networks.types import HiddenLayer
from tests.support.wiring import Wired, check_frozen, conv, cuts, graph_of, head, layer_input, owner

SUMS: list[Callable[[Any, Any], Any]] = [operator.add, torch.add, operator.iadd]
PRODUCTS: list[Callable[[Any, Any], Any]] = [operator.mul, torch.mul, operator.imul]


@pytest.mark.parametrize("combine", [*SUMS, *PRODUCTS])
def test_a_unit_of_a_stream_is_written_by_all_that_combine_with_it(
    combine: Callable[[Any, Any], Any],
) -> None:
    def forward(net: Any, x: Any) -> Any:
        h = F.relu(net.a(x))
        return net.head(net.c(combine(h, net.b(h))))

    graph = graph_of(Wired(forward, a=conv(3, 4), b=conv(4, 4), c=conv(4, 4), head=head(4)))
    assert graph.layers == (
        HiddenLayer("a", "relu", ("b", "c")),
        HiddenLayer("c", "identity", ("head.2",)),
    )
    stream = [0, 1, 2, 3]
    for place in (("a.weight", 0), ("b.weight", 1), ("b.weight", 0), ("b.bias", 0), ("c.weight", 1)):
        assert cuts(graph)[place] == stream
    # its units are first seen where b reads them, and again after the sum, where c does
    assert graph.sources["a"] == "b"
    assert owner(graph, "c") == stream


def test_a_downsampling_branch_goes_with_what_it_is_added_to() -> None:
    def forward(net: Any, x: Any) -> Any:
        h = F.relu(net.stem(x))
        return net.head(F.relu(net.b(F.relu(net.a(h))) + net.norm(net.down(h))))

    net = Wired(
        forward,
        **{"stem": conv(3, 2), "a": conv(2, 5, stride=2), "b": conv(5, 4)},
        **{"down": conv(2, 4, 1, stride=2), "norm": nn.BatchNorm2d(4), "head": head(4)},
    )
    graph = graph_of(net)
    assert graph.layers == (
        HiddenLayer("stem", "relu", ("a", "down")),
        HiddenLayer("a", "relu", ("b",)),
        HiddenLayer("b", "relu", ("head.2",)),
    )
    assert graph.spans == {"stem": (0, 2), "a": (2, 7), "b": (7, 11)}
    for place in (("b.weight", 0), ("down.weight", 0), ("norm.running_mean", 0), ("head.2.weight", 1)):
        assert cuts(graph)[place] == [7, 8, 9, 10]


def test_what_is_added_to_the_input_stays() -> None:
    net = Wired(lambda net, x: net.b(x + net.a(x)), a=conv(3, 3), b=conv(3, 2))
    check_frozen(net)


def test_channels_of_unlike_tensors_that_meet_stay_whole() -> None:
    # broadcast: one channel meets all four
    net = Wired(lambda net, x: net.c(net.a(x) * net.b(x)), a=conv(3, 4), b=conv(3, 1), c=conv(4, 2))
    check_frozen(net, Obstacle("a", 4, "mul"), Obstacle("b", 1, "mul"))


def test_maps_that_meet_averages_without_their_dimensions_stay_whole() -> None:
    # two samples by four channels, which broadcasting takes for two rows by four columns
    def forward(net: Any, x: Any) -> Any:
        h = net.a(x)
        return net.b(h * h.mean([2, 3]))

    graph = channel_graph(Wired(forward, a=conv(3, 4), b=conv(4, 2)), (3, 2, 4))
    assert graph.layers == ()
    assert graph.obstacles == (Obstacle("a", 4, "mul"),)


@pytest.mark.parametrize(
    "with_number",
    [
        lambda h: h + 0.5,
        lambda h: h * 2,
        lambda h: 0.5 + h,
        lambda h: 2 * h,
        lambda h: torch.add(h, 1),
        lambda h: torch.mul(h, 2),
        lambda h: torch.mul(input=h, other=2),
    ],
)
def test_a_number_changes_nothing_but_the_activation(with_number: Callable[[Any], Any]) -> None:
    def forward(net: Any, x: Any) -> Any:
        return net.head(net.b(with_number(F.relu(net.a(x)))))

    graph = graph_of(Wired(forward, a=conv(3, 4), b=conv(4, 4), head=head(4)))
    assert graph.layers[0] == HiddenLayer("a", "identity", ("b",))


def test_a_product_with_a_number_of_channels_loses_no_channel() -> None:
    # with fewer channels the number would be another
    net = Wired(lambda net, x: net.b(net.f(net.a(x))), a=conv(3, 4), b=conv(4, 2))
    net.f = Wired(lambda net, h: h * h.shape[1])
    graph_of(net)


@pytest.mark.parametrize("combine", [operator.add, operator.mul])
def test_a_tensor_combined_with_itself_can_still_lose_units(combine: Callable[[Any, Any], Any]) -> None:
    def forward(net: Any, x: Any) -> Any:
        h = net.a(x)
        return net.head(net.b(combine(h, h)))

    graph = graph_of(Wired(forward, a=conv(3, 4), b=conv(4, 4), head=head(4)))
    assert [layer.name for layer in graph.layers] == ["a", "b"]


@pytest.mark.parametrize(
    "scale",
    [
        lambda h, scale: h * scale,
        lambda h, scale: scale * h,
        lambda h, scale: h + scale,
        lambda h, scale: torch.mul(h, scale),
        lambda h, scale: torch.mul(h, other=scale),
    ],
)
def test_a_product_with_a_parameter_keeps_all_and_is_named(scale: Callable[[Any, Any], Any]) -> None:
    net = Wired(
        lambda net, x: net.b(scale(net.a(x), net.scale)),
        a=conv(3, 4),
        scale=nn.Parameter(torch.rand(4, 1, 1)),
        b=conv(4, 2),
    )
    check_frozen(net, Obstacle("a", 4, "a parameter of its own"))


def test_a_concatenation_lines_units_up() -> None:
    net = Wired(
        lambda net, x: net.head(net.c(torch.cat([F.relu(net.a(x)), F.relu(net.b(x))], 1))),
        **{"a": conv(3, 2), "b": conv(3, 3), "c": conv(5, 4), "head": head(4)},
    )
    graph = graph_of(net)
    assert graph.layers[:2] == (HiddenLayer("a", "relu", ("c",)), HiddenLayer("b", "relu", ("c",)))
    assert cuts(graph)["c.weight", 1] == [0, 1, 2, 3, 4]
    assert graph.sources == {"a": "c", "b": "c", "c": "head.2"}


def test_a_concatenation_of_unlike_activations_has_none() -> None:
    net = Wired(
        lambda net, x: net.head(net.c(torch.cat((F.relu(net.a(x)), torch.tanh(net.b(x))), dim=1))),
        **{"a": conv(3, 2), "b": conv(3, 3), "c": conv(5, 4), "head": head(4)},
    )
    assert [layer.activation for layer in graph_of(net).layers[:2]] == ["identity", "identity"]


def test_the_input_in_a_concatenation_stays_and_the_rest_can_go() -> None:
    net = Wired(
        lambda net, x: net.head(net.b(torch.cat([x, net.a(x)], -3))),
        **{"a": conv(3, 2), "b": conv(5, 4), "head": head(4)},
    )
    graph = graph_of(net)
    assert cuts(graph)["b.weight", 1] == [-1, -1, -1, 0, 1]
    assert owner(graph, "b") == [-1, -1, -1, 0, 1]


def test_the_same_channels_twice_in_a_concatenation_are_the_same_units() -> None:
    def forward(net: Any, x: Any) -> Any:
        h = net.a(x)
        return net.head(net.b(torch.cat([torch.sigmoid(h), torch.relu(h)], 1)))

    graph = graph_of(Wired(forward, a=conv(3, 2), b=conv(4, 4), head=head(4)))
    assert owner(graph, "b") == [0, 1, 0, 1]
    assert cuts(graph)["b.weight", 1] == [0, 1, 0, 1]


def test_the_same_tensor_twice_in_a_concatenation_is_the_same_units() -> None:
    def forward(net: Any, x: Any) -> Any:
        h = net.a(x)
        return net.head(net.b(torch.cat([h, h], 1)))

    graph = graph_of(Wired(forward, a=conv(3, 2), b=conv(4, 4), head=head(4)))
    assert owner(graph, "b") == [0, 1, 0, 1]


@pytest.mark.parametrize("dim", [0, 2, -1])
def test_a_concatenation_along_another_dimension_keeps_all(dim: int) -> None:
    net = Wired(
        lambda net, x: net.c(torch.cat([net.a(x), net.b(x)], dim)),
        **{"a": conv(3, 4), "b": conv(3, 4), "c": conv(4, 2)},
    )
    check_frozen(net, Obstacle("a", 4, "cat"), Obstacle("b", 4, "cat"))


def test_a_layer_may_lose_some_of_its_channels_where_others_stay() -> None:
    # the first three of b meet the input, the last two meet a
    def forward(net: Any, x: Any) -> Any:
        return net.head(net.b(x) + torch.cat([x, net.a(x)], 1))

    graph = graph_of(Wired(forward, a=conv(3, 2), b=conv(3, 5), head=head(5)))
    # b runs first, so the units are its own
    assert graph.spans == {"b": (0, 2)}
    assert cuts(graph)["b.weight", 0] == [-1, -1, -1, 0, 1]
    assert cuts(graph)["a.weight", 0] == [0, 1]
    assert owner(graph, "head.2") == [-1, -1, -1, 0, 1]


def test_a_depthwise_convolution_ties_what_it_reads_to_what_it_writes() -> None:
    net = Wired(
        lambda net, x: net.head(net.c(net.deep(F.relu(net.a(x))))),
        **{"a": conv(3, 4), "deep": conv(4, 4, groups=4, stride=2), "c": conv(4, 4), "head": head(4)},
    )
    graph = graph_of(net)
    assert graph.layers[0] == HiddenLayer("a", "identity", ("c",))
    assert graph.sources["a"] == "c"
    assert [found.name for found in graph.layer_inputs] == ["c", "head.2"]
    assert cuts(graph)["deep.weight", 0] == [0, 1, 2, 3]
    assert ("deep.weight", 1) not in cuts(graph)
    assert graph.works["deep.weight"] == Work(9, 4)


def test_a_depthwise_convolution_that_multiplies_channels_has_several_of_each_unit() -> None:
    net = Wired(
        lambda net, x: net.head(net.c(net.deep(net.a(x)))),
        **{"a": conv(3, 2), "deep": conv(2, 6, groups=2), "c": conv(6, 4), "head": head(4)},
    )
    graph = graph_of(net)
    assert graph.spans["a"] == (0, 2)
    assert cuts(graph)["deep.bias", 0] == [0, 0, 0, 1, 1, 1]
    assert cuts(graph)["c.weight", 1] == [0, 0, 0, 1, 1, 1]


def test_a_depthwise_convolution_of_the_input_stays() -> None:
    net = Wired(lambda net, x: net.b(net.deep(x)), deep=conv(3, 6, groups=3), b=conv(6, 2))
    check_frozen(net)


def test_a_group_of_a_grouped_convolution_is_one_unit() -> None:
    net = Wired(
        lambda net, x: net.head(net.c(net.bn(net.grouped(F.relu(net.a(x)))))),
        **{"a": conv(3, 6), "grouped": conv(6, 9, groups=3), "bn": nn.BatchNorm2d(9)},
        **{"c": conv(9, 4), "head": head(4)},
    )
    graph = graph_of(net)
    assert graph.spans == {"a": (0, 3), "c": (3, 7)}
    assert graph.layers[0] == HiddenLayer("a", "identity", ("c",))
    assert cuts(graph)["a.weight", 0] == [0, 0, 1, 1, 2, 2]
    for place in (("grouped.weight", 0), ("bn.bias", 0), ("c.weight", 1)):
        assert cuts(graph)[place] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert graph.works["grouped.weight"] == Work(36, 3)


def test_groups_that_overlap_are_one_unit() -> None:
    net = Wired(
        lambda net, x: net.head(net.c(net.pairs(net.threes(net.a(x))))),
        **{"a": conv(3, 12), "threes": conv(12, 12, groups=4), "pairs": conv(12, 12, groups=6)},
        **{"c": conv(12, 4), "head": head(4)},
    )
    graph = graph_of(net)
    # 3 and 2 channels share borders only every 6
    assert cuts(graph)["a.weight", 0] == [0] * 6 + [1] * 6
    assert graph.spans["a"] == (0, 2)


def squeezing(net: Any, h: Any) -> Any:
    return h * torch.sigmoid(net.expand(F.relu(net.squeeze(net.pool(h)))))


def test_squeeze_and_excitation_reads_a_unit_and_weighs_it() -> None:
    net = Wired(
        lambda net, x: net.head(net.b(squeezing(net, net.a(x)))),
        **{
            "a": conv(3, 4),
            "pool": nn.AdaptiveAvgPool2d(1),
            "squeeze": conv(4, 2, 1),
            "expand": conv(2, 4, 1),
        },
        **{"b": conv(4, 4), "head": head(4)},
    )
    graph = graph_of(net)
    assert graph.layers == (
        HiddenLayer("a", "identity", ("squeeze", "b")),
        HiddenLayer("squeeze", "relu", ("expand",)),
        HiddenLayer("b", "identity", ("head.2",)),
    )
    for place in (("a.weight", 0), ("squeeze.weight", 1), ("expand.weight", 0), ("b.weight", 1)):
        assert cuts(graph)[place] == [0, 1, 2, 3]
    assert (layer_input(graph, "squeeze").mapped, layer_input(graph, "b").mapped) == (False, True)
