"""Files put into a folder: all are checked before one is written, none is replaced unasked."""

from __future__ import annotations

from pathlib import Path

import pytest

from emoprune.errors import OutputFault
from emoprune.io.files import check_files, write_files

FILES = {"a.svg": b"1", "b.png": b"2"}


def test_the_folder_is_made_where_it_is_not_there(tmp_path: Path) -> None:
    check_files(str(tmp_path / "new"), FILES, force=False)
    assert not (tmp_path / "new").exists()
    write_files(str(tmp_path / "new"), FILES, force=False)
    assert {path.name: path.read_bytes() for path in (tmp_path / "new").iterdir()} == FILES


def test_what_else_is_in_the_folder_stays(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_bytes(b"mine")
    write_files(str(tmp_path), FILES, force=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.svg", "b.png", "mine.txt"]


def test_one_file_that_is_there_keeps_all_from_being_written_unless_forced(tmp_path: Path) -> None:
    (tmp_path / "b.png").write_bytes(b"old")
    with pytest.raises(OutputFault, match=r"b\.png: exists already; give --force"):
        check_files(str(tmp_path), FILES, force=False)
    with pytest.raises(OutputFault, match=r"b\.png: exists already; give --force"):
        write_files(str(tmp_path), FILES, force=False)
    assert [path.name for path in tmp_path.iterdir()] == ["b.png"]
    write_files(str(tmp_path), FILES, force=True)
    assert (tmp_path / "b.png").read_bytes() == b"2"


def test_a_place_that_can_be_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputFault, match="is a file, not a folder; name a folder"):
        check_files(str(tmp_path / "file"), FILES, force=True)
    with pytest.raises(OutputFault, match="no such folder; make it first"):
        check_files(str(tmp_path / "no" / "where"), FILES, force=True)
