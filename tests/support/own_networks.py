"""Networks as users write them, made by functions that tests name."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class Small(nn.Module):
    """Two convolutions, the second with a shortcut, a table that no state holds, and a dense layer."""

    table: Tensor

    def __init__(self, classes: int, width: int, colors: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(colors, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU())
        self.middle = nn.Conv2d(width, 2 * width, 3, padding=1)
        self.body = nn.Conv2d(2 * width, width, 3, padding=1)
        self.register_buffer("table", torch.linspace(0.5, 1.5, 3), persistent=False)
        self.out = nn.Linear(width, classes)

    def features(self, x: Tensor) -> Tensor:
        """What the dense layer reads."""
        x = self.stem(x * self.table[: x.shape[1], None, None])
        x = x + self.body(torch.relu(self.middle(x)))
        return torch.relu(x).mean((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, classes)."""
        logits: Tensor = self.out(self.features(x))
        return logits


class Closed(Small):
    """What it answers is computed from what its last layer does."""

    def forward(self, x: Tensor) -> Tensor:
        """Logarithms of probabilities (n, classes)."""
        return super().forward(x).log_softmax(1)


class Scaled(Small):
    """What its last layer does is overwritten."""

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, classes)."""
        return super().forward(x).div_(2)


class Familiar(Small):
    """Ends in several layers under a name that torchvision uses."""

    def __init__(self, classes: int, width: int, colors: int) -> None:
        super().__init__(classes, width, colors)
        del self.out
        self.classifier = nn.Sequential(nn.Linear(width, 5), nn.ReLU(), nn.Linear(5, classes))

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, classes)."""
        logits: Tensor = self.classifier(self.features(x))
        return logits


def small(num_classes: int, width: int = 8, colors: int = 3) -> nn.Module:
    """A network that can be pruned."""
    return Small(num_classes, width, colors)


def closed(num_classes: int, width: int = 8) -> nn.Module:
    """One whose head cannot be told apart."""
    return Closed(num_classes, width, 3)


def scaled(num_classes: int) -> nn.Module:
    """Another one."""
    return Scaled(num_classes, 8, 3)


def familiar(num_classes: int) -> nn.Module:
    """One with a head of several layers."""
    return Familiar(num_classes, 8, 3)


def one_class_more(num_classes: int) -> nn.Module:
    """One that answers with too much."""
    return Small(num_classes + 1, 8, 3)


def tied(num_classes: int) -> nn.Module:
    """One with a weight that two layers share."""
    net = Small(num_classes, 8, 3)
    net.spare = nn.Linear(8, num_classes)
    net.spare.weight = net.out.weight
    return net


def normed(num_classes: int) -> nn.Module:
    """One with a weight that is computed."""
    net = Small(num_classes, 8, 3)
    nn.utils.parametrizations.weight_norm(net.out)
    return net


def raising(num_classes: int) -> nn.Module:
    """One that cannot be made."""
    raise KeyError("no such thing")


def number(num_classes: int) -> Any:
    """Not a network."""
    return num_classes


def without_classes(width: int) -> nn.Module:
    """One for a number of classes of its own."""
    return Small(7, width, 3)


SMALL = Small
