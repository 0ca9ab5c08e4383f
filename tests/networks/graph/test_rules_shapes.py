"""Where channels stand after pooling, flattening, averaging and permuting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from emoprune.networks.graph.types import Obstacle, Work
from emoprune.networks.types import HiddenLayer
from tests.support.wiring import Wired, check_frozen, conv, cuts, graph_of, layer_input, owner


def between(function: Callable[[Any], Any], *, inputs: int, channels: int = 4) -> Wired:
    """A convolution of 4 channels, `function` of its maps of 6x6, and a dense layer of two outputs."""
    return Wired(lambda net, x: net.fc(function(net.a(x))), a=conv(3, channels), fc=nn.Linear(inputs, 2))


@pytest.mark.parametrize(
    "flatten",
    [
        lambda h: torch.flatten(h, 1),
        lambda h: torch.flatten(h, start_dim=1),
        lambda h: h.flatten(1),
        nn.Flatten(),
        lambda h: h.view(h.size(0), -1),
        lambda h: h.reshape(h.shape[0], -1),
    ],
)
def test_a_flattened_map_has_a_column_for_each_position_of_a_unit(flatten: Callable[[Any], Any]) -> None:
    net = between(flatten, inputs=4 * 36)
    net.flatten = flatten
    graph = graph_of(net)
    found = layer_input(graph, "fc")
    assert (found.owner.tolist(), found.spread, found.mapped) == ([0, 1, 2, 3], 36, True)
    assert cuts(graph)["fc.weight", 1] == [0] * 36 + [1] * 36 + [2] * 36 + [3] * 36


@pytest.mark.parametrize(
    "pool",
    [
        nn.MaxPool2d(2),
        nn.AvgPool2d(2),
        nn.AdaptiveAvgPool2d(3),
        nn.AdaptiveMaxPool2d(3),
        lambda h: F.max_pool2d(h, 2),
        lambda h: F.avg_pool2d(h, kernel_size=2),
        lambda h: F.adaptive_avg_pool2d(h, (3, 3)),
    ],
)
def test_pooling_leaves_every_unit_its_smaller_map(pool: Callable[[Any], Any]) -> None:
    net = Wired(lambda net, x: net.fc(torch.flatten(pool(net.a(x)), 1)), a=conv(3, 4), fc=nn.Linear(36, 2))
    net.pool = pool
    found = layer_input(graph_of(net), "fc")
    assert (found.owner.tolist(), found.spread) == ([0, 1, 2, 3], 9)


@pytest.mark.parametrize(
    "average",
    [
        lambda h: h.mean([2, 3]),
        lambda h: h.mean((-1, -2)),
        lambda h: h.mean(dim=(2, 3)),
        lambda h: torch.flatten(h.mean([2, 3], keepdim=True), 1),
        lambda h: torch.flatten(h.mean([2, 3], True), 1),
        lambda h: h.mean(2).mean(2),
    ],
)
def test_an_average_over_positions_leaves_one_column_for_each_unit(average: Callable[[Any], Any]) -> None:
    graph = graph_of(between(average, inputs=4))
    found = layer_input(graph, "fc")
    assert (found.owner.tolist(), found.spread, found.mapped, found.dim) == ([0, 1, 2, 3], 1, False, 1)
    assert graph.layers == (HiddenLayer("a", "identity", ("fc",)),)


def test_an_average_over_a_dimension_before_the_channels_moves_them_forward() -> None:
    def forward(net: Any, x: Any) -> Any:
        rows = net.a(x).permute(0, 2, 3, 1).mean(1)
        return net.b(rows), net.c(rows.mean(1))

    graph = graph_of(Wired(forward, a=conv(3, 4), b=nn.Linear(4, 2), c=nn.Linear(4, 2)))
    assert [found.dim for found in graph.layer_inputs] == [2, 1]
    assert owner(graph, "c") == [0, 1, 2, 3]


@pytest.mark.parametrize("average", [lambda h: h.mean(1), lambda h: h.mean((1, 2)).unsqueeze(1)])
def test_an_average_over_channels_keeps_them(average: Callable[[Any], Any]) -> None:
    net = Wired(lambda net, x: net.b(average(net.a(x))), a=conv(3, 4), b=nn.Linear(6, 2))
    check_frozen(net, Obstacle("a", 4, "mean"))


def test_an_average_over_everything_keeps_all() -> None:
    net = Wired(lambda net, x: net.a(x).mean(), a=conv(3, 4))
    check_frozen(net, Obstacle("a", 4, "mean"))


@pytest.mark.parametrize(
    "permute",
    [
        lambda h: h.permute(0, 2, 3, 1),
        lambda h: h.permute((0, 2, 3, 1)),
        lambda h: h.permute(dims=(0, -2, -1, 1)),
        lambda h: torch.permute(h, [0, 2, 3, 1]),
        lambda h: torch.permute(h, dims=(0, 2, 3, 1)),
    ],
)
def test_a_dense_layer_reads_channels_that_come_last(permute: Callable[[Any], Any]) -> None:
    def forward(net: Any, x: Any) -> Any:
        return net.b(F.gelu(net.fc(permute(net.a(x)))))

    graph = graph_of(Wired(forward, a=conv(3, 4), fc=nn.Linear(4, 5), b=nn.Linear(5, 2)))
    assert graph.layers == (HiddenLayer("a", "identity", ("fc",)), HiddenLayer("fc", "gelu", ("b",)))
    found = layer_input(graph, "fc")
    # every position is a pattern of its own
    assert (found.owner.tolist(), found.spread, found.mapped, found.dim) == ([0, 1, 2, 3], 1, False, 3)
    assert graph.works["fc.weight"] == Work(36, 1)
    assert graph.works["b.weight"] == Work(36, 1)


def test_a_convolution_reads_what_was_permuted_back() -> None:
    def forward(net: Any, x: Any) -> Any:
        h = net.fc(net.a(x).permute(0, 2, 3, 1))
        return net.b(h.permute(0, 3, 1, 2))

    graph = graph_of(Wired(forward, a=conv(3, 4), fc=nn.Linear(4, 5), b=conv(5, 2)))
    assert owner(graph, "b") == [4, 5, 6, 7, 8]
    assert (layer_input(graph, "b").dim, layer_input(graph, "b").mapped) == (1, True)


def test_a_convolution_that_reads_maps_with_channels_elsewhere_keeps_them() -> None:
    net = Wired(lambda net, x: net.b(net.a(x).permute(0, 2, 1, 3)), a=conv(3, 4), b=conv(6, 2))
    check_frozen(net, Obstacle("a", 4, "Conv2d"))


def test_a_dense_layer_over_positions_keeps_the_channels_and_may_lose_none_of_its_own() -> None:
    net = Wired(lambda net, x: net.c(net.b(net.a(x))), a=conv(3, 4), b=nn.Linear(6, 5), c=nn.Linear(5, 2))
    check_frozen(net, Obstacle("a", 4, "Linear"))


@pytest.mark.parametrize(
    ("name", "function", "inputs"),
    [
        ("view", lambda h: h.view(h.shape[0], 2, 2, 36).flatten(1), 144),
        ("reshape", lambda h: h.reshape(h.shape[0], 8, 18), 18),
        ("flatten", lambda h: h.flatten(0, 1).flatten(0, 1), 6),
        ("chunk", lambda h: h.chunk(2, 1)[0].flatten(1), 72),
        ("split", lambda h: torch.split(h, 2, 1)[1].flatten(1), 72),
        ("getitem", lambda h: h[:, 0].flatten(1), 36),
        ("flip", lambda h: h.flip(1).flatten(1), 144),
        ("roll", lambda h: torch.roll(h, 1, 1).flatten(1), 144),
        ("transpose", lambda h: h.transpose(1, 2).flatten(1), 144),
        ("softmax", lambda h: torch.softmax(h, 1).flatten(1), 144),
        ("sub", lambda h: (1 - h).flatten(1), 144),
        ("cumsum", lambda h: torch.cumsum(h, 1).flatten(1), 144),
        ("einsum", lambda h: torch.einsum("nchw->nhwc", h).flatten(1), 144),
        ("norm", lambda h: torch.norm(h, dim=1).flatten(1), 36),
        ("max", lambda h: h.max(1)[0].flatten(1), 36),
    ],
)
def test_an_operation_without_a_rule_keeps_all_and_is_named(
    name: str, function: Callable[[Any], Any], inputs: int
) -> None:
    check_frozen(between(function, inputs=inputs), Obstacle("a", 4, name))


def test_a_view_of_the_same_shape_changes_nothing() -> None:
    net = Wired(lambda net, x: net.b(net.f(net.a(x))), a=conv(3, 4), b=conv(4, 2))
    net.f = Wired(lambda net, h: h.view(h.shape))
    assert owner(graph_of(net), "b") == [0, 1, 2, 3]


def test_a_view_that_spells_out_the_size_of_a_flattened_map_keeps_it() -> None:
    # with fewer channels there would be fewer samples, each a mixture
    check_frozen(between(lambda h: h.view(-1, 144), inputs=144), Obstacle("a", 4, "view"))


def test_maps_flattened_with_their_channels_last_stay() -> None:
    net = between(lambda h: h.permute(0, 2, 3, 1).flatten(1), inputs=144)
    check_frozen(net, Obstacle("a", 4, "flatten"))


def test_a_flattened_map_that_is_pooled_or_normed_again_stays() -> None:
    net = between(lambda h: h, inputs=144)

    def forward(net: Any, x: Any) -> Any:
        return net.fc(net.bn(net.a(x).flatten(1)))

    net._wire = forward
    net.bn = nn.BatchNorm1d(144)
    check_frozen(net, Obstacle("a", 4, "BatchNorm1d"))


def test_flattened_maps_may_be_added() -> None:
    def forward(net: Any, x: Any) -> Any:
        return net.fc(net.a(x).flatten(1) + net.b(x).flatten(1))

    graph = graph_of(Wired(forward, a=conv(3, 4), b=conv(3, 4), fc=nn.Linear(144, 2)))
    assert graph.spans == {"a": (0, 4)}
    assert layer_input(graph, "fc").spread == 36
    assert layer_input(graph, "fc").mapped
