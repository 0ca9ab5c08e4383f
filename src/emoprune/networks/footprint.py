"""What a network of fewer units would cost to run and to keep, counted without building it."""

from __future__ import annotations

from collections import defaultdict

import torch
from torch import Tensor, nn

from emoprune.choices import Price
from emoprune.networks.graph.types import FROZEN, ChannelGraph

ROWS, COLUMNS = 0, 1


class Footprint:
    """Multiply-accumulates and parameters of the layers of a graph while units are taken from them.

    `macs` and `parameters` count the tensors that units stand in, all of them together; a layer's units are
    taken to be alike.
    """

    def __init__(self, graph: ChannelGraph, net: nn.Module) -> None:
        parameters = dict(net.named_parameters())
        starts = torch.tensor([start for start, _ in graph.spans.values()])
        self.left = torch.tensor([stop - start for start, stop in graph.spans.values()])
        sizes: list[tuple[int, int, int, int]] = []
        number: dict[str, int] = {}
        each: dict[tuple[int, int], list[int]] = defaultdict(lambda: [0, 0])
        for place in graph.cuts:
            if place.tensor not in parameters:
                continue
            shape = parameters[place.tensor].shape
            if place.tensor not in number:
                number[place.tensor] = len(sizes)
                work = graph.works.get(place.tensor)
                columns = shape[1] if len(shape) > 1 else 1
                sizes.append(
                    (
                        shape[0],
                        columns,
                        shape.numel() // (shape[0] * columns),
                        work.positions if work else 0,
                    )
                )
            owned = place.owner[place.owner != FROZEN]
            layers = torch.searchsorted(starts, owned, right=True) - 1
            for layer, count in zip(
                *(part.tolist() for part in layers.unique(return_counts=True)), strict=True
            ):
                each[number[place.tensor], layer][place.dim] += count // int(self.left[layer])
        self._entries = [(tensor, layer, *counts) for (tensor, layer), counts in each.items()]
        self._of_layer: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
        for tensor, layer, rows, columns in self._entries:
            self._of_layer[layer].append((tensor, rows, columns))
        table = torch.tensor(self._entries, dtype=torch.long).reshape(-1, 4)
        self._tensor, self._layer, self._rows, self._columns = table.T
        self._state = torch.tensor(sizes).reshape(-1, 4)

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one sample."""
        rows, columns, rest, positions = self._state.T
        return int((rows * columns * rest * positions).sum())

    @property
    def parameters(self) -> int:
        """Parameters."""
        rows, columns, rest, _ = self._state.T
        return int((rows * columns * rest).sum())

    def savings(self, price: Price) -> Tensor:
        """What one unit less of each layer saves of `price`, (layers,)."""
        if price == "units":
            return torch.ones_like(self.left)
        rows, columns, rest, positions = self._state[self._tensor].T
        less = (self._rows * columns + self._columns * rows - self._rows * self._columns) * rest
        saved = torch.zeros_like(self.left)
        return saved.index_add_(0, self._layer, less * positions if price == "macs" else less)

    def take(self, layer: int, units: int = 1) -> None:
        """Take units from a layer, by its number."""
        self.left[layer] -= units
        for tensor, rows, columns in self._of_layer[layer]:
            self._state[tensor, ROWS] -= rows * units
            self._state[tensor, COLUMNS] -= columns * units
