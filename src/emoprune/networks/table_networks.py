"""Networks on feature tables, or on the pixels of an image as one long row."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations

import torch
from torch import Tensor, nn

from emoprune.networks.heads import own_head
from emoprune.networks.scaling import Scaling
from emoprune.networks.types import Spec


class MultilayerPerceptron(nn.Module):
    """Dense layers.

    With as many outputs as inputs it is the compression network of luan2020, section 2.1.
    """

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        features = math.prod(spec.input)
        table = len(spec.input) == 1
        self.scaling = Scaling(features) if table else nn.Flatten()
        self.classifier = own_head(features, spec)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, classes) of features (n, features) or images (n, channels, height, width)."""
        logits: Tensor = self.classifier(self.scaling(x))
        return logits


class SupportVectorMachine(nn.Module):
    """One radial-basis machine for each pair of classes (Dhall et al. 2011 name a non-linear one).

    Its scores are those of scikit-learn's `decision_function` with the shape "ovr": the votes of a class,
    and less than half a vote for how decided they were. `spec.hidden` is the number of support vectors.
    """

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        (features,), (vectors,) = spec.input, spec.hidden
        pairs = list(combinations(range(spec.classes), 2))
        self.scaling = Scaling(features)
        self.vectors = nn.Parameter(torch.zeros(vectors, features), requires_grad=False)
        self.classifier = nn.Linear(vectors, len(pairs)).requires_grad_(False)
        self.register_buffer("gamma", torch.ones(()))
        # which class a positive decision of each pair speaks for, and which a negative one
        self.register_buffer("sides", _sides(pairs, spec.classes))

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


def _sides(pairs: list[tuple[int, int]], classes: int) -> Tensor:
    sides = torch.zeros(len(pairs), classes)
    for row, (first, second) in enumerate(pairs):
        sides[row, first], sides[row, second] = 1.0, -1.0
    return sides


TABLENETS: dict[str, Callable[[Spec], nn.Module]] = {
    "mlp": MultilayerPerceptron,
    "autoencoder": MultilayerPerceptron,
    "svm": SupportVectorMachine,
}
