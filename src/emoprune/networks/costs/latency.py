"""Tables of how long layers take, by their widths."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class LatencyTable:
    """Milliseconds of one layer, (outputs, inputs), at the widths `outputs` and `inputs`, both ascending."""

    outputs: tuple[int, ...]
    inputs: tuple[int, ...]
    ms: Tensor


class LatencyTables:
    """Tables of several layers, read all at once: bilinear between the measured widths, 0 at width 0.

    Noise only adds to a time, so none is taken to be longer than that of a wider layer. None: a tensor that
    costs no time of its own.
    """

    def __init__(self, tables: Iterable[LatencyTable | None]) -> None:
        empty = LatencyTable((1,), (1,), torch.zeros(1, 1))
        known = [empty if table is None else table for table in tables]
        most = 1 + max((max(len(each.outputs), len(each.inputs)) for each in known), default=1)
        self._outputs = torch.stack([_grid(each.outputs, most) for each in known])
        self._inputs = torch.stack([_grid(each.inputs, most) for each in known])
        self._ns = torch.zeros(len(known), most, most, dtype=torch.float64)
        for number, each in enumerate(known):
            rising = 1e6 * each.ms.double().flip(0, 1).cummin(0).values.cummin(1).values.flip(0, 1)
            self._ns[number, 1 : 1 + len(each.outputs), 1 : 1 + len(each.inputs)] = rising

    def nanoseconds(self, number: Tensor, outputs: Tensor, inputs: Tensor) -> Tensor:
        """The time of the tables with these numbers at these widths, all (n,)."""
        ns = self._ns[number]
        each = torch.arange(len(number))
        row, down = _between(self._outputs[number], outputs)
        column, right = _between(self._inputs[number], inputs)
        above = ns[each, row, column] * (1 - right) + ns[each, row, column + 1] * right
        below = ns[each, row + 1, column] * (1 - right) + ns[each, row + 1, column + 1] * right
        return above * (1 - down) + below * down


def _grid(widths: tuple[int, ...], length: int) -> Tensor:
    """0 and the widths, followed by wider ones that no layer has."""
    beyond = range(widths[-1] + 1, widths[-1] + length - len(widths))
    return torch.tensor([0, *widths, *beyond], dtype=torch.float64)


def _between(grid: Tensor, width: Tensor) -> tuple[Tensor, Tensor]:
    """The last point of each grid that is not over the width, and how far it is on the way to the next."""
    width = width.double()[:, None]
    point = (torch.searchsorted(grid, width, right=True) - 1).clamp(0, grid.shape[1] - 2)
    low, high = grid.gather(1, point), grid.gather(1, point + 1)
    return point[:, 0], ((width - low) / (high - low))[:, 0]
