"""The images that angles and prune look at, where they look at any."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from emoprune import events
from emoprune.choices import Task
from emoprune.data.datasets import open_data
from emoprune.data.splits import partition
from emoprune.errors import BadCheckpoint, EmopruneError, at
from emoprune.evaluation import model
from emoprune.evaluation.model import Seen
from emoprune.networks import build
from emoprune.networks.activation_statistics import collect
from emoprune.networks.graph import channel_graph
from emoprune.networks.graph.types import ChannelGraph
from emoprune.networks.losses import judge, task_of
from emoprune.networks.types import Card, Checkpoint, HiddenLayer
from emoprune.pruning.methods import METHODS

NO_DATA = "none"
"""Stands for a path of data where no image is wanted."""


@dataclass(frozen=True)
class Sight:
    """The training and validation parts of a data set as a model sees them.

    Data that the model was not trained on is all training part. `limit` samples of it, evenly spread, are
    looked at. `own`: the model was trained on it.
    """

    train: Seen
    val: Seen | None
    task: Task
    limit: int
    own: bool

    @property
    def count(self) -> int:
        """How many samples of the training part are looked at."""
        return min(len(self.train), self.limit)

    def train_batches(self, label: str) -> Iterator[Tensor]:
        """Network input from the training part, with a progress line."""
        spread = torch.linspace(0, len(self.train) - 1, self.count).round().long()
        chosen = replace(self.train, indices=self.train.indices[spread])
        return events.tracked(chosen.inputs(), label, len(chosen), steps=len)

    @property
    def judges(self) -> Seen:
        """The validation part or, where there is none, the training part."""
        return self.train if self.val is None else self.val

    def judge(self, net: nn.Module) -> tuple[float, float | None]:
        """Mean loss and, of a network that classifies, accuracy on the part that judges."""
        return judge(net, self.judges.inputs(), self.judges.labels, self.task)


def own_data(card: Card, *, limit: int) -> Sight | str:
    """The data that a model was trained on, by the path in its history; why not, where it cannot be had."""
    trained = next((entry for entry in reversed(card.history) if entry.command == "train"), None)
    data = trained.parameters.get("data") if trained else None
    if not isinstance(data, str) or not (os.path.isdir(data) or os.path.isfile(data)):
        return "the training data is not here"
    try:
        found = look(card, data, limit=limit)
    except EmopruneError as fault:
        # nobody asked for what is there now
        return f"{fault.place}: {fault.fact}"
    return found if found.own else f"{data} is not what it was when the model was trained"


def look(card: Card, data: str, *, limit: int) -> Sight:
    """The data at a path, as the model of `card` sees it."""
    found = open_data(data)
    own = found.catalog.fingerprint == card.split.fingerprint
    parts = partition(found.catalog, card.split) if own else {"train": range(len(found.catalog.names))}
    samples = model.samples_for(card, found)
    seen = {
        name: Seen(samples, torch.tensor(indices), card.preprocess, torch.device("cpu"))
        for name, indices in parts.items()
    }
    return Sight(seen["train"], seen.get("val"), task_of(card.spec.arch), limit, own)


def measured_on(checkpoint: Checkpoint, data: str, *, limit: int, place: str) -> Checkpoint:
    """`measured` for the data at a path, whoever's it is; `place` is the checkpoint's, for faults."""
    with at(place):
        graph = channel_graph(build.blueprint(checkpoint.spec), checkpoint.spec.input)
        require_layers(graph)
    sight = look_at(checkpoint, data, limit=limit)
    with at(place):
        return measured(checkpoint, graph, sight)


def note_stale_statistics(checkpoint: Checkpoint) -> None:
    """Say so where weights were masked after the statistics were taken."""
    if _masked_unmeasured(checkpoint):
        events.note("its statistics are of before weights of it were masked; --data measures them anew")


def _masked_unmeasured(card: Card) -> bool:
    masking = [name for name, method in METHODS.items() if method.weights]
    for entry in reversed(card.history):
        if entry.command == "train":
            return False
        if entry.command == "prune" and entry.parameters.get("method") in masking:
            return True
        if entry.command == "prune" and entry.parameters.get("data") not in (None, NO_DATA):
            return False
    return False


def require_layers(graph: ChannelGraph) -> None:
    """Raise BadCheckpoint for a network that has no layer with units to remove."""
    if not graph.layers:
        raise BadCheckpoint("no layer of it can be pruned", "choose another architecture")


def look_at(card: Card, data: str, *, limit: int) -> Sight:
    """`look` for data that a user gave, with a note where the model was trained on other."""
    sight = look(card, data, limit=limit)
    if not sight.own:
        events.note(f"{data} is not what the model was trained on: all of it counts as training part")
    return sight


def measured(checkpoint: Checkpoint, graph: ChannelGraph, sight: Sight) -> Checkpoint:
    """The checkpoint with statistics of every layer of its network, from the training part."""
    net = build.restore(checkpoint.spec, checkpoint.tensors)
    seen = collect(net, graph, graph.layers, sight.train_batches("statistics"))
    return replace(checkpoint, layers=graph.layers, statistics=seen.statistics, moments=seen.moments)


def matching_layers(checkpoint: Checkpoint, glob: str, *, place: str) -> list[HiddenLayer]:
    """The checkpoint's measured layers whose name matches `glob`; BadCheckpoint where there is none."""
    if not checkpoint.layers:
        raise BadCheckpoint(
            "has no statistics of a layer that could be pruned", "measure them with `data`", place=place
        )
    found = [layer for layer in checkpoint.layers if fnmatchcase(layer.name, glob)]
    if not found:
        names = ", ".join(layer.name for layer in checkpoint.layers)
        raise BadCheckpoint(f"no measured layer matches `layer={glob}`", f"choose from {names}", place=place)
    return found
