"""emoprune crop on drawn scenes: what appears, in which words it is listed, and what it leaves alone."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from emoprune.io.images import jpeg_bytes
from emoprune.synthetic_faces import draw_scene
from tests.support.command_line import Runner, tree

COLUMNS = (
    "source,output,status,x1,y1,x2,y2,probability,left_eye_x,left_eye_y,right_eye_x,right_eye_y,"
    "nose_x,nose_y,mouth_left_x,mouth_left_y,mouth_right_x,mouth_right_y,"
    "turned,phash,sha256,reason"
)
LISTS = ("crops.csv", "failures.csv", "crop.json", "contact-sheet.jpg")
SIZE = (180, 144)


def scene(emotion: str, seed: int) -> Image.Image:
    return draw_scene(emotion, generator=np.random.default_rng(seed), size=SIZE)


def side_by_side(*scenes: Image.Image) -> Image.Image:
    return Image.fromarray(np.concatenate([np.asarray(one) for one in scenes], axis=1))


PHOTOS: dict[str, bytes] = {
    "angry/a.jpg": jpeg_bytes(scene("angry", 1)),
    "angry/pair.jpg": jpeg_bytes(side_by_side(scene("angry", 1), scene("angry", 2))),
    "happy/b.jpg": jpeg_bytes(scene("happy", 1)),
    "happy/wall.jpg": jpeg_bytes(Image.new("RGB", SIZE, "white")),
    "happy/text.jpg": b"not a picture",
}


@pytest.fixture
def raw(in_folder: Path) -> Path:
    """Four photos of two classes, one with two faces, one without any, and a file that is no photo."""
    for name, data in PHOTOS.items():
        target = in_folder / "raw" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    return in_folder / "raw"


def rows(path: Path) -> dict[str, dict[str, str]]:
    """Rows of a manifest by output, or by source where there is none."""
    text = path.read_text()
    assert text.splitlines()[0] == COLUMNS
    return {row["output"] or row["source"]: row for row in csv.DictReader(io.StringIO(text))}


def fill_in(path: Path, source: str, box: str) -> None:
    lines = path.read_text().splitlines()
    (at,) = (index for index, line in enumerate(lines) if line.startswith(f"{source},"))
    cells = lines[at].split(",")
    cells[3:7] = box.split(",")
    lines[at] = ",".join(cells)
    path.write_text("\n".join(lines) + "\n")


def test_every_photo_becomes_a_square_face_or_a_reason(emoprune: Runner, raw: Path, in_folder: Path) -> None:
    summary = emoprune.done("crop", raw, "faces", "--size", "40").record
    listed = rows(in_folder / "faces" / "crops.csv")
    pictures = {"angry/a.jpg", "angry/pair.jpg", "happy/b.jpg"}
    assert {name for name, content in tree(in_folder / "faces").items() if content is not None} == {
        *pictures,
        *LISTS,
    }
    for name in pictures:
        with Image.open(in_folder / "faces" / name) as picture:
            assert (picture.size, picture.mode) == ((40, 40), "RGB")
        row = listed[name]
        assert (row["source"], row["status"], row["reason"]) == (name, "face", "")
        assert float(row["x1"]) < float(row["left_eye_x"]) < float(row["right_eye_x"]) < float(row["x2"])
        assert float(row["y1"]) < float(row["nose_y"]) < float(row["mouth_left_y"]) < float(row["y2"])
        assert 0.9 < float(row["probability"]) <= 1
    failed = rows(in_folder / "faces" / "failures.csv")
    assert {name: (row["status"], row["output"], row["x1"]) for name, row in failed.items()} == {
        "happy/wall.jpg": ("no-face", "", ""),
        "happy/text.jpg": ("unreadable", "", ""),
    }
    assert "not an image" in failed["happy/text.jpg"]["reason"]
    assert all(listed[name] == row for name, row in failed.items())
    assert {**summary, "schema": "", "input": ""} == {
        **{"schema": "", "input": "", "output": "faces", "photos": 5, "processed": 5, "faces": 3, "face": 3},
        **{"rescued": 0, "box": 0, "whole": 0, "no-face": 1, "unreadable": 1},
    }


def test_the_same_command_writes_the_same_bytes(emoprune: Runner, raw: Path, in_folder: Path) -> None:
    emoprune.done("crop", raw, "one", "--size", "32", "--select", "all")
    emoprune.done("crop", raw, "two", "--size", "32", "--select", "all")
    assert tree(in_folder / "one") == tree(in_folder / "two")


def test_select_all_gives_every_face_a_file_of_its_own(emoprune: Runner, raw: Path, in_folder: Path) -> None:
    emoprune.done("crop", raw, "faces", "--size", "32", "--select", "all")
    listed = rows(in_folder / "faces" / "crops.csv")
    both = [row for row in listed.values() if row["source"] == "angry/pair.jpg"]
    assert {row["output"] for row in both} == {"angry/pair_1.jpg", "angry/pair_2.jpg"}
    middles = sorted((float(row["x1"]) + float(row["x2"])) / 2 for row in both)
    assert middles[0] < SIZE[0] < middles[1]


def test_on_missing_whole_takes_the_whole_photo(emoprune: Runner, raw: Path, in_folder: Path) -> None:
    emoprune.done("crop", raw, "faces", "--size", "32", "--on-missing", "whole")
    row = rows(in_folder / "faces" / "crops.csv")["happy/wall.jpg"]
    assert row["status"] == "whole"
    assert [float(row[name]) for name in ("x1", "y1", "x2", "y2")] == [0, 0, *SIZE]
    assert (in_folder / "faces" / "happy" / "wall.jpg").is_file()


def test_on_missing_fail_names_the_photo_and_shows_no_face(emoprune: Runner, raw: Path) -> None:
    result = emoprune("crop", raw, "faces", "--on-missing", "fail")
    assert (result.code, result.raw) == (1, b"")
    (line,) = result.complaints
    assert "wall.jpg: no face found; " in line
    assert "--boxes" in line
    assert [path.name for path in Path("faces").iterdir()] == [".crop"]


def test_a_box_by_hand_adds_that_face_and_touches_no_other(
    emoprune: Runner, raw: Path, in_folder: Path
) -> None:
    emoprune.done("crop", raw, "faces", "--size", "32")
    faces = in_folder / "faces"
    before, listed = tree(faces), rows(faces / "crops.csv")
    fill_in(faces / "failures.csv", "happy/wall.jpg", "10,20,70.5,90")
    summary = emoprune.done("crop", raw, "faces", "--size", "32", "--boxes", "faces/failures.csv").record
    assert (summary["faces"], summary["box"], summary["no-face"]) == (4, 1, 0)
    now = rows(faces / "crops.csv")
    row = now.pop("happy/wall.jpg")
    assert row["status"] == "box"
    assert [float(row[name]) for name in ("x1", "y1", "x2", "y2")] == [10, 20, 70.5, 90]
    del listed["happy/wall.jpg"]
    assert now == listed
    assert list(rows(faces / "failures.csv")) == ["happy/text.jpg"]
    changed = {name for name, content in tree(faces).items() if before.get(name) != content}
    assert changed == {"happy/wall.jpg", "crops.csv", "failures.csv", "contact-sheet.jpg"}


def test_boxes_serve_a_first_run_too(emoprune: Runner, raw: Path, in_folder: Path) -> None:
    (in_folder / "boxes.csv").write_text("source,x1,y1,x2,y2\nangry/a.jpg,0,0,50,50\n")
    emoprune.done("crop", raw, "faces", "--size", "32", "--boxes", "boxes.csv")
    listed = rows(in_folder / "faces" / "crops.csv")
    assert {name: row["status"] for name, row in listed.items() if row["output"]} == {
        **{"angry/a.jpg": "box", "angry/pair.jpg": "face", "happy/b.jpg": "face"}
    }


def test_a_box_outside_its_photo_costs_no_face(emoprune: Runner, raw: Path, in_folder: Path) -> None:
    emoprune.done("crop", raw, "faces", "--size", "32")
    (in_folder / "boxes.csv").write_text("source,x1,y1,x2,y2\nangry/a.jpg,900,900,950,950\n")
    emoprune.check_refused("crop", raw, "faces", "--boxes", "boxes.csv", says=("angry/a.jpg", "outside"))


def test_faces_below_the_photos_are_no_photos(emoprune: Runner, raw: Path, in_folder: Path) -> None:
    first = emoprune.done("crop", "raw", "raw/faces", "--size", "32").record
    assert emoprune.done("crop", "raw", "raw/faces", "--size", "32", "--force").record == first
    emoprune.check_refused(
        "crop", "raw", "raw/../raw", "--force", code=2, says=("raw", "name another folder")
    )


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("source,x1,y1,x2,y2\nangry/a.jpg,0,0,50\n", 1, ("boxes.csv", "line 2")),
        ("source,x1,y1,x2,y2\nangry/a.jpg,0,0,left,50\n", 1, ("boxes.csv", "line 2", "left")),
        ("source,x1,y1,x2,y2\n\nangry/a.jpg,50,0,10,50\n", 1, ("boxes.csv", "line 3", "no area")),
        ("source,x1,y1,x2,y2\nangry/b.jpg,0,0,50,50\n", 1, ("angry/b.jpg",)),
        ("source,x1,y1,x2,y2\nangry/a.jpg,,,,\n", 1, ("boxes.csv", "x1,y1,x2,y2")),
        ("name,x1,y1,x2,y2\nangry/a.jpg,0,0,50,50\n", 1, ("boxes.csv", "source")),
        ("", 1, ("boxes.csv", "source")),
    ],
)
def test_boxes_that_are_none_are_named_by_line(
    emoprune: Runner, raw: Path, in_folder: Path, text: str, code: int, says: tuple[str, ...]
) -> None:
    (in_folder / "boxes.csv").write_text(text)
    emoprune.check_refused("crop", raw, "faces", "--boxes", "boxes.csv", code=code, says=says)


def test_a_folder_of_crops_is_replaced_with_force_alone(emoprune: Runner, raw: Path, in_folder: Path) -> None:
    emoprune.done("crop", raw, "faces", "--size", "32", "--select", "all")
    mine = in_folder / "faces" / "angry" / "notes.txt"
    mine.write_text("of someone else")
    emoprune.check_refused("crop", raw, "faces", "--size", "40", says=("faces", "--force"))
    emoprune.done("crop", raw, "faces", "--size", "40", "--select", "largest", "--force")
    left = {name for name, content in tree(in_folder / "faces").items() if content is not None}
    assert left == {"angry/a.jpg", "angry/pair.jpg", "happy/b.jpg", "angry/notes.txt", *LISTS}
    assert mine.read_text() == "of someone else"
    with Image.open(in_folder / "faces" / "angry" / "a.jpg") as picture:
        assert picture.size == (40, 40)


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_a_folder_of_someone_else_is_refused(
    emoprune: Runner, raw: Path, in_folder: Path, force: list[str]
) -> None:
    (in_folder / "faces").mkdir()
    (in_folder / "faces" / "thesis.txt").write_text("mine")
    emoprune.check_refused("crop", raw, "faces", *force, says=("faces", "name another folder"))


def test_an_empty_folder_is_a_fine_output(emoprune: Runner, raw: Path, in_folder: Path) -> None:
    (in_folder / "faces").mkdir()
    assert emoprune.done("crop", raw, "faces", "--size", "32").record["faces"] == 3


def test_a_file_is_no_output_folder(emoprune: Runner, raw: Path, in_folder: Path) -> None:
    (in_folder / "faces").write_text("mine")
    emoprune.check_refused("crop", raw, "faces", says=("faces", "folder"))


def test_an_output_below_a_missing_folder_is_refused(emoprune: Runner, raw: Path) -> None:
    emoprune.check_refused("crop", raw, "nowhere/faces", says=("nowhere", "mkdir"))


def test_photos_without_any_face_leave_a_list_to_fill_in(emoprune: Runner, in_folder: Path) -> None:
    (in_folder / "raw" / "happy").mkdir(parents=True)
    (in_folder / "raw" / "happy" / "wall.jpg").write_bytes(PHOTOS["happy/wall.jpg"])
    result = emoprune.done("crop", "raw", "faces")
    assert result.record["faces"] == 0
    assert "note: 1 photo without a face" in result.err
    assert "--boxes" in result.err
    assert list(rows(in_folder / "faces" / "failures.csv")) == ["happy/wall.jpg"]


def test_a_truncated_photo_is_listed_and_the_others_cropped(
    emoprune: Runner, raw: Path, in_folder: Path
) -> None:
    photo = raw / "happy" / "b.jpg"
    photo.write_bytes(PHOTOS["happy/b.jpg"][:1500])
    emoprune.done("crop", raw, "faces", "--size", "32")
    row = rows(in_folder / "faces" / "crops.csv")["happy/b.jpg"]
    assert row["status"] == "unreadable"
    assert "truncated" in row["reason"]


@pytest.mark.parametrize("made", ["missing", "empty", "without"])
def test_a_folder_without_photos_is_refused(emoprune: Runner, in_folder: Path, made: str) -> None:
    if made != "missing":
        (in_folder / "raw" / "happy").mkdir(parents=True)
    if made == "without":
        (in_folder / "raw" / "happy" / "notes.txt").write_text("no photo")
    emoprune.check_refused("crop", "raw", "faces", says=("raw: ",))


@pytest.mark.parametrize(
    "option", [("--size", "4"), ("--margin", "-0.1"), ("--margin", "3"), ("--select", "second")]
)
def test_an_option_out_of_range_is_the_command_lines_fault(
    emoprune: Runner, raw: Path, option: tuple[str, str]
) -> None:
    emoprune.check_refused("crop", raw, "faces", *option, code=2, says=(option[0],))


def test_a_full_disk_leaves_no_scratch(
    emoprune: Runner, raw: Path, in_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Path, data: bytes) -> int:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(Path, "write_bytes", full)
    emoprune.check_refused("crop", raw, "faces", says=("faces", "No space left"))


def test_numbered_faces_never_overwrite_a_photo_of_that_name(
    emoprune: Runner, raw: Path, in_folder: Path
) -> None:
    (raw / "angry" / "pair_1.jpg").write_bytes(PHOTOS["happy/b.jpg"])
    summary = emoprune.done("crop", raw, "faces", "--size", "32", "--select", "all").record
    listed = [row["output"] for row in rows(in_folder / "faces" / "crops.csv").values() if row["output"]]
    made = {path.relative_to(in_folder / "faces").as_posix() for path in in_folder.glob("faces/*/*.jpg")}
    assert set(listed) == made
    assert summary["faces"] == len(made) == 5


def test_boxes_by_hand_take_the_size_of_the_faces_that_are_there(
    emoprune: Runner, raw: Path, in_folder: Path
) -> None:
    emoprune.done("crop", raw, "faces", "--size", "32")
    (in_folder / "boxes.csv").write_text("source,x1,y1,x2,y2\nhappy/wall.jpg,10,20,70,90\n")
    emoprune.check_refused(
        "crop", raw, "faces", "--size", "64", "--boxes", "boxes.csv", says=("--size 32", "64", "--force")
    )
    emoprune.done("crop", raw, "faces", "--boxes", "boxes.csv")
    with Image.open(in_folder / "faces" / "happy" / "wall.jpg") as face:
        assert face.size == (32, 32)
