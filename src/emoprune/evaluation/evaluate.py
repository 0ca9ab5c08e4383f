"""How well a network does on one part of a data set, and what it costs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from emoprune import events
from emoprune.choices import DeviceName, Part
from emoprune.data.datasets import Data
from emoprune.data.types import Catalog
from emoprune.errors import BadCheckpoint, UsageFault
from emoprune.evaluation import looks
from emoprune.evaluation import model as models
from emoprune.evaluation.bootstrap import intervals
from emoprune.evaluation.grouping import sample_groups
from emoprune.evaluation.latency import latencies
from emoprune.evaluation.looks import Look
from emoprune.evaluation.model import ChosenPart, LoadedModel, Subset
from emoprune.evaluation.predictions import Predictions, check_names
from emoprune.evaluation.scores import score
from emoprune.evaluation.seen import seen_samples, tell_seen
from emoprune.evaluation.types import Metrics, ReconstructionMetrics
from emoprune.io import files
from emoprune.io.devices import device as device_of
from emoprune.networks.checkpoint import own_bytes
from emoprune.networks.losses import squared_errors, task_of
from emoprune.networks.types import Checkpoint


def evaluate(
    model: LoadedModel | Checkpoint,
    data: Data,
    *,
    part: Part | None = None,
    device: DeviceName = "auto",
    latency: bool = False,
    group_by: str | None = None,
    predictions: str | Path | None = None,
    force: bool = False,
    label: str | None = None,
    settings: Mapping[str, Any] | None = None,
    data_name: str | None = None,
) -> Metrics | ReconstructionMetrics:
    """Metrics of a network on a part of a data set; ReconstructionMetrics if it reconstructs its input.

    `part` None is test, or val where there is no test part. A LoadedModel stays on its own device; `device`
    is for a Checkpoint. `latency` also times batches. `group_by` is a regular expression: samples whose names
    match it with the same text are not independent, which intervals then allow for; by default that of the
    model's split. `predictions` is a file for the answer to each sample, which replaces another with `force`.
    `label` and `settings` are kept in the metrics, and so is `data_name`, by default the place of the data.
    Warns of samples that the network was trained on. A look at a test part is counted in the ledger of the
    user. Raises BadData for data that the network cannot read, and UsageFault for `group_by` or `predictions`
    of a network that reconstructs.
    """
    if predictions is not None:
        files.check_output(predictions, force=force)
    if isinstance(model, Checkpoint):
        model = models.from_checkpoint(model, own_bytes(model), device_of(device), place="checkpoint")
    card = model.card
    classifies = task_of(card.spec.arch) == "classify"
    if not classifies and (group_by is not None or predictions is not None):
        fact = "reconstructs its input, and `group_by` and `predictions` are of classes"
        raise UsageFault(fact, "leave them out", place=model.place)
    samples = models.samples_for(card, data)
    chosen = models.chosen_part(data, card.split, part)
    scored, names = _scored(data, chosen)
    groups = sample_groups(chosen, card.split, group_by) if classifies else None
    if predictions is not None:
        check_names(names, place=scored.place)
    place = data_name or data.catalog.place
    if data.part is not None and chosen.name == data.part.name:
        # the metrics name the part
        place = chosen.catalog.place
    seen = seen_samples(model.trained, card.split, data.catalog, chosen)
    subset = Subset(samples, chosen.indices, card.preprocess, model.device)
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
        timed = latencies(model, subset)
        shared |= {"latency": timed, "latency_ms": timed[0].p50_ms}
    if not classifies:
        shared |= _reconstruction(model, subset)
        tell_seen(seen, None, chosen, data=place, model=model.place)
        return ReconstructionMetrics(**shared, test_looks=_counted_look(model, chosen, place))
    logits = torch.cat(list(model.logits(_inputs(subset))))
    tell_seen(seen, logits.argmax(1) == subset.labels, chosen, data=place, model=model.place)
    metrics = Metrics(
        **shared,
        model_fingerprint=model.fingerprint,
        data_fingerprint=scored.fingerprint,
        **score(logits, subset.labels, card.classes),
        intervals=intervals(logits.double().numpy(), subset.labels.numpy(), groups),
        label=label,
        settings=settings or {},
        test_looks=_counted_look(model, chosen, place),
    )
    if predictions is not None:
        _predictions(metrics, names, groups, logits, subset.labels).write(predictions, force=force)
    return metrics


def _scored(data: Data, chosen: ChosenPart) -> tuple[Catalog, tuple[str, ...]]:
    """The catalog that the metrics name, and the names in it of the samples."""
    catalog, places = (
        (data.catalog, chosen.indices) if chosen.name == "all" else (chosen.catalog, chosen.places)
    )
    return catalog, tuple(catalog.names[index] for index in places.tolist())


def _inputs(subset: Subset) -> Iterator[Tensor]:
    return events.tracked(subset.inputs(), "eval", len(subset), steps=len)


def _reconstruction(model: LoadedModel, subset: Subset) -> dict[str, Any]:
    """What ReconstructionMetrics says of the error."""
    if model.net is None:
        fact = "does not say how it scales its input"
        raise BadCheckpoint(fact, "evaluate its checkpoint", place=model.place)
    each = squared_errors(model.net, _inputs(subset)).double().mean(0)
    per_output = dict(zip(model.card.classes, each.tolist(), strict=True))
    return {"n": len(subset), "loss": float(each.mean()), "per_output": per_output}


def _predictions(
    metrics: Metrics, names: tuple[str, ...], groups: tuple[str, ...] | None, logits: Tensor, labels: Tensor
) -> Predictions:
    probabilities = logits.double().softmax(1)
    return Predictions(
        run=metrics.name,
        model_fingerprint=metrics.model_fingerprint,
        data_fingerprint=metrics.data_fingerprint,
        classes=metrics.classes,
        names=names,
        # the empty text is no name of a group
        groups=groups if groups and any(groups) else None,
        labels=labels.numpy(),
        predicted=probabilities.argmax(1).numpy(),
        probabilities=probabilities.numpy(),
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
