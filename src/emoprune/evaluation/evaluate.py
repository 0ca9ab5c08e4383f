"""How well a network does on one part of a data set: the work of eval, and of every trial of search."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from emoprune import events
from emoprune.choices import Part
from emoprune.data.datasets import Data
from emoprune.evaluation import model as loading
from emoprune.evaluation.model import Model, Seen
from emoprune.evaluation.scores import score
from emoprune.evaluation.types import Metrics
from emoprune.networks import profiling


@dataclass(frozen=True)
class Layout(Seen):
    """One part of a data set as a network sees it; the fingerprint is that of the whole set."""

    part: str
    fingerprint: str

    def latency_ms(self, opened: Model) -> float:
        """Median time of one sample in milliseconds, on this machine."""
        one = next(self.inputs(1))
        return profiling.latency_ms(lambda: list(opened.logits(iter([one]))))


def lay_out(opened: Model, found: Data, part: Part | None, device: torch.device) -> Layout:
    """The part of `found` by the network's own rule; BadData where it was made for other data."""
    card = opened.card
    samples = loading.samples_for(card, found)
    name, indices = loading.part_indices(found, card.split, part)
    return Layout(samples, indices, card.preprocess, device, name, found.catalog.fingerprint)


def measure(
    opened: Model,
    test: Layout,
    *,
    model: str,
    data: str,
    latency: bool = False,
    label: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Metrics:
    """The metrics of a network that classifies; `model` and `data` are what the two are called."""
    outputs = events.tracked(opened.logits(test.inputs()), "eval", len(test), steps=len)
    logits = torch.cat(list(outputs))

    return Metrics(
        model=model,
        model_fingerprint=opened.fingerprint,
        data=data,
        data_fingerprint=test.fingerprint,
        split=test.part,
        **score(logits, test.labels, opened.card.classes),
        **dataclasses.asdict(opened.cost),
        bytes=opened.bytes,
        units=opened.units,
        latency_ms=test.latency_ms(opened) if latency else None,
        label=label,
        settings=settings or {},
    )
