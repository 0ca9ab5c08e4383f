"""safetensors files: tensors by name, and metadata."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from safetensors import SafetensorError, deserialize

from emoprune.errors import BadCheckpoint, InvalidRecord
from emoprune.io.file_kinds import check_kind

if TYPE_CHECKING:
    from torch import Tensor

METADATA_KEY = "emoprune"
"""The one key of metadata; several would be written in random order."""

COPY_AGAIN, CONVERT = "copy it again", "convert it to float32"
GIVE = "give a checkpoint or weights in that format"
LONGEST_HEADER = 100_000_000
"""Bytes that the format allows."""


@dataclass(frozen=True)
class RawTensor:
    """A tensor as a file has it: the format's name of its type, as "F32", its shape and its bytes."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes = field(repr=False)

    @property
    def count(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)


def load(data: bytes) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file in memory; BadCheckpoint for other bytes."""
    # only tensors need torch, which takes seconds to import
    import safetensors.torch

    header = _header(data)
    try:
        with _explained():
            tensors = safetensors.torch.load(data)
    except KeyError as error:
        raise BadCheckpoint(f"holds numbers of a type {error} that torch lacks", CONVERT) from None
    return tensors, header.get("__metadata__") or {}


def load_raw(data: bytes) -> tuple[dict[str, RawTensor], dict[str, str]]:
    """The same as bytes, without torch: for what a file is, not for what it computes."""
    header = _header(data)
    with _explained():
        found = deserialize(data)  # type: ignore[no-untyped-call]  # it declares no types
    tensors = {
        name: RawTensor(entry["dtype"], tuple(entry["shape"]), bytes(entry["data"])) for name, entry in found
    }
    return tensors, header.get("__metadata__") or {}


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except SafetensorError as error:
        raise BadCheckpoint(f"not a safetensors file ({str(error).rstrip('.')})", COPY_AGAIN) from error


def _header(data: bytes) -> dict[str, dict[str, str]]:
    """The JSON header; a file is 8 bytes of its length, the header, then the bytes of tensors."""
    check_kind(data, "a safetensors file", remedy=GIVE, takes={"a safetensors file"}, fault=BadCheckpoint)
    (length,) = struct.unpack("<Q", data[:8].ljust(8, b"\0"))
    if data[8:9] != b"{" or length > LONGEST_HEADER:
        raise BadCheckpoint("not a safetensors file", GIVE)
    if len(data) < 8 + length:
        fact = f"not a safetensors file (truncated in its header, after {len(data)} bytes)"
        raise BadCheckpoint(fact, COPY_AGAIN)
    try:
        header: dict[str, dict[str, str]] = json.loads(data[8 : 8 + length])
        ends = [int(entry["data_offsets"][1]) for name, entry in header.items() if name != "__metadata__"]
    except (ValueError, RecursionError, OverflowError, LookupError, TypeError, AttributeError):
        # json, and look-ups in its result, raise these for a damaged header
        raise BadCheckpoint("not a safetensors file (its header is damaged)", COPY_AGAIN) from None
    whole = 8 + length + max(ends, default=0)
    if len(data) < whole:
        fact = f"not a safetensors file (truncated after {len(data)} of {whole} bytes)"
        raise BadCheckpoint(fact, COPY_AGAIN)
    return header


def packed(matrix: Tensor) -> Tensor:
    """The upper triangle of a symmetric matrix, row by row: (n, n) to (n (n + 1) / 2,)."""
    import torch

    return torch.cat([row[index:] for index, row in enumerate(matrix)])


def unpacked(triangle: Tensor, side: int) -> Tensor:
    """The symmetric matrix (side, side) of an upper triangle; InvalidRecord for one of another length.

    The length is compared before the matrix takes any memory.
    """
    if triangle.shape != (side * (side + 1) // 2,):
        fact = f"a triangle of {side:,} rows has {tuple(triangle.shape)} numbers"
        raise InvalidRecord(fact, COPY_AGAIN)
    matrix = triangle.new_empty(side, side)
    for index, row in enumerate(triangle.split([*range(side, 0, -1)])):
        matrix[index, index:] = matrix[index:, index] = row
    return matrix
