"""Channel ids during tracing: how they are tied, and which operations freeze them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]

SILENT = ""
"""The reason why inputs and classes are frozen, which users need not read."""


@dataclass(frozen=True)
class Channels:
    """The channels of one tensor of a network.

    `ids` has the dimensions of the tensor, whose shape is `shape`: as long as it where elements belong to
    different channels, else of length 1. The tensor gets shorter along `dim` when units are removed: all
    ids at one index of it are tied. `spread` neighboring indices are positions of one flattened map.
    `activation` is the last element-wise function applied.
    """

    ids: Ids
    dim: int
    shape: tuple[int, ...]
    spread: int = 1
    activation: str = "identity"

    @classmethod
    def along(cls, ids: Ids, dim: int, shape: tuple[int, ...], **others: Any) -> Channels:
        """Channels with `ids` (length of `dim`,) along one dimension alone."""
        sides = [1] * len(shape)
        sides[dim] = len(ids)
        return cls(ids.reshape(sides), dim, shape, **others)

    @property
    def line(self) -> Ids:
        """One id for each index along `dim`, which stands for all that are tied there."""
        return np.moveaxis(self.ids, self.dim, 0).reshape(self.ids.shape[self.dim], -1)[:, 0]

    def of_shape(self, shape: tuple[int, ...], activation: str | None = None) -> Channels:
        """The same channels in a tensor of another shape, after an element-wise function if one is given."""
        return replace(self, shape=shape, activation=self.activation if activation is None else activation)


@dataclass(frozen=True)
class Table:
    """A parameter or buffer, or what was rearranged of it.

    `places` has the place of each element in the stored one, flattened; `stored` is its shape, and `free`
    its dimensions along which it may get shorter.
    """

    name: str
    stored: tuple[int, ...]
    places: Ids
    free: frozenset[int]


class Pool:
    """All channel ids of a network; ids that are tied are removed together or not at all."""

    def __init__(self) -> None:
        self._parent: list[int] = []
        # by root: whether the operation is SILENT, how many were before, its name; the least counts
        self._frozen: dict[int, tuple[bool, int, str]] = {}
        self._times = 0

    def copy(self) -> Pool:
        """One to try ties on."""
        found = Pool()
        found._parent, found._frozen, found._times = self._parent.copy(), self._frozen.copy(), self._times
        return found

    def adopt(self, tried: Pool) -> None:
        """Take over what was tried on a copy."""
        self._parent, self._frozen = tried._parent, tried._frozen

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
        """`root` of each id, in the same shape."""
        each, places = np.unique(ids, return_inverse=True)
        found = np.array([self.root(channel) for channel in each.tolist()], dtype=np.int64)
        return found[places].reshape(ids.shape)

    def tie(self, first: Ids, second: Ids) -> None:
        """Tie ids pair by pair; the older stands for both."""
        for left, right in zip(first.tolist(), second.tolist(), strict=True):
            older, younger = sorted((self.root(left), self.root(right)))
            if older != younger:
                self._parent[younger] = older
                reason = self._frozen.pop(younger, None)
                if reason is not None:
                    self._frozen[older] = min(self._frozen.get(older, reason), reason)

    def tie_all(self, ids: Ids) -> None:
        """Tie all of `ids` to one another."""
        self.tie(ids[1:], np.full(len(ids) - 1, ids[0]))

    def freeze(self, ids: Ids, operation: str) -> None:
        """Keep `ids`, and all that are or will be tied to them, because of `operation`.

        One that users should read comes before SILENT, and the first before others.
        """
        self._times += 1
        reason = (operation == SILENT, self._times, operation)
        for root in np.unique(self.roots(ids)).tolist():
            self._frozen[root] = min(self._frozen.get(root, reason), reason)

    def frozen(self, ids: Ids) -> bool:
        """Whether all of `ids` are kept already."""
        return all(self.root(channel) in self._frozen for channel in np.unique(ids).tolist())

    def obstacles(self) -> dict[int, str]:
        """The operation that froze each root."""
        return {root: operation for root, (_, _, operation) in self._frozen.items()}
