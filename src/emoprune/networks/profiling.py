"""What a network costs to keep and to run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from emoprune.networks import build
from emoprune.networks.graph import channel_graph
from emoprune.networks.types import Checkpoint, Cost, Spec


def cost(net: nn.Module, spec: Spec) -> Cost:
    """Parameters, non-zero ones, and multiply-accumulates of convolutions, dense layers and attention."""
    parameters = [parameter.detach() for parameter in net.parameters()]
    counter = FlopCounterMode(display=False)
    fused = torch.backends.mha.get_fastpath_enabled()
    # the counter does not see what fused attention computes
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), counter:
            net(torch.zeros(1, *spec.input, device=parameters[0].device))
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
    return Cost(
        parameters=sum(parameter.numel() for parameter in parameters),
        nonzero_parameters=sum(int(parameter.count_nonzero()) for parameter in parameters),
        macs=counter.get_total_flops() // 2,
    )


def hidden_units(checkpoint: Checkpoint) -> int:
    """Units of its measured layers; of a network that has not been measured, all that could be removed."""
    if checkpoint.layers:
        return checkpoint.units
    return channel_graph(build.blueprint(checkpoint.spec), checkpoint.spec.input).units


WARM_UP, REPEATS = 5, 50


def latency_ms(run: Callable[[], object]) -> float:
    """Median wall time of `run` in milliseconds over 50 calls, after 5 that do not count."""
    for _ in range(WARM_UP):
        run()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)
