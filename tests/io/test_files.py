"""Files put into a folder: all are checked before one is written, none is replaced unasked."""

from __future__ import annotations

import errno
import io
import os
import stat
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emoprune.errors import BadCheckpoint, BadData, OutputFault
from emoprune.io import files
from emoprune.io.files import check_files, write_files


@pytest.fixture
def usual_umask() -> Iterator[None]:
    old = os.umask(0o022)
    yield
    os.umask(old)


def full_disk(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@given(st.binary(max_size=2000))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_written_is_read_back(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "out.bin"
    files.write_bytes(path, data, force=True)
    assert files.read_bytes(str(path)) == data
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_the_umask_decides_who_may_read(tmp_path: Path, umask: int, mode: int) -> None:
    old = os.umask(umask)
    try:
        files.write_bytes(tmp_path / "out.bin", b"x")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "out.bin").stat().st_mode) == mode


def test_an_existing_file_is_refused_and_kept_without_force(tmp_path: Path) -> None:
    path = tmp_path / "out.bin"
    path.write_bytes(b"old")
    with pytest.raises(OutputFault, match="exists already; give `force=True`") as caught:
        files.write_bytes(path, b"new")
    assert caught.value.place == str(path)
    assert path.read_bytes() == b"old"
    files.write_bytes(path, b"new", force=True)
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("before", [None, b"old"])
def test_a_full_disk_names_the_output_and_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bytes | None
) -> None:
    path = tmp_path / "out.bin"
    if before is not None:
        path.write_bytes(before)
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OutputFault, match="No space left on device") as caught:
        files.write_bytes(path, b"new", force=True)
    assert caught.value.place == str(path)
    assert [entry.read_bytes() for entry in tmp_path.iterdir()] == ([] if before is None else [before])


def test_an_interruption_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "out.bin"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        files.write_bytes(path, b"new", force=True)
    assert [entry.read_bytes() for entry in tmp_path.iterdir()] == [b"old"]


def test_the_data_is_synced_before_it_takes_the_place_of_the_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.bin"
    path.write_bytes(b"old")
    seen = []
    sync = os.fsync

    def watch(descriptor: int) -> None:
        seen.append((path.read_bytes(), os.fstat(descriptor).st_size))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", watch)
    files.write_bytes(path, b"newer", force=True)
    assert seen == [(b"old", 5)]
    assert path.read_bytes() == b"newer"


@pytest.mark.parametrize("force", [False, True])
def test_a_missing_folder_is_named_with_the_way_to_make_it(tmp_path: Path, force: bool) -> None:
    path = tmp_path / "none" / "out.bin"
    with pytest.raises(OutputFault, match="no such folder; make it first: mkdir -p") as caught:
        files.write_bytes(path, b"x", force=force)
    assert caught.value.place == str(path.parent)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("force", [False, True])
def test_a_folder_is_no_target(tmp_path: Path, force: bool) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(OutputFault, match="is a folder"):
        files.write_bytes(tmp_path / "out", b"x", force=force)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(OutputFault, match="cannot be written") as caught:
        files.check_output(tmp_path / "out.bin", force=False)
    assert caught.value.place == str(tmp_path)


def test_the_check_before_the_work_refuses_what_the_write_would_refuse(tmp_path: Path) -> None:
    (tmp_path / "old").touch()
    (tmp_path / "folder").mkdir()
    for name in ("old", "folder", "none/out", "old/out"):
        with pytest.raises(OutputFault):
            files.check_output(tmp_path / name, force=False)
        with pytest.raises(OutputFault):
            files.write_bytes(tmp_path / name, b"x")
    files.check_output(tmp_path / "old", force=True)
    files.check_output(tmp_path / "fresh", force=False)
    files.check_output("-", force=False)
    assert not (tmp_path / "fresh").exists()


def test_a_named_pipe_carries_the_data_and_stays_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()), daemon=True)
    reader.start()
    files.write_bytes(pipe, b"through the pipe")
    reader.join(timeout=5)
    assert got == [b"through the pipe"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert list(tmp_path.iterdir()) == [pipe]


def test_the_null_device_swallows_the_data_and_stays_a_device() -> None:
    files.write_bytes(os.devnull, b"gone")
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


def test_a_device_needs_no_right_to_write_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, *_, **__: str(path) != "/dev")
    files.check_output(os.devnull, force=False)
    files.write_bytes(os.devnull, b"gone")
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


def test_a_symbolic_link_stays_one_and_its_file_gets_the_data(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    real = tmp_path / "disk" / "real.bin"
    real.write_bytes(b"old")
    link = tmp_path / "link.bin"
    link.symlink_to(real)
    files.write_bytes(link, b"new", force=True)
    assert link.is_symlink()
    assert real.read_bytes() == b"new"


@pytest.mark.usefixtures("usual_umask")
def test_a_name_as_long_as_the_system_allows_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 252 + ".st")
    files.write_bytes(path, b"x")
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_a_name_too_long_is_told_by_its_own_name(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 300)
    with pytest.raises(OutputFault, match="File name too long") as caught:
        files.write_bytes(path, b"x")
    assert caught.value.place == str(path)


def test_a_dash_is_standard_output(capsysbinary: pytest.CaptureFixture[bytes], in_folder: Path) -> None:
    files.write_bytes("-", b"\x00\xffdata")
    assert capsysbinary.readouterr().out == b"\x00\xffdata"
    assert list(in_folder.iterdir()) == []


def test_a_dash_is_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\x00\xffdata")))
    assert files.read_bytes("-") == b"\x00\xffdata"


def test_a_missing_file_and_a_folder_are_no_input(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="no such file") as caught:
        files.read_bytes(str(tmp_path / "none"))
    assert caught.value.place == str(tmp_path / "none")
    with pytest.raises(BadCheckpoint, match="is a folder"):
        files.read_bytes(str(tmp_path), fault=BadCheckpoint)


def test_what_the_system_will_not_read_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path, mode: str) -> IO[bytes]:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(BadData, match=r"cannot be read \(Permission denied\); check its permissions"):
        files.read_bytes(str(tmp_path / "secret"))


def test_a_broken_pipe_is_not_a_fault_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(BrokenPipeError), files.explained(tmp_path):
        raise BrokenPipeError


def test_a_refusal_by_the_system_names_the_output_asked_for(tmp_path: Path) -> None:
    with pytest.raises(OutputFault) as caught, files.explained(tmp_path):
        (tmp_path / "none" / "deeper").mkdir()
    assert caught.value.place == str(tmp_path)


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
    with pytest.raises(OutputFault, match=r"b\.png: exists already; give `force=True`"):
        check_files(str(tmp_path), FILES, force=False)
    with pytest.raises(OutputFault, match=r"b\.png: exists already; give `force=True`"):
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
