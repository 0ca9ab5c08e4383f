"""Scaling of table columns as the first layer of a network, so that it travels with it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from emoprune.records.choices import Scale


class Scaling(nn.Module):
    """(x - shift) * scale per feature; both are fitted on the training part and kept as buffers."""

    shift: Tensor
    scale: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("shift", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))

    def forward(self, x: Tensor) -> Tensor:
        """Scaled features, same shape as `x`."""
        return (x - self.shift) * self.scale


def fit_scaling(net: nn.Module, values: Tensor, scale: Scale) -> None:
    """Fit the network's scaling to the training rows `values` (samples, features).

    minmax maps each column's range to 0..1, standard its mean and deviation to 0 and 1; a constant column
    becomes 0.
    """
    layer = next(module for module in net.modules() if isinstance(module, Scaling))
    if scale == "none":
        return
    if scale == "minmax":
        shift, spread = values.amin(0), values.amax(0) - values.amin(0)
    else:
        varies = values.amax(0) > values.amin(0)
        shift, spread = values.mean(0), values.std(0, correction=0) * varies
    layer.shift.copy_(shift)
    layer.scale.copy_(1 / torch.where(spread > 0, spread, 1.0))
