"""How well a network does on one part of a data set: the work of eval, and of every trial of search."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from emoprune.cli import console, loading
from emoprune.cli.loading import Model
from emoprune.core import costs
from emoprune.core.fitting import batches
from emoprune.core.objectives import task_of
from emoprune.core.scoring import score
from emoprune.records import Metrics, Preprocess, Samples
from emoprune.records.choices import Part
from emoprune.store.datasets import Data


@dataclass(frozen=True)
class Layout:
    """One part of a data set as a network sees it; `labels` (all samples) count the network's classes."""

    part: str
    fingerprint: str
    samples: Samples
    labels: Tensor
    indices: Tensor
    preprocess: Preprocess
    device: torch.device

    def inputs(self, limit: int | None = None) -> Iterator[Tensor]:
        """The network's inputs, a batch at a time; of the first `limit` samples."""
        return batches(self.samples, self.indices[:limit], self.preprocess, self.device)

    def latency_ms(self, opened: Model) -> float:
        """Median time of one sample in milliseconds, on this machine."""
        one = next(self.inputs(1))
        return costs.latency_ms(lambda: list(opened.logits(iter([one]))))


def lay_out(opened: Model, found: Data, part: Part | None, device: torch.device) -> Layout:
    """The part of `found` by the network's own rule; BadData where it was made for other data."""
    card = opened.card
    labels = loading.labels_for(found, card.classes, task_of(card.spec.arch))
    name, indices = loading.part_indices(found, card.split, part)
    samples = loading.samples(found, card.preprocess, card.spec.input, labels)
    return Layout(name, found.catalogue.fingerprint, samples, labels, indices, card.preprocess, device)


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
    outputs = console.tracked(opened.logits(test.inputs()), "eval", len(test.indices), steps=len)
    logits = torch.cat(list(outputs))

    return Metrics(
        model=model,
        model_fingerprint=opened.fingerprint,
        data=data,
        data_fingerprint=test.fingerprint,
        split=test.part,
        **score(logits, test.labels[test.indices], opened.card.classes),
        **dataclasses.asdict(opened.cost),
        bytes=opened.bytes,
        units=opened.units,
        latency_ms=test.latency_ms(opened) if latency else None,
        label=label,
        settings=settings or {},
    )
