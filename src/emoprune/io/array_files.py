"""Arrays too large for memory, or too costly to make twice: files that are mapped into memory."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from emoprune.errors import BadData
from emoprune.io.files import check_parent, explained, held


def mapped_array(
    path: Path, shape: tuple[int, ...], dtype: DTypeLike, fill: Callable[[NDArray[Any]], None]
) -> NDArray[Any]:
    """The array of a .npy file, read-only and mapped into memory; a missing one is made by `fill`.

    `fill` gets an array of zeros to write into. The file appears when it is whole, so a run that is
    interrupted leaves none. Raises BadData for a file that is not such an array, OutputFault for a folder
    that cannot be written or a full disk.
    """
    if not path.exists():
        with explained(path):
            _make(path, shape, dtype, fill)
    try:
        found: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError):
        found = np.empty(0)
    if found.shape != shape or found.dtype != np.dtype(dtype):
        raise BadData("is damaged, or not a file of this cache", "remove it", place=str(path))
    return found


def _make(path: Path, shape: tuple[int, ...], dtype: DTypeLike, fill: Callable[[NDArray[Any]], None]) -> None:
    check_parent(path)
    scratch = path.with_name(f".emoprune.{secrets.token_hex(8)}.tmp")
    try:
        array = np.lib.format.open_memmap(scratch, mode="w+", dtype=np.dtype(dtype), shape=shape)
        with open(scratch, "r+b") as stream:
            # other runs remove what nobody has locked
            held(stream.fileno(), str(scratch))
            if hasattr(os, "posix_fallocate"):
                # a map that meets a full disk ends the process, so the room is taken first
                os.posix_fallocate(stream.fileno(), 0, os.fstat(stream.fileno()).st_size)
            fill(array)
            array.flush()
        del array
        os.replace(scratch, path)
    finally:
        with suppress(FileNotFoundError):
            scratch.unlink()
