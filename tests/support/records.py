"""Small records and raw files that the store's tests share."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import openpyxl
import torch
from hypothesis import strategies as st
from torch import Tensor

from emoprune.data.types import Preprocess, SplitRule
from emoprune.errors import EmopruneError
from emoprune.networks.types import (
    Checkpoint,
    Epoch,
    HiddenLayer,
    HistoryEntry,
    Moments,
    Spec,
    UnitStatistics,
)

T = TypeVar("T")
E = TypeVar("E", bound=EmopruneError)


def outcome(kind: type[E], call: Callable[[], T]) -> T | E:
    """What `call` gives, or the error of that kind that it ends in."""
    try:
        return call()
    except kind as error:
        return error


def statistics(units: int, *, patterns: int = 5, seed: int = 0) -> UnitStatistics:
    """Statistics of random activations, of no more digits than a file keeps."""
    h = torch.rand(patterns, units, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return UnitStatistics(**vars(_moments(h)), low=h.min(0).values, high=h.max(0).values)


def moments(channels: int, *, samples: int = 7, seed: int = 0) -> Moments:
    """Moments of random numbers, of no more digits than a file keeps."""
    generator = torch.Generator().manual_seed(seed)
    return _moments(torch.rand(samples, channels, generator=generator, dtype=torch.float64))


def sensitivity(outputs: int, *, seed: int = 0) -> Tensor:
    """A positive matrix, of no more digits than a file keeps."""
    return moments(outputs, seed=seed).covariance


def _moments(h: Tensor) -> Moments:
    centered = h - h.mean(0)
    return Moments(len(h), h.mean(0), (centered.T @ centered / len(h)).float().double())


def tensors(inputs: int, units: int, outputs: int, *, seed: int = 0) -> dict[str, Tensor]:
    """Two dense layers, `first` and `last`, and a counter as batch norm keeps one."""
    generator = torch.Generator().manual_seed(seed)
    return {
        "first.weight": torch.randn(units, inputs, generator=generator),
        "first.bias": torch.randn(units, generator=generator),
        "last.weight": torch.randn(outputs, units, generator=generator),
        "last.bias": torch.randn(outputs, generator=generator),
        "norm.num_batches_tracked": torch.tensor(seed),
    }


def checkpoint(**changes: Any) -> Checkpoint:
    """A checkpoint of three inputs, four hidden units and two classes."""
    fields: dict[str, Any] = {
        "spec": Spec("mlp", 2, (3,), hidden=(4,), widths={"first": (3, 4)}),
        "classes": ("angry", "happy"),
        "preprocess": Preprocess("table"),
        "split": SplitRule("80/20", 7, "film[0-9]+", "ab" * 32),
        "tensors": tensors(3, 4, 2),
        "layers": (HiddenLayer("first", "sigmoid", ("last",)),),
        "statistics": {"first": statistics(4)},
        "history": (HistoryEntry("train", {"seed": 0, "lr": 0.001}, {"train_loss": 0.5}, {"torch": "2"}),),
        "training": (Epoch(1, 0.7, 0.5), Epoch(2, 0.6, 0.75, 0.65, 0.5)),
    }
    return Checkpoint(**{**fields, **changes})


def same(one: Checkpoint, other: Checkpoint) -> bool:
    """Whether two checkpoints agree in every field and every bit of every tensor."""
    plain = ("spec", "classes", "preprocess", "split", "layers", "history", "training")
    return (
        all(getattr(one, name) == getattr(other, name) for name in plain)
        and _all_equal(one.tensors, other.tensors)
        and _all_equal(_parts(one.statistics), _parts(other.statistics))
        and _all_equal(_parts(one.moments), _parts(other.moments))
        and _all_equal(one.sensitivities, other.sensitivities)
        and _all_equal(one.masks, other.masks)
        and _all_equal(_keys(one), _keys(other))
    )


def _keys(found: Checkpoint) -> dict[str, Tensor]:
    return {} if found.trained is None else {"trained": found.trained}


def _parts(entries: Mapping[str, Moments]) -> dict[str, Tensor]:
    return {
        f"{name}.{part}": torch.as_tensor(value)
        for name, entry in entries.items()
        for part, value in vars(entry).items()
    }


def _all_equal(one: Any, other: Any) -> bool:
    return one.keys() == other.keys() and all(
        value.dtype == other[name].dtype and torch.equal(value, other[name]) for name, value in one.items()
    )


def raw_safetensors(header: bytes | dict[str, Any], body: bytes = b"") -> bytes:
    """A file of that format put together by hand, whatever the header says."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def header_of(data: bytes) -> dict[str, Any]:
    """The header of a safetensors file, read by the letter of the format."""
    (length,) = struct.unpack("<Q", data[:8])
    header: dict[str, Any] = json.loads(data[8 : 8 + length])
    return header


def with_header(data: bytes, header: dict[str, Any]) -> bytes:
    """The same bytes of tensors below another header."""
    (length,) = struct.unpack("<Q", data[:8])
    return raw_safetensors(header, data[8 + length :])


def card_of_file(data: bytes) -> dict[str, Any]:
    """The metadata of a checkpoint's bytes."""
    record: dict[str, Any] = json.loads(header_of(data)["__metadata__"]["emoprune"])
    return record


def with_card(data: bytes, card: object) -> bytes:
    """The same checkpoint with other metadata: text as it stands, anything else as JSON."""
    text = card if isinstance(card, str) else json.dumps(card)
    return with_header(data, {**header_of(data), "__metadata__": {"emoprune": text}})


TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
"""What a file name or a class name may be: anything but zero bytes."""


Pictures = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]


def noise_pixels(count: int, seed: int = 0) -> Pictures:
    """Gray pictures of noise, (count, 48, 48)."""
    return np.random.default_rng(seed).integers(0, 256, (count, 48, 48), dtype=np.uint8)


def fer2013_csv(pixels: Pictures, rows: Sequence[tuple[int, str]]) -> bytes:
    """Pictures as FER-2013's CSV has them; `rows` are their emotions and usages."""
    lines = ["emotion,pixels,Usage"]
    for values, (emotion, usage) in zip(pixels, rows, strict=True):
        lines.append(f"{emotion},{' '.join(map(str, values.ravel().tolist()))},{usage}")
    return "\n".join(lines).encode() + b"\n"


Rows = Sequence[Sequence[object]]


def workbook(rows: Rows, *, merged: str = "") -> bytes:
    """An .xlsx of one sheet, where asked with a range of cells merged into one."""
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(list(row))
    if merged:
        book.active.merge_cells(merged)
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def lay(root: Path, names: Iterable[str]) -> Path:
    """Files of their own names as content: what lies in a folder is found, not decoded."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode("utf-8", "surrogateescape"))
    return root
