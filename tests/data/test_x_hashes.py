"""Hashes from crops.csv: those that are whole, and never a fault."""

from __future__ import annotations

from pathlib import Path

import pytest

from emoprune.data.near_duplicates import read_hashes
from emoprune.faces.manifest import MANIFEST

GOOD = "0123456789abcdef"


def hashes_of(folder: Path, text: str | bytes) -> dict[str, str]:
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
    (folder / MANIFEST).write_bytes(data)
    return read_hashes(folder)


def test_each_face_has_its_hash_wherever_the_columns_stand(tmp_path: Path) -> None:
    text = f"source,phash,status,output\na.png,{GOOD},face,happy/a.jpg\nb.png,,no-face,\n"
    assert hashes_of(tmp_path, text) == {"happy/a.jpg": GOOD}


def test_a_name_that_is_no_text_is_that_of_the_file(tmp_path: Path) -> None:
    name = "happy/\udcff.jpg"
    assert hashes_of(tmp_path, f"output,phash\n{name},{GOOD}\n") == {name: GOOD}


@pytest.mark.parametrize("cell", ["", "0123", f"{GOOD}0", GOOD.upper(), f" {GOOD}", "0123456789abcdeg", "-1"])
def test_a_damaged_cell_is_left_out(tmp_path: Path, cell: str) -> None:
    text = f"output,phash\nhappy/a.jpg,{cell}\nhappy/b.jpg,{GOOD}\nhappy/c.jpg\n"
    assert hashes_of(tmp_path, text) == {"happy/b.jpg": GOOD}


@pytest.mark.parametrize(
    "text", ["", "source,output\na,b\n", f"source,phash\na,{GOOD}\n", b"a\0b", 'phash,"output']
)
def test_a_manifest_without_hashes_gives_none(tmp_path: Path, text: str | bytes) -> None:
    assert hashes_of(tmp_path, text) == {}


def test_no_manifest_gives_none(tmp_path: Path) -> None:
    assert read_hashes(tmp_path) == {}
    (tmp_path / MANIFEST).mkdir()
    assert read_hashes(tmp_path) == {}
