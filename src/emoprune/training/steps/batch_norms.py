"""Batch norms in training: which of them keep their means and variances, and which get those of the data."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

NORMS = nn.modules.batchnorm._BatchNorm


def set_training(module: nn.Module, *, freeze_bn: bool, inherited: bool = True) -> None:
    """Training mode, but frozen parts keep their batch-norm statistics and drop nothing.

    With `freeze_bn` every batch norm keeps them.
    """
    own = list(module.parameters())
    module.training = any(parameter.requires_grad for parameter in own) if own else inherited
    for child in module.children():
        set_training(child, freeze_bn=freeze_bn, inherited=module.training)
    if freeze_bn and isinstance(module, NORMS):
        module.training = False


def has_norms(net: nn.Module) -> bool:
    """Whether the network has batch norms."""
    return any(isinstance(module, NORMS) for module in net.modules())


def adapt_norms(net: nn.Module, inputs: Iterable[Tensor]) -> None:
    """Give all batch norms the means and variances of what they read of `inputs`, batches of equal weight.

    Labels play no part (Li et al. 2016, Revisiting batch normalization for practical domain adaptation). Each
    batch is normalized by its own values, so batches are to be large and mixed.
    """
    norms = [module for module in net.modules() if isinstance(module, NORMS) and module.track_running_stats]
    usual = [norm.momentum for norm in norms]
    net.eval()
    for norm in norms:
        norm.reset_running_stats()
        # the plain mean over batches
        norm.momentum = None
        norm.train()
    with torch.inference_mode():
        for batch in inputs:
            net(batch)
    for norm, momentum in zip(norms, usual, strict=True):
        norm.momentum = momentum
    net.eval()
