"""What a network costs to keep and to run."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from emoprune.records import Cost, Spec


def cost(net: nn.Module, spec: Spec) -> Cost:
    """Parameters, non-zero ones, and multiply-accumulates of convolutions, dense layers and attention."""
    parameters = [parameter.detach() for parameter in net.parameters()]
    counter = FlopCounterMode(display=False)
    with torch.inference_mode(), counter:
        net(torch.zeros(1, *spec.input, device=parameters[0].device))
    return Cost(
        parameters=sum(parameter.numel() for parameter in parameters),
        nonzero_parameters=sum(int(parameter.count_nonzero()) for parameter in parameters),
        macs=counter.get_total_flops() // 2,
    )
