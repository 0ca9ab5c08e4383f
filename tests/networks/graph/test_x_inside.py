"""The share of output positions at which a tap of a padded convolution stands inside the map."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn

from emoprune.networks.graph import channel_graph
from emoprune.networks.graph.rules import inside_shares
from tests.support.wiring import Wired, conv, graph_of, head, reading

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
    (reader,) = reading(graph_of(net), "b").readers
    # a map of 3x3: the outer taps miss one of three positions on each side
    assert reader.inside.tolist() == pytest.approx(
        [4 / 9, 6 / 9, 4 / 9, 6 / 9, 1, 6 / 9, 4 / 9, 6 / 9, 4 / 9]
    )


def test_without_padding_all_taps_are_always_inside() -> None:
    net = Wired(lambda net, x: net.head(net.b(net.a(x))), a=conv(3, 4), b=conv(4, 4, padding=0), head=head(4))
    (reader,) = reading(graph_of(net), "b").readers
    assert reader.inside.tolist() == [1.0] * 9


def test_a_dense_layer_has_one_tap_that_is_always_inside() -> None:
    graph = channel_graph(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)), (4,))
    (reader,) = reading(graph, "2").readers
    assert reader.inside.tolist() == [1.0]
