"""Engines whose times follow from the network, for the tests of pruning to a speed."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
import torch
from torch import nn

from emoprune.networks.costs import profiling
from emoprune.networks.costs.latency import LatencyTable
from emoprune.networks.graph.types import ChannelGraph
from emoprune.pruning import prune, speed
from emoprune.pruning.speed import Times


def tables_of_macs(graph: ChannelGraph, net: nn.Module) -> Mapping[str, LatencyTable]:
    """Tables by which each multiply-accumulate takes a nanosecond."""
    found = {}
    for name, work in graph.works.items():
        weight = net.get_parameter(name)
        rows, columns = weight.shape[:2]
        each = weight[0, 0].numel() * work.positions / 1e6
        corners = [[each, each * columns], [each * rows, each * rows * columns]]
        ms = torch.tensor(corners, dtype=torch.float64)
        keep_rows, keep_columns = [0, 1][rows == 1 :], [0, 1][columns == 1 :]
        sides = ((1, rows)[rows == 1 :], (1, columns)[columns == 1 :])
        found[name] = LatencyTable(*sides, ms[keep_rows][:, keep_columns])
    return found


def set_times(monkeypatch: pytest.MonkeyPatch, ms: Callable[[int], float]) -> list[int]:
    """Let a network take `ms` of its multiply-accumulates; those of all that are timed are returned."""
    timed: list[int] = []

    class Clock:
        def __init__(self, whole: nn.Module, input_shape: tuple[int, ...], threads: int) -> None:
            self.whole, self.shape = whole, input_shape

        def times(self, net: nn.Module | None) -> Times:
            macs = [profiling.cost(each or self.whole, self.shape).macs for each in (None, net)]
            timed.append(macs[1])
            before, after = map(ms, macs)
            return Times(before, after, before / after, before)

    monkeypatch.setattr(speed, "Stopwatch", Clock)
    monkeypatch.setattr(prune, "timed_layers", lambda net, shape, graph, threads: tables_of_macs(graph, net))
    return timed
