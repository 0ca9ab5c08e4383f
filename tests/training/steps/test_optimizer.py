"""What learns, and at which rate."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel
from torchvision import models

from emoprune.networks.heads import head_of
from emoprune.training.config import TrainConfig
from emoprune.training.steps.optimizer import averaged, blocks, optimizer, unfreeze


def network(name: str = "resnet18") -> nn.Module:
    net: nn.Module = models.get_model(name, weights=None, num_classes=7)
    return net


def names_of(net: nn.Module, modules: list[nn.Module]) -> list[str]:
    found = {id(module): name for name, module in net.named_modules()}
    return [found[id(module)] for module in modules]


def test_blocks_of_a_resnet_are_its_residual_blocks_and_stem() -> None:
    net = network()
    residual = [f"layer{stage}.{block}" for stage in range(1, 5) for block in range(2)]
    assert names_of(net, blocks(net)) == ["conv1", "bn1", *residual]


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "alexnet", "densenet121", "vgg13_bn"])
def test_blocks_and_head_have_every_parameter_once(name: str) -> None:
    net = network(name)
    parts = [*blocks(net), head_of(net)]
    found = [id(parameter) for part in parts for parameter in part.parameters()]
    assert sorted(found) == sorted(id(parameter) for parameter in net.parameters())


def test_unfreeze_lets_the_last_blocks_and_the_head_learn() -> None:
    net = network()
    for last, learning in ((0, {"fc"}), (1, {"fc", "layer4"}), (3, {"fc", "layer4", "layer3"})):
        unfreeze(net, last)
        tops = {name.split(".")[0] for name, each in net.named_parameters() if each.requires_grad}
        assert tops == learning
    unfreeze(net, 1)
    assert not net.get_parameter("layer4.0.conv1.weight").requires_grad
    assert net.get_parameter("layer4.1.conv1.weight").requires_grad


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_optimizer_gives_head_and_backbone_rates_of_their_own(name: str) -> None:
    net = network()
    config = TrainConfig(optimizer=name, lr=0.1, backbone_lr=0.01, weight_decay=0.3)  # type: ignore[arg-type]
    found = optimizer(net, config, head=head_of(net))
    assert [group["rate"] for group in found.param_groups] == [0.1, 0.01]
    assert [len(group["params"]) for group in found.param_groups] == [2, 60]
    assert all(group["weight_decay"] == 0.3 for group in found.param_groups)


def test_optimizer_leaves_frozen_parameters_out() -> None:
    net = network()
    unfreeze(net, 0)
    (group,) = optimizer(net, TrainConfig(), head=head_of(net)).param_groups
    assert [tuple(each.shape) for each in group["params"]] == [(7, 512), (7,)]


def test_averaged_is_the_running_average_computed_by_hand() -> None:
    net = nn.BatchNorm1d(3)
    average = AveragedModel(net, avg_fn=averaged(0.8), use_buffers=True)
    wanted = None
    for step in range(30):
        with torch.no_grad():
            net.weight.copy_(torch.full((3,), float(step)))
            state = net.state_dict()
            state["running_mean"].copy_(torch.full((3,), 10.0 * step))
            state["num_batches_tracked"].fill_(step)
        average.update_parameters(net)
        decay = min(0.8, (1 + step) / (10 + step))
        wanted = float(step) if wanted is None else decay * wanted + (1 - decay) * step
    assert wanted is not None
    found = average.module.state_dict()
    torch.testing.assert_close(found["weight"], torch.full((3,), wanted))
    torch.testing.assert_close(found["running_mean"], torch.full((3,), 10 * wanted))
    assert int(found["num_batches_tracked"]) == 29
