"""The three networks of MTCNN (Zhang et al. 2016, figure 2), laid out to be fast on a CPU.

They compute the same as facenet-pytorch's, except for rounding: channels come last in memory, as in Pillow;
the first layer is padded with idle channels; max pooling does not record positions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Layer = TypeVar("Layer", bound=nn.Module)
Weights = Mapping[str, Tensor]
Name = Literal["pnet", "rnet", "onet"]

LANE = 16
"""Channels that the processor computes together: oneDNN takes three times as long for 28 as for 32."""


@dataclass(frozen=True)
class Design:
    """One network: the size of the pooling after each convolution or 0, the dense layer, the output layers.

    The first output is whether there is a face. Layers have facenet-pytorch's names.
    """

    pools: tuple[int, ...]
    dense: str | None
    answers: tuple[str, ...]


DESIGNS: dict[Name, Design] = {
    "pnet": Design((2, 0, 0), None, ("conv4_1", "conv4_2")),
    "rnet": Design((3, 3, 0), "dense4", ("dense5_1", "dense5_2")),
    "onet": Design((3, 3, 2, 0), "dense5", ("dense6_1", "dense6_2", "dense6_3")),
}


class Network(nn.Module):
    """One of the three, made from its weights under facenet-pytorch's names; frozen."""

    def __init__(self, design: Design, weights: Weights) -> None:
        super().__init__()
        layers = _convolutions(design, weights)
        self.first, self.trunk = nn.Sequential(*layers[:2]), nn.Sequential(*layers[2:])
        self.dense = nn.Sequential(*_dense(design, weights))
        heads = [weights[f"{name}.weight"].flatten(1) for name in design.answers]
        biases = [weights[f"{name}.bias"] for name in design.answers]
        # softmax over yes and no is the sigmoid of their difference, a third of the work
        heads[0], biases[0] = heads[0][1:] - heads[0][:1], biases[0][1:] - biases[0][:1]
        self.answers = _linear(torch.cat(heads), torch.cat(biases))
        self.requires_grad_(False)

    def forward(self, x: Tensor, size: tuple[int, int] | None = None) -> tuple[Tensor, Tensor]:
        """Probabilities of a face (...) and the other answers (..., k) for pictures (n, h, w, 3).

        ... is n, or n, rows, columns for the first network, which answers for every second square of 12
        pixels. The answers are four offsets of the box's corners, then, from the last network, x of five
        landmarks and y of five: all as fractions of the side. Pictures may be on any device.

        Pictures may be padded below and on the right: `size` is their rows and columns without padding, for
        which the answers are the same as without.
        """
        maps = self.first(x.to(self.answers.weight.device).permute(0, 3, 1, 2))
        if size is not None:
            # pooling may include one row and one column of the padding: make them the least number
            rows, columns = (length - 2 for length in size)
            maps[:, :, rows : rows + 1] = maps[..., columns : columns + 1] = torch.finfo(maps.dtype).min
        # a view, as channels are last in memory
        found = self.answers(self.dense(self.trunk(maps).permute(0, 2, 3, 1)))
        return found[..., 0].sigmoid(), found[..., 1:]


class MaxPool(nn.Module):
    """The same as nn.MaxPool2d(size, 2, ceil_mode=True)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """Maxima (n, c, rows, columns) of a picture (n, c, h, w)."""
        # rows first: whole rows are long lines, and half of the work is done on them
        return _pooled(_pooled(x, 2, self.size), 3, self.size)


def _pooled(x: Tensor, dim: int, size: int) -> Tensor:
    count = -(-(x.shape[dim] - size) // 2) + 1
    first, second, *more = (_every_second(x, dim, offset, count) for offset in range(size))
    found = torch.empty_like(first, memory_format=torch.channels_last)
    # the last window may extend beyond the end, where it has fewer pixels
    there = second.shape[dim]
    torch.maximum(first.narrow(dim, 0, there), second, out=found.narrow(dim, 0, there))
    found.narrow(dim, there, count - there).copy_(first.narrow(dim, there, count - there))
    for other in more:
        part = found.narrow(dim, 0, other.shape[dim])
        torch.maximum(part, other, out=part)
    return found


def _every_second(x: Tensor, dim: int, first: int, count: int) -> Tensor:
    stepped = x[:, :, first::2] if dim == 2 else x[:, :, :, first::2]
    return stepped.narrow(dim, 0, min(count, stepped.shape[dim]))


def _convolutions(design: Design, weights: Weights) -> list[nn.Module]:
    layers: list[nn.Module] = []
    idle = 0
    for number, size in enumerate(design.pools, 1):
        weight, bias = weights[f"conv{number}.weight"], weights[f"conv{number}.bias"]
        slopes = weights[f"prelu{number}.weight"]
        # F.pad counts dimensions from the last to the first
        weight = F.pad(weight, (0, 0, 0, 0, 0, idle))
        idle = -len(weight) % LANE if number == 1 else 0
        weight = F.pad(weight, (0, 0, 0, 0, 0, 0, 0, idle))
        outputs, inputs, rows, columns = weight.shape
        convolution = nn.Conv2d(inputs, outputs, (rows, columns), device="meta")
        weight = weight.contiguous(memory_format=torch.channels_last)
        layers += [_filled(convolution, weight, F.pad(bias, (0, idle))), _prelu(F.pad(slopes, (0, idle)))]
        layers += [MaxPool(size)] if size else []
    return layers


def _dense(design: Design, weights: Weights) -> list[nn.Module]:
    """The layer over all remaining pixels of a picture, for pictures with channels last."""
    if design.dense is None:
        return []
    name, channels = design.dense, len(weights[f"conv{len(design.pools)}.weight"])
    weight = weights[f"{name}.weight"]
    side = int((weight.shape[1] / channels) ** 0.5)
    # facenet-pytorch flattens columns before rows
    weight = weight.unflatten(1, (side, side, channels)).transpose(1, 2).flatten(1)
    slopes = weights[f"{name.replace('dense', 'prelu')}.weight"]
    return [nn.Flatten(), _linear(weight, weights[f"{name}.bias"]), _prelu(slopes)]


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    return _filled(nn.Linear(weight.shape[1], weight.shape[0], device="meta"), weight.contiguous(), bias)


def _prelu(slopes: Tensor) -> nn.PReLU:
    return _filled(nn.PReLU(len(slopes), device="meta"), slopes)


def _filled(layer: Layer, weight: Tensor, bias: Tensor | None = None) -> Layer:
    state = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
    layer.load_state_dict(state, assign=True)
    return layer
