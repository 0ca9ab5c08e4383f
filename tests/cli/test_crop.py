"""emoprune crop: its files, its JSON line, its notes and its refusals."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from PIL import Image

from tests.support.command_line import Runner, tree
from tests.support.crops import SIZE, scene, write_boxes

COLUMNS = (
    "source,output,status,x1,y1,x2,y2,probability,left_eye_x,left_eye_y,right_eye_x,right_eye_y,"
    "nose_x,nose_y,mouth_left_x,mouth_left_y,mouth_right_x,mouth_right_y,"
    "turned,phash,sha256,output_sha256,reason"
)
LISTS = ("crops.csv", "failures.csv", "crop.json", "contact-sheet.jpg")


@pytest.fixture
def raw(in_folder: Path) -> Path:
    """A face, a wall, and a file that is not a picture."""
    folder = in_folder / "raw" / "happy"
    folder.mkdir(parents=True)
    scene().save(folder / "a.png")
    Image.new("RGB", SIZE, "white").save(folder / "wall.jpg")
    (folder / "text.jpg").write_bytes(b"not a picture")
    return in_folder / "raw"


def rows(path: Path) -> dict[str, dict[str, str]]:
    text = path.read_text()
    assert text.splitlines()[0] == COLUMNS
    return {row["source"]: row for row in csv.DictReader(io.StringIO(text))}


@pytest.mark.usefixtures("raw")
def test_every_photo_becomes_a_square_face_or_a_reason(emoprune: Runner, in_folder: Path) -> None:
    result = emoprune.done("crop", "raw", "faces", "--size", "40")
    faces = in_folder / "faces"
    assert set(tree(faces)) == {"happy", "happy/a.jpg", *LISTS}
    with Image.open(faces / "happy" / "a.jpg") as picture:
        assert (picture.size, picture.mode) == ((40, 40), "RGB")
    listed, failed = rows(faces / "crops.csv"), rows(faces / "failures.csv")
    row = listed["happy/a.png"]
    assert (row["output"], row["status"], row["reason"]) == ("happy/a.jpg", "face", "")
    assert float(row["x1"]) < float(row["left_eye_x"]) < float(row["right_eye_x"]) < float(row["x2"])
    assert float(row["y1"]) < float(row["nose_y"]) < float(row["mouth_left_y"]) < float(row["y2"])
    assert 0.9 < float(row["probability"]) <= 1
    assert failed == {name: row for name, row in listed.items() if not row["output"]}
    assert {name: (row["status"], row["x1"]) for name, row in failed.items()} == {
        "happy/wall.jpg": ("no-face", ""),
        "happy/text.jpg": ("unreadable", ""),
    }
    assert "not an image" in failed["happy/text.jpg"]["reason"]
    assert list(result.record.items()) == [
        *(("schema", "emoprune.crop/2"), ("input", "raw"), ("output", "faces"), ("photos", 3)),
        *(("processed", 3), ("faces", 1), ("face", 1), ("rescued", 0), ("box", 0), ("whole", 0)),
        *(("no-face", 1), ("unreadable", 1)),
    ]
    first, second = result.err.splitlines()
    assert first.startswith("note: 1 photo without a face in faces/failures.csv, shown in contact-sheet.jpg")
    assert first.endswith("fill in boxes there and give it to --boxes")
    assert second.startswith("note: 1 photo that cannot be used in faces/failures.csv")


@pytest.mark.parametrize(
    "option", [("--size", "4"), ("--margin", "-0.1"), ("--margin", "3"), ("--select", "second")]
)
def test_an_option_out_of_range_is_refused(emoprune: Runner, raw: Path, option: tuple[str, str]) -> None:
    emoprune.check_refused("crop", raw, "faces", *option, code=2, says=(option[0],))


def test_a_folder_keeps_its_settings_until_force(emoprune: Runner, raw: Path) -> None:
    emoprune.done("crop", raw, "faces", "--size", "32", "--rescue")
    boxes = write_boxes("happy/wall.jpg,10,20,70,90")
    says = ("--size 32, not --size 64", "--force")
    emoprune.check_refused("crop", raw, "faces", "--size", "64", "--boxes", boxes, says=says)
    says = ("with --rescue, not no --rescue", "--force")
    emoprune.check_refused("crop", raw, "faces", "--no-rescue", says=says)
    emoprune.done("crop", raw, "faces", "--boxes", boxes)
    with Image.open("faces/happy/wall.jpg") as face:
        assert face.size == (32, 32)
    assert emoprune.done("crop", raw, "faces", "--size", "64", "--force").record["processed"] == 3
