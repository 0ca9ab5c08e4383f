"""The number format of training steps, chosen by what this machine is fast with."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache

import torch
from torch import nn

from emoprune import events
from emoprune.choices import NumberFormat, Precision

DTYPES: dict[NumberFormat, torch.dtype | None] = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
"""Of products within a training step; None is float32."""
MUCH_FASTER = 1.3
"""How much faster bf16 has to be: hardware with it is twice as fast, without it half."""
LEAST_MACS = 10**7
"""Of a sample: in smaller networks conversions take what products save."""
CHANNELS, SIDE, TURNS = 64, 28, 7


def resolved(precision: Precision, *, macs: int, device: torch.device) -> NumberFormat:
    """The precision of a training, chosen for this machine where it is "auto".

    That is bf16 for networks of at least 10 million multiply-accumulates a sample, where a convolution and
    its gradients are at least 1.3 times as fast with it on this machine.
    """
    if precision != "auto":
        return precision
    if macs < LEAST_MACS or not bf16_is_faster(device):
        return "fp32"
    events.note(
        "training steps are computed in bf16, with which this machine is faster; or give `precision=fp32`"
    )
    return "bf16"


@cache
def bf16_is_faster(device: torch.device) -> bool:
    """Whether a convolution with its gradients is at least 1.3 times as fast in bf16 as in float32."""
    if device.type == "cuda" and not torch.cuda.is_bf16_supported():
        return False
    weight = torch.ones(CHANNELS, CHANNELS, 3, 3, device=device)
    weight = weight.to(memory_format=torch.channels_last).requires_grad_()
    images = torch.ones(8, CHANNELS, SIDE, SIDE, device=device).to(memory_format=torch.channels_last)

    def step(dtype: torch.dtype | None) -> Callable[[], None]:
        def run() -> None:
            with torch.autocast(device.type, dtype, enabled=dtype is not None):
                loss = nn.functional.conv2d(images, weight, padding=1).square().mean()
            loss.backward()
            if device.type == "cuda":
                torch.cuda.synchronize()

        return run

    exact, fast = (min(_seconds(run) for _ in range(TURNS)) for run in (step(None), step(torch.bfloat16)))
    return exact >= MUCH_FASTER * fast


def _seconds(run: Callable[[], None]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began
