"""How well a network does on one part of a data set, and what it costs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch

from emoprune import events
from emoprune.choices import DeviceName, Part
from emoprune.data.datasets import Data
from emoprune.errors import BadCheckpoint
from emoprune.evaluation import looks
from emoprune.evaluation import model as models
from emoprune.evaluation.looks import Look
from emoprune.evaluation.model import ChosenPart, LoadedModel, Subset
from emoprune.evaluation.scores import score
from emoprune.evaluation.seen import seen_samples, tell_seen
from emoprune.evaluation.types import Metrics, ReconstructionMetrics
from emoprune.io.devices import device as device_of
from emoprune.networks.checkpoint import own_bytes
from emoprune.networks.costs import profiling
from emoprune.networks.losses import squared_errors, task_of
from emoprune.networks.types import Checkpoint


def evaluate(
    model: LoadedModel | Checkpoint,
    data: Data,
    *,
    part: Part | None = None,
    device: DeviceName = "auto",
    latency: bool = False,
    label: str | None = None,
    settings: Mapping[str, Any] | None = None,
    data_name: str | None = None,
) -> Metrics | ReconstructionMetrics:
    """Metrics of a network on a part of a data set; ReconstructionMetrics if it reconstructs its input.

    `part` None is test, or val where there is no test part. A LoadedModel stays on its own device; `device`
    is for a Checkpoint. `latency` also times one sample. `label` and `settings` are kept in the metrics, and
    so is `data_name`, by default the place of the data. Warns of samples that the network was trained on. A
    look at a test part is counted in the ledger of the user. Raises BadData for data that the network cannot
    read.
    """
    if isinstance(model, Checkpoint):
        model = models.from_checkpoint(model, own_bytes(model), device_of(device), place="checkpoint")
    card = model.card
    samples = models.samples_for(card, data)
    chosen = models.chosen_part(data, card.split, part)
    place = data_name or data.catalog.place
    if data.part is not None and chosen.name == data.part.name:
        # the metrics name the part
        place = chosen.catalog.place
    seen = seen_samples(model.trained, card.split, data.catalog, chosen)
    subset = Subset(samples, chosen.indices, card.preprocess, model.device)
    inputs = events.tracked(subset.inputs(), "eval", len(subset), steps=len)
    shared: dict[str, Any] = {
        "model": model.place,
        "data": place,
        "split": chosen.name,
        "seen": None if seen is None else int(seen.sum()),
        **dataclasses.asdict(model.cost),
        "bytes": model.bytes,
        "units": model.units,
    }
    if latency:
        one = next(subset.inputs(1))
        shared["latency_ms"] = profiling.latency_ms(lambda: list(model.logits(iter([one]))))
    if task_of(card.spec.arch) == "reconstruct":
        if model.net is None:
            fact = "does not say how it scales its input"
            raise BadCheckpoint(fact, "evaluate its checkpoint", place=model.place)
        each = squared_errors(model.net, inputs).double().mean(0)
        tell_seen(seen, None, chosen, data=place, model=model.place)
        shared |= {"n": len(subset), "loss": float(each.mean())}
        shared["per_output"] = dict(zip(card.classes, each.tolist(), strict=True))
        return ReconstructionMetrics(**shared, test_looks=_counted_look(model, chosen, place))
    logits = torch.cat(list(model.logits(inputs)))
    tell_seen(seen, logits.argmax(1) == subset.labels, chosen, data=place, model=model.place)
    return Metrics(
        **shared,
        model_fingerprint=model.fingerprint,
        data_fingerprint=(data.catalog if chosen.name == "all" else chosen.catalog).fingerprint,
        **score(logits, subset.labels, card.classes),
        label=label,
        settings=settings or {},
        test_looks=_counted_look(model, chosen, place),
    )


def _counted_look(model: LoadedModel, chosen: ChosenPart, place: str) -> int | None:
    """How often the test part was looked at before this; None for other parts."""
    if not chosen.is_test:
        return None
    fingerprint = chosen.catalog.fingerprint
    key = looks.part_key(fingerprint, chosen.places.tolist())
    look = Look(key, fingerprint, model.fingerprint, model.descent)
    earlier = looks.record_look(look)
    looks.tell_looks(earlier or (), look, data=place)
    return None if earlier is None else len(earlier)
