"""What operations do to channels: functions, shapes, sums, products and concatenations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from emoprune.networks.graph.types import Obstacle
from emoprune.networks.types import HiddenLayer
from tests.support.wiring import Wired, check_frozen, conv, graph_of, head, layer_input, owner


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
def test_activating_keeps_the_last_function_before_the_consumer(between: nn.Module, wanted: str) -> None:
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
def test_activating_names_functions_like_modules(function: Callable[[Any], Any], wanted: str) -> None:
    net = Wired(lambda net, x: net.b(function(net.a(x))), a=nn.Linear(4, 3), b=nn.Linear(3, 2))
    assert graph_of(net, (4,)).layers == (HiddenLayer("a", wanted, ("b",)),)


def test_activating_twice_keeps_the_function_of_the_first_consumer() -> None:
    def forward(net: Any, x: Any) -> Any:
        h = net.a(x)
        return net.b(torch.sigmoid(h)), net.c(torch.relu(h))

    net = Wired(forward, a=nn.Linear(4, 3), b=nn.Linear(3, 2), c=nn.Linear(3, 2))
    graph = graph_of(net, (4,))
    assert graph.layers == (HiddenLayer("a", "sigmoid", ("b", "c")),)
    assert graph.sources == {"a": "b"}
    assert [found.name for found in graph.layer_inputs] == ["b", "c"]


@pytest.mark.parametrize(
    ("name", "between"),
    [
        ("Softmax", nn.Softmax(1)),
        ("PReLU", nn.PReLU(4)),
        ("GroupNorm", nn.GroupNorm(1, 4)),
        ("InstanceNorm2d", nn.InstanceNorm2d(4, affine=True)),
        ("LocalResponseNorm", nn.LocalResponseNorm(2)),
        ("Threshold", nn.Threshold(0.5, 1)),
        ("PixelShuffle", nn.Sequential(nn.PixelShuffle(2), nn.PixelUnshuffle(2))),
        ("ConvTranspose2d", nn.ConvTranspose2d(4, 4, 1)),
    ],
)
def test_a_module_without_a_rule_freezes_what_it_reads(name: str, between: nn.Module) -> None:
    net = Wired(lambda net, x: net.b(net.f(net.a(x))), a=conv(3, 4), f=between, b=conv(4, 2))
    check_frozen(net, Obstacle("a", 4, name))


def between(function: Callable[[Any], Any], *, inputs: int, channels: int = 4) -> Wired:
    """A convolution of 4 channels, `function` of its maps of 6x6, and a dense layer of two outputs."""
    return Wired(lambda net, x: net.fc(function(net.a(x))), a=conv(3, channels), fc=nn.Linear(inputs, 2))


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
def test_averaging_over_positions_leaves_one_column_per_unit(average: Callable[[Any], Any]) -> None:
    graph = graph_of(between(average, inputs=4))
    found = layer_input(graph, "fc")
    assert (found.owner.tolist(), found.spread, found.mapped, found.dim) == ([0, 1, 2, 3], 1, False, 1)
    assert graph.layers == (HiddenLayer("a", "identity", ("fc",)),)


def test_averaging_over_an_earlier_dimension_moves_channels_forward() -> None:
    def forward(net: Any, x: Any) -> Any:
        rows = net.a(x).permute(0, 2, 3, 1).mean(1)
        return net.b(rows), net.c(rows.mean(1))

    graph = graph_of(Wired(forward, a=conv(3, 4), b=nn.Linear(4, 2), c=nn.Linear(4, 2)))
    assert [found.dim for found in graph.layer_inputs] == [2, 1]
    assert owner(graph, "c") == [0, 1, 2, 3]


@pytest.mark.parametrize("average", [lambda h: h.mean(1), lambda h: h.mean((1, 2)).unsqueeze(1)])
def test_averaging_over_channels_freezes_them(average: Callable[[Any], Any]) -> None:
    net = Wired(lambda net, x: net.b(average(net.a(x))), a=conv(3, 4), b=nn.Linear(6, 2))
    check_frozen(net, Obstacle("a", 4, "mean"))


def test_averaging_over_everything_freezes_all() -> None:
    net = Wired(lambda net, x: net.a(x).mean(), a=conv(3, 4))
    check_frozen(net, Obstacle("a", 4, "mean"))


@pytest.mark.parametrize(
    ("name", "function", "inputs"),
    [
        ("view", lambda h: h.view(h.shape[0], 2, 2, 36).flatten(1), 144),
        ("reshape", lambda h: h.reshape(h.shape[0], 8, 18), 18),
        ("view", lambda h: h.view(h.shape[0], 16, 9).sum(1), 9),
        ("split", lambda h: torch.split(h, 2, 1)[1].flatten(1), 72),
        ("getitem", lambda h: h[:, 0].flatten(1), 36),
        ("roll", lambda h: torch.roll(h, 1, 1).flatten(1), 144),
        ("softmax", lambda h: torch.softmax(h, 1).flatten(1), 144),
        ("cumsum", lambda h: torch.cumsum(h, 1).flatten(1), 144),
        ("einsum", lambda h: torch.einsum("nchw->nhwc", h).flatten(1), 144),
        ("norm", lambda h: torch.norm(h, dim=1).flatten(1), 36),
        ("max", lambda h: h.max(1)[0].flatten(1), 36),
    ],
)
def test_an_operation_without_a_rule_freezes_all_and_is_named(
    name: str, function: Callable[[Any], Any], inputs: int
) -> None:
    check_frozen(between(function, inputs=inputs), Obstacle("a", 4, name))


def test_normalizing_a_flattened_map_freezes_it() -> None:
    net = between(lambda h: h, inputs=144)

    def forward(net: Any, x: Any) -> Any:
        return net.fc(net.bn(net.a(x).flatten(1)))

    net._wire = forward
    net.bn = nn.BatchNorm1d(144)
    check_frozen(net, Obstacle("a", 4, "BatchNorm1d"))
