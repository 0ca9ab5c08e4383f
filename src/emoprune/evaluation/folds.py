"""How well networks do on the folds that they were not trained on, together."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable

import torch
from torch import Tensor

from emoprune import events
from emoprune.choices import DeviceName
from emoprune.data.datasets import Data
from emoprune.data.groups import group_names
from emoprune.errors import BadData
from emoprune.evaluation import model as models
from emoprune.evaluation.bootstrap import intervals
from emoprune.evaluation.model import Subset
from emoprune.evaluation.scores import score
from emoprune.evaluation.types import Metrics
from emoprune.io.devices import device as device_of
from emoprune.networks.checkpoint import own_bytes
from emoprune.networks.types import Checkpoint

OUT_OF_FOLD = "out of fold"


def evaluate_folds(
    checkpoints: Iterable[Checkpoint],
    data: Data,
    *,
    device: DeviceName = "auto",
    model_name: str = "folds",
    data_name: str | None = None,
) -> Metrics:
    """Metrics over all samples in a fold, each answered by the network whose val part it is in.

    What networks cost is that of the first. Groups of the split make intervals wider. Raises BadData for
    networks whose folds share a sample.
    """
    logits, labels, places = list[Tensor](), list[Tensor](), list[int]()
    digest, first = hashlib.sha256(), None
    for checkpoint in checkpoints:
        model = models.from_checkpoint(checkpoint, own_bytes(checkpoint), device_of(device), place=model_name)
        chosen = models.chosen_part(data, checkpoint.split, "val")
        subset = Subset(
            models.samples_for(checkpoint, data), chosen.indices, checkpoint.preprocess, model.device
        )
        inputs = events.tracked(subset.inputs(), "out of fold", len(subset), steps=len)
        logits.append(torch.cat(list(model.logits(inputs))))
        labels.append(subset.labels)
        places += chosen.indices.tolist()
        digest.update(model.fingerprint.encode())
        first = first or model
    assert first is not None
    card = first.card
    if len(set(places)) < len(places):
        raise BadData("folds that share a sample", "train them together", place=model_name)
    found, actual, groups = torch.cat(logits), torch.cat(labels), None
    if card.split.group_by is not None:
        names = group_names(data.catalog, card.split)
        groups = [names[place] for place in places]
    return Metrics(
        model=model_name,
        model_fingerprint=digest.hexdigest(),
        data=data_name or data.catalog.place,
        data_fingerprint=data.catalog.fingerprint,
        split=OUT_OF_FOLD,
        **score(found, actual, card.classes),
        intervals=intervals(found.double().numpy(), actual.numpy(), groups),
        **dataclasses.asdict(first.cost),
        bytes=first.bytes,
        units=first.units,
    )
