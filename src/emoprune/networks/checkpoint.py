"""Checkpoints as safetensors bytes: tensors, and one metadata key of canonical JSON."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import safetensors.torch
import torch
from torch import Tensor

from emoprune.errors import BadCheckpoint, InvalidRecord, at
from emoprune.io import json_records, safetensors_files
from emoprune.io.files import read_bytes, shown
from emoprune.io.safetensors_files import COPY_AGAIN, METADATA_KEY, packed, unpacked
from emoprune.networks.cards import (
    MASK,
    NET,
    OLDER,
    READS,
    SENSITIVITY,
    STATS,
    TRAINED,
    card_json,
    checkpoint_record,
)
from emoprune.networks.sources import user_networks
from emoprune.networks.statistics.activation_statistics import float32_keeps_angles, moments_of_sums
from emoprune.networks.types import Card, Checkpoint, HistoryEntry, Moments, UnitStatistics
from emoprune.version import __version__

C = TypeVar("C", bound=Card)

MOMENTS = ("count", "mean", "covariance")
STATISTICS = (*MOMENTS, "min", "max")
SUMS = ("count", "gram", "sum", "min", "max")
"""What older schemas have in place of statistics; their matrices are whole."""


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
    record = checkpoint_record(metadata)
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


def history_entry(command: str, parameters: Mapping[str, Any], metrics: Mapping[str, Any]) -> HistoryEntry:
    """The history entry of a command, with the versions of today."""
    versions = {"emoprune": __version__, "python": platform.python_version(), "torch": torch.__version__}
    return HistoryEntry(command, dict(parameters), dict(metrics), versions)
