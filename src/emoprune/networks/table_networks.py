"""Networks on feature tables, or on the pixels of an image as one long row."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import combinations

import torch
from torch import Tensor, nn

from emoprune.choices import Scale
from emoprune.errors import BadData, InvalidRecord
from emoprune.networks.heads import dense_head
from emoprune.networks.types import MAKE_AGAIN, Spec


class MultilayerPerceptron(nn.Module):
    """Dense layers; with as many outputs as inputs, the compression network of luan2020, section 2.1."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        features = math.prod(spec.input)
        self.scaling = Scaling(features) if len(spec.input) == 1 else nn.Flatten()
        self.classifier = dense_head(features, spec)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, classes) of features (n, features) or images (n, channels, height, width)."""
        logits: Tensor = self.classifier(self.scaling(x))
        return logits


class SupportVectorMachine(nn.Module):
    """One radial-basis machine for each pair of classes (Dhall et al. 2011 name a non-linear one).

    Its scores are those of scikit-learn's `decision_function` with the shape "ovr": the votes for a class,
    plus less than half a vote for their margin. `spec.hidden` is the number of support vectors.
    """

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        if len(spec.hidden) != 1:
            raise InvalidRecord("an svm without one number of support vectors", MAKE_AGAIN)
        (features,), (vectors,) = spec.input, spec.hidden
        pairs = list(combinations(range(spec.classes), 2))
        self.scaling = Scaling(features)
        self.vectors = nn.Parameter(torch.zeros(vectors, features), requires_grad=False)
        self.classifier = nn.Linear(vectors, len(pairs)).requires_grad_(False)
        self.register_buffer("gamma", torch.ones(()))
        # the class of a positive decision of each pair, and that of a negative one
        sides = torch.zeros(len(pairs), spec.classes)
        for row, (first, second) in enumerate(pairs):
            sides[row, first], sides[row, second] = 1.0, -1.0
        self.register_buffer("sides", sides)

    gamma: Tensor
    sides: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Scores (n, classes) of features (n, features)."""
        x = self.scaling(x)
        squares = x.square().sum(1, keepdim=True) + self.vectors.square().sum(1)
        kernel = torch.exp(-self.gamma * (squares - 2 * x @ self.vectors.T).clamp(min=0))
        decisions = self.classifier(kernel)
        won, lost = (decisions > 0).to(x), (decisions <= 0).to(x)
        votes: Tensor = won @ self.sides.clamp(min=0) + lost @ (-self.sides).clamp(min=0)
        confidence: Tensor = decisions @ self.sides
        return votes + confidence / (3 * (confidence.abs() + 1))


TABLENETS: dict[str, Callable[[Spec], nn.Module]] = {
    "mlp": MultilayerPerceptron,
    "autoencoder": MultilayerPerceptron,
    "svm": SupportVectorMachine,
}


LATER = ("scaling.fill",)
"""Buffers that networks of older versions lack."""


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

    Missing values (NaN) are ignored: `fill` is the mean of the others, minmax maps their range to 0..1,
    standard their mean and deviation to 0 and 1; a constant column becomes 0. Raises BadData for one of the
    `columns` (their names) without any value.
    """
    layer = Scaling(values.shape[1])
    missing = values.isnan()
    for column, empty in zip(columns, missing.all(0).tolist(), strict=True):
        if empty:
            raise BadData(f"column {column} has no value in the training part", "remove it or change `split`")
    mean = values.double().nanmean(0)
    layer.fill.copy_(mean)
    if scale == "none":
        return layer
    low = values.masked_fill(missing, torch.inf).amin(0)
    high = values.masked_fill(missing, -torch.inf).amax(0)
    if scale == "minmax":
        shift, spread = low, high - low
    else:
        deviation = (values.double() - mean).square().nanmean(0).sqrt()
        shift, spread = mean.float(), deviation.float() * (high > low)
    layer.shift.copy_(shift)
    layer.scale.copy_(1 / torch.where(spread > 0, spread, 1.0))
    return layer
