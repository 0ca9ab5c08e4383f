"""Files below a folder that somebody else has prepared."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from emoprune.errors import OutputFault
from emoprune.io import files
from emoprune.io.folder_files import FolderFiles
from tests.support.command_line import tree, unfollowed

SECRET = b"dear diary"


@pytest.fixture(params=[True, False], ids=["descriptors", "paths"])
def inside(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FolderFiles:
    """A folder beside a home, in the way of Linux and macOS and in that of Windows."""
    monkeypatch.setattr(files, "DESCRIPTORS", request.param)
    (tmp_path / "home" / "below").mkdir(parents=True)
    (tmp_path / "home" / "diary.jpg").write_bytes(SECRET)
    (tmp_path / "faces" / "happy").mkdir(parents=True)
    (tmp_path / "faces" / "happy" / "a.jpg").write_bytes(b"face")
    return FolderFiles(tmp_path / "faces")


CALLS: dict[str, Callable[[FolderFiles, str], object]] = {
    "status": FolderFiles.status,
    "is_file": FolderFiles.is_file,
    "check_file": FolderFiles.check_file,
    "open": FolderFiles.open,
    "read": lambda inside, name: inside.read(name, 100),
    "sha256": FolderFiles.sha256,
    "write": lambda inside, name: inside.write(name, b"new"),
    "append": FolderFiles.append,
    "move away": lambda inside, name: inside.move(name, "happy/b.jpg"),
    "move in": lambda inside, name: inside.move("happy/a.jpg", name),
    "remove": FolderFiles.remove,
    "make_folder": lambda inside, name: inside.make_folder(f"{name}/new"),
    "remove_folder": FolderFiles.remove_folder,
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_no_call_goes_through_a_link_or_a_file(
    inside: FolderFiles, call: Callable[[FolderFiles, str], object]
) -> None:
    (inside.place / "link").symlink_to("../home")
    (inside.place / "loop").symlink_to("loop")
    before = unfollowed(inside.place.parent)
    for name in ("link/diary.jpg", "link/below", "happy/a.jpg/b.jpg", "loop/a.jpg"):
        with pytest.raises(OutputFault, match=r"is a (link|file), not a folder; remove it"):
            call(inside, name)
    assert unfollowed(inside.place.parent) == before


def test_a_link_is_not_opened_and_is_replaced_or_removed_itself(inside: FolderFiles) -> None:
    diary = inside.place.parent / "home" / "diary.jpg"
    for name in ("one.jpg", "two.jpg", "three.jpg", "four"):
        (inside.place / name).symlink_to(diary if name != "four" else diary.parent)
    assert inside.sha256("one.jpg") == ""
    assert not inside.is_file("one.jpg")
    for read in (inside.check_file, lambda name: inside.read(name, 100)):
        with pytest.raises(OutputFault, match=r"one\.jpg: is a link, not a plain file; remove it"):
            read("one.jpg")
    inside.write("one.jpg", b"new")
    inside.move("happy/a.jpg", "two.jpg")
    inside.remove("three.jpg")
    assert {name: (inside.place / name).is_symlink() for name in ("one.jpg", "two.jpg")} == {
        "one.jpg": False,
        "two.jpg": False,
    }
    inside.make_folder("deep")
    (inside.place / "deep" / "link").symlink_to(diary.parent)
    inside.remove_folder("deep")
    inside.remove_folder("four")
    assert not (inside.place / "deep").exists()
    assert diary.read_bytes() == SECRET


def test_write_leaves_the_other_name_of_a_hard_link_alone(inside: FolderFiles) -> None:
    diary = inside.place.parent / "home" / "diary.jpg"
    os.link(diary, inside.place / "a.jpg")
    inside.write("a.jpg", b"new")
    assert (diary.read_bytes(), (inside.place / "a.jpg").read_bytes()) == (SECRET, b"new")


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_read_refuses_what_is_not_a_plain_file_without_waiting(inside: FolderFiles, kind: str) -> None:
    (os.mkfifo if kind == "pipe" else os.mkdir)(inside.place / "a.json")
    with pytest.raises(OutputFault, match="not a plain file; remove it"):
        inside.read("a.json", 100)
    assert inside.sha256("a.json") == ""


def test_read_takes_so_many_bytes_and_no_more(inside: FolderFiles) -> None:
    assert inside.read("happy/a.jpg", 4) == b"face"
    assert inside.read("none/b.jpg", 4) is None
    with pytest.raises(OutputFault, match="is larger than the 3 bytes"):
        inside.read("happy/a.jpg", 3)


def test_sha256_is_that_of_the_bytes(inside: FolderFiles) -> None:
    assert inside.sha256("happy/a.jpg") == hashlib.sha256(b"face").hexdigest()


def test_names_lists_files_and_links_and_follows_none(inside: FolderFiles) -> None:
    (inside.place / "link").symlink_to("../home")
    (inside.place / "happy" / "loop").symlink_to("loop")
    inside.write(".crop/made/a.jpg", b"")
    assert set(inside.names(without=".crop")) == {"happy/a.jpg", "link", "happy/loop"}


def test_remove_takes_the_folders_that_it_empties(inside: FolderFiles) -> None:
    inside.write("happy/deep/deeper/b.jpg", b"")
    inside.remove("happy/deep/deeper/b.jpg")
    inside.remove("happy/none.jpg")
    assert set(tree(inside.place)) == {"happy", "happy/a.jpg"}
    inside.remove("happy/a.jpg")
    assert set(tree(inside.place)) == set()


def test_append_writes_behind_the_end(inside: FolderFiles) -> None:
    with inside.append("happy/a.jpg") as stream:
        stream.write("more")
    assert inside.read("happy/a.jpg", 100) == b"facemore"


def test_files_and_folders_honor_the_umask(inside: FolderFiles) -> None:
    old = os.umask(0o027)
    try:
        inside.write("new/a.jpg", b"")
    finally:
        os.umask(old)
    modes = [stat.S_IMODE((inside.place / name).stat().st_mode) for name in ("new", "new/a.jpg")]
    assert modes == [0o750, 0o640]


def test_a_folder_that_is_replaced_meanwhile_is_refused(inside: FolderFiles) -> None:
    inside.write("a.jpg", b"")
    inside.place.rename(inside.place.with_name("moved"))
    with pytest.raises(FileNotFoundError):
        inside.write("b.jpg", b"")
    inside.place.symlink_to("home")
    with pytest.raises(OutputFault, match="was replaced by another folder during the run"):
        inside.write("b.jpg", b"")
    assert set(tree(inside.place)) == {"below", "diary.jpg"}


def test_the_folder_itself_may_be_a_link(inside: FolderFiles) -> None:
    link = inside.place.with_name("link")
    link.symlink_to(inside.place)
    FolderFiles(link).write("b.jpg", b"b")
    assert inside.read("b.jpg", 1) == b"b"
