"""The channel graph: which layers write and read each unit, and where it lies in every tensor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from emoprune.networks.types import HiddenLayer

if TYPE_CHECKING:
    from torch import Tensor

FROZEN = -1
"""The unit of a channel that cannot be removed."""


@dataclass(frozen=True)
class Cut:
    """One dimension of a parameter or buffer, and the unit (or FROZEN) of each of its indices.

    `alone`: the tensor belongs to no layer that can be narrowed.
    """

    tensor: str
    dim: int
    owner: Tensor
    alone: bool = False


@dataclass(frozen=True)
class Number:
    """A whole number that a module keeps, such as that of its heads, and the unit of each it counts."""

    name: str
    owner: Tensor


@dataclass(frozen=True)
class Consumer:
    """A convolution or dense layer that mixes the channels of a layer input.

    `norm` is the batch norm that alone reads what it writes. `inside` (taps,) is the fraction of output
    positions at which each tap of its kernel lies inside the map and not on the zero padding.
    """

    layer: str
    norm: str | None
    inside: Tensor


@dataclass(frozen=True)
class LayerInput:
    """One activation tensor that layers read, named after the first of them.

    `owner` (channels,) has the unit of each channel or FROZEN; a consumer's weight has `spread` neighboring
    columns per channel, the positions of a flattened map. `mapped`: a channel has several positions in one
    pattern. `dim` is the channels' dimension in the consumers' input.
    """

    name: str
    consumers: tuple[Consumer, ...]
    owner: Tensor
    spread: int
    mapped: bool
    dim: int


@dataclass(frozen=True)
class Work:
    """How a weight is applied: at how many positions of one sample, in how many groups of channels."""

    positions: int
    groups: int


@dataclass(frozen=True)
class Obstacle:
    """Channels of a layer that cannot be removed, and the operation that freezes them."""

    layer: str
    channels: int
    operation: str


@dataclass(frozen=True)
class ChannelGraph:
    """Units of a whole network, numbered from 0 through all layers in network order.

    `spans` maps a layer to its first unit and the one after its last, `sources` to the first layer input with
    all its units. `cuts` are all places of units in tensors, `numbers` those in attributes of
    modules; `works` has every layer's weight.
    """

    layers: tuple[HiddenLayer, ...]
    spans: Mapping[str, tuple[int, int]]
    sources: Mapping[str, str]
    layer_inputs: tuple[LayerInput, ...]
    cuts: tuple[Cut, ...]
    numbers: tuple[Number, ...]
    works: Mapping[str, Work]
    obstacles: tuple[Obstacle, ...]

    @property
    def units(self) -> int:
        """Units of all layers together."""
        return max((stop for _, stop in self.spans.values()), default=0)
