"""What layers do to channels: convolutions and dense layers write and read them, batch norms follow."""

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
from emoprune.networks.graph.layer_rules import inside_fractions
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


def test_layer_inputs_describe_what_their_consumers_read() -> None:
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


def test_multiplying_hides_every_dense_layer_but_the_last() -> None:
    net = nn.Sequential(nn.Linear(4, 3), nn.Sigmoid(), nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2))
    graph = graph_of(net, (4,))
    assert graph.layers == (HiddenLayer("0", "sigmoid", ("2",)), HiddenLayer("2", "tanh", ("4",)))
    assert cuts(graph)["2.weight", 1] == [0, 1, 2]
    assert cuts(graph)["2.weight", 0] == [3, 4, 5, 6, 7]
    assert not any(found.mapped for found in graph.layer_inputs)


def test_layers_cut_no_tensor_that_they_lack() -> None:
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


def test_one_tensor_that_two_layers_read_is_one_layer_input() -> None:
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


def test_normalizing_cuts_the_batch_norm_of_dense_units() -> None:
    net = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Linear(3, 2))
    graph = graph_of(net, (4,))
    assert graph.layers == (HiddenLayer("0", "relu", ("3",)),)
    for name in ("weight", "bias", "running_mean", "running_var"):
        assert cuts(graph)[f"1.{name}", 0] == [0, 1, 2]


def reading_conv(between: Callable[[Any, Any], Any], **parts: nn.Module) -> Wired:
    """A convolution `b` that reads a hidden one, and `between`, which computes on from what `b` writes."""
    return Wired(lambda net, x: between(net, net.b(net.a(x))), a=conv(3, 4), b=conv(4, 4), **parts)


NORM = {"bn": nn.BatchNorm2d(4)}


@pytest.mark.parametrize(
    ("net", "shape", "layer", "norm"),
    [
        (reading_conv(lambda net, h: net.head(F.relu(net.bn(h))), **NORM, head=head(4)), IMAGE, "b", "bn"),
        # something else reads what the layer writes
        (reading_conv(lambda net, h: net.head(h + net.bn(h)), **NORM, head=head(4)), IMAGE, "b", None),
        (reading_conv(lambda net, h: (h, net.bn(h)), **NORM), IMAGE, "b", None),
        # called twice
        (reading_conv(lambda net, h: net.head(net.bn(net.bn(h))), **NORM, head=head(4)), IMAGE, "b", None),
        (
            nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Linear(5, 2)),
            *((4,), "1", "2"),
        ),
        # samples of five tokens: the norm has a number for each token and none for a unit
        (
            nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 3), nn.Linear(3, 5), nn.BatchNorm1d(5)),
            *((5, 4), "2", None),
        ),
    ],
)
def test_normalizing_is_of_the_layer_that_it_alone_reads(
    net: nn.Module, shape: tuple[int, ...], layer: str, norm: str | None
) -> None:
    graph = graph_of(net, shape)
    found = {consumer.layer: consumer.norm for each in graph.layer_inputs for consumer in each.consumers}
    assert found.pop(layer) == norm
    assert set(found.values()) <= {None}


def test_normalizing_twice_removes_nothing_that_one_call_needs() -> None:
    net = Wired(
        lambda net, x: net.head(net.c(net.bn(net.a(x))) + net.d(net.bn(net.b(x)))),
        **{"a": conv(3, 4), "b": conv(3, 4), "c": conv(4, 4), "d": conv(4, 4)},
        bn=nn.BatchNorm2d(4),
        head=head(4),
    )
    graph_of(net)


def test_a_layer_norm_freezes_what_it_mixes() -> None:
    net = nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3), nn.Linear(3, 2))
    check_frozen(net, Obstacle("0", 3, "LayerNorm"), shape=(4,))


def test_layers_after_a_layer_norm_can_be_removed() -> None:
    net = nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3), nn.Linear(3, 5), nn.GELU(), nn.Linear(5, 2))
    graph = graph_of(net, (4,))
    assert graph.layers == (HiddenLayer("2", "gelu", ("4",)),)
    assert graph.obstacles == (Obstacle("0", 3, "LayerNorm"),)


@pytest.mark.parametrize(
    ("options", "inside"),
    [
        ({"padding": "same"}, [5 / 6, 1, 5 / 6]),
        ({"padding": "valid"}, [1, 1, 1]),
        ({"padding_mode": "circular"}, [1, 1, 1]),
        ({"padding": 1}, [5 / 6, 1, 5 / 6]),
    ],
)
def test_convolving_knows_at_how_many_positions_a_tap_reads_zeros(
    options: dict[str, Any], inside: list[float]
) -> None:
    net = Wired(lambda net, x: net.head(net.b(net.a(x))), a=conv(3, 4), b=conv(4, 2, **options), head=head(2))
    (consumer,) = layer_input(graph_of(net), "b").consumers
    expected = torch.outer(*[torch.tensor(inside, dtype=torch.float64)] * 2).flatten()
    torch.testing.assert_close(consumer.inside, expected)


def test_convolving_counts_the_positions_that_it_writes() -> None:
    net = Wired(lambda net, x: net.head(net.b(net.a(x))), a=conv(3, 4, stride=2), b=conv(4, 4, padding=0))
    net.head = head(4)
    graph = graph_of(net, (3, 12, 8))
    assert graph.works["a.weight"] == Work(6 * 4, 1)
    assert graph.works["b.weight"] == Work(4 * 2, 1)


def test_multiplying_reads_pooled_maps_once_per_unit() -> None:
    graph = graph_of(Wired(lambda net, x: net.head(net.a(x)), a=conv(3, 4), head=head(4)))
    found = layer_input(graph, "head.2")
    assert (found.owner.tolist(), found.spread, found.mapped) == ([0, 1, 2, 3], 1, False)
    assert owner(graph, "head.2") == [0, 1, 2, 3]


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
def test_multiplying_reads_channels_that_come_last(permute: Callable[[Any], Any]) -> None:
    def forward(net: Any, x: Any) -> Any:
        return net.b(F.gelu(net.fc(permute(net.a(x)))))

    graph = graph_of(Wired(forward, a=conv(3, 4), fc=nn.Linear(4, 5), b=nn.Linear(5, 2)))
    assert graph.layers == (HiddenLayer("a", "identity", ("fc",)), HiddenLayer("fc", "gelu", ("b",)))
    found = layer_input(graph, "fc")
    # every position is a pattern of its own
    assert (found.owner.tolist(), found.spread, found.mapped, found.dim) == ([0, 1, 2, 3], 1, False, 3)
    assert graph.works["fc.weight"] == Work(36, 1)
    assert graph.works["b.weight"] == Work(36, 1)


def test_convolving_reads_channels_permuted_back() -> None:
    def forward(net: Any, x: Any) -> Any:
        h = net.fc(net.a(x).permute(0, 2, 3, 1))
        return net.b(h.permute(0, 3, 1, 2))

    graph = graph_of(Wired(forward, a=conv(3, 4), fc=nn.Linear(4, 5), b=conv(5, 2)))
    assert owner(graph, "b") == [4, 5, 6, 7, 8]
    assert (layer_input(graph, "b").dim, layer_input(graph, "b").mapped) == (1, True)


def test_convolving_freezes_channels_along_another_dimension() -> None:
    net = Wired(lambda net, x: net.b(net.a(x).permute(0, 2, 1, 3)), a=conv(3, 4), b=conv(6, 2))
    check_frozen(net, Obstacle("a", 4, "Conv2d"))


def test_multiplying_over_positions_freezes_channels_and_writes_units() -> None:
    net = Wired(lambda net, x: net.c(net.b(net.a(x))), a=conv(3, 4), b=nn.Linear(6, 5), c=nn.Linear(5, 2))
    graph = graph_of(net)
    assert graph.obstacles == (Obstacle("a", 4, "Linear"),)
    assert graph.layers == (HiddenLayer("b", "identity", ("c",)),)


class Doubled(nn.Conv2d):
    """As a plain one, with its output twice."""

    def forward(self, x: Any) -> Any:
        return 2 * super().forward(x)


class Standardized(nn.Conv2d):
    """Its weight is standardized over what it reads."""

    def forward(self, x: Any) -> Any:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding)


class Activated(nn.BatchNorm2d):
    """A batch norm with its activation."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.act = nn.SiLU()

    def forward(self, x: Any) -> Any:
        return self.act(super().forward(x))


def derived(kind: type[nn.Conv2d]) -> Wired:
    parts = {"a": conv(3, 4), "b": kind(4, 6, 3, padding=1), "c": conv(6, 5), "head": head(5)}
    return Wired(lambda net, x: net.head(net.c(net.b(net.a(x)))), **parts)


def test_a_derived_convolution_that_acts_like_one_is_one() -> None:
    assert list(graph_of(derived(Doubled)).spans) == ["a", "b", "c"]


def test_a_convolution_that_computes_with_its_whole_weight_freezes_what_it_reads() -> None:
    graph = graph_of(derived(Standardized))
    assert list(graph.spans) == ["b", "c"]
    assert graph.obstacles == (Obstacle("a", 4, "Standardized"),)


def test_a_norm_with_an_activation_is_a_norm() -> None:
    parts = {"a": conv(3, 4), "norm": Activated(4), "b": conv(4, 5), "head": head(5)}
    graph = graph_of(Wired(lambda net, x: net.head(net.b(net.norm(net.a(x)))), **parts))
    assert graph.layers[0] == HiddenLayer("a", "silu", ("b",))


def test_a_group_norm_makes_each_of_its_groups_a_unit() -> None:
    parts = {"a": conv(3, 6), "norm": nn.GroupNorm(3, 6), "b": conv(6, 4), "head": head(4)}
    graph = graph_of(Wired(lambda net, x: net.head(net.b(F.relu(net.norm(net.a(x))))), **parts))
    assert graph.spans == {"a": (0, 3), "b": (3, 7)}
    assert cuts(graph)["norm.weight", 0] == [0, 0, 1, 1, 2, 2]
    check_frozen(nn.Sequential(conv(3, 4), nn.GroupNorm(1, 4), conv(4, 2)), Obstacle("0", 4, "GroupNorm"))


def test_a_layer_norm_within_heads_leaves_heads_alone() -> None:
    def forward(net: Any, x: Any) -> Any:
        h = net.norm(net.a(x).unflatten(-1, (-1, 4))).flatten(-2)
        return net.b(h)

    graph = graph_of(Wired(forward, a=nn.Linear(5, 12), norm=nn.LayerNorm(4), b=nn.Linear(12, 2)), (5,))
    assert owner(graph, "b") == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]


def test_a_downsampling_branch_is_cut_with_its_stream() -> None:
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


def test_convolving_depthwise_ties_inputs_to_outputs() -> None:
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


def test_convolving_depthwise_may_write_several_channels_per_unit() -> None:
    net = Wired(
        lambda net, x: net.head(net.c(net.deep(net.a(x)))),
        **{"a": conv(3, 2), "deep": conv(2, 6, groups=2), "c": conv(6, 4), "head": head(4)},
    )
    graph = graph_of(net)
    assert graph.spans["a"] == (0, 2)
    assert cuts(graph)["deep.bias", 0] == [0, 0, 0, 1, 1, 1]
    assert cuts(graph)["c.weight", 1] == [0, 0, 0, 1, 1, 1]


def test_convolving_the_input_depthwise_writes_no_units() -> None:
    net = Wired(lambda net, x: net.b(net.deep(x)), deep=conv(3, 6, groups=3), b=conv(6, 2))
    check_frozen(net)


def test_convolving_makes_each_group_one_unit() -> None:
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


def test_convolving_makes_overlapping_groups_one_unit() -> None:
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


def test_squeeze_and_excitation_reads_and_weighs_the_same_units() -> None:
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
    """The fractions of all taps, row by row, counted tap by tap and position by position."""
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
def test_inside_fractions_agree_with_counting(
    size: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> None:
    options: Any = {"stride": stride, "padding": padding, "dilation": dilation}
    wanted = [len(positions(*axis)) for axis in zip(size, kernel, stride, padding, dilation, strict=True)]
    assume(min(wanted) > 0)
    layer = nn.Conv2d(1, 1, kernel, **options)
    after = tuple(layer(torch.zeros(1, 1, *size)).shape[2:])
    assert list(after) == wanted
    found = inside_fractions(layer, size, after)
    assert found.dtype == torch.float64
    assert found.tolist() == pytest.approx(counted(size, kernel, stride, padding, dilation))


@given(kernel=PAIR, padding=st.tuples(st.integers(0, 2), st.integers(0, 2)))
def test_inside_fractions_are_the_means_of_a_map_of_ones_through_one_tap(kernel: Pair, padding: Pair) -> None:
    layer = nn.Conv2d(1, 1, kernel, padding=padding, bias=False)
    taps = kernel[0] * kernel[1]
    with torch.inference_mode():
        means = []
        for tap in range(taps):
            layer.weight.copy_(torch.eye(taps)[tap].reshape(layer.weight.shape))
            means.append(float(layer(torch.ones(1, 1, 5, 4)).mean()))
        after = tuple(layer(torch.ones(1, 1, 5, 4)).shape[2:])
    assert inside_fractions(layer, (5, 4), after).tolist() == pytest.approx(means)


def test_consumers_have_the_inside_fractions_of_the_map_that_they_read() -> None:
    net = Wired(lambda net, x: net.head(net.b(net.pool(net.a(x)))), a=conv(3, 4), b=conv(4, 4), head=head(4))
    net.pool = nn.MaxPool2d(2)
    (consumer,) = layer_input(graph_of(net), "b").consumers
    # a map of 3x3: the outer taps miss one of three positions on each side
    assert consumer.inside.tolist() == pytest.approx(
        [4 / 9, 6 / 9, 4 / 9, 6 / 9, 1, 6 / 9, 4 / 9, 6 / 9, 4 / 9]
    )


def test_inside_fractions_are_one_without_padding() -> None:
    net = Wired(lambda net, x: net.head(net.b(net.a(x))), a=conv(3, 4), b=conv(4, 4, padding=0), head=head(4))
    (consumer,) = layer_input(graph_of(net), "b").consumers
    assert consumer.inside.tolist() == [1.0] * 9


def test_a_dense_layer_has_one_tap_that_is_always_inside() -> None:
    graph = channel_graph(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)), (4,))
    (consumer,) = layer_input(graph, "2").consumers
    assert consumer.inside.tolist() == [1.0]
