"""emoprune crop: which faces are taken, and how they are cut out."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from emoprune.faces.alignment import eye_places
from emoprune.synthetic_faces import draw_scene
from tests.support.command_line import Runner

SIZE = (240, 300)


def scene(seed: int = 1) -> Image.Image:
    return draw_scene("happy", generator=np.random.default_rng(seed), size=SIZE)


def rows(faces: str) -> list[dict[str, str]]:
    with (Path(faces) / "crops.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def pixels(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    with Image.open(path) as image:
        return np.asarray(image, dtype=np.float64)


@pytest.fixture
def raw(in_folder: Path) -> Path:
    (in_folder / "raw").mkdir()
    return in_folder / "raw"


# drawn faces are so plain that most are seen turned as well, but not these
@pytest.mark.parametrize(("seed", "turn"), [(26, 90), (6, 180), (7, 270)])
def test_a_photo_that_lies_on_its_side_is_rescued_and_its_face_set_upright(
    emoprune: Runner, raw: Path, in_folder: Path, seed: int, turn: int
) -> None:
    scene(seed).save(raw / "upright.png")
    scene(seed).rotate(-turn, expand=True).save(raw / "turned.png")
    emoprune.done("crop", raw, "plain", "--size", "64")
    assert [row["status"] for row in rows("plain")] == ["no-face", "face"]
    summary = emoprune.done("crop", raw, "faces", "--size", "64", "--rescue").record
    turned, upright = rows("faces")
    assert (summary["rescued"], turned["status"], turned["turned"]) == (1, "rescued", str(turn))
    assert f"turned {turn}" in turned["reason"]
    assert (upright["status"], upright["turned"], upright["reason"]) == ("face", "", "")
    one, other = (pixels(in_folder / "faces" / row["output"]) for row in (turned, upright))
    assert abs(one - other).mean() < 25
    assert abs(one[::-1] - other).mean() > 2 * abs(one - other).mean()


def test_a_wall_is_not_rescued(emoprune: Runner, raw: Path) -> None:
    Image.new("RGB", SIZE, "gray").save(raw / "wall.png")
    assert emoprune.done("crop", raw, "faces", "--rescue").record["rescued"] == 0


def test_faces_that_are_small_or_doubtful_are_passed_over(emoprune: Runner, raw: Path) -> None:
    scene().save(raw / "a.png")
    emoprune.done("crop", raw, "faces", "--size", "32")
    (row,) = rows("faces")
    shorter = min(float(row["x2"]) - float(row["x1"]), float(row["y2"]) - float(row["y1"]))
    for number, (least, faces) in enumerate([(int(shorter), 1), (int(shorter) + 1, 0)]):
        found = emoprune.done("crop", raw, f"least{number}", "--min-face", str(least))
        assert found.record["faces"] == faces
    assert 0.9 < float(row["probability"]) < 1
    for number, (share, faces) in enumerate([(0.9, 1), (1.0, 0)]):
        found = emoprune.done("crop", raw, f"sure{number}", "--min-probability", str(share))
        assert found.record["faces"] == faces


def test_a_smaller_photo_is_looked_at_and_its_boxes_are_the_photos_own(emoprune: Runner, raw: Path) -> None:
    scene().resize((960, 1200)).save(raw / "a.png")
    emoprune.done("crop", raw, "whole", "--size", "32")
    emoprune.done("crop", raw, "faces", "--size", "32", "--max-side", "300")
    (whole,), (row,) = rows("whole"), rows("faces")
    for side in ("x1", "y1", "x2", "y2", "nose_x", "nose_y"):
        assert float(row[side]) == pytest.approx(float(whole[side]), abs=60), side


def test_a_box_by_hand_is_in_pixels_of_the_whole_photo(emoprune: Runner, raw: Path, in_folder: Path) -> None:
    photo = Image.new("RGB", (800, 400), "white")
    photo.paste((200, 0, 0), (400, 100, 600, 300))
    photo.save(raw / "a.png")
    (in_folder / "boxes.csv").write_text("source,x1,y1,x2,y2\na.png,400,100,600,300\n")
    emoprune.done("crop", raw, "faces", "--boxes", "boxes.csv", "--size", "32", "--max-side", "200")
    (row,) = rows("faces")
    assert [float(row[side]) for side in ("x1", "y1", "x2", "y2")] == [400, 100, 600, 300]
    assert abs(pixels(in_folder / "faces" / "a.jpg") - (200, 0, 0)).mean() < 5


@pytest.mark.parametrize(("pad", "beyond"), [("constant", (0, 0, 0)), ("reflect", (0, 0, 200))])
def test_what_a_square_shows_beyond_the_photo_is_asked_for(
    emoprune: Runner, raw: Path, in_folder: Path, pad: str, beyond: tuple[int, int, int]
) -> None:
    Image.new("RGB", (200, 200), (0, 0, 200)).save(raw / "a.png")
    (in_folder / "boxes.csv").write_text("source,x1,y1,x2,y2\na.png,-50,-50,50,50\n")
    emoprune.done("crop", raw, "faces", "--boxes", "boxes.csv", "--size", "32", "--pad", pad)
    assert abs(pixels(in_folder / "faces" / "a.jpg")[:12, :12] - beyond).mean() < 8


def test_aligned_eyes_are_at_their_place(emoprune: Runner, raw: Path, in_folder: Path) -> None:
    scene().rotate(20, expand=True, fillcolor="gray").save(raw / "a.png")
    emoprune.done("crop", raw, "faces", "--size", "160", "--align", "eyes", "--margin", "0.6")
    emoprune.done("crop", "faces", "again", "--size", "160")
    (row,) = rows("again")
    for name, (x, y) in zip(("left_eye", "right_eye"), eye_places(160, margin=0.6), strict=True):
        assert float(row[f"{name}_x"]) == pytest.approx(x, abs=8)
        assert float(row[f"{name}_y"]) == pytest.approx(y, abs=8)


def test_a_wide_margin_loses_no_face_that_fills_its_photo(emoprune: Runner, raw: Path) -> None:
    scene().save(raw / "a.jpg")
    emoprune.done("crop", raw, "faces", "--size", "64")
    for name in ("one", "two"):
        (raw / f"{name}.jpg").write_bytes(Path("faces/a.jpg").read_bytes())
    statuses = []
    for margin in ("0", "2"):
        emoprune.done("crop", raw, f"faces{margin}", "--size", "64", "--margin", margin)
        statuses.append([row["status"] for row in rows(f"faces{margin}")])
    assert statuses[0] == statuses[1]
    assert "face" in statuses[0]
    assert "unreadable" not in statuses[0]


def test_the_interval_of_a_video_is_none_of_a_folder(emoprune: Runner, raw: Path) -> None:
    scene().save(raw / "a.jpg")
    emoprune.check_refused("crop", raw, "faces", "--every", "5", code=2, says=("--every", "videos"))


def test_on_missing_fail_says_what_was_missing_and_where(emoprune: Runner, raw: Path) -> None:
    scene().save(raw / "a.jpg")
    argv = ("crop", raw, "faces", "--on-missing", "fail", "--min-face", "5000")
    line = emoprune("crop", *argv[1:]).complaints[-1]
    assert f"{raw}/a.jpg: only faces below the least size" in line
