"""Convolutions that compute their weights: which become plain ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from emoprune.networks.folding import fold_computed_weights


class Standardized(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class Padded(Standardized):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, (0, 1, 0, 1)))


class Doubled(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


class Centered(nn.Conv2d):
    """What it does to the result shows nothing where that is zero."""

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        return y - y.mean(1, keepdim=True)


def test_fold_computed_weights_leaves_alone_what_changes_the_result() -> None:
    net = nn.Sequential(Centered(3, 4, 3, bias=False))
    assert fold_computed_weights(net) == []


def test_fold_computed_weights_keeps_what_a_network_computes() -> None:
    net = nn.Sequential(
        Standardized(3, 4, 3, stride=2, padding=1),
        nn.Sequential(Standardized(4, 4, 3, groups=2, bias=False)),
        Padded(4, 5, 3),
        Doubled(5, 2, 1),
    )
    x = torch.randn(2, 3, 20, 20)
    expected = net(x)
    assert fold_computed_weights(net) == ["0"]
    # a group is removed with all that it reads; the third pads by itself; the last computes no weight
    assert [type(module) for module in net] == [nn.Conv2d, nn.Sequential, Padded, Doubled]
    assert torch.equal(net(x), expected)
