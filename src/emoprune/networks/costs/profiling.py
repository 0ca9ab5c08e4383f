"""Costs of a network: parameters, multiply-accumulates, latency."""

from __future__ import annotations

import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from emoprune.choices import Price
from emoprune.networks import build
from emoprune.networks.costs.latency import LatencyTable, LatencyTables
from emoprune.networks.graph import channel_graph
from emoprune.networks.graph.types import FROZEN, ChannelGraph
from emoprune.networks.types import Checkpoint, Cost


def cost(net: nn.Module, input_shape: tuple[int, ...]) -> Cost:
    """Parameters, non-zero ones, and multiply-accumulates for one sample of `input_shape`."""
    parameters = [parameter.detach() for parameter in net.parameters()]
    return Cost(
        parameters=sum(parameter.numel() for parameter in parameters),
        nonzero_parameters=sum(int(parameter.count_nonzero()) for parameter in parameters),
        macs=macs(net, input_shape),
    )


def macs(net: nn.Module, input_shape: tuple[int, ...]) -> int:
    """Multiply-accumulates of convolutions, dense layers and attention for one sample of `input_shape`.

    The network may be on the meta device.
    """
    return _counted(net, input_shape).get_total_flops() // 2


def macs_by_module(net: nn.Module, input_shape: tuple[int, ...]) -> dict[str, int]:
    """The multiply-accumulates of `macs` by the module that computes them itself, as its state names it."""
    root = type(net).__name__
    counts = _counted(net, input_shape).get_flop_counts()
    found = {name: sum(counts[name].values()) // 2 for name in counts if name != "Global"}
    own = dict(found)
    for name, count in found.items():
        parent = name.rpartition(".")[0]
        while parent and parent not in found:
            parent = parent.rpartition(".")[0]
        if parent:
            own[parent] -= count
    return {name.removeprefix(root).removeprefix("."): count for name, count in own.items() if count}


def _counted(net: nn.Module, input_shape: tuple[int, ...]) -> FlopCounterMode:
    counter = FlopCounterMode(display=False)
    fused = torch.backends.mha.get_fastpath_enabled()
    # the counter does not see what fused attention computes
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), counter:
            net(next(net.parameters()).new_zeros(1, *input_shape))
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
    return counter


def hidden_units(checkpoint: Checkpoint) -> int:
    """Units of its measured layers or, without statistics, all that can be removed."""
    if checkpoint.layers:
        return checkpoint.units
    return channel_graph(build.blueprint(checkpoint.spec), checkpoint.spec.input).units


WARM_UP, LEAST_RUNS, MOST_RUNS, LONGEST_RUNS_S = 5, 20, 200, 5.0
LEAST_TURNS, MOST_TURNS, LONGEST_TURNS_S = 12, 400, 6.0


def turns_ms(
    first: Callable[[], object], second: Callable[[], object], clock: Callable[[], float]
) -> list[tuple[float, float]]:
    """Milliseconds of two calls that take turns, so that other load on the machine affects both alike.

    Up to 400 turns within 6 seconds, at least 12, after a first that does not count. `clock` gives seconds.
    """
    turns: list[tuple[float, float]] = []
    begun = time.perf_counter()
    while len(turns) <= LEAST_TURNS or (
        len(turns) <= MOST_TURNS and time.perf_counter() - begun < LONGEST_TURNS_S
    ):
        start = clock()
        first()
        between = clock()
        second()
        turns.append((1000 * (between - start), 1000 * (clock() - between)))
    return turns[1:]


def times_ms(run: Callable[[], object]) -> list[float]:
    """Milliseconds of wall time of calls of `run`, after 5 that warm up.

    Up to 200 calls within 5 seconds, at least 20.
    """
    for _ in range(WARM_UP):
        run()
    times: list[float] = []
    begun = time.perf_counter()
    while len(times) < LEAST_RUNS or (
        len(times) < MOST_RUNS and time.perf_counter() - begun < LONGEST_RUNS_S
    ):
        start = time.perf_counter()
        run()
        times.append(1000 * (time.perf_counter() - start))
    return times


class Footprint:
    """Multiply-accumulates and parameters of the layers of a graph while their units are removed.

    `macs` and `parameters` count all tensors that have units; the units of a layer are assumed to be alike.
    `nanoseconds` are those of the `tables` by weight, where there are any.
    """

    def __init__(
        self, graph: ChannelGraph, net: nn.Module, tables: Mapping[str, LatencyTable] | None = None
    ) -> None:
        parameters = dict(net.named_parameters())
        starts = torch.tensor([start for start, _ in graph.spans.values()])
        self.left = torch.tensor([stop - start for start, stop in graph.spans.values()])
        cuts = [cut for cut in graph.cuts if cut.tensor in parameters]
        number = {name: index for index, name in enumerate(dict.fromkeys(cut.tensor for cut in cuts))}
        sizes: list[tuple[int, int, int, int]] = []
        alone = {cut.tensor: cut.dim for cut in cuts if cut.alone}
        for name in number:
            # a parameter of no layer counts along the dimension that is cut
            rows, columns, *rest = (*parameters[name].movedim(alone.get(name, 0), 0).shape, 1)
            work = graph.works.get(name)
            sizes.append((rows, columns, math.prod(rest), work.positions if work else 0))
        each: dict[tuple[int, int], list[int]] = defaultdict(lambda: [0, 0])
        for cut in cuts:
            owned = cut.owner[cut.owner != FROZEN]
            layers = torch.searchsorted(starts, owned, right=True) - 1
            for layer, count in Counter(layers.tolist()).items():
                each[number[cut.tensor], layer][0 if cut.alone else cut.dim] += count // int(self.left[layer])
        self._tensor, self._layer = torch.tensor([*each], dtype=torch.long).reshape(-1, 2).T
        self._each = torch.tensor([*each.values()], dtype=torch.long).reshape(-1, 2)
        self._state = torch.tensor(sizes).reshape(-1, 4)
        self._tables = LatencyTables(map(tables.get, number)) if tables else None

    @property
    def channels(self) -> list[int]:
        """How much narrower all tensors become at least with each unit of a layer, or a multiple of it."""
        return [
            math.gcd(*self._each[self._layer == layer].flatten().tolist()) for layer in range(len(self.left))
        ]

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one sample."""
        return int(self._state.prod(1).sum())

    @property
    def parameters(self) -> int:
        """Parameters."""
        return int(self._state[:, :3].prod(1).sum())

    @property
    def nanoseconds(self) -> int:
        """What the layers take for one sample, by their tables."""
        assert self._tables is not None
        outputs, inputs, *_ = self._state.T
        return int(self._tables.nanoseconds(torch.arange(len(self._state)), outputs, inputs).sum())

    def savings(self, price: Price) -> Tensor:
        """What removing one unit of each layer saves of `price`, (layers,)."""
        if price == "units":
            return torch.ones_like(self.left)
        rows, columns, rest, positions = self._state[self._tensor].T
        fewer_rows, fewer_columns = self._each.T
        saved = torch.zeros_like(self.left)
        if price == "nanoseconds":
            assert self._tables is not None
            before, after = (
                self._tables.nanoseconds(
                    self._tensor, rows - less * fewer_rows, columns - less * fewer_columns
                )
                for less in (0, 1)
            )
            return saved.double().index_add_(0, self._layer, before - after).round().long()
        less = (fewer_rows * columns + fewer_columns * rows - fewer_rows * fewer_columns) * rest
        return saved.index_add_(0, self._layer, less * positions if price == "macs" else less)

    def take(self, layer: int, units: int = 1) -> None:
        """Remove units of a layer, by its number."""
        self.left[layer] -= units
        own = self._layer == layer
        self._state[self._tensor[own], :2] -= self._each[own] * units
