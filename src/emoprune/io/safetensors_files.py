"""safetensors files: tensors by name, and metadata."""

from __future__ import annotations

import json
import struct

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from emoprune.errors import BadCheckpoint, InvalidRecord
from emoprune.io.file_kinds import check_kind

METADATA_KEY = "emoprune"
"""The one key of metadata; several would be written in random order."""

COPY_AGAIN, CONVERT = "copy it again", "convert it to float32"
GIVE = "give a checkpoint or weights in that format"
LONGEST_HEADER = 100_000_000
"""Bytes that the format allows."""


def load(data: bytes) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file in memory; BadCheckpoint for other bytes."""
    header = _header(data)
    try:
        tensors = safetensors.torch.load(data)
    except SafetensorError as error:
        raise BadCheckpoint(f"not a safetensors file ({str(error).rstrip('.')})", COPY_AGAIN) from error
    except KeyError as error:
        raise BadCheckpoint(f"holds numbers of a type {error} that torch lacks", CONVERT) from None
    return tensors, header.get("__metadata__") or {}


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
