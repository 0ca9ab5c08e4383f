"""The data that pruning calibrates on: statistics, refitted weights, and the judgment of a network."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from emoprune import events
from emoprune.choices import Task
from emoprune.data.class_names import places
from emoprune.data.datasets import Data, open_data
from emoprune.data.formats.image_folders import classes_in, open_unlabeled
from emoprune.data.formats.parts import located, part_of
from emoprune.data.loader import spread
from emoprune.data.splits import check_not_test, partition
from emoprune.errors import BadCheckpoint, BadData, EmopruneError, UsageFault, at
from emoprune.evaluation.answers import AnswerLoss, answer_loss
from emoprune.evaluation.drawn_data import drawn_faces
from emoprune.evaluation.model import Subset, samples_for
from emoprune.evaluation.model import samples as samples_of
from emoprune.io.files import STANDARD
from emoprune.io.visible_text import visible
from emoprune.networks import build
from emoprune.networks.graph import channel_graph
from emoprune.networks.graph.types import ChannelGraph
from emoprune.networks.losses import judge, task_of
from emoprune.networks.memory import layers_that_fit
from emoprune.networks.statistics.activation_statistics import collect
from emoprune.networks.statistics.sensitivity import SAMPLES, consumers_of, sensitivities
from emoprune.networks.types import Card, Checkpoint, HiddenLayer

NO_DATA, DRAWN = "none", "drawn"
"""Given in place of a path: reads no sample; takes drawn faces."""


@dataclass(frozen=True)
class CalibrationData:
    """The training and validation parts of a data set, read as input of a model.

    If the model was trained on other data (not `own`), all of it is training part. At most `limit` samples
    of the training part are read, evenly spread. `fingerprint` is that of the data set; drawn faces have
    none. What is not `labeled` cannot judge a network.
    """

    train: Subset
    val: Subset | None
    task: Task
    limit: int
    own: bool
    fingerprint: str | None
    labeled: bool = True

    @property
    def drawn(self) -> bool:
        """Whether the faces are drawn."""
        return self.fingerprint is None

    @property
    def count(self) -> int:
        """How many samples of the training part are read."""
        return min(len(self.train), self.limit)

    def train_batches(self, label: str) -> Iterator[Tensor]:
        """Network input from the training part, with progress under `label`."""
        chosen = replace(self.train, indices=self.train.indices[spread(len(self.train), self.count)])
        return events.tracked(chosen.inputs(), label, len(chosen), steps=len)

    @property
    def judges(self) -> Subset:
        """The part that a network is judged on: validation or, without one, training."""
        return self.train if self.val is None else self.val

    def answer_loss(self, before: nn.Module, after: nn.Module) -> AnswerLoss | None:
        """What one network loses of another's answers on up to `limit` samples of the part that judges."""
        part = self.judges
        chosen = replace(part, indices=part.indices[spread(len(part), self.limit)])
        on = "drawn faces" if self.drawn else "training images" if self.val is None else "validation images"
        inputs = events.tracked(chosen.inputs(), "compare", len(chosen), steps=len)
        return answer_loss(before, after, inputs, self.task, on=on)

    def judge(self, net: nn.Module) -> tuple[float, float | None]:
        """Mean loss and accuracy on the part that judges; accuracy is None if nothing is classified."""
        return judge(net, self.judges.inputs(), self.judges.labels, self.task)


def calibration_data(card: Card, data: Data | str, *, limit: int) -> CalibrationData:
    """A data set, or what is at its path, read as input of the model of `card`.

    A folder in which no folder is a class of the model is one of pictures without labels. A note says so, and
    if the model was trained on other data.
    """
    if isinstance(data, str) and card.preprocess.kind != "table" and has_no_class(card, data):
        pictures = open_unlabeled(data)
        count = len(pictures.paths)
        fact = (
            f"{events.counted(count, 'picture')} without labels, for no folder in it is a class of the model"
        )
        events.note(f"{data}: {fact}")
        samples = samples_of(pictures, card.preprocess, card.spec.input)
        subset = Subset(samples, torch.arange(count), card.preprocess, torch.device("cpu"))
        task, fingerprint = task_of(card.spec.arch), pictures.catalog.fingerprint
        return CalibrationData(subset, None, task, limit, own=False, fingerprint=fingerprint, labeled=False)
    found = _read(card, data, limit=limit)
    if not found.own:
        place = data if isinstance(data, str) else data.catalog.place
        events.note(f"{place} is not what the model was trained on: all of it counts as training part")
    return found


def has_no_class(card: Card, place: str) -> bool:
    """Whether a place is a folder in which no folder is a class of the model."""
    if not os.path.isdir(place):
        return False
    try:
        return not any(found is not None for found in places(classes_in(place), card.classes))
    except BadData:
        # of parts and classes: opening it says what is wrong
        return False


def drawn_data(card: Card, net: nn.Module, *, limit: int, seed: int) -> CalibrationData:
    """Drawn faces in the place of data; UsageFault for a network that takes no pictures."""
    if card.preprocess.kind == "table":
        raise UsageFault("the network takes a feature table, and faces are drawn as pictures", "give `data`")
    faces = drawn_faces(net, card.preprocess, limit, seed=seed)
    return CalibrationData(
        faces, None, task_of(card.spec.arch), limit, own=False, fingerprint=None, labeled=False
    )


def training_data_of(checkpoint: Checkpoint, *, limit: int) -> CalibrationData | str:
    """The data that a model was trained on; the reason where it is missing or has changed.

    Its history has the path as it was given, or the last name of an absolute one. That is looked for from the
    current folder, then from the folder of the checkpoint.
    """
    trained = next((entry for entry in reversed(checkpoint.history) if entry.command == "train"), None)
    path = trained.parameters.get("data") if trained else None
    if not isinstance(path, str) or path in ("", STANDARD):
        return "the training data is not here"
    reason = f"the training data ({visible(path)}) is not here"
    for place in dict.fromkeys((path, os.path.join(os.path.dirname(checkpoint.place), path))):
        folder, part = located(place)
        if not (os.path.isdir(folder) or os.path.isfile(folder)):
            continue
        try:
            if os.path.isdir(folder):
                _check_classes(checkpoint, folder, part and part_of(part))
            with events.muted():
                found = _read(checkpoint, place, limit=limit)
        except EmopruneError as fault:
            # the user did not ask for this data, so its faults stop nothing
            reason = f"{fault.place}: {fault.fact}"
            continue
        if found.own:
            return found
        reason = f"{place} is not what it was when the model was trained"
    return reason


def _check_classes(card: Card, place: str, part: str | None) -> None:
    """Raise BadData for a folder of other classes, before its pictures are read.

    The checkpoint may be somebody else's, and name any folder of this machine.
    """
    found = classes_in(place, part)
    if None in places(found, card.classes):
        raise BadData("is not what it was when the model was trained", "give `data`", place=place)


def _read(card: Card, data: Data | str, *, limit: int) -> CalibrationData:
    found = open_data(data) if isinstance(data, str) else data
    own = found.catalog.fingerprint == card.split.fingerprint
    with at(found.catalog.place):
        check_not_test(found)
        parts = partition(found.catalog, card.split) if own else {"train": range(len(found.catalog.names))}
    # a part of it is what the user asked for by name
    own = own or (found.part is not None and found.part.whole.fingerprint == card.split.fingerprint)
    samples = samples_for(card, found)
    subsets = {
        name: Subset(samples, torch.tensor(indices), card.preprocess, torch.device("cpu"))
        for name, indices in parts.items()
    }
    task, fingerprint = task_of(card.spec.arch), found.catalog.fingerprint
    return CalibrationData(subsets["train"], subsets.get("val"), task, limit, own, fingerprint)


def with_statistics(
    checkpoint: Checkpoint, graph: ChannelGraph, data: CalibrationData, layers: tuple[HiddenLayer, ...]
) -> Checkpoint:
    """The checkpoint with statistics of `layers` of its network alone, from the training part of `data`."""
    net = build.restore(checkpoint.spec, checkpoint.tensors)
    seen = collect(net, graph, layers, data.train_batches("statistics"))
    fewer = replace(data, limit=min(data.limit, SAMPLES))
    found = sensitivities(
        net,
        consumers_of(seen.layer_inputs),
        fewer.train_batches("sensitivity"),
        task=data.task,
        generator=torch.Generator().manual_seed(0),
    )
    return replace(
        checkpoint,
        layers=layers,
        statistics=seen.statistics,
        moments=seen.moments,
        sensitivities=found,
    )


def remeasured(
    checkpoint: Checkpoint, data: Data | str, *, limit: int, layer: str, memory: float | None
) -> Checkpoint:
    """The checkpoint with statistics of its network's layers, from a data set or its path.

    Of all layers, or where `memory` does not hold them of those that match `layer`.
    """
    graph = channel_graph(build.blueprint(checkpoint.spec), checkpoint.spec.input)
    require_layers(graph)
    layers = layers_that_fit(graph, layer, memory)
    return with_statistics(checkpoint, graph, calibration_data(checkpoint, data, limit=limit), layers)


def note_stale_statistics(card: Card, *, masking: Collection[str]) -> None:
    """Note statistics older than the last prune by one of the `masking` methods."""
    for entry in reversed(card.history):
        if entry.command == "prune" and entry.parameters.get("method") in masking:
            events.note("its statistics are older than its masks; give `data` to measure them again")
            return
        if entry.command == "train" or entry.parameters.get("data") not in (None, NO_DATA):
            return


def require_layers(graph: ChannelGraph) -> None:
    """Raise BadCheckpoint for a network that has no layer with units to remove."""
    if not graph.layers:
        operations = sorted({obstacle.operation for obstacle in graph.obstacles})
        because = f" (kept whole by {', '.join(operations)})" if operations else ""
        raise BadCheckpoint(f"has no layer that can be pruned{because}", "choose another architecture")


def matching_layers(checkpoint: Checkpoint, glob: str) -> list[HiddenLayer]:
    """The checkpoint's measured layers whose name matches `glob`; BadCheckpoint where there is none."""
    if not checkpoint.layers:
        require_layers(channel_graph(build.blueprint(checkpoint.spec), checkpoint.spec.input))
        raise BadCheckpoint("has no statistics of a layer that can be pruned", "give `data` to measure them")
    found = [layer for layer in checkpoint.layers if fnmatchcase(layer.name, glob)]
    if not found:
        names = ", ".join(layer.name for layer in checkpoint.layers)
        raise BadCheckpoint(f"no measured layer matches `layer={glob}`", f"choose from {names}")
    return found
