"""What a file is: its network, where that comes from, and what it costs, as far as the file tells."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from emoprune import events
from emoprune.choices import Task
from emoprune.data.split_files import LETTERS
from emoprune.data.types import SplitRule
from emoprune.deployment.layer_sizes import LayerSize, nonzero, onnx_sizes, parameters_by_name, sizes
from emoprune.errors import BadCheckpoint, EmopruneError, InvalidRecord, Unavailable, at
from emoprune.evaluation import looks
from emoprune.io import file_kinds, files, json_records, safetensors_files
from emoprune.io.onnx_contents import OnnxContents
from emoprune.io.safetensors_files import COPY_AGAIN, METADATA_KEY, RawTensor
from emoprune.networks import cards, onnx_metadata
from emoprune.networks.registry import architecture
from emoprune.networks.types import Card, HistoryEntry

if TYPE_CHECKING:
    from emoprune.deployment.counting import Counted

SCHEMA = "emoprune.inspection/1"
OF_STATISTICS = (cards.STATS, cards.READS, cards.SENSITIVITY)
LICENSES = {"data_license": "data", "weights_license": "weights"}
"""Parameters of a training, and that which names what each is of."""


@dataclass(frozen=True)
class LayerWidth:
    """A layer that can be pruned, its units now and before any pruning; None where that is not known."""

    layer: str
    activation: str
    units: int
    units_before: int | None


@dataclass(frozen=True)
class Statistics:
    """How many layers a file has statistics of, over how many patterns, and the bytes that these take."""

    layers: int
    patterns: int | None
    bytes: int


@dataclass(frozen=True)
class TestLooks:
    """How often this user has looked at test parts of a network's data.

    `file` counts looks with this very file, `training` those with networks of the same training, `data` all,
    and `networks` the different ones among these.
    """

    file: int
    training: int
    data: int
    networks: int


@dataclass(frozen=True)
class License:
    """The license of the data or the weights that a network was trained on, as the user gave it."""

    of: str
    name: str | None
    license: str


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What a checkpoint or an ONNX file is (schema emoprune.inspection/1).

    `card` is None for an ONNX file that emoprune has not written, `onnx` for a checkpoint. Of each layer
    `sizes` tells how large it is, `layers` how wide, where the file says that. `split_counts` are the samples
    of each part; `trained` how many samples the network remembers, `masked` how many weights are held at
    zero, `checkpoint` the SHA-256 of the one that an ONNX file was made of. What is None is not known.
    """

    model: str
    kind: Literal["checkpoint", "onnx"]
    file_schema: str | None
    sha256: str
    file_bytes: int
    weight_bytes: int
    parameters: int
    nonzero_parameters: int | None
    macs: int | None
    sizes: tuple[LayerSize, ...]
    card: Card | None = None
    layers: tuple[LayerWidth, ...] = ()
    units: int | None = None
    lineage: tuple[HistoryEntry, ...] = ()
    split_counts: Mapping[str, int] | None = None
    statistics: Statistics | None = None
    looks: TestLooks | None = None
    licenses: tuple[License, ...] = ()
    trained: int | None = None
    masked: int = 0
    onnx: OnnxContents | None = None
    takes: str | None = None
    checkpoint: str | None = None

    @property
    def ours(self) -> bool:
        """Whether emoprune has written the file."""
        return self.card is not None

    @property
    def task(self) -> Task | None:
        """What the network does."""
        return None if self.card is None else architecture(self.card.spec.arch).task

    def to_record(self) -> dict[str, Any]:
        """As one JSON object; of a split not the part of each sample."""
        record = asdict(self)
        card, onnx = record.pop("card"), record.pop("onnx")
        about: dict[str, Any] = {}
        if self.card is not None:
            card["spec"].pop("function")
            rule = {name: value for name, value in card["split"].items() if name != "assigned"}
            rule["together"] = len(self.card.split.together)
            about = {
                "arch": self.card.spec.arch,
                "task": self.task,
                "input": self.card.spec.input,
                "spec": card["spec"],
                "classes": self.card.classes,
                "preprocess": card["preprocess"],
                "split": {**rule, "counts": record["split_counts"]},
                "epochs": len(self.card.training),
            }
        del record["split_counts"]
        # the layers of a file stand in its sizes
        within = {name: value for name, value in onnx.items() if name != "layers"} if onnx else None
        return {"schema": SCHEMA, "ours": self.ours, **record, **about, "onnx": within}


def inspect(path: str | Path, *, arch: str | None = None, macs: bool = True) -> Inspection:
    """What the checkpoint or ONNX file at `path` is; "-" is standard input.

    Without `macs` of a checkpoint no network is built, and nothing is counted that needs torch. `arch` names
    the network of a checkpoint, which counting needs for a function of the user's own. Raises BadCheckpoint
    for another file, or a damaged one.
    """
    place = str(path)
    data = files.read_bytes(place, fault=BadCheckpoint)
    with at(files.shown(place)):
        if file_kinds.is_onnx(data, place):
            return _onnx(data, place)
        return _checkpoint(data, place, arch, macs=macs)


def _checkpoint(data: bytes, place: str, arch: str | None, *, macs: bool) -> Inspection:
    tensors, metadata = safetensors_files.load_raw(data)
    record = cards.checkpoint_record(metadata)
    card = json_records.decode(Card, record)
    net = {name.removeprefix(cards.NET): each for name, each in tensors.items() if name.startswith(cards.NET)}
    found = _counted(card, net, arch) if macs else None
    names, counts = (found.parameters, found.macs) if found else (parameters_by_name(net), None)
    sha256 = hashlib.sha256(data).hexdigest()
    widths = _widths(card, tensors, arch, built=counts is not None)
    masks = [each for name, each in tensors.items() if name.startswith(cards.MASK)]
    return Inspection(
        model=place,
        kind="checkpoint",
        file_schema=record["schema"],
        sha256=sha256,
        file_bytes=len(data),
        weight_bytes=sum(len(tensor.data) for tensor in net.values()),
        card=card,
        parameters=sum(net[name].count for name in names),
        nonzero_parameters=sum(nonzero(net[name]) for name in names),
        macs=None if counts is None else sum(counts.values()),
        sizes=sizes(net, names, counts),
        layers=widths,
        units=sum(width.units for width in widths) if widths else None,
        lineage=card.history,
        split_counts=_split_counts(card.split, card.history),
        statistics=_statistics(card, tensors),
        looks=_looks(card.split, sha256, cards.descent(card.history)),
        licenses=_licenses(card.history),
        trained=tensors[cards.TRAINED].count if cards.TRAINED in tensors else None,
        masked=sum(int(np.count_nonzero(np.frombuffer(mask.data, np.uint8) == 0)) for mask in masks),
    )


def _counted(card: Card, net: Mapping[str, RawTensor], arch: str | None) -> Counted | None:
    """What a network counts that is built; None, with a note, where nobody has asked for what it lacks."""
    why = "multiply-accumulates are not counted"
    name = card.spec.arch
    if arch is None and architecture(name).source == "code":
        events.note(f"{why}: the network is made by {name}, which is code; give `arch={name}` to run it")
        return None
    from emoprune.deployment.counting import counted

    try:
        return counted(card.spec, net, arch)
    except Unavailable as error:
        events.note(f"{why}: {error}")
        return None


def _widths(
    card: Card, tensors: Mapping[str, RawTensor], arch: str | None, *, built: bool
) -> tuple[LayerWidth, ...]:
    """The layers with statistics, else those that a network that can be `built` has."""
    now = {layer.name: (layer.activation, _units(layer.name, tensors)) for layer in card.layers}
    if not now and built:
        from emoprune.deployment.counting import prunable

        try:
            now = prunable(card.spec, arch)
        except EmopruneError as error:
            events.note(f"its layers that can be pruned are not known: {error}")
    prunings = [_pruned(entry) for entry in card.history if entry.command == "prune"]
    first: dict[str, int] = {}
    for pruning in prunings:
        for each in pruning:
            first.setdefault(each.layer, each.before)
    told = all(prunings)
    return tuple(
        LayerWidth(name, activation, units, first.get(name, units if told else None))
        for name, (activation, units) in now.items()
    )


def _units(layer: str, tensors: Mapping[str, RawTensor]) -> int:
    """Units of a layer, by its statistics of this schema or of an older one."""
    for part in ("mean", "sum"):
        tensor = tensors.get(f"{cards.STATS}{layer}.{part}")
        if tensor is not None:
            return tensor.count
    raise BadCheckpoint(f"lacks tensor {cards.STATS}{layer}.mean", COPY_AGAIN)


@dataclass(frozen=True)
class _PrunedLayer:
    layer: str
    before: int


def _pruned(entry: HistoryEntry) -> tuple[_PrunedLayer, ...]:
    """How wide layers were before a pruning; none where the history does not say."""
    try:
        return json_records.decode(tuple[_PrunedLayer, ...], entry.metrics.get("layers"))
    except InvalidRecord:
        return ()


def _statistics(card: Card, tensors: Mapping[str, RawTensor]) -> Statistics:
    size = sum(len(each.data) for name, each in tensors.items() if name.startswith(OF_STATISTICS))
    count = tensors.get(f"{cards.STATS}{card.layers[0].name}.count") if card.layers else None
    whole = count is not None and count.dtype == "I64" and count.count == 1
    return Statistics(
        layers=len(card.layers),
        patterns=int(np.frombuffer(count.data, "<i8")[0]) if count is not None and whole else None,
        bytes=size,
    )


def _split_counts(rule: SplitRule, history: Sequence[HistoryEntry]) -> dict[str, int] | None:
    """Samples of each part: what the last training on this data says, else what the rule does."""
    for entry in reversed(history):
        if entry.parameters.get("data_fingerprint") == rule.fingerprint and "parts" in entry.metrics:
            return json_records.decode(dict[str, int], entry.metrics["parts"], path="parts")
    if rule.assigned is None or rule.fold is not None:
        return None
    names, found = {letter: part for part, letter in LETTERS.items()}, Counter[str]()
    for letter, length in re.findall(r"([tve])(\d*)", rule.assigned):
        found[names[letter]] += int(length or 1)
    return dict(found)


def _looks(rule: SplitRule, sha256: str, descent: str | None) -> TestLooks | None:
    """What the ledger says of the data; None where there is none that can be read."""
    path = looks.ledger_path()
    if path is None:
        return None
    try:
        found = [look for look in looks.read_looks(path) if look.data == rule.fingerprint]
    except EmopruneError as error:
        events.note(f"looks at test parts are not known: {error}")
        return None
    same = [look for look in found if look.model == sha256]
    kin = [look for look in found if descent is not None and look.descent == descent]
    return TestLooks(
        file=len(same),
        training=len({*map(id, same), *map(id, kin)}),
        data=len(found),
        networks=len({look.model for look in found}),
    )


def _licenses(history: Sequence[HistoryEntry]) -> tuple[License, ...]:
    found = dict[License, None]()
    for entry in history:
        for name, of in LICENSES.items():
            text, what = entry.parameters.get(name), entry.parameters.get(of)
            if isinstance(text, str):
                found[License(of, what if isinstance(what, str) else None, text)] = None
    return tuple(found)


def _onnx(data: bytes, place: str) -> Inspection:
    from emoprune.io import onnx_contents

    model = onnx_contents.parsed(data)
    found, text = onnx_contents.contents(model), onnx_contents.metadata_of(model).get(METADATA_KEY)
    shared: dict[str, Any] = {
        "model": place,
        "kind": "onnx",
        "sha256": hashlib.sha256(data).hexdigest(),
        "file_bytes": len(data),
        "weight_bytes": found.weight_bytes,
        "sizes": onnx_sizes(found.layers),
        "onnx": found,
    }
    if text is None:
        macs = [layer.macs for layer in found.layers]
        return Inspection(
            **shared,
            file_schema=None,
            parameters=sum(layer.parameters for layer in found.layers),
            nonzero_parameters=None,
            macs=None if None in macs else sum(each for each in macs if each),
        )
    told, record = onnx_metadata.from_json(text), cards.card_record(text, onnx_metadata.SCHEMA)
    lineage = onnx_metadata.lineage(text)
    texts = {name: record.get(name) for name in ("checkpoint", "input")}
    for name in (name for name, value in texts.items() if value is not None):
        texts[name] = json_records.decode(str, texts[name], path=name)
    return Inspection(
        **shared,
        **asdict(told.cost),
        file_schema=record["schema"],
        card=told.card,
        units=told.units,
        lineage=lineage,
        split_counts=_split_counts(told.card.split, lineage),
        looks=_looks(told.card.split, shared["sha256"], told.descent),
        licenses=_licenses(lineage),
        checkpoint=texts["checkpoint"],
        takes=texts["input"],
    )
