"""From ties to units: how they are numbered, where they are first seen, what is listed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from emoprune.networks.graph.types import Obstacle
from emoprune.networks.types import HiddenLayer
from tests.support.wiring import Wired, check_frozen, conv, cuts, graph_of, head, owner, smaller


def test_units_are_numbered_layer_by_layer_in_the_order_in_which_the_network_runs() -> None:
    net = Wired(
        lambda net, x: net.head(net.second(net.first(x))),
        # named and added the other way round
        **{"second": conv(4, 5), "first": conv(3, 4), "head": head(5)},
    )
    graph = graph_of(net)
    assert list(graph.spans.items()) == [("first", (0, 4)), ("second", (4, 9))]
    assert [layer.name for layer in graph.layers] == ["first", "second"]
    assert graph.units == 9


def test_spans_follow_one_another_without_gaps() -> None:
    graph = graph_of(nn.Sequential(*(nn.Linear(width, width + 1) for width in range(2, 8))), (2,))
    stops = [stop for _, stop in graph.spans.values()]
    assert [start for start, _ in graph.spans.values()] == [0, *stops[:-1]]
    assert stops[-1] == graph.units == 3 + 4 + 5 + 6 + 7


def test_every_unit_is_written_and_read() -> None:
    def forward(net: Any, x: Any) -> Any:
        h = F.relu(net.a(x))
        h = torch.cat([h, h + net.b(h)], 1)
        return net.head(net.c(net.deep(h)))

    net = Wired(forward, a=conv(3, 4), b=conv(4, 4), deep=conv(8, 8, groups=8), c=conv(8, 5), head=head(5))
    graph = graph_of(net)
    written = {unit for (name, dim), units in cuts(graph).items() if dim == 0 for unit in units}
    read = {unit for found in graph.readings for unit in found.owner.tolist()}
    assert written - {-1} == read - {-1} == set(range(graph.units))
    # the sum is tied to what it adds to, so both halves are the same four
    assert owner(graph, "c") == [0, 1, 2, 3, 0, 1, 2, 3]


def test_a_layer_that_only_adds_to_anothers_units_is_no_layer_of_its_own() -> None:
    def forward(net: Any, x: Any) -> Any:
        return net.head(net.a(x) + net.b(x))

    graph = graph_of(Wired(forward, a=conv(3, 4), b=conv(3, 4), head=head(4)))
    assert list(graph.spans) == ["a"]
    assert cuts(graph)["b.weight", 0] == [0, 1, 2, 3]


def test_a_layer_that_nothing_reads_has_no_units() -> None:
    def forward(net: Any, x: Any) -> Any:
        net.unread(x)
        return net.head(net.a(x))

    graph = graph_of(Wired(forward, unread=conv(3, 5), a=conv(3, 4), head=head(4)))
    assert list(graph.spans) == ["a"]
    assert graph.obstacles == ()


def test_what_is_only_weighed_channel_by_channel_before_it_is_dropped_has_no_units() -> None:
    def forward(net: Any, x: Any) -> Any:
        net.deep(net.unread(x))
        return net.head(net.a(x))

    net = Wired(forward, unread=conv(3, 5), deep=conv(5, 5, groups=5), a=conv(3, 4), head=head(4))
    assert list(graph_of(net).spans) == ["a"]


def test_a_layer_read_in_several_places_lists_all_its_readers_and_is_seen_in_the_first() -> None:
    def forward(net: Any, x: Any) -> Any:
        h = net.a(x)
        return net.b(torch.relu(h)), net.c(h), net.d(torch.relu(h))

    dense = {"a": nn.Linear(4, 3), "b": nn.Linear(3, 2), "c": nn.Linear(3, 2), "d": nn.Linear(3, 2)}
    graph = graph_of(Wired(forward, **dense), (4,))
    assert graph.layers == (HiddenLayer("a", "relu", ("b", "c", "d")),)
    assert graph.sources == {"a": "b"}
    assert [found.name for found in graph.readings] == ["b", "c", "d"]


def test_readings_without_a_unit_are_left_out() -> None:
    graph = graph_of(Wired(lambda net, x: net.head(net.a(x)), a=conv(3, 4), head=head(4)))
    # a itself reads the input
    assert [found.name for found in graph.readings] == ["head.2"]


def test_every_weight_has_its_work_even_where_nothing_of_it_can_go() -> None:
    net = Wired(lambda net, x: net.b(net.a(x).flip(1)), a=conv(3, 4), b=conv(4, 2))
    assert set(graph_of(net).works) == {"a.weight", "b.weight"}


def test_an_obstacle_is_listed_for_the_layer_that_writes_what_it_keeps() -> None:
    def forward(net: Any, x: Any) -> Any:
        h = net.a(x)
        h = h + net.b(h)
        return net.d(net.c(h.flip(1)))

    net = Wired(forward, a=conv(3, 4), b=conv(4, 4), c=conv(4, 5), d=conv(5, 2))
    graph = graph_of(net)
    # b only adds to what a is first to write
    assert graph.obstacles == (Obstacle("a", 4, "flip"),)
    assert list(graph.spans) == ["c"]


def test_an_obstacle_counts_the_channels_that_stay_and_no_others() -> None:
    def forward(net: Any, x: Any) -> Any:
        h, g = net.a(x), net.b(x)
        return net.head(net.c(torch.cat([h.flip(1), g.relu()], 1)) + net.d(torch.cat([h, g], 1)))

    net = Wired(forward, **{"a": conv(3, 2), "b": conv(3, 3), "c": conv(5, 4), "d": conv(5, 4)}, head=head(4))
    graph = graph_of(net)
    # a is turned round; b meets the result in a concatenation that has lost its count
    assert graph.obstacles == (Obstacle("a", 2, "flip"), Obstacle("b", 3, "flip"))
    assert list(graph.spans) == ["c"]


def test_an_obstacle_of_whole_groups_counts_their_channels() -> None:
    net = Wired(
        lambda net, x: net.b(net.grouped(net.a(x)).flip(1)),
        **{"a": conv(3, 6), "grouped": conv(6, 6, groups=2), "b": conv(6, 2)},
    )
    check_frozen(net, Obstacle("a", 6, "flip"))


def test_of_several_operations_that_keep_a_layer_the_first_is_named() -> None:
    def forward(net: Any, x: Any) -> Any:
        g, h = net.p(x), net.q(x)
        h = net.a(x) + torch.cat([g, h], 1) + torch.cat([net.r(g.roll(1, 1)), net.r2(h.flip(1))], 1)
        return net.b(h)

    parts = {"p": conv(3, 2), "q": conv(3, 2), "a": conv(3, 4), "r": conv(2, 2), "r2": conv(2, 2)}
    graph = graph_of(Wired(forward, **parts, b=conv(4, 2)))
    assert graph.obstacles == (Obstacle("p", 2, "roll"), Obstacle("q", 2, "flip"))

    def backwards(net: Any, x: Any) -> Any:
        h = net.a(x)
        g, k = net.p(x), net.q(x)
        return net.b(h + torch.cat([g, k], 1)), k.flip(1), g.roll(1, 1)

    graph = graph_of(Wired(backwards, **parts, b=conv(4, 2)))
    assert graph.obstacles == (Obstacle("a", 4, "roll"),)


def test_a_layers_source_sees_all_of_its_units() -> None:
    def forward(net: Any, x: Any) -> Any:
        whole, part = net.whole(x), net.part(x)
        return net.early(part), net.late(whole + torch.cat([part, net.other(x)], 1))

    parts = {"whole": conv(3, 4), "part": conv(3, 2), "other": conv(3, 2)}
    graph = graph_of(Wired(forward, **parts, early=conv(2, 2), late=conv(4, 2)))
    assert graph.spans == {"whole": (0, 4)}
    assert set(range(4)) <= set(owner(graph, graph.sources["whole"]))


@pytest.mark.parametrize("left", [1, 2, 3])
@pytest.mark.parametrize(("channels", "groups"), [(4, 1), (4, 4), (8, 4)])
def test_what_is_left_of_a_network_has_the_same_layers(left: int, channels: int, groups: int) -> None:
    net = Wired(
        lambda net, x: net.head(net.c(net.b(net.a(x)))),
        **{"a": conv(3, channels), "b": conv(channels, channels, groups=groups), "c": conv(channels, 4)},
        head=head(4),
    )
    graph = graph_of(net)
    alive = torch.zeros(graph.units, dtype=torch.bool)
    for start, _ in graph.spans.values():
        alive[start : start + left] = True
    again = graph_of(smaller(net, graph, alive).float())
    assert {layer: stop - start for layer, (start, stop) in again.spans.items()} == dict.fromkeys(
        graph.spans, left
    )
    assert again.sources == graph.sources


def test_what_the_network_returns_is_no_obstacle() -> None:
    assert graph_of(nn.Sequential(conv(3, 4), conv(4, 2))).obstacles == ()


def test_a_network_that_returns_its_hidden_units_too_keeps_them() -> None:
    def forward(net: Any, x: Any) -> Any:
        h = torch.relu(net.a(x))
        return h, net.b(h)

    check_frozen(Wired(forward, a=nn.Linear(4, 3), b=nn.Linear(3, 2)), shape=(4,))
