"""Every kind of file that a folder of photos may hold: an upright RGB picture or a plain word why not."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms

from emoprune.errors import BadData
from emoprune.io.pictures import images
from emoprune.io.pictures.image_files import list_files, readable, tell_passed_over
from tests.support.image_bytes import deep_png, p3_profile


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_list_files_sorts_out_what_is_read_at_every_depth(tmp_path: Path) -> None:
    touch(tmp_path, "b.jpg", "a/c.PNG", "a/b/d.gif", "a/.x/e.jpg", ".f.jpg", "a/g.txt", "Thumbs.db", "h.psd")
    (tmp_path / "bare").write_bytes(b"\xff\xd8\xff\xe0")
    (tmp_path / "old.jpg.1").write_bytes(b"GIF89a")
    (tmp_path / "a/text.txt").write_bytes(b"\xff\xd8\xff\xe0")
    touch(tmp_path, "a/@eaDir/g.jpg", "__MACOSX/h.jpg")
    (tmp_path / "README").write_text("no picture")
    found = list_files(tmp_path)
    assert found.pictures == ("a/b/d.gif", "a/c.PNG", "b.jpg")
    assert {name: kind.remedy for name, kind in found.unread.items()} == {
        "a/text.txt": "name it .jpg or as what it is",
        "bare": "name it .jpg or as what it is",
        "h.psd": "save it as .jpg or .png",
        "old.jpg.1": "name it .jpg or as what it is",
    }
    assert found.others == ("README", "Thumbs.db", "a/g.txt")
    assert found.hidden == 4
    assert list_files(tmp_path, deep=False).pictures == ("b.jpg",)


def test_list_files_goes_into_each_folder_once_under_its_own_name(tmp_path: Path) -> None:
    names = "abcdefg"
    touch(tmp_path, *(f"{name}/{name}.jpg" for name in names), "out/side.jpg")
    root = tmp_path / "root"
    root.mkdir()
    for name in names:
        (tmp_path / name).rename(root / name)
        for other in names:
            # with a path through every other folder there would be thousands
            (root / name / f"to_{other}").symlink_to(root / other)
    for name in ("one", "two"):
        (root / name).symlink_to(tmp_path / "out")
    found = list_files(root)
    assert found.pictures == (*(f"{name}/{name}.jpg" for name in names), "one/side.jpg")
    assert len(found.again) == len(names) ** 2 + 1
    assert "two" in found.again


def test_list_files_goes_deeper_than_python_recurses(tmp_path: Path) -> None:
    deep = str(tmp_path)
    touch(tmp_path, "stays.txt")
    for _ in range(1100):
        deep += "/d"
        os.mkdir(deep)
    touch(tmp_path, "d/" * 1100 + "a.jpg")
    found = list_files(tmp_path).pictures
    # pytest removes folders by recursion
    os.unlink(f"{deep}/a.jpg")
    os.removedirs(deep)
    assert found == ("d/" * 1100 + "a.jpg",)


def test_readable_names_a_path_that_is_too_long(tmp_path: Path) -> None:
    long = tmp_path / "/".join(["d" * 200] * 30)
    with (
        pytest.raises(BadData, match=r"too long.; shorten the names of") as caught,
        readable(),
    ):
        list_files(long)
    assert caught.value.place.rstrip("/") == str(long)


def test_links_that_lead_nowhere_are_listed_as_files(tmp_path: Path) -> None:
    (tmp_path / "self.jpg").symlink_to(tmp_path / "self.jpg")
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere")
    assert list_files(tmp_path).pictures == ("gone.jpg", "self.jpg")


def test_tell_passed_over_counts_by_suffix(tmp_path: Path, told: pytest.LogCaptureFixture) -> None:
    touch(tmp_path, "a.NEF", "b.nef", "c.svg", "d.txt", ".DS_Store", "e.jpg")
    (tmp_path / "again").symlink_to(tmp_path)
    tell_passed_over("faces", [list_files(tmp_path)])
    assert told.messages == [
        "faces: 3 pictures passed over: 2 .nef (develop it to .jpg), 1 .svg (save it as .jpg or .png)",
        "faces: passes over 1 file that is not a picture, 1 hidden file, "
        "1 link to folders that are read already, as again",
    ]


STEPS = np.linspace(0, 255, 24 * 32).reshape(24, 32)
EIGHT = STEPS.astype(np.uint8)


def read(path: Path) -> NDArray[np.uint8]:
    photo = images.read_photo(path)
    assert photo.mode == "RGB"
    return np.asarray(photo)


@pytest.mark.parametrize(("kind", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_sixteen_bits_of_any_channels_look_like_eight(tmp_path: Path, kind: int, channels: int) -> None:
    deep = np.repeat((STEPS * 257).astype(np.uint16)[..., None], channels, 2)
    if channels in (2, 4):
        deep[..., -1] = 65535
    (tmp_path / "a.png").write_bytes(deep_png(deep, kind))
    assert np.abs(read(tmp_path / "a.png").astype(int) - EIGHT[..., None]).max() <= 1


@pytest.mark.parametrize(
    ("white", "dtype"),
    [(1, np.float32), (255, np.float32), (65535, np.float32), (255, np.int32), (65535, np.int32)],
)
def test_numbers_of_any_size_become_gray(tmp_path: Path, white: float, dtype: type) -> None:
    Image.fromarray((STEPS / 255 * white).astype(dtype)).save(tmp_path / "a.tif")
    found = read(tmp_path / "a.tif")
    assert np.abs(found.astype(int) - EIGHT[..., None]).max() <= 1


def test_nan_pixels_are_black_and_change_no_others(tmp_path: Path) -> None:
    values = STEPS.astype(np.float32)
    values[0, :3] = np.nan, np.inf, -np.inf
    Image.fromarray(values).save(tmp_path / "a.tif")
    assert np.abs(read(tmp_path / "a.tif")[1:].astype(int) - EIGHT[1:, :, None]).max() <= 1


@pytest.mark.parametrize("suffix", ["gif", "tiff", "webp", "png"])
def test_of_several_frames_the_first_counts(tmp_path: Path, suffix: str) -> None:
    frames = [Image.new("RGB", (9, 7), color) for color in ("red", "lime", "blue")]
    frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:], lossless=True)
    assert np.array_equal(read(tmp_path / f"a.{suffix}"), np.asarray(frames[0]))


@pytest.mark.parametrize("suffix", sorted(images.SUFFIXES))
def test_every_suffix_of_a_photo_can_be_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    form = Image.registered_extensions()[suffix]
    picture = Image.fromarray(np.repeat(EIGHT[..., None], 3, 2))
    picture.save(path, form)
    assert np.abs(read(path).astype(int) - np.asarray(picture)).mean() < 4


@pytest.mark.parametrize("suffix", sorted(images.SUFFIXES))
def test_a_picture_of_one_pixel_is_a_picture(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    Image.new("RGB", (1, 1), "white").save(path, Image.registered_extensions()[suffix])
    assert read(path).min() > 250


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    "suffix", ["jpg", "png", "tiff", "webp", *(["avif"] if "AVIF" in images.FORMATS else [])]
)
def test_every_format_stands_upright(tmp_path: Path, suffix: str, orientation: int) -> None:
    upright = Image.new("RGB", (48, 32), "black")
    upright.paste("red", (0, 0, 24, 16))
    upright.paste("white", (24, 0, 48, 16))
    # what undoes the turn of the camera, turned round
    stored = {
        1: lambda image: image,
        2: lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        3: lambda image: image.transpose(Image.Transpose.ROTATE_180),
        4: lambda image: image.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        5: lambda image: image.transpose(Image.Transpose.TRANSPOSE),
        6: lambda image: image.transpose(Image.Transpose.ROTATE_90),
        7: lambda image: image.transpose(Image.Transpose.TRANSVERSE),
        8: lambda image: image.transpose(Image.Transpose.ROTATE_270),
    }[orientation](upright)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    stored.save(tmp_path / f"a.{suffix}", exif=exif, quality=95)
    found = images.read_photo(tmp_path / f"a.{suffix}")
    assert found.size == upright.size
    assert np.abs(np.asarray(found, dtype=int) - np.asarray(upright)).mean() < 8


def test_broken_words_of_the_camera_do_not_spoil_the_picture(tmp_path: Path) -> None:
    for form in ("JPEG", "WEBP"):
        picture = Image.new("RGB", (16, 16), "white")
        picture.save(tmp_path / "a.jpg", form, exif=b"Exif\0\0" + bytes(range(60)))
        assert read(tmp_path / "a.jpg").min() > 250


def test_a_progressive_jpeg_full_of_metadata_is_read(tmp_path: Path) -> None:
    picture, exif = Image.fromarray(EIGHT), Image.Exif()
    exif[ExifTags.Base.ImageDescription] = "x" * 60_000
    picture.save(tmp_path / "a.jpg", progressive=True, quality=95, exif=exif)
    data = (tmp_path / "a.jpg").read_bytes()
    filler = b"\xff\xed" + struct.pack(">H", 60_002) + b"y" * 60_000
    (tmp_path / "a.jpg").write_bytes(data[:2] + filler * 50 + data[2:])
    assert np.abs(read(tmp_path / "a.jpg").astype(int) - EIGHT[..., None]).mean() < 3


def test_colors_of_another_profile_become_srgb(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), (180, 90, 90)).save(tmp_path / "a.png", icc_profile=p3_profile())
    red, green, blue = (int(value) for value in read(tmp_path / "a.png")[0, 0])
    # the same numbers mean a stronger red in the wider space
    assert red > 188
    assert green < 88
    assert abs(green - blue) < 8
    Image.new("RGB", (8, 8), (120, 120, 120)).save(tmp_path / "b.png", icc_profile=p3_profile())
    assert np.ptp(read(tmp_path / "b.png")[0, 0]) <= 2


@pytest.mark.parametrize("profile", [b"nonsense" * 40, p3_profile()[:200], p3_profile()])
@pytest.mark.parametrize("mode", ["L", "CMYK", "P", "1"])
def test_a_profile_that_does_not_fit_is_ignored(tmp_path: Path, mode: str, profile: bytes) -> None:
    Image.new("RGB", (8, 8), "white").convert(mode).save(tmp_path / "a.tif", icc_profile=profile)
    assert read(tmp_path / "a.tif").min() >= 254


def test_a_picture_in_srgb_already_keeps_every_bit(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(pixels).save(tmp_path / "a.png", icc_profile=srgb)
    assert np.array_equal(read(tmp_path / "a.png"), pixels)
