"""Filling and scaling of table columns as the first layer of a network, so that both travel with it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from emoprune.choices import Scale
from emoprune.errors import BadData

LATER = ("scaling.fill",)
"""Buffers that networks made by older versions lack."""


class Scaling(nn.Module):
    """(x - shift) * scale per feature, a missing x (NaN) replaced by `fill` first.

    All three are fitted on the training part and kept as buffers.
    """

    fill: Tensor
    shift: Tensor
    scale: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("fill", torch.zeros(features))
        self.register_buffer("shift", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))

    def forward(self, x: Tensor) -> Tensor:
        """Scaled features, same shape as `x`."""
        return (torch.where(torch.isnan(x), self.fill, x) - self.shift) * self.scale


def fitted_scaling(values: Tensor, scale: Scale, *, columns: Sequence[str]) -> Scaling:
    """Filling and scaling fitted to the training rows `values` (samples, features).

    Missing values (NaN) are passed over: `fill` becomes the mean of those that are there, minmax maps their
    range to 0..1, standard their mean and deviation to 0 and 1; a constant column becomes 0. Raises BadData
    for one of the `columns` (their names) without any value.
    """
    layer = Scaling(values.shape[1])
    missing = values.isnan()
    for column, empty in zip(columns, missing.all(0).tolist(), strict=True):
        if empty:
            raise BadData(f"column {column} has no value in the training part", "remove it or change --split")
    mean = values.double().nanmean(0)
    layer.fill.copy_(mean)
    if scale == "none":
        return layer
    low, high = (
        values.masked_fill(missing, torch.inf).amin(0),
        values.masked_fill(missing, -torch.inf).amax(0),
    )
    if scale == "minmax":
        shift, spread = low, high - low
    else:
        deviation = (values.double() - mean).square().nanmean(0).sqrt()
        shift, spread = mean.float(), deviation.float() * (high > low)
    layer.shift.copy_(shift)
    layer.scale.copy_(1 / torch.where(spread > 0, spread, 1.0))
    return layer
