"""Batch norms in training: which of them keep their means and variances, and which get those of the data."""

from __future__ import annotations

import torch
from torch import nn

from emoprune.training.steps.batch_norms import adapt_norms, set_training
from emoprune.training.steps.optimizer import unfreeze
from tests.training.steps.test_optimizer import network


def test_set_training_keeps_the_statistics_of_frozen_parts() -> None:
    net = network()
    unfreeze(net, 1)
    set_training(net, freeze_bn=False)
    assert net.get_submodule("layer4.1.bn1").training
    assert not net.get_submodule("layer4.0.bn1").training
    set_training(net, freeze_bn=True)
    assert not net.get_submodule("layer4.1.bn1").training
    assert net.get_submodule("layer4.1").training


def test_adapt_norms_finds_the_mean_and_variance_of_what_each_norm_reads() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4, momentum=0.3), nn.Dropout(0.5))
    net.train()
    pictures = torch.randn(32, 3, 6, 6) * 3 + 1
    adapt_norms(net, pictures.split(8))
    norm = net.get_submodule("1")
    assert isinstance(norm, nn.BatchNorm2d)
    found = net.get_submodule("0")(pictures)
    torch.testing.assert_close(norm.running_mean, found.mean((0, 2, 3)))
    each = torch.stack([part.var((0, 2, 3)) for part in found.split(8)])
    torch.testing.assert_close(norm.running_var, each.mean(0))
    assert (norm.momentum, norm.training, net.training) == (0.3, False, False)
