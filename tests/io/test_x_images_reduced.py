"""Photos read no larger than asked for, and how many pixels of theirs each pixel stands for."""

from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, JpegImagePlugin

from emoprune.io.images import read_photo, read_reduced
from tests.support.image_bytes import p3_profile


def drawn(width: int, height: int) -> Image.Image:
    """A slope with a white square in its upper left quarter."""
    down, across = np.mgrid[:height, :width]
    slope = np.stack([across * 200 / width, down * 200 / height, np.full((height, width), 60.0)], 2)
    picture = Image.fromarray(slope.astype(np.uint8))
    picture.paste("white", (width // 8, height // 8, width // 4, height // 4))
    return picture


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff"])
@pytest.mark.parametrize("size", [(640, 480), (480, 640), (333, 101), (200, 200)])
@pytest.mark.parametrize("most", [1, 64, 97, 150])
def test_the_longer_side_is_what_was_asked_for(
    tmp_path: Path, suffix: str, size: tuple[int, int], most: int
) -> None:
    drawn(*size).save(tmp_path / f"a.{suffix}", quality=95)
    found = read_reduced(tmp_path / f"a.{suffix}", most)
    assert max(found.image.size) == most
    assert found.full == size
    assert found.image.mode == "RGB"
    for axis in (0, 1):
        assert found.scale[axis] * found.image.size[axis] == pytest.approx(size[axis])
        assert abs(found.image.size[axis] - size[axis] * most / max(size)) <= 1


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("most", [100, 101, 5000])
def test_a_photo_that_is_small_enough_is_the_photo(tmp_path: Path, suffix: str, most: int) -> None:
    drawn(100, 70).save(tmp_path / f"a.{suffix}")
    found = read_reduced(tmp_path / f"a.{suffix}", most)
    assert found.scale == (1, 1)
    assert np.array_equal(np.asarray(found.image), np.asarray(read_photo(tmp_path / f"a.{suffix}")))


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("most", [40, 75, 160])
def test_it_looks_like_the_whole_photo_made_smaller(tmp_path: Path, suffix: str, most: int) -> None:
    path = tmp_path / f"a.{suffix}"
    drawn(800, 600).save(path, quality=95)
    found = read_reduced(path, most).image
    wanted = read_photo(path).resize(found.size, Image.Resampling.BICUBIC)
    assert np.abs(np.asarray(found, dtype=int) - np.asarray(wanted)).mean() < 2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_places_are_those_of_the_upright_photo(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    drawn(640, 400).save(tmp_path / "a.jpg", exif=exif, quality=95)
    whole, found = read_photo(tmp_path / "a.jpg"), read_reduced(tmp_path / "a.jpg", 90)
    assert found.full == whole.size
    x, y = middle_of_light(found.image)
    assert (x * found.scale[0], y * found.scale[1]) == pytest.approx(middle_of_light(whole), abs=4)


def middle_of_light(image: Image.Image) -> tuple[float, float]:
    rows, columns = np.nonzero(np.asarray(image).min(2) > 200)
    return float(columns.mean()) + 0.5, float(rows.mean()) + 0.5


def test_a_large_jpeg_is_not_decoded_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn(1600, 1200).save(tmp_path / "a.jpg")
    decoded: list[tuple[int, int]] = []
    load = JpegImagePlugin.JpegImageFile.load

    def watched(image: JpegImagePlugin.JpegImageFile) -> object:
        decoded.append(image.size)
        return load(image)

    monkeypatch.setattr(JpegImagePlugin.JpegImageFile, "load", watched)
    assert max(read_reduced(tmp_path / "a.jpg", 300).image.size) == 300
    assert decoded[0] == (400, 300)


def test_its_profile_is_followed_too(tmp_path: Path) -> None:
    Image.new("RGB", (400, 400), (180, 90, 90)).save(tmp_path / "a.jpg", icc_profile=p3_profile(), quality=95)
    whole, found = read_photo(tmp_path / "a.jpg"), read_reduced(tmp_path / "a.jpg", 50).image
    assert np.abs(np.asarray(whole, dtype=int)[0, 0] - np.asarray(found)[0, 0]).max() <= 2
