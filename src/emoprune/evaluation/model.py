"""Trained networks from files, and data sets as a trained network reads them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from emoprune import events
from emoprune.data import class_names
from emoprune.data.datasets import Data
from emoprune.data.formats.image_folders import Folder
from emoprune.data.image_dataset import IN_MEMORY, Kept, Photos, to_pictures
from emoprune.data.loader import TensorSamples, batches
from emoprune.data.splits import partition
from emoprune.data.types import Catalog, PartOf, Preprocess, Samples, Table
from emoprune.errors import BadCheckpoint, BadData, UsageFault, at
from emoprune.io import file_kinds, files
from emoprune.io.csv_text import LABEL
from emoprune.io.safetensors_files import METADATA_KEY
from emoprune.networks import build, onnx_metadata
from emoprune.networks import checkpoint as checkpoints
from emoprune.networks.cards import descent
from emoprune.networks.costs import profiling
from emoprune.networks.losses import predict, task_of
from emoprune.networks.sources import user_networks
from emoprune.networks.types import Card, Checkpoint, Cost

if TYPE_CHECKING:
    from torch import Tensor, nn

    from emoprune.choices import Part, Task
    from emoprune.data.types import SplitRule


def samples(
    data: Data,
    preprocess: Preprocess,
    shape: tuple[int, ...],
    labels: Tensor | None = None,
    *,
    kept: Kept = IN_MEMORY,
) -> Samples:
    """The samples of a data set for a network that takes inputs of `shape`; `labels` default to its own.

    `kept` says where decoded pictures are.
    Raises BadData for a table where the network takes photos, the reverse, a table of another width, and
    missing values that the network cannot fill. Where it can, a note says how.
    """
    place = data.catalog.place
    if labels is None:
        labels = torch.tensor(data.catalog.labels)
    if isinstance(data, Table):
        if preprocess.kind != "table":
            raise BadData("is a feature table, and the network takes photos", "give a folder", place=place)
        if shape != (len(data.columns) + preprocess.label,):
            fact = f"has {len(data.columns)} features, and the network takes {shape[0] - preprocess.label}"
            raise BadData(fact, "make the table with the options of the training table", place=place)
        _note_missing(data, preprocess)
        values = torch.cat((data.values, labels[:, None]), 1) if preprocess.label else data.values
        return TensorSamples(values, labels)
    if preprocess.kind == "table":
        kind = "a folder of photos" if isinstance(data, Folder) else "a CSV of photos"
        fact = f"is {kind}, and the network takes a feature table"
        raise BadData(fact, "make one with emoprune features", place=place)
    return Photos(data.picture, labels, preprocess, kept=kept)


def samples_for(card: Card, data: Data, kept: Kept = IN_MEMORY) -> Samples:
    """The samples of a data set for the network of `card`, with labels as indices into its classes.

    Raises BadData for a class that the network does not know, and where `samples` does.
    """
    labels = labels_for(data, card.classes, task_of(card.spec.arch))
    return samples(data, card.preprocess, card.spec.input, labels, kept=kept)


@dataclass(frozen=True)
class Subset:
    """The samples at `indices` of a data set, read as input of a network on `device`."""

    samples: Samples
    indices: Tensor
    preprocess: Preprocess
    device: torch.device

    def __len__(self) -> int:
        """How many samples."""
        return len(self.indices)

    @property
    def labels(self) -> Tensor:
        """Class indices, (samples,)."""
        return self.samples.labels[self.indices]

    def inputs(self, limit: int | None = None) -> Iterator[Tensor]:
        """Network input in batches; only the first `limit` samples, if given."""
        return batches(self.samples, self.indices[:limit], self.preprocess, self.device)


def _note_missing(table: Table, preprocess: Preprocess) -> None:
    missing = table.values.isnan()
    if not bool(missing.any()):
        return
    place, rows = table.catalog.place, missing.any(1)
    fact = f"missing values: {int(missing.sum()):,}, in {int(rows.sum()):,} of {len(rows):,} rows"
    if not preprocess.fills:
        fact = f"{fact}, and the network is of an older version, which cannot fill them"
        raise BadData(fact, "train it again", place=place)
    events.note(f"{place}: {fact}; each is taken to be the mean of its column over the training part")


@dataclass(frozen=True)
class LoadedModel:
    """A network ready to run, with what its file says of it.

    `place` is the file; `net` is None for an ONNX file, which onnxruntime runs. `logits` maps batches of
    input on `device` to batches of (n, classes). `descent` is a hash of its first training, `trained` the
    content keys of its samples, each None where the file does not say. It runs on so many `threads` of
    the processor: those of torch, also in onnxruntime.
    """

    place: str
    card: Card
    cost: Cost
    units: int
    fingerprint: str
    bytes: int
    device: torch.device
    net: nn.Module | None
    logits: Callable[[Iterator[Tensor]], Iterator[Tensor]]
    descent: str | None = None
    trained: Tensor | None = None
    threads: int = field(default_factory=torch.get_num_threads)


def load(path: str, device: torch.device, arch: str | None = None) -> LoadedModel:
    """The network in an ONNX file or in a checkpoint.

    `arch` names it, which is needed for the checkpoint of a function of the user's own.
    """
    data = files.read_bytes(path, fault=BadCheckpoint)
    with at(files.shown(path)):
        if file_kinds.is_onnx(data, path):
            found = _load_onnx(data, device, place=path)
            user_networks.check_named(found.card.spec, arch)
            return found
        checkpoint = checkpoints.trusting(checkpoints.from_bytes(data), arch)
        return from_checkpoint(checkpoint, data, device, place=path)


def from_checkpoint(checkpoint: Checkpoint, data: bytes, device: torch.device, *, place: str) -> LoadedModel:
    """The network in a checkpoint; `data` are the bytes of its file."""
    net = build.restore(checkpoint.spec, checkpoint.tensors).to(device)
    return LoadedModel(
        place=place,
        card=checkpoint,
        cost=profiling.cost(net, checkpoint.spec.input),
        units=profiling.hidden_units(checkpoint),
        fingerprint=hashlib.sha256(data).hexdigest(),
        bytes=len(data),
        device=device,
        net=net,
        logits=lambda batches: predict(net, batches),
        descent=descent(checkpoint.history),
        trained=checkpoint.trained,
    )


def _load_onnx(data: bytes, device: torch.device, *, place: str) -> LoadedModel:
    from emoprune.io.onnx_engine import Engine

    threads = torch.get_num_threads()
    engine = Engine(data, threads=threads)
    text = engine.metadata.get(METADATA_KEY)
    if text is None:
        raise BadCheckpoint("an ONNX file, but not of emoprune", "export the checkpoint with emoprune export")
    found = onnx_metadata.from_json(text)
    outputs, preprocess = found.card.spec.classes, found.card.preprocess

    def taken(batch: Tensor) -> Tensor:
        return to_pictures(batch, preprocess) if engine.takes_pictures else batch

    engine.check_interface(found.card.spec.input, outputs)
    return LoadedModel(
        place=place,
        **vars(found),
        fingerprint=hashlib.sha256(data).hexdigest(),
        bytes=len(data),
        device=device,
        net=None,
        logits=lambda batches: (engine.logits(taken(batch), outputs) for batch in batches),
        threads=threads,
    )


@dataclass(frozen=True)
class ChosenPart:
    """Samples of a data set to score: `indices` of it, by the `name` of the part that they are.

    `catalog` is that of the data set that was split, and `places` are their indices in it: those of the
    whole where a part of it was given. `own` says whether the network was trained on it.
    """

    name: str
    indices: Tensor
    catalog: Catalog
    places: Tensor
    own: bool
    is_test: bool = False


def chosen_part(data: Data, rule: SplitRule, part: Part | None) -> ChosenPart:
    """The samples to score, by the split `rule` that the model was trained with.

    None stands for test, or val where there is no test part. What was opened as a part of the data that the
    model was trained on is that part, and of other data it is scored whole. Raises BadData for data that the
    model was not trained on, except for the part "all".
    """
    catalog = data.catalog
    own = catalog.fingerprint == rule.fingerprint
    with at(catalog.place):
        if not own and data.part is not None:
            return _opened_part(data.part, rule, part)
        if part == "all":
            every = torch.arange(len(catalog.names))
            return ChosenPart(part, every, catalog, every, own)
        if not own:
            fact = "is not the data that the model was trained on (its fingerprint differs)"
            raise BadData(fact, "give that data, or `part=all`")
        parts = partition(catalog, rule)
        name = part or ("test" if "test" in parts else "val")
        if name not in parts:
            fact = f"has no {name} part, the model was trained with {'/'.join(parts)}"
            raise BadData(fact, "choose another `part`")
        indices = torch.tensor(parts[name])
        return ChosenPart(name, indices, catalog, indices, own, name == "test")


def _opened_part(opened: PartOf, rule: SplitRule, part: Part | None) -> ChosenPart:
    if part not in (None, "all", opened.name):
        raise UsageFault(f"is the {opened.name} part, and `part={part}` asks for another", "leave out `part`")
    own = opened.whole.fingerprint == rule.fingerprint
    parts = partition(opened.whole, rule) if own else {}
    # a fold of the model's split may be another val part than the one in the data
    name = opened.name if parts.get(opened.name) == opened.indices else "all"
    places = torch.tensor(opened.indices)
    is_test = opened.name == "test"
    return ChosenPart(name, torch.arange(len(places)), opened.whole, places, own, is_test)


def outputs(data: Data, task: Task) -> tuple[str, ...]:
    """Names of the outputs of a network for this data: its classes, or the columns that it reconstructs."""
    if task == "reconstruct" and isinstance(data, Table):
        return (*data.columns, LABEL)
    return data.catalog.classes


def labels_for(data: Data, classes: tuple[str, ...], task: Task = "classify") -> Tensor:
    """Labels as indices into the model's classes, by name; BadData for a class that the model does not know.

    A note says which names match though they are spelled otherwise. A network that reconstructs takes the
    labels of the data as they are, and BadData is for other columns.
    """
    catalog = data.catalog
    if task == "reconstruct":
        if isinstance(data, Table) and outputs(data, task) != classes:
            fact = f"has other columns than the network reconstructs ({', '.join(classes)})"
            raise BadData(fact, "give them in that order", place=catalog.place)
        return torch.tensor(catalog.labels)
    found = class_names.places(catalog.classes, classes)
    for name, place in zip(catalog.classes, found, strict=True):
        if place is None:
            fact = f"class {name} is not one of the model's ({', '.join(classes)})"
            raise BadData(fact, "rename or remove it", place=catalog.place)
    respelled = class_names.respelled(catalog.classes, classes)
    if respelled:
        events.note(f"{catalog.place}: classes of the model are matched by name, {respelled}")
    return torch.tensor(found)[torch.tensor(catalog.labels)]
