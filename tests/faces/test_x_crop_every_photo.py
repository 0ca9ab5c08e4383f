"""emoprune crop on photos as they come: of every kind there is a row, and none ends the run."""

from __future__ import annotations

import csv
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from emoprune.synthetic_faces import draw_scene
from tests.support.command_line import Runner

SIZE = (180, 144)
ORIENTATION = 0x0112


def scene() -> Image.Image:
    return draw_scene("happy", generator=np.random.default_rng(1), size=SIZE)


def sixteen_bits() -> Image.Image:
    return Image.fromarray((np.asarray(scene().convert("L")).astype(np.uint16) + 1) * 256 - 1)


def turned(path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # to be turned clockwise when it is shown
    scene().transpose(Image.Transpose.ROTATE_90).save(path, exif=exif, quality=95)


def frames(path: Path) -> None:
    wall = Image.new("RGB", SIZE, "white")
    scene().save(path, save_all=True, append_images=[wall, wall])


def large(path: Path) -> None:
    photo = Image.new("RGB", (8000, 6000), "gray")
    photo.paste(scene().resize((3600, 2880)), (2000, 1500))
    photo.save(path, quality=80)


READABLE: dict[str, Callable[[Path], object]] = {
    "exif.jpg": turned,
    "cmyk.jpg": lambda path: scene().convert("CMYK").save(path, quality=95),
    "palette.png": lambda path: scene().convert("P", palette=Image.Palette.ADAPTIVE).save(path),
    "alpha.png": lambda path: scene().convert("RGBA").save(path),
    "grey-alpha.png": lambda path: scene().convert("LA").save(path),
    "sixteen.png": lambda path: sixteen_bits().save(path),
    "sixteen.tif": lambda path: sixteen_bits().save(path),
    "grey.jpg": lambda path: scene().convert("L").save(path, quality=95),
    "web.webp": lambda path: scene().save(path, quality=95),
    "frames.gif": frames,
    "frames.tif": frames,
    "face.PNG": lambda path: scene().save(path),
    "лицо 顔 वदन \N{GRINNING FACE}.jpg": lambda path: scene().save(path, quality=95),
}


def damaged(path: Path) -> None:
    scene().save(path)
    path.write_bytes(path.read_bytes()[:3000])


def bomb(path: Path) -> None:
    """A PNG of a few bytes that declares 40,000 x 40,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)
    signature = b"\x89PNG\r\n\x1a\n"
    path.write_bytes(
        signature + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
    )


# what makes the file, and words of the reason
UNREADABLE: dict[str, tuple[Callable[[Path], object], str]] = {
    "tiny.png": (lambda path: Image.new("RGB", (1, 1)).save(path), "smaller than"),
    "truncated.jpg": (damaged, "truncated"),
    "empty.jpg": (lambda path: path.touch(), "empty"),
    "text.jpg": (lambda path: path.write_text("no picture"), "not an image"),
    "nothing.jpg": (lambda path: path.symlink_to("nowhere.jpg"), "no such file"),
    "pipe.jpg": (lambda path: os.mkfifo(path), "not a plain file"),
    "bomb.png": (bomb, "pixels"),
}


def listed(faces: Path) -> dict[str, dict[str, str]]:
    with (faces / "crops.csv").open(encoding="utf-8", errors="surrogateescape", newline="") as stream:
        return {row["source"]: row for row in csv.DictReader(stream)}


def overlap(row: dict[str, str], other: dict[str, str]) -> float:
    """Intersection over union of two boxes."""
    left, top, right, bottom = (
        choose(float(row[side]), float(other[side]))
        for choose, side in ((max, "x1"), (max, "y1"), (min, "x2"), (min, "y2"))
    )
    areas = (
        (float(each["x2"]) - float(each["x1"])) * (float(each["y2"]) - float(each["y1"]))
        for each in (row, other)
    )
    shared = max(right - left, 0) * max(bottom - top, 0)
    return shared / (sum(areas) - shared)


def test_every_kind_of_photo_is_cropped_or_told(emoprune: Runner, in_folder: Path) -> None:
    folder = in_folder / "raw" / "happy"
    folder.mkdir(parents=True)
    for name, make in [*READABLE.items(), *((name, make) for name, (make, _) in UNREADABLE.items())]:
        make(folder / name)
    scene().save(in_folder / "raw" / "plain.png")
    (folder / "folder.jpg").mkdir()
    summary = emoprune.done("crop", "raw", "faces", "--size", "32").record
    rows = listed(in_folder / "faces")
    plain = rows["plain.png"]
    assert summary["photos"] == len(rows) == len(READABLE) + len(UNREADABLE) + 1
    for name in READABLE:
        row = rows[f"happy/{name}"]
        assert (row["status"], row["reason"]) == ("face", ""), name
        assert overlap(row, plain) > 0.6, name
        with Image.open(in_folder / "faces" / row["output"]) as face:
            assert (face.size, face.mode) == ((32, 32), "RGB")
    for name, (_, reason) in UNREADABLE.items():
        row = rows[f"happy/{name}"]
        assert (row["status"], row["output"]) == ("unreadable", ""), name
        assert reason in row["reason"], (name, row["reason"])


def test_a_photo_that_may_not_be_read_is_told(
    emoprune: Runner, in_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (in_folder / "raw").mkdir()
    for name in ("locked.jpg", "open.jpg"):
        scene().save(in_folder / "raw" / name)
    (in_folder / "raw" / "locked.jpg").chmod(0)
    if os.access(in_folder / "raw" / "locked.jpg", os.R_OK):
        # permissions are no obstacle to this user
        really = Image.open

        def refuse(place: Path, formats: tuple[str, ...]) -> Image.Image:
            if Path(place).name == "locked.jpg":
                raise PermissionError(13, os.strerror(13), str(place))
            return really(place, formats=formats)

        monkeypatch.setattr(Image, "open", refuse)
    emoprune.done("crop", "raw", "faces", "--size", "32")
    rows = listed(in_folder / "faces")
    assert rows["locked.jpg"]["status"] == "unreadable"
    assert "ermission denied" in rows["locked.jpg"]["reason"]
    assert rows["open.jpg"]["status"] == "face"


def test_a_photo_of_48_megapixels_is_cropped(emoprune: Runner, in_folder: Path) -> None:
    (in_folder / "raw").mkdir()
    large(in_folder / "raw" / "large.jpg")
    emoprune.done("crop", "raw", "faces", "--size", "32", "--max-side", "1000")
    (row,) = listed(in_folder / "faces").values()
    assert row["status"] == "face"
    # in pixels of the photo itself
    assert 2000 < float(row["x1"]) < float(row["x2"]) < 5600
    assert 1500 < float(row["y1"]) < float(row["y2"]) < 4380
    assert float(row["x2"]) - float(row["x1"]) > 500


def test_two_photos_that_differ_in_suffix_alone_have_faces_of_their_own(
    emoprune: Runner, in_folder: Path
) -> None:
    (in_folder / "raw").mkdir()
    for name in ("a.png", "a.jpg", "A.PNG"):
        scene().save(in_folder / "raw" / name)
    emoprune.done("crop", "raw", "faces", "--size", "32")
    outputs = {row["output"] for row in listed(in_folder / "faces").values()}
    assert len({output.lower() for output in outputs}) == 3
    assert {path.name for path in (in_folder / "faces").glob("[aA]*.jpg")} == outputs


@pytest.mark.parametrize("layout", ["", "happy/", "happy/film/scene/"])
def test_folders_below_a_class_are_kept_and_classes_are_not_needed(
    emoprune: Runner, in_folder: Path, layout: str
) -> None:
    (in_folder / "raw" / layout).mkdir(parents=True)
    scene().save(in_folder / "raw" / layout / "a.png")
    emoprune.done("crop", "raw", "faces", "--size", "32")
    assert (in_folder / "faces" / layout / "a.jpg").is_file()


def test_faces_never_leave_their_folder(emoprune: Runner, in_folder: Path) -> None:
    (in_folder / "elsewhere").mkdir()
    scene().save(in_folder / "elsewhere" / "a.png")
    (in_folder / "raw").mkdir()
    (in_folder / "raw" / "link").symlink_to(in_folder / "elsewhere")
    (in_folder / "raw" / "..hidden.png").write_bytes((in_folder / "elsewhere" / "a.png").read_bytes())
    (in_folder / "raw" / "b.png").write_bytes((in_folder / "elsewhere" / "a.png").read_bytes())
    before = sorted(in_folder.rglob("*"))
    emoprune.done("crop", "raw", "faces", "--size", "32")
    made = set(in_folder.rglob("*")) - set(before)
    assert all(path.is_relative_to(in_folder / "faces") for path in made)
