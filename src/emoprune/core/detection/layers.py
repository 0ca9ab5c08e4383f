"""The layers of MTCNN's networks in forms that compute the same on a CPU in about half the time."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LANE = 16
"""Channels that the processor works on together; fewer leave its vectors empty and its loops short."""

CACHED_PIXELS = 64 * 24**2
"""Pixels that a network looks at together: its layers then stay in the processor's cache."""


class MaxPool(nn.Module):
    """What nn.MaxPool2d(size, 2, ceil_mode=True) computes, without its bookkeeping of where each maximum was."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """Maxima (n, c, rows, columns) of a picture (n, c, h, w)."""
        # rows before columns: lines of whole rows are long, and half of the work is done on them
        return _pooled(_pooled(x, 2, self.size), 3, self.size)


def _pooled(x: Tensor, dim: int, size: int) -> Tensor:
    count = -(-(x.shape[dim] - size) // 2) + 1
    first, second, *more = (_every_second(x, dim, offset, count) for offset in range(size))
    found = torch.empty_like(first, memory_format=torch.channels_last)
    # the last window may hang over the end, and its other pixels be missing
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


class PixelwiseLinear(nn.Module):
    """A convolution of kernel 1, as the product of two matrices that it is."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.weight = nn.Parameter(convolution.weight.flatten(1), requires_grad=False)
        self.bias = convolution.bias

    def forward(self, x: Tensor) -> Tensor:
        """Channels of a picture (n, c, h, w) combined pixel by pixel."""
        return F.linear(x.permute(0, 2, 3, 1), self.weight, self.bias).permute(0, 3, 1, 2)


def quickened(network: nn.Module) -> nn.Module:
    """One of MTCNN's networks with faster layers in place of its own; it computes the same but for rounding.

    Changes and returns `network`.
    """
    for name, layer in list(network.named_children()):
        if isinstance(layer, nn.MaxPool2d):
            assert layer.stride == 2
            setattr(network, name, MaxPool(layer.kernel_size))
        elif isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1):
            setattr(network, name, PixelwiseLinear(layer))
    _widen(network, -network.conv1.out_channels % LANE)
    return network


def _widen(network: nn.Module, more: int) -> None:
    """Give the first layer `more` channels that are always zero."""
    first, slopes, second = network.conv1, network.prelu1, network.conv2
    # padding is told from the last dimension to the first
    first.weight = _padded(first.weight, (0, 0, 0, 0, 0, 0, 0, more))
    first.bias = _padded(first.bias, (0, more))
    slopes.weight = _padded(slopes.weight, (0, more))
    second.weight = _padded(second.weight, (0, 0, 0, 0, 0, more))


def _padded(parameter: Tensor, amounts: tuple[int, ...]) -> nn.Parameter:
    wider = F.pad(parameter, amounts)
    if wider.ndim == 4:
        wider = wider.contiguous(memory_format=torch.channels_last)
    return nn.Parameter(wider, requires_grad=False)
