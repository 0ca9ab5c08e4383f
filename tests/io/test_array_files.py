"""Arrays in files: made once, whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from emoprune.errors import BadData, OutputFault
from emoprune.io.array_files import mapped_array


def counted(array: NDArray[Any]) -> None:
    array[:] = np.arange(array.size).reshape(array.shape)


def never(array: NDArray[Any]) -> None:
    raise AssertionError("made twice")


def test_mapped_array_is_made_once_and_then_read(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    made = mapped_array(path, (3, 4), np.float32, counted)
    assert made.tolist() == np.arange(12).reshape(3, 4).tolist()
    found = mapped_array(path, (3, 4), np.float32, never)
    assert np.array_equal(made, found)
    assert not found.flags.writeable
    # a plain file of numpy, which other programs read
    assert np.array_equal(np.load(path), made)


def test_mapped_array_leaves_nothing_of_what_was_interrupted(tmp_path: Path) -> None:
    def interrupted(array: NDArray[Any]) -> None:
        array[0] = 1
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mapped_array(tmp_path / "a.npy", (3,), np.uint8, interrupted)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("data", [b"", b"not an array", "short"])
def test_mapped_array_refuses_another_file(tmp_path: Path, data: bytes | str) -> None:
    path = tmp_path / "a.npy"
    mapped_array(path, (3, 4), np.float32, counted)
    path.write_bytes(path.read_bytes()[:-1] if isinstance(data, str) else data)
    with pytest.raises(BadData, match="damaged, or not a file of this cache; remove it"):
        mapped_array(path, (3, 4), np.float32, never)


@pytest.mark.parametrize(("shape", "dtype"), [((4, 3), np.float32), ((3, 4), np.uint8)])
def test_mapped_array_refuses_another_shape_or_type(
    tmp_path: Path, shape: tuple[int, ...], dtype: type
) -> None:
    mapped_array(tmp_path / "a.npy", (3, 4), np.float32, counted)
    with pytest.raises(BadData, match="remove it"):
        mapped_array(tmp_path / "a.npy", shape, dtype, never)


def test_mapped_array_says_that_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(OutputFault, match="No space left on device"):
        mapped_array(tmp_path / "a.npy", (3,), np.uint8, counted)
    assert list(tmp_path.iterdir()) == []
