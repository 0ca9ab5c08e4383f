"""What operations do to channels: functions, shapes, sums, products and concatenations."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from emoprune.networks.graph import channel_graph
from emoprune.networks.graph.types import Obstacle
from emoprune.networks.types import HiddenLayer
from tests.support.wiring import Wired, check_frozen, conv, cuts, graph_of, head, layer_input, owner


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
        ("GroupNorm", nn.GroupNorm(2, 4)),
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
def test_flattening_gives_a_unit_one_column_per_position(flatten: Callable[[Any], Any]) -> None:
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
def test_an_operation_without_a_rule_freezes_all_and_is_named(
    name: str, function: Callable[[Any], Any], inputs: int
) -> None:
    check_frozen(between(function, inputs=inputs), Obstacle("a", 4, name))


def test_flattening_to_the_same_shape_changes_nothing() -> None:
    net = Wired(lambda net, x: net.b(net.f(net.a(x))), a=conv(3, 4), b=conv(4, 2))
    net.f = Wired(lambda net, h: h.view(h.shape))
    assert owner(graph_of(net), "b") == [0, 1, 2, 3]


def test_flattening_to_a_fixed_size_freezes_the_map() -> None:
    # with fewer channels there would be fewer samples, each a mixture
    check_frozen(between(lambda h: h.view(-1, 144), inputs=144), Obstacle("a", 4, "view"))


def test_flattening_with_channels_last_freezes_them() -> None:
    net = between(lambda h: h.permute(0, 2, 3, 1).flatten(1), inputs=144)
    check_frozen(net, Obstacle("a", 4, "flatten"))


def test_normalizing_a_flattened_map_freezes_it() -> None:
    net = between(lambda h: h, inputs=144)

    def forward(net: Any, x: Any) -> Any:
        return net.fc(net.bn(net.a(x).flatten(1)))

    net._wire = forward
    net.bn = nn.BatchNorm1d(144)
    check_frozen(net, Obstacle("a", 4, "BatchNorm1d"))


def test_combining_takes_flattened_maps() -> None:
    def forward(net: Any, x: Any) -> Any:
        return net.fc(net.a(x).flatten(1) + net.b(x).flatten(1))

    graph = graph_of(Wired(forward, a=conv(3, 4), b=conv(3, 4), fc=nn.Linear(144, 2)))
    assert graph.spans == {"a": (0, 4)}
    assert layer_input(graph, "fc").spread == 36
    assert layer_input(graph, "fc").mapped


SUMS: list[Callable[[Any, Any], Any]] = [operator.add, torch.add, operator.iadd]


PRODUCTS: list[Callable[[Any, Any], Any]] = [operator.mul, torch.mul, operator.imul]


@pytest.mark.parametrize("combine", [*SUMS, *PRODUCTS])
def test_combining_ties_all_that_write_a_stream(
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


def test_combining_with_the_input_freezes_channels() -> None:
    net = Wired(lambda net, x: net.b(x + net.a(x)), a=conv(3, 3), b=conv(3, 2))
    check_frozen(net)


def test_combining_by_broadcast_freezes_channels() -> None:
    # broadcast: one channel meets all four
    net = Wired(lambda net, x: net.c(net.a(x) * net.b(x)), a=conv(3, 4), b=conv(3, 1), c=conv(4, 2))
    check_frozen(net, Obstacle("a", 4, "mul"), Obstacle("b", 1, "mul"))


def test_combining_maps_with_flat_averages_freezes_channels() -> None:
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
def test_combining_with_a_number_changes_only_the_activation(with_number: Callable[[Any], Any]) -> None:
    def forward(net: Any, x: Any) -> Any:
        return net.head(net.b(with_number(F.relu(net.a(x)))))

    graph = graph_of(Wired(forward, a=conv(3, 4), b=conv(4, 4), head=head(4)))
    assert graph.layers[0] == HiddenLayer("a", "identity", ("b",))


def test_combining_with_the_number_of_channels_freezes_them() -> None:
    # with fewer channels the number would be another
    net = Wired(lambda net, x: net.b(net.f(net.a(x))), a=conv(3, 4), b=conv(4, 2))
    net.f = Wired(lambda net, h: h * h.shape[1])
    graph_of(net)


@pytest.mark.parametrize("combine", [operator.add, operator.mul])
def test_combining_a_tensor_with_itself_keeps_its_units_removable(combine: Callable[[Any, Any], Any]) -> None:
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
def test_combining_with_a_parameter_freezes_all_and_is_named(scale: Callable[[Any, Any], Any]) -> None:
    net = Wired(
        lambda net, x: net.b(scale(net.a(x), net.scale)),
        a=conv(3, 4),
        scale=nn.Parameter(torch.rand(4, 1, 1)),
        b=conv(4, 2),
    )
    check_frozen(net, Obstacle("a", 4, "a parameter of its own"))


def test_joining_lines_units_up() -> None:
    net = Wired(
        lambda net, x: net.head(net.c(torch.cat([F.relu(net.a(x)), F.relu(net.b(x))], 1))),
        **{"a": conv(3, 2), "b": conv(3, 3), "c": conv(5, 4), "head": head(4)},
    )
    graph = graph_of(net)
    assert graph.layers[:2] == (HiddenLayer("a", "relu", ("c",)), HiddenLayer("b", "relu", ("c",)))
    assert cuts(graph)["c.weight", 1] == [0, 1, 2, 3, 4]
    assert graph.sources == {"a": "c", "b": "c", "c": "head.2"}


def test_joining_different_activations_leaves_none() -> None:
    net = Wired(
        lambda net, x: net.head(net.c(torch.cat((F.relu(net.a(x)), torch.tanh(net.b(x))), dim=1))),
        **{"a": conv(3, 2), "b": conv(3, 3), "c": conv(5, 4), "head": head(4)},
    )
    assert [layer.activation for layer in graph_of(net).layers[:2]] == ["identity", "identity"]


def test_joining_with_the_input_freezes_only_the_input() -> None:
    net = Wired(
        lambda net, x: net.head(net.b(torch.cat([x, net.a(x)], -3))),
        **{"a": conv(3, 2), "b": conv(5, 4), "head": head(4)},
    )
    graph = graph_of(net)
    assert cuts(graph)["b.weight", 1] == [-1, -1, -1, 0, 1]
    assert owner(graph, "b") == [-1, -1, -1, 0, 1]


@pytest.mark.parametrize("second", [torch.sigmoid, lambda h: h])
def test_joining_the_same_channels_twice_gives_the_same_units(second: Callable[[Any], Any]) -> None:
    def forward(net: Any, x: Any) -> Any:
        h = net.a(x)
        return net.head(net.b(torch.cat([h, second(h)], 1)))

    graph = graph_of(Wired(forward, a=conv(3, 2), b=conv(4, 4), head=head(4)))
    assert owner(graph, "b") == [0, 1, 0, 1]
    assert cuts(graph)["b.weight", 1] == [0, 1, 0, 1]


@pytest.mark.parametrize("dim", [0, 2, -1])
def test_joining_along_another_dimension_freezes_all(dim: int) -> None:
    net = Wired(
        lambda net, x: net.c(torch.cat([net.a(x), net.b(x)], dim)),
        **{"a": conv(3, 4), "b": conv(3, 4), "c": conv(4, 2)},
    )
    check_frozen(net, Obstacle("a", 4, "cat"), Obstacle("b", 4, "cat"))


def test_combining_with_the_input_freezes_only_the_channels_that_meet_it() -> None:
    # the first three of b meet the input, the last two meet a
    def forward(net: Any, x: Any) -> Any:
        return net.head(net.b(x) + torch.cat([x, net.a(x)], 1))

    graph = graph_of(Wired(forward, a=conv(3, 2), b=conv(3, 5), head=head(5)))
    # b runs first, so the units are its own
    assert graph.spans == {"b": (0, 2)}
    assert cuts(graph)["b.weight", 0] == [-1, -1, -1, 0, 1]
    assert cuts(graph)["a.weight", 0] == [0, 1]
    assert owner(graph, "head.2") == [-1, -1, -1, 0, 1]
