"""How far an exported file is from the network that it was made of."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from emoprune.io.onnx_engine import Engine


@dataclass(frozen=True)
class Agreement:
    """How far an engine's logits are from a network's, over `samples` samples.

    `difference` is the largest of any logit, in units of the largest logit of its sample or, below 1, of 1:
    probabilities do not notice less. It is that of the sample with the index `worst`, and `absolute` before
    it was divided. `changed` counts the samples whose largest logit is another one.
    """

    samples: int = 0
    difference: float = 0.0
    absolute: float = 0.0
    worst: int = 0
    changed: int = 0


def compare(engine: Engine, net: nn.Module, batches: Iterable[Tensor]) -> Agreement:
    """How far the engine is from the network over all samples; NaN anywhere counts as infinite."""
    rows = []
    for batch in batches:
        with torch.inference_mode():
            expected = net(batch)
            found = engine.logits(batch, expected.shape[1])
        absolute = (expected - found).abs().amax(1)
        relative = absolute / expected.abs().amax(1).clamp(min=1)
        changed = expected.argmax(1) != found.argmax(1)
        rows.append(torch.stack((relative, absolute, changed)).nan_to_num(nan=math.inf))
    if not rows:
        return Agreement()
    relative, absolute, changed = torch.cat(rows, 1).double()
    worst = int(relative.argmax())
    return Agreement(len(relative), float(relative[worst]), float(absolute[worst]), worst, int(changed.sum()))
