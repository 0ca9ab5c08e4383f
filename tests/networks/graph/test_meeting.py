"""Where several tensors meet: sums, products, concatenations and attention."""

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


def test_combining_by_broadcast_freezes_the_channel_that_meets_all() -> None:
    net = Wired(lambda net, x: net.c(net.a(x) * net.b(x)), a=conv(3, 4), b=conv(3, 1), c=conv(4, 2))
    graph = graph_of(net)
    assert graph.spans == {"a": (0, 4)}
    assert graph.obstacles == (Obstacle("b", 1, "mul"),)


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
def test_combining_with_a_parameter_cuts_it(scale: Callable[[Any, Any], Any]) -> None:
    net = Wired(
        lambda net, x: net.head(net.b(scale(net.a(x), net.scale))),
        **{"a": conv(3, 4), "b": conv(4, 3), "head": head(3)},
        scale=nn.Parameter(torch.rand(4, 1, 1)),
    )
    graph = graph_of(net)
    assert graph.spans == {"a": (0, 4), "b": (4, 7)}
    assert cuts(graph)["scale", 0] == [0, 1, 2, 3]


def test_combining_with_a_rearranged_parameter_cuts_it() -> None:
    net = Wired(
        lambda net, x: net.head(net.b(net.a(x) * net.scale.t()[0].view(1, -1, 1, 1).exp())),
        **{"a": conv(3, 4), "b": conv(4, 3), "head": head(3)},
        scale=nn.Parameter(torch.rand(4, 1)),
    )
    assert cuts(graph_of(net))["scale", 0] == [0, 1, 2, 3]


@pytest.mark.parametrize("use", [lambda p: p.cumsum(0), lambda p: p.view(4, 1, 1), lambda p: p * p.sum()])
def test_a_parameter_that_cannot_be_cut_freezes_what_it_meets(use: Callable[[Any], Any]) -> None:
    net = Wired(
        lambda net, x: net.b(net.a(x) + use(net.shift)),
        **{"a": conv(3, 4), "b": conv(4, 2)},
        shift=nn.Parameter(torch.rand(4, 1, 1)),
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
def test_joining_along_another_dimension_ties_pair_by_pair(dim: int) -> None:
    net = Wired(
        lambda net, x: net.head(net.c(torch.cat([net.a(x), net.b(x)], dim))),
        **{"a": conv(3, 4), "b": conv(3, 4), "c": conv(4, 3), "head": head(3)},
    )
    graph = graph_of(net)
    assert graph.spans == {"a": (0, 4), "c": (4, 7)}
    assert cuts(graph)["b.weight", 0] == [0, 1, 2, 3]


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


class Attention(nn.Module):
    """Of as many heads as it keeps, each of 3 features; `fused` as torch has it."""

    def __init__(self, heads: int, *, fused: bool) -> None:
        super().__init__()
        self.num_heads, self.fused = heads, fused
        self.qkv, self.proj = nn.Linear(5, 9 * heads), nn.Linear(3 * heads, 5)
        self.bias = nn.Parameter(torch.rand(heads, 1, 1))

    def forward(self, x: Any) -> Any:
        batch, tokens, _ = x.shape
        q, k, v = self.qkv(x).reshape(batch, tokens, 3, self.num_heads, 3).permute(2, 0, 3, 1, 4)
        if self.fused:
            h = F.scaled_dot_product_attention(q, k, v, attn_mask=self.bias.expand(-1, tokens, tokens))
        else:
            h = (q @ k.transpose(-2, -1) / 3 + self.bias).softmax(-1) @ v
        return self.proj(h.transpose(1, 2).reshape(batch, tokens, -1))


@pytest.mark.parametrize("fused", [False, True])
def test_attending_makes_a_head_one_unit(fused: bool) -> None:
    graph = graph_of(nn.Sequential(Attention(4, fused=fused), nn.Linear(5, 2)), (6, 5))
    assert graph.spans == {"0.qkv": (0, 4), "0.proj": (4, 9)}
    heads = [head for head in range(4) for _ in range(3)]
    assert cuts(graph)["0.qkv.weight", 0] == heads * 3
    assert cuts(graph)["0.proj.weight", 1] == heads
    assert cuts(graph)["0.bias", 0] == [0, 1, 2, 3]
    assert [(number.name, number.owner.tolist()) for number in graph.numbers] == [
        ("0.num_heads", [0, 1, 2, 3])
    ]


def test_heads_whose_number_is_used_otherwise_stay() -> None:
    class Scaled(Attention):
        def forward(self, x: Any) -> Any:
            return super().forward(x) / self.num_heads**0.5

    graph = graph_of(nn.Sequential(Scaled(4, fused=False), nn.Linear(5, 2)), (6, 5))
    assert graph.obstacles == (Obstacle("0.qkv", 36, "num_heads of its own"),)


def test_a_product_of_channels_with_channels_freezes_them() -> None:
    def forward(net: Any, x: Any) -> Any:
        h = net.a(x)
        return net.b(h @ h.transpose(1, 2) @ h)

    check_frozen(
        Wired(forward, a=nn.Linear(4, 3), b=nn.Linear(3, 2)), Obstacle("a", 3, "matmul"), shape=(5, 4)
    )


def test_squeeze_and_excite_ties_its_scale_and_loses_its_hidden_units() -> None:
    def forward(net: Any, x: Any) -> Any:
        h = net.a(x)
        scale = torch.sigmoid(net.up(F.relu(net.down(h.mean((2, 3), keepdim=True)))))
        return net.head(net.b(h * scale))

    parts = {"a": conv(3, 4), "down": conv(4, 2, 1), "up": conv(2, 4, 1), "b": conv(4, 3), "head": head(3)}
    graph = graph_of(Wired(forward, **parts))
    assert graph.spans == {"a": (0, 4), "down": (4, 6), "b": (6, 9)}
    assert cuts(graph)["up.weight", 0] == [0, 1, 2, 3]
