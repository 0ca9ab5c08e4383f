"""A folder of faces whose process dies at every step."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from emoprune.errors import OutputFault
from emoprune.faces.output_folder import CropFolder, is_crop_folder, is_unfinished, settings_in
from emoprune.faces.types import CropRow, CropSettings
from tests.support.command_line import unfollowed

SMALL, LARGE = CropSettings(size=32), CropSettings(size=64)
PHOTOS = ("a/one.jpg", "a/two.jpg", "b/none.jpg", "b/three.jpg")


def test_settings_in_reads_a_link_as_of_a_data_set_under_version_control(tmp_path: Path) -> None:
    crop(tmp_path / "faces", SMALL)
    (tmp_path / "faces" / "crop.json").rename(tmp_path / "kept.json")
    assert settings_in(tmp_path / "faces") is None
    (tmp_path / "faces" / "crop.json").symlink_to("../kept.json")
    assert settings_in(tmp_path / "faces") == SMALL
    (tmp_path / "kept.json").unlink()
    os.mkfifo(tmp_path / "kept.json")
    assert settings_in(tmp_path / "faces") is None


class Killed(BaseException):
    """Stands for the death of the process: nobody catches it."""


def row(source: str) -> CropRow:
    if "none" in source:
        return CropRow(source, "", "no-face", sha256="0", reason="no face found")
    return CropRow(source, source, "face", sha256="0")


def crop(place: Path, settings: CropSettings, photos: Sequence[str] = PHOTOS, *, force: bool = False) -> int:
    """Crop like the command, with settings as pictures; the number of processed photos."""
    folder = CropFolder(str(place))
    with folder.locked():
        return crop_held(folder, settings, photos, force)


def crop_held(folder: CropFolder, settings: CropSettings, photos: Sequence[str], force: bool) -> int:
    kept = [each for each in folder.reusable_rows(settings, force=force) if each.source in photos]
    todo = [source for source in photos if source not in {each.source for each in kept}]
    rows = list(kept)
    with folder.journal(settings):
        for source in todo:
            pictures = [f"{source} {settings.size}".encode()] if row(source).output else []
            rows += folder.add([row(source)], pictures)
        folder.finish(sorted(rows, key=lambda each: each.source), {"contact-sheet.jpg": b"sheet"})
    return len(todo)


def contents(place: Path) -> dict[str, bytes]:
    return {
        path.relative_to(place).as_posix(): path.read_bytes() for path in place.rglob("*") if path.is_file()
    }


def dying(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Let the process die at its `step`-th change of a file: that one and all after it do not happen."""
    done = 0

    def counted(change: Callable[..., Any]) -> Callable[..., Any]:
        def changed(*args: Any, **kwargs: Any) -> Any:
            nonlocal done
            done += 1
            if done >= step:
                raise Killed
            return change(*args, **kwargs)

        return changed

    for name in ("replace", "unlink", "mkdir", "rmdir"):
        monkeypatch.setattr(os, name, counted(getattr(os, name)))


def first(place: Path) -> None:
    crop(place, SMALL)


def anew_after_a_run(place: Path) -> None:
    crop(place, LARGE, PHOTOS[1:], force=True)


def more_photos(place: Path) -> None:
    crop(place, SMALL, [*PHOTOS, "c/four.jpg"])


@pytest.mark.parametrize(
    ("before", "work"),
    [((), first), ((first,), anew_after_a_run), ((first,), more_photos), ((first, more_photos), first)],
)
def test_death_at_any_step_leaves_a_folder_from_which_the_same_run_ends_the_same(
    tmp_path: Path, before: Sequence[Callable[[Path], None]], work: Callable[[Path], None]
) -> None:
    for earlier in (*before, work):
        earlier(tmp_path / "undisturbed")
    wanted = contents(tmp_path / "undisturbed")
    step, died = 0, True
    while died:
        step += 1
        place = tmp_path / str(step)
        for earlier in before:
            earlier(place)
        with pytest.MonkeyPatch.context() as monkeypatch:
            dying(monkeypatch, step)
            try:
                work(place)
                died = False
            except Killed:
                pass
        work(place)
        assert contents(place) == wanted, step
    assert step > 10


def deaths(work: Callable[[], object]) -> bool:
    """Whether the work was cut short."""
    try:
        work()
    except Killed:
        return True
    return False


def test_after_death_with_other_settings_no_face_is_reused(tmp_path: Path) -> None:
    first(tmp_path / "undisturbed")
    step, died = 0, True
    while died:
        step += 1
        place = tmp_path / str(step)
        first(place)
        with pytest.MonkeyPatch.context() as monkeypatch:
            dying(monkeypatch, step)
            died = deaths(partial(anew_after_a_run, place))

        def nothing(place: Path = place) -> None:
            folder = CropFolder(str(place))
            with folder.locked(), folder.journal(SMALL):
                raise Killed

        assert deaths(nothing)
        first(place)
        assert contents(place) == contents(tmp_path / "undisturbed"), step


def test_after_death_no_face_is_left_of_a_photo_that_is_gone(tmp_path: Path) -> None:
    crop(tmp_path / "undisturbed", SMALL, PHOTOS[1:])
    step, died = 0, True
    while died:
        step += 1
        place = tmp_path / str(step)
        with pytest.MonkeyPatch.context() as monkeypatch:
            dying(monkeypatch, step)
            died = deaths(partial(first, place))
        if any(place.glob("[ab]/*.jpg")) and not (place / "failures.csv").is_file():
            assert is_unfinished(place), step
        crop(place, SMALL, PHOTOS[1:])
        assert contents(place) == contents(tmp_path / "undisturbed"), step


def test_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    assert crop(tmp_path / "faces", SMALL) == 4
    assert crop(tmp_path / "faces", SMALL) == 0
    assert crop(tmp_path / "faces", SMALL, force=True) == 4
    assert crop(tmp_path / "faces", LARGE) == 4
    (tmp_path / "faces" / "a" / "one.jpg").unlink()
    assert crop(tmp_path / "faces", LARGE) == 1


def test_faces_appear_when_all_are_done_and_a_torn_line_is_ignored(tmp_path: Path) -> None:
    place = tmp_path / "faces"
    folder = CropFolder(str(place))

    def part() -> None:
        with folder.locked(), folder.journal(SMALL):
            folder.add([row(PHOTOS[0])], [b"face"])
            assert [path.name for path in place.iterdir()] == [".crop"]
            raise Killed

    with pytest.raises(Killed):
        part()
    assert folder.in_progress
    assert is_crop_folder(place)
    with (place / ".crop" / "journal.jsonl").open("a") as journal:
        journal.write(json.dumps([{"source": PHOTOS[1]}])[:9])
    assert [each.source for each in folder.reusable_rows(SMALL, force=True)] == [PHOTOS[0]]
    assert folder.reusable_rows(LARGE, force=True) == []
    assert crop(place, SMALL) == 3


def test_a_run_that_did_nothing_leaves_nothing(tmp_path: Path) -> None:
    folder = CropFolder(str(tmp_path / "faces"))
    with pytest.raises(Killed), folder.locked(), folder.journal(SMALL):
        raise Killed
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_other_files_is_refused_and_an_empty_one_taken(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(OutputFault, match="did not write"):
        CropFolder(str(tmp_path))
    (tmp_path / "empty").mkdir()
    assert crop(tmp_path / "empty", SMALL) == 4


def interrupted(place: Path) -> CropFolder:
    """A folder whose first run was killed when one photo was done."""
    folder = CropFolder(str(place))

    def part() -> None:
        with folder.locked(), folder.journal(SMALL):
            folder.add([row(PHOTOS[0])], [b"face"])
            raise Killed

    assert deaths(part)
    return folder


def line(**cells: object) -> str:
    good = {"source": PHOTOS[1], "output": PHOTOS[1], "status": "face"}
    return json.dumps([good | cells])


@pytest.mark.parametrize(
    "damage",
    [
        *("", "[]", "7", "{}", "null", "[[]]", "[{}]", "9" * 5000, "[" * 100_000, '["\xe9"]', "\xff"),
        *(line(output=7), line(status=None), line(output="../a.jpg"), line(output=".crop/a.jpg")),
        *(line(source="\ud800"), line(x1="inf", y1="0", x2="1", y2="1")),
        line()[:-1] + ", " + line(source=PHOTOS[0])[1:],
    ],
)
def test_a_journal_that_is_damaged_is_refused_by_its_line(tmp_path: Path, damage: str) -> None:
    interrupted(tmp_path / "faces")
    journal = tmp_path / "faces" / ".crop" / "journal.jsonl"
    journal.write_bytes(journal.read_bytes() + damage.encode("latin-1") + b"\n")
    with pytest.raises(OutputFault, match=r"line 2 is damaged; remove the folder \.crop") as caught:
        crop(tmp_path / "faces", SMALL)
    assert caught.value.place == str(journal)
    shutil.rmtree(tmp_path / "faces" / ".crop")
    assert crop(tmp_path / "faces", SMALL) == 4


@pytest.mark.parametrize("data", [b"", b"fac", b"fake"])
def test_a_face_that_is_not_as_it_was_journaled_is_made_again(tmp_path: Path, data: bytes) -> None:
    folder = interrupted(tmp_path / "faces")
    assert [each.source for each in folder.reusable_rows(SMALL, force=False)] == [PHOTOS[0]]
    (tmp_path / "faces" / ".crop" / "made" / PHOTOS[0]).write_bytes(data)
    assert folder.reusable_rows(SMALL, force=False) == []
    crop(tmp_path / "faces", SMALL)
    assert (tmp_path / "faces" / PHOTOS[0]).read_bytes() == f"{PHOTOS[0]} 32".encode()


def test_a_face_in_the_way_of_another_is_not_replaced(tmp_path: Path) -> None:
    place = tmp_path / "faces"
    folder = CropFolder(str(place))
    with folder.locked(), folder.journal(SMALL):
        rows = folder.add([row(PHOTOS[0])], [b"face"])
        (place / "a").mkdir()
        (place / PHOTOS[0]).write_bytes(b"mine")
        with pytest.raises(OutputFault, match=r"one\.jpg: was put there during the run; move it away"):
            folder.finish(rows, {})
    assert (place / PHOTOS[0]).read_bytes() == b"mine"
    (place / PHOTOS[0]).unlink()
    assert crop(place, SMALL) == 3


@pytest.mark.parametrize(
    "name", [".crop/lock", ".crop/crop.json", "crops.csv", "crop.json", "contact-sheet.jpg"]
)
@pytest.mark.parametrize("kind", ["folder", "pipe", "loop"])
def test_what_should_be_a_file_of_crop_and_is_none_is_refused(tmp_path: Path, name: str, kind: str) -> None:
    place = tmp_path / "faces"
    crop(place, SMALL)
    interrupted(place)
    (place / name).unlink()
    {"folder": os.mkdir, "pipe": os.mkfifo, "loop": lambda path: path.symlink_to(path.name)}[kind](
        place / name
    )
    before = unfollowed(place)
    with pytest.raises(OutputFault, match=rf"{name}: is (a link, |a folder, )?not a plain file; remove it"):
        crop(place, SMALL)
    assert unfollowed(place) == before


def test_faces_of_an_unfinished_run_are_removed_only_as_they_were_written(tmp_path: Path) -> None:
    place = tmp_path / "faces"
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(CropFolder, "_remove_work", lambda _: None)
        crop(place, SMALL)
    (place / "crop.json").unlink()
    (place / PHOTOS[0]).write_bytes(b"retouched")
    folder = CropFolder(str(place))
    with pytest.raises(Killed), folder.locked(), folder.journal(LARGE):
        raise Killed
    assert {path.name for path in place.glob("[ab]/*.jpg")} == {"one.jpg"}


@pytest.mark.parametrize("text", ["", "[]", '{"size": []', "\xff", "[" * 60_000, '{"margin": NaN}'])
def test_settings_that_are_damaged_are_not_known(tmp_path: Path, text: str) -> None:
    crop(tmp_path / "faces", SMALL)
    (tmp_path / "faces" / "crop.json").write_text(text, encoding="latin-1")
    assert CropFolder(str(tmp_path / "faces")).settings() is None


@pytest.mark.parametrize("change", [{"size": 10**9}, {"margin": -1}, {"every": 0}])
def test_settings_beyond_their_limits_are_not_known(tmp_path: Path, change: dict[str, float]) -> None:
    crop(tmp_path / "faces", SMALL)
    path = tmp_path / "faces" / "crop.json"
    assert CropFolder(str(tmp_path / "faces")).settings() == SMALL
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert CropFolder(str(tmp_path / "faces")).settings() is None


def test_a_folder_that_is_a_link_to_itself_or_to_nothing_is_refused(tmp_path: Path) -> None:
    for target in ("faces", "nothing"):
        (tmp_path / "faces").unlink(missing_ok=True)
        (tmp_path / "faces").symlink_to(target)
        with pytest.raises(OutputFault, match="faces: is not a folder"):
            CropFolder(str(tmp_path / "faces"))


def test_a_folder_that_is_a_link_is_cropped_into(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "faces").symlink_to("disk")
    crop(tmp_path / "faces", SMALL)
    crop(tmp_path / "undisturbed", SMALL)
    assert contents(tmp_path / "disk") == contents(tmp_path / "undisturbed")
