"""Layers with fewer channels, of torch's classes and of classes derived from them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from emoprune.networks.narrowing import LAST_GROUP, acts_alone, by_output, narrowed


class Scaled(nn.Conv2d):
    """With a gain for each output."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, padding=1)
        self.gain = nn.Parameter(torch.rand(outputs, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = super().forward(x) * self.gain
        return found


class Centered(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        centered = self.weight - self.weight.mean(1, keepdim=True)
        found: Tensor = self._conv_forward(x, centered, self.bias)
        return found


class Across(nn.BatchNorm2d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x - x.mean(1, keepdim=True))


@pytest.mark.parametrize(
    ("layer", "inputs", "outputs"),
    [
        (nn.Linear(4, 6), 3, 2),
        (nn.Conv2d(4, 6, 3, stride=2, bias=False), 3, 2),
        (nn.Conv2d(6, 6, 3, groups=3), 2, 2),
        (nn.BatchNorm2d(6), 2, 2),
        (nn.GroupNorm(3, 6), 4, 4),
        (Scaled(4, 6), 3, 2),
    ],
)
def test_narrowed_computes_what_a_layer_of_that_width_does(
    layer: nn.Module, inputs: int, outputs: int
) -> None:
    shapes = {name: tensor.shape for name, tensor in layer.state_dict().items()}
    new = narrowed(layer, inputs, outputs)
    assert type(new) is type(layer)
    x = torch.randn(5, inputs) if isinstance(layer, nn.Linear) else torch.randn(5, inputs, 7, 7)
    assert new(x).shape[1] == outputs
    assert {name: tensor.shape for name, tensor in layer.state_dict().items()} == shapes


def test_narrowed_remembers_that_one_group_is_left_and_refuses_parts_of_groups() -> None:
    layer = nn.Conv2d(6, 6, 1, groups=3)
    assert getattr(narrowed(layer, 2, 2), LAST_GROUP)
    assert narrowed(layer, 3, 2) is None
    assert narrowed(nn.GroupNorm(3, 6), 3, 3) is None


def test_by_output_finds_what_a_derived_class_adds() -> None:
    assert set(by_output(Scaled(4, 6))) == {"weight", "bias", "gain"}
    assert set(by_output(nn.BatchNorm2d(3))) == {"weight", "bias", "running_mean", "running_var"}


@pytest.mark.parametrize(
    ("layer", "writes", "reads"),
    [
        (nn.Conv2d(4, 6, 3), True, True),
        (Scaled(4, 6), True, True),
        (Centered(4, 6, 3), True, False),
        (Across(4), False, False),
    ],
)
def test_acts_alone_tells_which_channels_a_derived_class_mixes(
    layer: nn.Module, writes: bool, reads: bool
) -> None:
    before = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    assert acts_alone(layer, (2, 4, 8, 8)) == writes
    assert acts_alone(layer, (2, 4, 8, 8), reads=True) == reads
    assert all(torch.equal(tensor, before[name]) for name, tensor in layer.state_dict().items())
