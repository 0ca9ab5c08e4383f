"""What is trained when: the optimizer, its groups, and the blocks that join."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from emoprune.networks.heads import freeze_all_but_head, head_of
from emoprune.training.config import TrainConfig


def optimizer(
    net: nn.Module, config: TrainConfig, *, head: nn.Module, beside: Iterable[nn.Parameter] = ()
) -> torch.optim.Optimizer:
    """The optimizer of a config, with a group for `head` and one for the rest of what may be trained.

    The key `rate` of a group is its learning rate at its highest. `beside` are parameters that are trained
    along and belong to no network.
    """
    own = {id(parameter) for parameter in head.parameters()}
    wanted = [parameter for parameter in net.parameters() if parameter.requires_grad]
    ends = [parameter for parameter in wanted if id(parameter) in own]
    rest = [parameter for parameter in wanted if id(parameter) not in own]
    rate = config.lr if config.backbone_lr is None else config.backbone_lr
    groups = [{"params": [*ends, *beside], "rate": config.lr}, {"params": rest, "rate": rate}]
    groups = [group for group in groups if group["params"]]
    # one kernel for all of a step
    shared: dict[str, Any] = {"weight_decay": config.weight_decay, "fused": True}
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, momentum=config.momentum, **shared)
    return (torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW)(groups, **shared)


def blocks(net: nn.Module) -> list[nn.Module]:
    """The parts of a backbone with parameters, from the input to the head.

    They are the children of the network, and of a child that is a plain sequence its own.
    """
    head = head_of(net)
    found: list[nn.Module] = []

    def add(module: nn.Module) -> None:
        if module is head or not any(True for _ in module.parameters()):
            return
        plain = type(module) is nn.Sequential and len(module) > 1
        if plain or any(part is head for part in module.modules()):
            for child in module.children():
                add(child)
        else:
            found.append(module)

    for child in net.children():
        add(child)
    return found


def unfreeze(net: nn.Module, last: int) -> None:
    """Let training change the head and the `last` blocks of the backbone alone."""
    freeze_all_but_head(net)
    for block in blocks(net)[-last:] if last else ():
        block.requires_grad_(True)


def averaged(decay: float) -> Any:
    """How torch's AveragedModel averages: by `decay`, and by less in the first steps."""

    def average(old: Tensor, new: Tensor, count: Tensor | int) -> Tensor:
        if not old.is_floating_point():
            return new
        steps = float(count)
        return old.lerp(new, 1 - min(decay, (1 + steps) / (10 + steps)))

    return average
