"""Which faces of a photo are taken, and how they are cut out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from emoprune.errors import BadData
from emoprune.faces.alignment import eye_places
from emoprune.faces.detector import Detector
from emoprune.faces.types import Face
from tests.support.crops import crop, pixels, rows, scene, write_boxes

SIZE = (240, 300)


@pytest.fixture
def raw(in_folder: Path) -> Path:
    (in_folder / "raw").mkdir()
    return in_folder / "raw"


def sides(faces: str = "faces") -> Iterable[float]:
    (row,) = rows(faces).values()
    assert row.box
    return row.box.x1, row.box.y1, row.box.x2, row.box.y2


# drawn faces are so plain that most are found turned as well, but not these
@pytest.mark.parametrize(("seed", "turn"), [(26, 90), (6, 180), (7, 270)])
def test_a_photo_that_lies_on_its_side_is_rescued_and_its_face_set_upright(
    raw: Path, seed: int, turn: int
) -> None:
    scene(seed, SIZE).save(raw / "upright.png")
    scene(seed, SIZE).rotate(-turn, expand=True).save(raw / "turned.png")
    crop(faces="plain", size=64)
    assert sorted(row.status for row in rows("plain").values()) == ["face", "no-face"]
    assert crop(size=64, rescue=True).rescued == 1
    turned, upright = rows().values()
    assert (turned.status, turned.turned) == ("rescued", turn)
    assert f"turned {turn}" in turned.reason
    assert (upright.status, upright.turned, upright.reason) == ("face", 0, "")
    one, other = (pixels(f"faces/{row.output}") for row in (turned, upright))
    assert abs(one - other).mean() < 25
    assert abs(one[::-1] - other).mean() > 2 * abs(one - other).mean()


def test_a_wall_is_not_rescued(raw: Path) -> None:
    Image.new("RGB", SIZE, "gray").save(raw / "wall.png")
    assert crop(rescue=True).rescued == 0


def test_faces_that_are_small_or_doubtful_are_ignored(raw: Path) -> None:
    scene(1, SIZE).save(raw / "a.png")
    crop()
    (row,) = rows().values()
    assert row.box
    assert row.probability
    shorter = int(row.box.shorter)
    for least, faces in ((shorter, 1), (shorter + 1, 0)):
        assert crop(faces=f"least{least}", min_face=least).faces == faces
    assert 0.9 < row.probability < 1
    for probability, faces in ((0.9, 1), (1.0, 0)):
        assert crop(faces=f"sure{probability}", min_probability=probability).faces == faces


def test_boxes_of_a_shrunken_photo_are_in_pixels_of_the_photo(raw: Path) -> None:
    scene(1, SIZE).resize((960, 1200)).save(raw / "a.png")
    crop(faces="whole")
    crop(max_side=300)
    assert list(sides()) == pytest.approx(list(sides("whole")), abs=60)
    (whole,), (shrunken,) = rows("whole").values(), rows().values()
    assert shrunken.landmarks[2] == pytest.approx(whole.landmarks[2], abs=60)


def test_a_box_by_hand_is_in_pixels_of_the_whole_photo(raw: Path) -> None:
    photo = Image.new("RGB", (800, 400), "white")
    photo.paste((200, 0, 0), (400, 100, 600, 300))
    photo.save(raw / "a.png")
    crop(boxes=write_boxes("a.png,400,100,600,300"), max_side=200)
    assert sides() == (400, 100, 600, 300)
    assert abs(pixels("faces/a.jpg") - (200, 0, 0)).mean() < 5


@pytest.mark.parametrize(("pad", "beyond"), [("constant", (0, 0, 0)), ("reflect", (0, 0, 200))])
def test_pad_decides_what_a_square_shows_beyond_the_photo(
    raw: Path, pad: str, beyond: tuple[int, int, int]
) -> None:
    Image.new("RGB", (200, 200), (0, 0, 200)).save(raw / "a.png")
    crop(boxes=write_boxes("a.png,-50,-50,50,50"), pad=pad)
    assert abs(pixels("faces/a.jpg")[:12, :12] - beyond).mean() < 8


def test_aligned_eyes_are_at_their_place(raw: Path) -> None:
    scene(1, SIZE).rotate(20, expand=True, fillcolor="gray").save(raw / "a.png")
    crop(size=160, align="eyes", margin=0.6)
    crop("faces", "again", size=160)
    (row,) = rows("again").values()
    for found, place in zip(row.landmarks, eye_places(160, margin=0.6), strict=False):
        assert found == pytest.approx(place, abs=8)


def test_a_face_that_cannot_be_aligned_is_upright_with_the_reason(
    raw: Path, told: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("box", "cyclops"):
        scene(1, SIZE).save(raw / f"{name}.png")
    (box,) = (write_boxes("box.png,40,40,200,200"),)
    detect = Detector.detect

    def one_eyed(detector: Detector, image: Image.Image) -> list[Face]:
        return [replace(face, landmarks=(face.landmarks[0],) * 5) for face in detect(detector, image)]

    monkeypatch.setattr(Detector, "detect", one_eyed)
    for align in ("eyes", "none"):
        assert crop(faces=align, boxes=box, align=align, jobs=1).faces == 2
    assert [(row.status, row.reason) for row in rows("eyes").values()] == [
        ("box", "not aligned: its eyes are not known"),
        ("face", "not aligned: the two eyes are at one place"),
    ]
    assert "2 faces not aligned but upright, box.jpg one of them; crops.csv says why" in told.text
    for name in ("box.jpg", "cyclops.jpg"):
        assert Path("eyes", name).read_bytes() == Path("none", name).read_bytes()


def test_a_wide_margin_loses_no_face_that_fills_its_photo(raw: Path) -> None:
    scene(1, SIZE).save(raw / "a.jpg")
    crop(size=64)
    for name in ("one", "two"):
        (raw / f"{name}.jpg").write_bytes(Path("faces/a.jpg").read_bytes())
    for margin in (0, 2):
        crop(faces=f"faces{margin}", size=64, margin=margin)
    narrow, wide = ({row.status for row in rows(f"faces{margin}").values()} for margin in (0, 2))
    assert narrow == wide
    assert "face" in narrow
    assert "unreadable" not in narrow


def test_on_missing_fail_names_the_photo_and_the_reason(raw: Path) -> None:
    scene(1, SIZE).save(raw / "a.jpg")
    with pytest.raises(BadData, match=r"raw/a.jpg: only faces below the least size"):
        crop(on_missing="fail", min_face=5000)
