"""Operations that only move elements: what they do to channels, and around which units can go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from emoprune.networks.graph.types import Obstacle
from tests.support.wiring import Wired, check_frozen, conv, cuts, graph_of, head, layer_input, owner


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


def test_flattening_to_the_same_shape_changes_nothing() -> None:
    net = Wired(lambda net, x: net.b(net.f(net.a(x))), a=conv(3, 4), b=conv(4, 2))
    net.f = Wired(lambda net, h: h.view(h.shape))
    assert owner(graph_of(net), "b") == [0, 1, 2, 3]


def test_flattening_to_a_fixed_size_freezes_the_map() -> None:
    # with fewer channels there would be fewer samples, each a mixture
    check_frozen(between(lambda h: h.view(-1, 144), inputs=144), Obstacle("a", 4, "view"))


@pytest.mark.parametrize(
    ("function", "wanted"),
    [
        (lambda h: h.permute(0, 2, 3, 1).flatten(1), [0, 1, 2, 3] * 36),
        (lambda h: h.transpose(1, 2).flatten(1), ([0] * 6 + [1] * 6 + [2] * 6 + [3] * 6) * 6),
        (lambda h: h.flip(1).mean((2, 3)).repeat(1, 36), [3, 2, 1, 0] * 36),
        (lambda h: h.flatten(2).repeat_interleave(1, 1).flatten(1), None),
        (lambda h: h.view(h.shape[0], 2, h.shape[1] // 2, 36).transpose(1, 2).flatten(1), [0, 0, 1, 1]),
        (lambda h: torch.cat(h.chunk(2, 1)[::-1], 1).flatten(1), [0, 1] * 2),
        (lambda h: (1 - h).flatten(1), [0, 1, 2, 3]),
    ],
)
def test_moving_follows_every_element(function: Callable[[Any], Any], wanted: list[int] | None) -> None:
    net = between(function, inputs=144)
    if wanted is None:
        check_frozen(net, Obstacle("a", 4, "repeat_interleave"))
    else:
        assert owner(graph_of(net), "fc") == wanted


def test_a_channel_shuffle_ties_what_it_deals_to_halves() -> None:
    def forward(net: Any, x: Any) -> Any:
        h = net.a(x)
        h = h.view(h.shape[0], 2, h.shape[1] // 2, *h.shape[2:]).transpose(1, 2)
        h = h.reshape(h.shape[0], -1, *h.shape[3:])
        left, right = h.chunk(2, 1)
        return net.head(net.b(right) + net.c(left))

    parts = {"a": conv(3, 8), "b": conv(4, 3), "c": conv(4, 3), "head": head(3)}
    graph = graph_of(Wired(forward, **parts))
    # dealt in turns: 0 4 1 5 | 2 6 3 7
    assert cuts(graph)["a.weight", 0] == [0, 1, 0, 1] * 2
    assert owner(graph, "c") == [0, 0, 1, 1]


def test_a_scale_by_channel_that_is_shaped_with_the_size_of_the_maps_goes_with_them() -> None:
    def forward(net: Any, x: Any) -> Any:
        h = F.relu(net.a(x))
        count, channels, _, _ = h.size()
        scale = net.expand(F.relu(net.squeeze(F.adaptive_avg_pool2d(h, 1).view(count, channels))))
        return net.head(h * torch.sigmoid(scale).view(count, channels, 1, 1))

    parts = {"a": conv(3, 6), "squeeze": nn.Linear(6, 2), "expand": nn.Linear(2, 6), "head": head(6)}
    graph = graph_of(Wired(forward, **parts))
    assert graph.obstacles == ()
    assert graph.spans == {"a": (0, 6), "squeeze": (6, 8)}
    assert cuts(graph)["expand.weight", 0] == [0, 1, 2, 3, 4, 5]
