"""Files put into a folder: all are checked before one is written, none is replaced unasked."""

from __future__ import annotations

import errno
import fcntl
import io
import os
import secrets
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

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
def test_read_bytes_returns_what_write_bytes_wrote(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "out.bin"
    files.write_bytes(path, data, force=True)
    assert files.read_bytes(str(path)) == data
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_write_bytes_honors_the_umask(tmp_path: Path, umask: int, mode: int) -> None:
    old = os.umask(umask)
    try:
        files.write_bytes(tmp_path / "out.bin", b"x")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "out.bin").stat().st_mode) == mode


def test_write_bytes_keeps_an_existing_file_without_force(tmp_path: Path) -> None:
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
def test_write_bytes_keeps_the_old_file_on_a_full_disk(
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


def test_write_bytes_leaves_only_the_old_file_when_interrupted(
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


def test_write_bytes_syncs_before_it_replaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_write_bytes_names_a_missing_folder_and_how_to_make_it(tmp_path: Path, force: bool) -> None:
    path = tmp_path / "none" / "out.bin"
    with pytest.raises(OutputFault, match="no such folder; make it first: mkdir -p") as caught:
        files.write_bytes(path, b"x", force=force)
    assert caught.value.place == str(path.parent)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("force", [False, True])
def test_write_bytes_refuses_a_folder(tmp_path: Path, force: bool) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(OutputFault, match="is a folder"):
        files.write_bytes(tmp_path / "out", b"x", force=force)
    assert list((tmp_path / "out").iterdir()) == []


def test_write_bytes_names_a_folder_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(OutputFault, match="cannot be written") as caught:
        files.check_output(tmp_path / "out.bin", force=False)
    assert caught.value.place == str(tmp_path)


def test_check_output_refuses_what_write_bytes_would_refuse(tmp_path: Path) -> None:
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


def test_an_output_that_is_a_link_to_nothing_is_written_with_force_only(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("gone")
    refusals: list[Callable[[], None]] = [
        lambda: files.check_output(tmp_path / "link", force=False),
        lambda: files.write_bytes(tmp_path / "link", b"x"),
    ]
    for refuse in refusals:
        with pytest.raises(OutputFault, match="is a link to gone, which does not exist"):
            refuse()
    files.write_bytes(tmp_path / "link", b"x", force=True)
    assert (tmp_path / "gone").read_bytes() == b"x"
    assert (tmp_path / "link").is_symlink()


def test_write_bytes_writes_to_a_named_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()), daemon=True)
    reader.start()
    files.write_bytes(pipe, b"through the pipe")
    reader.join()
    assert got == [b"through the pipe"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert list(tmp_path.iterdir()) == [pipe]


def test_write_bytes_writes_to_the_null_device() -> None:
    files.write_bytes(os.devnull, b"gone")
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


def test_write_bytes_to_a_device_needs_no_permission_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, *_, **__: str(path) != "/dev")
    files.check_output(os.devnull, force=False)
    files.write_bytes(os.devnull, b"gone")
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


def test_write_bytes_replaces_the_target_of_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    real = tmp_path / "disk" / "real.bin"
    real.write_bytes(b"old")
    link = tmp_path / "link.bin"
    link.symlink_to(real)
    files.write_bytes(link, b"new", force=True)
    assert link.is_symlink()
    assert real.read_bytes() == b"new"
    link.unlink()
    link.symlink_to(tmp_path / "gone" / "real.bin")
    with pytest.raises(OutputFault, match="no such folder") as caught:
        files.check_output(link, force=True)
    assert caught.value.place == str(tmp_path / "gone")


def test_write_bytes_does_not_follow_a_link_under_its_temporary_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "diary").write_bytes(b"dear")
    for link, target in ((".emoprune.00.tmp", "diary"), (f".emoprune.{os.getpid()}.tmp", "new")):
        (tmp_path / link).symlink_to(target)
    files.write_bytes(tmp_path / "out.bin", b"x")
    monkeypatch.setattr(secrets, "token_hex", lambda _: "00")
    with pytest.raises(OutputFault, match="File exists"):
        files.write_bytes(tmp_path / "other.bin", b"x")
    assert (tmp_path / "diary").read_bytes() == b"dear"
    assert not (tmp_path / "new").exists()
    assert not (tmp_path / "other.bin").exists()


def test_write_bytes_removes_what_killed_runs_left_and_nothing_else(tmp_path: Path) -> None:
    leftover, live, linked = (tmp_path / f".emoprune.{token * 16}.tmp" for token in "abc")
    kept = {live, linked, tmp_path / ".emoprune.notes.tmp", tmp_path / "emoprune.aa.tmp", tmp_path / "linked"}
    for path in {leftover, *kept} - {linked}:
        path.write_bytes(b"part")
    os.link(tmp_path / "linked", linked)
    with live.open("rb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)  # as a run that is writing it
        files.write_bytes(tmp_path / "out.bin", b"x")
    assert set(tmp_path.iterdir()) == {*kept, tmp_path / "out.bin"}


def test_write_bytes_takes_another_name_where_its_file_was_taken_for_a_leftover(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, done = fcntl.flock, list[Path]()

    def late(descriptor: int, flags: int) -> None:
        if not done:
            done.extend(tmp_path.iterdir())
            done[0].unlink()
        lock(descriptor, flags)

    monkeypatch.setattr(fcntl, "flock", late)
    files.write_bytes(tmp_path / "out.bin", b"x")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("out.bin", b"x")]
    assert done[0].name != "out.bin"


@pytest.mark.parametrize("force", [False, True])
def test_an_output_that_is_a_link_to_itself_is_refused(tmp_path: Path, force: bool) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to("loop")
    files.check_apart([str(loop), str(tmp_path / "other")])
    refusals: list[Callable[[], None]] = [
        lambda: files.check_output(loop, force=force),
        lambda: files.write_bytes(loop, b"x", force=force),
        lambda: files.check_output(loop / "out.bin", force=force),
        lambda: check_files(str(loop), FILES, force=force),
    ]
    for refuse in refusals:
        with pytest.raises(OutputFault) as caught:
            refuse()
        assert caught.value.place.startswith(str(loop))
    assert loop.is_symlink()


@pytest.mark.parametrize("name", ["\ud800", "a\0b"])
def test_names_that_no_file_can_have_are_refused(tmp_path: Path, name: str) -> None:
    refusals: list[Callable[[], object]] = [
        lambda: files.real_path(name),
        lambda: files.check_apart([str(tmp_path), name]),
        lambda: files.check_output(tmp_path / name, force=False),
        lambda: files.write_bytes(tmp_path / name, b"x", force=True),
        lambda: check_files(str(tmp_path / name), FILES, force=True),
        lambda: write_files(str(tmp_path / name), FILES, force=True),
    ]
    for refuse in refusals:
        with pytest.raises(OutputFault, match="not a name that a file can have"):
            refuse()
    assert not any(tmp_path.iterdir())


def test_write_bytes_into_a_folder_that_is_gone_since_it_was_checked_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    files.check_output(tmp_path / "out" / "a.bin", force=False)
    (tmp_path / "out").rmdir()
    (tmp_path / "out").symlink_to("nothing")
    with pytest.raises(OutputFault, match="no such folder"):
        files.write_bytes(tmp_path / "out" / "a.bin", b"x")


@pytest.mark.usefixtures("usual_umask")
def test_write_bytes_takes_the_longest_name_allowed(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 252 + ".st")
    files.write_bytes(path, b"x")
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_write_bytes_names_a_file_whose_name_is_too_long(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 300)
    with pytest.raises(OutputFault, match="File name too long") as caught:
        files.write_bytes(path, b"x")
    assert caught.value.place == str(path)


def test_write_bytes_writes_to_standard_output(
    capsysbinary: pytest.CaptureFixture[bytes], in_folder: Path
) -> None:
    files.write_bytes("-", b"\x00\xffdata")
    assert capsysbinary.readouterr().out == b"\x00\xffdata"
    assert list(in_folder.iterdir()) == []


def test_read_bytes_reads_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\x00\xffdata")))
    assert files.read_bytes("-") == b"\x00\xffdata"


def test_read_bytes_refuses_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="no such file") as caught:
        files.read_bytes(str(tmp_path / "none"))
    assert caught.value.place == str(tmp_path / "none")
    with pytest.raises(BadCheckpoint, match="is a folder"):
        files.read_bytes(str(tmp_path), fault=BadCheckpoint)


@pytest.mark.parametrize("name", ["\ud800", "a\0b"])
def test_read_bytes_refuses_a_name_that_no_file_has(name: str) -> None:
    with pytest.raises(BadData, match="is not a name that a file can have"):
        files.read_bytes(name)


def test_read_bytes_explains_why_a_file_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name, fact in (("loop", "Too many levels of symbolic links"), ("n" * 300, "File name too long")):
        with pytest.raises(BadData, match=rf"cannot be read \({fact}\)"):
            files.read_bytes(str(tmp_path / name))
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(BadData, match=r"cannot be read \(Permission denied\); check its permissions"):
        files.read_bytes(str(tmp_path / "secret"))


def test_read_bytes_refuses_a_pipe_and_a_device(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    for place in (str(tmp_path / "pipe"), str(tmp_path / "link"), os.devnull):
        with pytest.raises(BadCheckpoint, match="not a plain file") as caught:
            files.read_bytes(place, fault=BadCheckpoint)
        assert caught.value.place == place


@pytest.mark.parametrize("folder", ["/dev/fd", "/proc/self/fd"])
def test_read_bytes_reads_a_pipe_that_the_caller_has_opened(folder: str) -> None:
    if not Path(folder).is_dir():
        pytest.skip(f"no {folder}")
    reading, writing = os.pipe()
    os.write(writing, b"through a pipe")
    os.close(writing)
    try:
        assert files.read_bytes(f"{folder}/{reading}") == b"through a pipe"
    finally:
        os.close(reading)


def test_read_bytes_refuses_more_than_its_kind_has_and_reads_no_more_of_a_pipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mib = 2**20
    with (tmp_path / "sparse").open("wb") as stream:
        stream.truncate(2**40)
    with pytest.raises(BadData, match="is larger than 1 MiB or than the free memory; check"):
        files.read_bytes(str(tmp_path / "sparse"), most=mib)
    with pytest.raises(BadData, match="is larger than 16,384 MiB"):
        files.read_bytes(str(tmp_path / "sparse"))
    monkeypatch.setattr(files, "available_bytes", lambda: 2**29)
    os.truncate(tmp_path / "sparse", 2**30)
    with pytest.raises(BadData, match="or than the free memory"):
        files.read_bytes(str(tmp_path / "sparse"))
    endless = io.BytesIO(bytes(5 * mib))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(endless))
    with pytest.raises(BadData, match="standard input: is larger than 1 MiB"):
        files.read_bytes("-", most=mib)
    assert endless.tell() <= 2 * mib
    endless.seek(4 * mib)
    assert files.read_bytes("-", most=mib) == bytes(mib)


def test_explained_passes_a_broken_pipe_on(tmp_path: Path) -> None:
    with pytest.raises(BrokenPipeError), files.explained(tmp_path):
        raise BrokenPipeError


def test_explained_names_the_output_asked_for(tmp_path: Path) -> None:
    with pytest.raises(OutputFault) as caught, files.explained(tmp_path):
        (tmp_path / "none" / "deeper").mkdir()
    assert caught.value.place == str(tmp_path)


FILES = {"a.svg": b"1", "b.png": b"2"}


def test_write_files_makes_the_folder(tmp_path: Path) -> None:
    check_files(str(tmp_path / "new"), FILES, force=False)
    assert not (tmp_path / "new").exists()
    write_files(str(tmp_path / "new"), FILES, force=False)
    assert {path.name: path.read_bytes() for path in (tmp_path / "new").iterdir()} == FILES


def test_write_files_keeps_other_files(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_bytes(b"mine")
    write_files(str(tmp_path), FILES, force=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.svg", "b.png", "mine.txt"]


def test_write_files_writes_all_or_none_without_force(tmp_path: Path) -> None:
    (tmp_path / "b.png").write_bytes(b"old")
    with pytest.raises(OutputFault, match=r"b\.png: exists already; give `force=True`"):
        check_files(str(tmp_path), FILES, force=False)
    with pytest.raises(OutputFault, match=r"b\.png: exists already; give `force=True`"):
        write_files(str(tmp_path), FILES, force=False)
    assert [path.name for path in tmp_path.iterdir()] == ["b.png"]
    write_files(str(tmp_path), FILES, force=True)
    assert (tmp_path / "b.png").read_bytes() == b"2"


def test_write_files_refuses_a_place_that_cannot_be_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputFault, match="is a file, not a folder; name a folder"):
        check_files(str(tmp_path / "file"), FILES, force=True)
    with pytest.raises(OutputFault, match="no such folder; make it first"):
        check_files(str(tmp_path / "no" / "where"), FILES, force=True)


def test_open_regular_refuses_a_pipe_without_waiting_and_a_device_behind_a_link(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    for name in ("pipe", "link"):
        with pytest.raises(BadCheckpoint, match="not a plain file; put one in its place") as caught:
            files.open_regular(tmp_path / name, fault=BadCheckpoint)
        assert caught.value.place == str(tmp_path / name)


def test_open_regular_opens_a_plain_file_and_refuses_a_folder_as_the_system_does(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"x")
    with files.open_regular(tmp_path / "plain") as stream:
        assert stream.read() == b"x"
    with pytest.raises(IsADirectoryError):
        files.open_regular(tmp_path)


def test_append_line_loses_nothing_of_several_writers(tmp_path: Path) -> None:
    path = tmp_path / "made" / "lines"

    def write(word: bytes) -> None:
        for _ in range(50):
            files.append_line(path, word * 99 + b"\n")

    writers = [threading.Thread(target=write, args=(word,)) for word in (b"a", b"b", b"c")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert sorted(path.read_bytes().split()) == [word * 99 for word in (b"a", b"b", b"c") for _ in range(50)]


def test_append_line_refuses_what_is_not_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"")
    for name in ("pipe", "folder", "file/below"):
        with pytest.raises(OutputFault):
            files.append_line(tmp_path / name, b"x\n")
    with pytest.raises(OutputFault, match="not a plain file"):
        files.append_line(Path("/dev/null"), b"x\n")


@pytest.mark.parametrize(("value", "base"), [("{}/x", "x"), ("relative", ".y"), ("", ".y")])
def test_user_folder_follows_the_variable_and_the_home(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str, base: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("EMOPRUNE_SOME", value.format(tmp_path))
    assert files.user_folder("EMOPRUNE_SOME", ".y") == tmp_path / base / "emoprune"
