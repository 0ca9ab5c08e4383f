"""Checkpoints as safetensors bytes: tensors, and one metadata key of canonical JSON."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import PureWindowsPath
from typing import Any, TypeVar

import safetensors.torch
import torch
from torch import Tensor

from emoprune.errors import BadCheckpoint, InvalidRecord, at
from emoprune.io import json_records, safetensors_files
from emoprune.io.files import read_bytes, shown
from emoprune.io.safetensors_files import COPY_AGAIN, METADATA_KEY, packed, unpacked
from emoprune.networks.sources import user_networks
from emoprune.networks.statistics.activation_statistics import float32_keeps_angles, moments_of_sums
from emoprune.networks.types import Card, Checkpoint, HistoryEntry, Moments, UnitStatistics
from emoprune.version import __version__

C = TypeVar("C", bound=Card)

SCHEMA = "emoprune.checkpoint/3"
OLDER = ("emoprune.checkpoint/2", "emoprune.checkpoint/1")
NET, STATS, READS, SENSITIVITY, MASK = "net.", "stats.", "reads.", "sensitivity.", "mask."
TRAINED = "trained"
MOMENTS = ("count", "mean", "covariance")
STATISTICS = (*MOMENTS, "min", "max")
SUMS = ("count", "gram", "sum", "min", "max")
"""What older schemas have in place of statistics; their matrices are whole."""


def canonical(record: object) -> str:
    """The record as JSON, sorted and compact."""
    return json.dumps(record, default=_kept, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _kept(record: Any) -> dict[str, Any]:
    """What a file keeps of a record: no code."""
    return {name: value for name, value in asdict(record).items() if name != "function"}


def card_json(card: Card, *, keep_paths: bool = False) -> str:
    """The card as canonical JSON; of absolute paths in its history the last name, unless `keep_paths`."""
    record = {entry.name: getattr(card, entry.name) for entry in fields(Card)}
    if not keep_paths:
        record["history"] = [without_paths(asdict(entry)) for entry in card.history]
    return canonical({"schema": SCHEMA, **record})


def without_paths(value: Any) -> Any:
    """JSON values with the last name in place of every absolute path, which may name a person's machine."""
    if isinstance(value, str):
        path = PureWindowsPath(value)
        if not value.startswith(("/", "~")) and not path.is_absolute():
            return value
        # of a part of data, as faces/:val, the data
        return path.parent.name + path.name if path.name.startswith(":") else path.name
    if isinstance(value, Mapping):
        return {key: without_paths(entry) for key, entry in value.items()}
    return [without_paths(entry) for entry in value] if isinstance(value, list | tuple) else value


def card_record(text: str, wanted: str = SCHEMA) -> dict[str, Any]:
    """A JSON object of the `wanted` or a checkpoint's schema, in today's keys; BadCheckpoint for others."""
    try:
        record = json_records.loads(text)
    except (ValueError, RecursionError):
        # ValueError is also for numbers of thousands of digits, and for those that are not finite
        raise BadCheckpoint("its metadata is not JSON", COPY_AGAIN) from None
    schema = record.get("schema") if isinstance(record, dict) else None
    if not isinstance(record, dict) or schema not in (SCHEMA, *OLDER, wanted):
        fact = f"its schema is {schema!r:.100}, this program reads {wanted}"
        later = isinstance(schema, str) and schema.startswith(wanted.rstrip("0123456789"))
        raise BadCheckpoint(fact, "use the program that wrote it" if later else "give a checkpoint")
    preprocess = record.get("preprocess")
    if schema == OLDER[-1] and isinstance(preprocess, dict) and "colour" in preprocess:
        preprocess["color"] = preprocess.pop("colour")
    return record


def to_bytes(checkpoint: Checkpoint, *, keep_paths: bool = False) -> bytes:
    """The checkpoint as a safetensors file; the same checkpoint gives the same bytes.

    Absolute paths in its history are shortened to their last name, unless `keep_paths`.
    """
    net = checkpoint.tensors.items()
    tensors = {f"{NET}{name}": value.detach().cpu().contiguous() for name, value in net}
    tensors |= dict(statistics_tensors(checkpoint))
    tensors |= {f"{MASK}{name}": mask.contiguous() for name, mask in checkpoint.masks.items()}
    if checkpoint.trained is not None:
        tensors[TRAINED] = checkpoint.trained
    return safetensors.torch.save(tensors, {METADATA_KEY: card_json(checkpoint, keep_paths=keep_paths)})


def statistics_tensors(checkpoint: Checkpoint) -> Iterator[tuple[str, Tensor]]:
    """Statistics, moments and sensitivities as a file has them; matrices are packed, in float32 if it does.

    So the same statistics give the same tensors again after they were read.
    """
    for layer, entry in checkpoint.statistics.items():
        exact = packed(entry.covariance)
        rounded = exact.float()
        if not torch.equal(rounded.double(), exact) and not float32_keeps_angles(entry):
            rounded = exact
        yield from _parts(f"{STATS}{layer}", STATISTICS, entry, rounded, entry.low, entry.high)
    for name, moments in checkpoint.moments.items():
        # centered, so float32 loses nothing that matters to a regression
        yield from _parts(f"{READS}{name}", MOMENTS, moments, packed(moments.covariance).float())
    for name, matrix in checkpoint.sensitivities.items():
        yield f"{SENSITIVITY}{name}", packed(matrix).float()


def _parts(
    prefix: str, names: tuple[str, ...], entry: Moments, *values: Tensor
) -> Iterator[tuple[str, Tensor]]:
    parts = zip(names, (torch.tensor(entry.count), entry.mean, *values), strict=True)
    return ((f"{prefix}.{name}", value.contiguous()) for name, value in parts)


def own_bytes(checkpoint: Checkpoint) -> bytes:
    """The bytes of the file that a checkpoint of this schema was read from, else those that `save` writes."""
    return to_bytes(checkpoint, keep_paths=checkpoint.place != "")


def read(path: str, arch: str | None = None) -> Checkpoint:
    """The checkpoint in a file or, for "-", on standard input; BadCheckpoint for anything else.

    `arch` names its network, which is needed where that is a function of the user's own.
    """
    data = read_bytes(path, fault=BadCheckpoint)
    with at(shown(path)):
        return trusting(from_bytes(data, place=path), arch)


def trusting(checkpoint: C, arch: str | None) -> C:
    """The checkpoint or card, which may run the function that it names if the user names it too, as `arch`.

    None names nothing. Raises BadCheckpoint where its network is another one.
    """
    return replace(checkpoint, spec=user_networks.trusting(checkpoint.spec, arch))


def from_bytes(data: bytes, *, place: str = "") -> Checkpoint:
    """The checkpoint in the bytes of the file at `place`; BadCheckpoint or InvalidRecord for any others."""
    tensors, metadata = safetensors_files.load(data)
    if METADATA_KEY not in metadata:
        remedy = "adopt its weights with emoprune train, `weights=FILE` and `epochs=0`"
        raise BadCheckpoint("a safetensors file, but not of emoprune", remedy)
    record = card_record(metadata[METADATA_KEY])
    card, whole = json_records.decode(Card, record), record["schema"] in OLDER
    net, mask, trained = _named(tensors, NET), _named(tensors, MASK), tensors.pop(TRAINED, None)
    parts = SUMS if whole else STATISTICS
    statistics = {
        layer.name: UnitStatistics(*_moments(tensors, f"{STATS}{layer.name}", parts, whole=whole))
        for layer in card.layers
    }
    reads = sorted({name.rpartition(".")[0] for name in _named(tensors, READS)})
    moments = {name: Moments(*_moments(tensors, f"{READS}{name}", MOMENTS, whole=whole)) for name in reads}
    sensitivities = {
        name: _sensitivity(triangle, net.get(f"{name}.weight"), name)
        for name, triangle in _named(tensors, SENSITIVITY).items()
    }
    known = len(net) + len(mask) + len(parts) * len(statistics) + len(MOMENTS) * len(moments)
    if known + len(sensitivities) != len(tensors):
        raise BadCheckpoint("has tensors that are neither its network's nor its statistics'", COPY_AGAIN)
    return Checkpoint(
        **vars(card),
        tensors=net,
        statistics=statistics,
        moments=moments,
        sensitivities=sensitivities,
        masks=mask,
        trained=trained,
        place=place,
    )


def _sensitivity(triangle: Tensor, weight: Tensor | None, name: str) -> Tensor:
    """The matrix of a layer's outputs, float64; InvalidRecord where it does not fit the weight."""
    outputs = len(weight) if weight is not None and weight.ndim > 1 else 0
    if not outputs or triangle.shape != (outputs * (outputs + 1) // 2,) or triangle.dtype != torch.float32:
        raise InvalidRecord(f"its sensitivity of {name} does not fit that layer", COPY_AGAIN)
    return unpacked(triangle.double(), outputs)


def _named(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _moments(
    tensors: Mapping[str, Tensor], prefix: str, parts: tuple[str, ...], *, whole: bool
) -> tuple[Any, ...]:
    """Count, mean, covariance and what comes after, float64; matrices are packed unless they are `whole`.

    BadCheckpoint or InvalidRecord for anything else.
    """
    names = [f"{prefix}.{part}" for part in parts]
    for name in names:
        if name not in tensors:
            raise BadCheckpoint(f"lacks tensor {name}", COPY_AGAIN)
    count, *found = (tensors[name] for name in names)
    # smaller types would take many times their bytes
    real = all(value.dtype in (torch.float32, torch.float64) and value.ndim > 0 for value in found)
    if count.numel() != 1 or count.dtype != torch.int64 or not real or int(count) < 1:
        raise InvalidRecord(f"tensors {prefix} are not statistics", COPY_AGAIN)
    first, second, *more = (value.double() for value in found)
    if parts == SUMS:
        if second.ndim != 1 or first.shape != 2 * second.shape:
            raise InvalidRecord(f"tensors {prefix} are not statistics", COPY_AGAIN)
        return *moments_of_sums(int(count), first, second), *more
    return int(count), first, second if whole else unpacked(second, len(first)), *more


def descent(history: Sequence[HistoryEntry]) -> str | None:
    """What all networks that come from one training share: a hash of the first one; None without any."""
    first = next((entry for entry in history if entry.command == "train"), None)
    if first is None:
        return None
    return hashlib.sha256(canonical(without_paths(asdict(first))).encode()).hexdigest()


def history_entry(command: str, parameters: Mapping[str, Any], metrics: Mapping[str, Any]) -> HistoryEntry:
    """The history entry of a command, with the versions of today."""
    versions = {"emoprune": __version__, "python": platform.python_version(), "torch": torch.__version__}
    return HistoryEntry(command, dict(parameters), dict(metrics), versions)
