"""A trial removal: what it accepts and what it refuses."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import nn

from emoprune.errors import UsageFault
from emoprune.networks.graph import channel_graph
from emoprune.pruning.exactness import check_removal, difference
from tests.support.wiring import IMAGE, Wired, conv, head


def net_and_graph() -> tuple[Wired, Any]:
    net = Wired(
        lambda net, x: net.head(net.b(torch.relu(net.bn(net.a(x))))),
        **{"a": conv(3, 6), "bn": nn.BatchNorm2d(6), "b": conv(6, 4), "head": head(4)},
    ).eval()
    return net, channel_graph(net, IMAGE)


def test_difference_is_rounding_where_the_graph_is_right() -> None:
    net, graph = net_and_graph()
    alive = torch.arange(graph.units) % 2 == 0
    batch = torch.randn(2, *IMAGE, dtype=torch.float64)
    assert difference(net.double(), graph, alive, batch) < 1e-12
    check_removal(net.float(), graph, torch.zeros(1, *IMAGE))


@pytest.mark.parametrize(
    "answer",
    [
        lambda y: {"logits": y, "more": [y.argmax(1)]},
        lambda y: torch.log(torch.sigmoid(y)).mean(1),
        lambda y: y + torch.rand_like(y),
    ],
)
def test_check_removal_compares_all_that_a_network_returns(answer: Any) -> None:
    net, _ = net_and_graph()
    whole = Wired(lambda net, x: answer(net.body(x.sub_(0.5))), body=net).eval()
    check_removal(whole, channel_graph(whole, IMAGE), torch.rand(2, *IMAGE))


def test_check_removal_refuses_a_network_that_returns_no_tensor() -> None:
    net, _ = net_and_graph()
    whole = Wired(lambda net, x: (net.body(x), None)[1], body=net).eval()
    with pytest.raises(UsageFault, match="it returns no tensor"):
        check_removal(whole, channel_graph(whole, IMAGE), torch.rand(2, *IMAGE))


def test_check_removal_refuses_a_graph_that_misses_a_place() -> None:
    net, graph = net_and_graph()
    place = next(cut for cut in graph.cuts if cut.tensor == "bn.running_mean")
    wrong = dataclasses.replace(place, owner=place.owner.roll(1))
    net.bn.running_mean -= torch.arange(6)
    cuts = tuple(wrong if cut is place else cut for cut in graph.cuts)
    with pytest.raises(UsageFault, match="Wired without some units differs by"):
        check_removal(net, dataclasses.replace(graph, cuts=cuts), torch.zeros(1, *IMAGE))
    fewer = tuple(cut for cut in graph.cuts if not cut.tensor.startswith("bn."))
    with pytest.raises(UsageFault, match="Wired does not run with fewer units"):
        check_removal(net, dataclasses.replace(graph, cuts=fewer), torch.zeros(1, *IMAGE))
