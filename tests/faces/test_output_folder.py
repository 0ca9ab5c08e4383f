"""A folder of faces whose process dies at every step."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from emoprune.errors import OutputFault
from emoprune.faces.output_folder import CropFolder, is_crop_folder, is_unfinished
from emoprune.faces.types import CropRow, CropSettings

SMALL, LARGE = CropSettings(size=32), CropSettings(size=64)
PHOTOS = ("a/one.jpg", "a/two.jpg", "b/none.jpg", "b/three.jpg")


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


@pytest.mark.parametrize("text", ["", "[]", '{"size": []', "\xff"])
def test_settings_that_are_damaged_are_not_known(tmp_path: Path, text: str) -> None:
    crop(tmp_path / "faces", SMALL)
    (tmp_path / "faces" / "crop.json").write_text(text, encoding="latin-1")
    assert CropFolder(str(tmp_path / "faces")).settings() is None
