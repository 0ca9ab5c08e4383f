"""Checkpoints as safetensors bytes: tensors, and one metadata key of canonical JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import safetensors.torch
from torch import Tensor

from emoprune.errors import BadCheckpoint, InvalidRecord, at
from emoprune.records import Card, Checkpoint, UnitStatistics
from emoprune.store import decoding, tensorfiles
from emoprune.store.streams import read_bytes, shown
from emoprune.store.tensorfiles import COPY_AGAIN

SCHEMA = "emoprune.checkpoint/1"
METADATA_KEY = "emoprune"
NET, STATS = "net.", "stats."
STATISTICS = ("count", "gram", "sum", "min", "max")


def card_json(card: Card, **more: object) -> str:
    """The card, and `more` beside it, as canonical JSON: sorted, compact, the same for the same card."""
    shared = {entry.name: getattr(card, entry.name) for entry in dataclasses.fields(Card)}
    plain = {name: _plain(value) for name, value in {**shared, **more}.items()}
    return json.dumps({"schema": SCHEMA, **plain}, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _plain(value: Any) -> Any:
    """Records as the dictionaries that JSON knows, at any depth."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def card_record(text: str) -> dict[str, Any]:
    """The JSON object that `card_json` wrote; BadCheckpoint for anything else."""
    try:
        record = decoding.loads(text)
    except (ValueError, RecursionError):
        # ValueError also stands for a number of thousands of digits, or one that is not finite
        raise BadCheckpoint("its metadata is not JSON", COPY_AGAIN) from None
    schema = record.get("schema") if isinstance(record, dict) else None
    if not isinstance(record, dict) or schema != SCHEMA:
        raise BadCheckpoint(
            f"its schema is {schema!r}, this program reads {SCHEMA}", "use the program that wrote it"
        )
    return record


def parse_card(text: str) -> Card:
    """What `card_json` wrote; BadCheckpoint for another schema, InvalidRecord for a field that is wrong."""
    return decoding.decode(Card, card_record(text))


def to_bytes(checkpoint: Checkpoint) -> bytes:
    """The checkpoint as a safetensors file; the same checkpoint gives the same bytes."""
    tensors = {
        f"{NET}{name}": value.detach().cpu().contiguous() for name, value in checkpoint.tensors.items()
    }
    for layer, statistics in checkpoint.statistics.items():
        for name, value in _statistics_tensors(statistics).items():
            tensors[f"{STATS}{layer}.{name}"] = value.contiguous()
    return safetensors.torch.save(tensors, {METADATA_KEY: card_json(checkpoint)})


def _statistics_tensors(statistics: UnitStatistics) -> dict[str, Tensor]:
    count = statistics.total.new_full((), statistics.count).long()
    values = (count, statistics.gram, statistics.total, statistics.low, statistics.high)
    return dict(zip(STATISTICS, values, strict=True))


def read(path: str) -> Checkpoint:
    """The checkpoint in a file or, for "-", on standard input; BadCheckpoint for anything else."""
    data = read_bytes(path, fault=BadCheckpoint)
    with at(shown(path)):
        return from_bytes(data)


def from_bytes(data: bytes) -> Checkpoint:
    """The checkpoint in the bytes of a safetensors file; BadCheckpoint or InvalidRecord for anything else."""
    tensors, metadata = tensorfiles.load(data)
    if METADATA_KEY not in metadata:
        raise BadCheckpoint(
            "a safetensors file, but not of emoprune",
            "adopt weights with emoprune train --weights FILE --epochs 0",
        )
    card = parse_card(metadata[METADATA_KEY])
    net = {name.removeprefix(NET): value for name, value in tensors.items() if name.startswith(NET)}
    statistics = {layer.name: _statistics(tensors, layer.name) for layer in card.layers}
    known = len(net) + len(STATISTICS) * len(statistics)
    if known != len(tensors):
        raise BadCheckpoint("has tensors that are neither its network's nor its statistics'", COPY_AGAIN)
    return Checkpoint(**vars(card), tensors=net, statistics=statistics)


def _statistics(tensors: Mapping[str, Tensor], layer: str) -> UnitStatistics:
    names = [f"{STATS}{layer}.{name}" for name in STATISTICS]
    for name in names:
        if name not in tensors:
            raise BadCheckpoint(f"lacks tensor {name}", COPY_AGAIN)
    count, *sums = (tensors[name] for name in names)
    if (
        count.numel() != 1
        or count.is_floating_point()
        or any(not value.is_floating_point() or value.ndim == 0 for value in sums)
    ):
        raise InvalidRecord(f"statistics of layer {layer} are no statistics", COPY_AGAIN)
    gram, total, low, high = (value.double() for value in sums)
    return UnitStatistics(int(count), gram, total, low, high)
