"""Photos and videos as they come: each has a row, and none ends the run."""

from __future__ import annotations

import os
import struct
import sys
import zlib
from collections.abc import Callable
from io import FileIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from emoprune.errors import EmopruneError, OutputFault
from emoprune.faces import manifest
from emoprune.faces.sources import OutputNames, PhotoFolder
from emoprune.faces.types import CropRow
from emoprune.io.files import open_regular
from emoprune.io.pictures import images
from emoprune.io.pictures.picture_formats import HEIF
from tests.support.command_line import tree
from tests.support.crops import SIZE, crop, refused, rows, scene, write_boxes
from tests.support.films import film


def test_a_photo_folder_refuses_an_output_that_is_no_name(tmp_path: Path) -> None:
    with pytest.raises(OutputFault, match="not a name that a file can have"):
        PhotoFolder(tmp_path, Path("\ud800"))


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


def test_no_face_has_letters_that_other_systems_or_terminals_take_for_commands() -> None:
    sources = ("a\\b.png", "a\nb.png", "a_b.png", "\x1b[2J.png")
    names = OutputNames(sources, [])
    made = [names.take(source, 1)[0] for source in sources]
    assert not any(manifest.UNSAFE.search(name) for name in made)
    assert len(set(made)) == len(sources)


def test_no_face_bears_the_name_of_a_folder_of_photos() -> None:
    names = OutputNames(["a.jpg/one.png", "a.png"], [])
    assert (names.take("a.png", 1), names.take("a.jpg/one.png", 1)) == (["a_.jpg"], ["a.jpg/one.jpg"])


def test_faces_of_an_earlier_run_are_not_photos(in_folder: Path) -> None:
    for seed, name in enumerate(("angry", "happy")):
        (in_folder / "raw" / name).mkdir(parents=True)
        scene(seed).save(in_folder / "raw" / name / "a.png")
    first = crop("raw", "raw/faces")
    assert first.photos == 2
    assert crop("raw", "raw/faces", force=True) == first
    assert crop("raw", "others").photos == 2
    # a folder of photos until now
    (in_folder / "raw" / "happy" / "crops.csv").write_text("source,x1,y1,x2,y2\n")
    assert crop("raw", "third").photos == 1
    for faces in (".", "raw/../raw"):
        with refused("raw", "would lie in", "name another folder"):
            crop("raw", faces)


@pytest.mark.parametrize("name", ["missing", "empty", "without", "text.txt"])
def test_a_folder_without_photos_is_refused(in_folder: Path, name: str) -> None:
    (in_folder / "text.txt").write_text("not a folder")
    for folder in ("empty", "without"):
        (in_folder / folder / "happy").mkdir(parents=True)
    (in_folder / "without" / "happy" / "notes.txt").write_text("not a photo")
    with refused(f"{name}: "):
        crop(name)


def test_the_interval_of_a_video_is_refused_for_photos(in_folder: Path) -> None:
    (in_folder / "raw").mkdir()
    scene().save(in_folder / "raw" / "a.png")
    with refused("`every` is for videos"):
        crop(every=5)


ORIENTATION = 0x0112


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
    "no suffix": lambda path: scene().save(path, "PNG"),
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
    "phone.HEIC": (
        lambda path: path.write_bytes(b"\0\0\0\x1cftypheic\0\0\0\0mif1heic"),
        "pip install 'emoprune[heic]'",
    ),
    "camera.NEF": (lambda path: scene().save(path, "TIFF"), "a raw photo, which is not read; develop it"),
    "layers.psd": (lambda path: path.write_bytes(b"8BPS\0\1"), "not read; save it as .jpg or .png"),
}


def overlap(row: CropRow, other: CropRow) -> float:
    """Intersection over union of two boxes."""
    one, two = row.box, other.box
    assert one
    assert two
    width = max(min(one.x2, two.x2) - max(one.x1, two.x1), 0)
    height = max(min(one.y2, two.y2) - max(one.y1, two.y1), 0)
    return width * height / (one.area + two.area - width * height)


def by_source() -> dict[str, CropRow]:
    return {row.source: row for row in rows().values()}


def test_every_kind_of_photo_is_cropped_or_listed_with_the_reason(
    in_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    folder = in_folder / "raw" / "happy"
    folder.mkdir(parents=True)
    for name, make in [*READABLE.items(), *((name, make) for name, (make, _) in UNREADABLE.items())]:
        make(folder / name)
    scene().save(in_folder / "raw" / "plain.png")
    (folder / "folder.jpg").mkdir()
    summary, found = crop(), by_source()
    assert summary.photos == len(found) == len(READABLE) + len(UNREADABLE) + 1
    for name in READABLE:
        row = found[f"happy/{name}"]
        assert (row.status, row.reason) == ("face", ""), name
        assert overlap(row, found["plain.png"]) > 0.6, name
        with Image.open(in_folder / "faces" / row.output) as face:
            assert (face.size, face.mode) == ((32, 32), "RGB")
    for name, (_, reason) in UNREADABLE.items():
        row = found[f"happy/{name}"]
        assert (row.status, row.output) == ("unreadable", ""), name
        assert reason in row.reason, (name, row.reason)


def test_heic_is_tried_again_once_its_extra_is_there(
    in_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (in_folder / "raw").mkdir()
    scene().save(in_folder / "raw" / "a.png")
    (in_folder / "raw" / "b.heic").write_bytes(b"\0\0\0\x1cftypheic\0\0\0\0mif1heic")
    assert crop().processed == 2
    assert crop().processed == 0
    monkeypatch.setattr(images, "readable_suffixes", lambda: frozenset({".png", *HEIF.suffixes}))
    assert crop().processed == 1


def test_what_is_not_a_photo_is_counted(in_folder: Path, told: pytest.LogCaptureFixture) -> None:
    (in_folder / "raw").mkdir()
    scene().save(in_folder / "raw" / "a.png")
    for name in ("Thumbs.db", "notes.txt", ".DS_Store", "film.mp4"):
        (in_folder / "raw" / name).touch()
    crop()
    assert "1 video in raw left out; give each by itself" in told.messages
    assert "raw: passes over 2 files that are not pictures, 1 hidden file" in told.messages


def test_a_photo_that_may_not_be_read_is_listed(in_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (in_folder / "raw").mkdir()
    for name in ("locked.png", "open.png"):
        scene().save(in_folder / "raw" / name)
    (in_folder / "raw" / "locked.png").chmod(0)
    if os.access(in_folder / "raw" / "locked.png", os.R_OK):
        # permissions do not stop this user
        def refuse(place: Path, *, fault: type[EmopruneError]) -> FileIO:
            if place.name == "locked.png":
                raise PermissionError(13, os.strerror(13), str(place))
            return open_regular(place, fault=fault)

        monkeypatch.setattr(images, "open_regular", refuse)
    crop()
    found = by_source()
    assert found["locked.png"].status == "unreadable"
    assert "ermission denied" in found["locked.png"].reason
    assert found["open.png"].status == "face"


def test_a_photo_of_48_megapixels_is_cropped(in_folder: Path) -> None:
    (in_folder / "raw").mkdir()
    large(in_folder / "raw" / "large.jpg")
    crop(max_side=1000)
    (row,) = rows().values()
    assert row.status == "face"
    assert row.box
    # in pixels of the photo itself
    assert 2000 < row.box.x1 < row.box.x2 < 5600
    assert 1500 < row.box.y1 < row.box.y2 < 4380
    assert row.box.x2 - row.box.x1 > 500


def test_photos_that_differ_in_suffix_alone_have_faces_of_their_own(in_folder: Path) -> None:
    (in_folder / "raw").mkdir()
    for name in ("a.png", "a.jpg", "A.PNG"):
        scene().save(in_folder / "raw" / name)
    crop()
    assert len({output.lower() for output in rows()}) == 3
    assert {path.name for path in (in_folder / "faces").glob("[aA]*.jpg")} == set(rows())


@pytest.mark.parametrize("layout", ["", "happy/", "happy/film/scene/"])
def test_folders_below_a_class_are_kept_and_classes_are_not_needed(in_folder: Path, layout: str) -> None:
    (in_folder / "raw" / layout).mkdir(parents=True)
    scene().save(in_folder / "raw" / layout / "a.png")
    crop()
    assert (in_folder / "faces" / layout / "a.jpg").is_file()


def test_links_to_folders_are_followed_but_not_in_circles_and_faces_stay_in_their_folder(
    in_folder: Path,
) -> None:
    for folder in ("elsewhere", "raw"):
        (in_folder / folder).mkdir()
    for place in ("elsewhere/a.png", "raw/..hidden.png", "raw/b.png"):
        scene().save(in_folder / place)
    (in_folder / "raw" / "link").symlink_to(in_folder / "elsewhere")
    (in_folder / "elsewhere" / "circle").symlink_to(in_folder / "raw")
    before = sorted(in_folder.rglob("*"))
    crop()
    assert set(by_source()) == {"b.png", "link/a.png"}
    made = set(in_folder.rglob("*")) - set(before)
    assert all(path.is_relative_to(in_folder / "faces") for path in made)


def frame(index: int) -> Image.Image:
    """Two seconds of one face, one of a wall, then faces again."""
    return Image.new("RGB", (192, 144), "gray") if index // 2 == 2 else scene(1, (192, 144))


@pytest.fixture(scope="module")
def video() -> bytes:
    return film(frame, 8, rate=2, codec="mpeg4")


@pytest.fixture
def clip(in_folder: Path, video: bytes) -> str:
    (in_folder / "clip.mp4").write_bytes(video)
    return "clip.mp4"


def test_one_frame_for_so_many_seconds_is_cropped(clip: str, in_folder: Path) -> None:
    summary = crop(clip)
    assert {source: row.status for source, row in by_source().items()} == {
        "clip@00000.000s.mp4": "face",
        "clip@00001.000s.mp4": "face",
        "clip@00002.000s.mp4": "no-face",
        "clip@00003.000s.mp4": "face",
    }
    assert summary.photos == summary.processed == 4
    assert {path.name for path in (in_folder / "faces").glob("clip*")} == {
        f"clip@0000{second}.000s.jpg" for second in (0, 1, 3)
    }
    boxed = crop(clip, boxes=write_boxes("clip@00002.000s.mp4,10,10,90,90"))
    assert (boxed.processed, boxed.box, boxed.no_face) == (1, 1, 0)


def test_a_video_is_processed_once_and_its_folder_takes_no_other(clip: str, video: bytes) -> None:
    crop(clip, every=2)
    before = tree(Path("faces"))
    assert crop(clip).processed == 0
    assert tree(Path("faces")) == before
    with refused("`every=2.0`", "`force=True`"):
        crop(clip, every=1.0)
    Path("other.mp4").write_bytes(video)
    with refused("faces", "other.mp4 lacks", "`force=True`"):
        crop("other.mp4")


def test_the_number_of_processes_changes_no_byte_of_a_video(clip: str) -> None:
    crop(clip, "one", jobs=1)
    crop(clip, "two", jobs=2)
    assert tree(Path("one")) == tree(Path("two"))


@pytest.mark.parametrize(
    ("content", "says"), [(b"", "empty"), (b"not a video", "damaged video, or not a video")]
)
def test_a_file_that_is_not_a_video_is_refused(in_folder: Path, content: bytes, says: str) -> None:
    (in_folder / "clip.mp4").write_bytes(content)
    with refused("clip.mp4", says):
        crop("clip.mp4")


def test_without_pyav_the_error_says_what_to_install(clip: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with refused("PyAV", "emoprune[video]"):
        crop(clip)


def test_a_video_cut_short_keeps_the_frames_before(in_folder: Path) -> None:
    whole = film(frame, 40, rate=2, codec="mpeg4", form="matroska")
    (in_folder / "clip.mkv").write_bytes(whole[: len(whole) * 2 // 3])
    assert 0 < crop("clip.mkv", every=4).faces < 5
