"""Channel ids during tracing: how they are tied, and which operations freeze them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]

SILENT = ""
"""The reason why inputs and classes are frozen, which users need not read."""


@dataclass(frozen=True)
class Channels:
    """The channels of one tensor of a traced network.

    `ids` (channels,) lie along dimension `dim` of a tensor of `shape`, with `spread` neighboring indices per
    channel after a map was flattened. `activation` is the last element-wise function applied.
    """

    ids: Ids
    dim: int
    shape: tuple[int, ...]
    spread: int = 1
    activation: str = "identity"


class Pool:
    """All channel ids of a network; ids that are tied are removed together or not at all."""

    def __init__(self) -> None:
        self._parent: list[int] = []
        self._frozen: dict[int, str] = {}

    def fresh(self, count: int) -> Ids:
        """`count` new ids."""
        first = len(self._parent)
        self._parent.extend(range(first, first + count))
        return np.arange(first, first + count)

    def root(self, channel: int) -> int:
        """The id that stands for all that are tied to `channel`."""
        parent = self._parent
        while parent[channel] != channel:
            parent[channel] = parent[parent[channel]]
            channel = parent[channel]
        return channel

    def roots(self, ids: Ids) -> Ids:
        """`root` of each id."""
        return np.array([self.root(int(channel)) for channel in ids], dtype=np.int64)

    def tie(self, first: Ids, second: Ids) -> None:
        """Tie ids pair by pair; the older stands for both."""
        for left, right in zip(first, second, strict=True):
            older, younger = sorted((self.root(int(left)), self.root(int(right))))
            self._parent[younger] = older

    def tie_all(self, ids: Ids) -> None:
        """Tie all of `ids` to one another."""
        self.tie(ids[1:], np.full(len(ids) - 1, ids[0]))

    def freeze(self, ids: Iterable[int], operation: str) -> None:
        """Keep `ids`, and all that are or will be tied to them, because of `operation`."""
        for channel in ids:
            self._frozen.setdefault(int(channel), operation)

    def obstacles(self) -> dict[int, str]:
        """The operation that froze each root; one that users should read comes before SILENT."""
        found: dict[int, str] = {}
        for channel, operation in self._frozen.items():
            root = self.root(channel)
            found[root] = found.get(root) or operation
        return found
