"""How long a model takes for a batch."""

from __future__ import annotations

import statistics

import torch

from emoprune.evaluation.model import LoadedModel, Subset
from emoprune.evaluation.types import Latency
from emoprune.networks.costs.profiling import times_ms

BATCHES = (1, 32)
"""Samples at a time."""


def latencies(model: LoadedModel, subset: Subset) -> tuple[Latency, ...]:
    """Percentiles of the time of batches of 1 and 32 of the first samples; few samples repeat."""
    few = torch.cat(list(subset.inputs(BATCHES[-1])))
    return tuple(_latency(model, few[torch.arange(batch) % len(few)]) for batch in BATCHES)


def _latency(model: LoadedModel, batch: torch.Tensor) -> Latency:
    times = times_ms(lambda: list(model.logits(iter([batch]))))
    percentiles = statistics.quantiles(times, n=100, method="inclusive")
    return Latency(
        batch=len(batch),
        threads=model.threads,
        device=model.device.type,
        runs=len(times),
        **{f"p{each}_ms": percentiles[each - 1] for each in (50, 90, 99)},
    )
