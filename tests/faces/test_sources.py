"""emoprune crop on photos as they come: of every kind there is a row, and none ends the run."""

from __future__ import annotations

import csv
import os
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from emoprune.faces.sources import OutputNames
from emoprune.io.images import jpeg_bytes
from emoprune.synthetic_faces import draw_scene
from tests.support.command_line import Runner, tree
from tests.support.films import film


def test_sources_that_differ_in_suffix_alone_get_different_outputs() -> None:
    sources = ("x/a.jpg", "x/a.PNG", "x/A.png", "x/a_jpg.bmp", "x/b.jpg", "y/a.jpg")
    names = OutputNames(sources, [])
    made = {name: names.take(name, 1)[0] for name in sources}
    assert (made["x/b.jpg"], made["y/a.jpg"]) == ("x/b.jpg", "y/a.jpg")
    assert len({output.lower() for output in made.values()}) == len(sources)


def test_faces_of_one_photo_are_numbered_and_never_take_anothers_name() -> None:
    sources = ("x/pair.jpg", "x/pair_1.jpg", "x/pair_2.png")
    names = OutputNames(sources, ["x/pair_3.jpg"])
    taken = [output for source in sources for output in names.take(source, 3 if source == sources[0] else 1)]
    assert len(set(taken)) == 5
    assert taken[3:] == ["x/pair_1.jpg", "x/pair_2.jpg"]
    assert "x/pair_3.jpg" not in taken


def test_a_name_as_long_as_file_systems_allow_leaves_room_for_what_sets_faces_apart() -> None:
    sources = ("x/" + "é" * 125 + ".png", "x/" + "é" * 125 + ".PNG", "x/" + "é" * 124 + "e.png")
    names = OutputNames(sources, [])
    made = [output for source in sources for output in names.take(source, 2)]
    assert len(set(made)) == 6
    assert all(len(Path(output).name.encode()) <= 255 for output in made)


def test_no_face_bears_the_name_of_a_folder_of_photos() -> None:
    names = OutputNames(["a.jpg/one.png", "a.png"], [])
    assert (names.take("a.png", 1), names.take("a.jpg/one.png", 1)) == (["a_.jpg"], ["a.jpg/one.jpg"])


def test_faces_of_an_earlier_run_among_the_photos_are_no_photos(emoprune: Runner, in_folder: Path) -> None:
    for number, name in enumerate(("angry", "happy")):
        (in_folder / "raw" / name).mkdir(parents=True)
        scene = draw_scene(name, generator=np.random.default_rng(number), size=(180, 144))
        (in_folder / "raw" / name / "a.jpg").write_bytes(jpeg_bytes(scene))
    assert emoprune.done("crop", "raw", "raw/faces", "--size", "32").record["photos"] == 2
    assert emoprune.done("crop", "raw", "others", "--size", "32").record["photos"] == 2
    # a folder of photos until now
    (in_folder / "raw" / "happy" / "crops.csv").write_text("source,x1,y1,x2,y2\n")
    assert emoprune.done("crop", "raw", "third", "--size", "32").record["photos"] == 1
    emoprune.check_refused("crop", "raw", ".", code=2, says=("raw", "would lie in"))


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
    "gray-alpha.png": lambda path: scene().convert("LA").save(path),
    "sixteen.png": lambda path: sixteen_bits().save(path),
    "sixteen.tif": lambda path: sixteen_bits().save(path),
    "gray.jpg": lambda path: scene().convert("L").save(path, quality=95),
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


def frame(index: int) -> Image.Image:
    """Two seconds of one face, one of a wall, then faces again."""
    if index // 2 == 2:
        return Image.new("RGB", (192, 144), "gray")
    return draw_scene("happy", generator=np.random.default_rng(1), size=(192, 144))


@pytest.fixture(scope="module")
def video() -> bytes:
    return film(frame, 8, rate=2, codec="mpeg4")


@pytest.fixture
def clip(in_folder: Path, video: bytes) -> Path:
    (in_folder / "clip.mp4").write_bytes(video)
    return in_folder / "clip.mp4"


def rows(faces: Path) -> dict[str, dict[str, str]]:
    with (faces / "crops.csv").open(newline="") as stream:
        return {row["source"]: row for row in csv.DictReader(stream)}


def test_one_frame_for_so_many_seconds_is_cropped(emoprune: Runner, clip: Path, in_folder: Path) -> None:
    summary = emoprune.done("crop", clip, "faces", "--size", "32").record
    listed = rows(in_folder / "faces")
    assert {source: row["status"] for source, row in listed.items()} == {
        "clip@00000.000s.mp4": "face",
        "clip@00001.000s.mp4": "face",
        "clip@00002.000s.mp4": "no-face",
        "clip@00003.000s.mp4": "face",
    }
    assert summary["photos"] == summary["processed"] == 4
    assert {path.name for path in (in_folder / "faces").glob("clip*")} == {
        f"clip@0000{second}.000s.jpg" for second in (0, 1, 3)
    }


def test_frames_that_are_done_are_not_done_again(emoprune: Runner, clip: Path, in_folder: Path) -> None:
    emoprune.done("crop", clip, "faces", "--size", "32", "--every", "2")
    before = tree(in_folder / "faces")
    assert emoprune.done("crop", clip, "faces").record["processed"] == 0
    assert tree(in_folder / "faces") == before
    emoprune.check_refused("crop", clip, "faces", "--every", "1", says=("--every 2", "--force"))


def test_the_number_of_processes_changes_no_byte(emoprune: Runner, clip: Path, in_folder: Path) -> None:
    emoprune.done("crop", clip, "one", "--size", "32", "--jobs", "1")
    emoprune.done("crop", clip, "two", "--size", "32", "--jobs", "2")
    assert tree(in_folder / "one") == tree(in_folder / "two")


def test_another_video_wants_another_folder(
    emoprune: Runner, clip: Path, video: bytes, in_folder: Path
) -> None:
    emoprune.done("crop", clip, "faces", "--size", "32", "--every", "2")
    (in_folder / "other.mp4").write_bytes(video)
    emoprune.check_refused("crop", "other.mp4", "faces", says=("faces", "other.mp4 lacks", "--force"))


def test_a_box_by_hand_is_cut_out_of_its_frame(emoprune: Runner, clip: Path, in_folder: Path) -> None:
    emoprune.done("crop", clip, "faces", "--size", "32")
    (in_folder / "boxes.csv").write_text("source,x1,y1,x2,y2\nclip@00002.000s.mp4,10,10,90,90\n")
    summary = emoprune.done("crop", clip, "faces", "--boxes", "boxes.csv").record
    assert (summary["processed"], summary["box"], summary["no-face"]) == (1, 1, 0)


@pytest.mark.parametrize(("content", "says"), [(b"", "empty"), (b"no video", "damaged video, or none")])
def test_what_is_no_video_is_refused(emoprune: Runner, in_folder: Path, content: bytes, says: str) -> None:
    (in_folder / "clip.mp4").write_bytes(content)
    emoprune.check_refused("crop", "clip.mp4", "faces", says=("clip.mp4", says))


def test_without_pyav_the_remedy_is_told(
    emoprune: Runner, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    emoprune.check_refused("crop", clip, "faces", says=("PyAV", "emoprune[video]"))


def test_a_video_cut_short_keeps_the_frames_before(emoprune: Runner, in_folder: Path) -> None:
    whole = film(frame, 40, rate=2, codec="mpeg4", form="matroska")
    (in_folder / "clip.mkv").write_bytes(whole[: len(whole) * 2 // 3])
    result = emoprune.done("crop", "clip.mkv", "faces", "--size", "32", "--every", "4")
    assert 0 < result.record["faces"] < 5
