"""Photos read no larger than asked for, and how many pixels of theirs each pixel stands for."""

import io
import os
import resource
import struct
import sys
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageDraw, JpegImagePlugin

from emoprune.errors import BadImage
from emoprune.io.pictures import images
from emoprune.io.pictures.images import read_photo, read_reduced
from tests.support.image_bytes import deep_png, p3_profile
from tests.support.records import outcome

Pixels = NDArray[np.uint8]

# what a camera stores under each EXIF orientation, undone by the letter of the standard
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 1),
}


def noise(height: int, width: int, *, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def read(path: Path) -> Pixels:
    photo = images.read_photo(path)
    assert photo.mode == "RGB"
    return np.asarray(photo)


@pytest.mark.parametrize("orientation", sorted(UPRIGHT))
def test_photos_stand_upright(tmp_path: Path, orientation: int) -> None:
    stored, exif = noise(4, 7), Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read(tmp_path / "a.png"), UPRIGHT[orientation](stored))


def test_a_jpeg_of_a_camera_held_sideways_stands_upright(tmp_path: Path) -> None:
    stored, exif = Image.new("RGB", (48, 24), "black"), Image.Exif()
    ImageDraw.Draw(stored).rectangle((0, 0, 23, 23), fill="white")
    exif[0x0112] = 6
    stored.save(tmp_path / "a.jpg", exif=exif)
    upright = read(tmp_path / "a.jpg").mean(2)
    assert upright.shape == (48, 24)
    assert upright[:20].mean() > 230
    assert upright[28:].mean() < 25


@pytest.mark.parametrize("suffix", ["png", "bmp", "ppm", "tiff", "webp"])
def test_lossless_pictures_are_read_to_the_last_bit(tmp_path: Path, suffix: str) -> None:
    pixels = noise(5, 6)
    Image.fromarray(pixels).save(tmp_path / f"a.{suffix}", lossless=True)
    assert np.array_equal(read(tmp_path / f"a.{suffix}"), pixels)


def test_cmyk_becomes_the_colors_that_were_meant(tmp_path: Path) -> None:
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "a.jpg")
    assert np.abs(read(tmp_path / "a.jpg").astype(int) - (255, 0, 0)).max() <= 8


def test_a_palette_is_looked_up(tmp_path: Path) -> None:
    picture = Image.new("P", (3, 1))
    picture.putpalette([10, 20, 30, 200, 100, 50, 0, 255, 0])
    picture.putdata([2, 0, 1])
    picture.save(tmp_path / "a.png")
    assert read(tmp_path / "a.png")[0].tolist() == [[0, 255, 0], [10, 20, 30], [200, 100, 50]]


@pytest.mark.parametrize("alpha", [0, 51, 128, 255])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_what_is_see_through_lies_on_white(tmp_path: Path, mode: str, alpha: int) -> None:
    color = (200, 100, 50) if mode == "RGBA" else (100, 100, 100)
    stored = (*color, alpha) if mode == "RGBA" else (100, alpha)
    Image.new(mode, (4, 4), stored).save(tmp_path / "a.png")
    share = alpha / 255
    expected = [round(value * share + 255 * (1 - share)) for value in color]
    assert np.abs(read(tmp_path / "a.png").astype(int) - expected).max() <= 1


@pytest.mark.parametrize("suffix", ["png", "gif"])
def test_a_see_through_palette_entry_is_white(tmp_path: Path, suffix: str) -> None:
    picture = Image.new("P", (2, 1))
    picture.putpalette([10, 20, 30, 200, 100, 50])
    picture.putdata([0, 1])
    picture.save(tmp_path / f"a.{suffix}", transparency=0)
    assert read(tmp_path / f"a.{suffix}")[0].tolist() == [[255, 255, 255], [200, 100, 50]]


def test_a_see_through_color_is_white(tmp_path: Path) -> None:
    picture = Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], dtype=np.uint8))
    picture.save(tmp_path / "a.png", transparency=(1, 2, 3))
    assert read(tmp_path / "a.png")[0].tolist() == [[255, 255, 255], [4, 5, 6]]


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_sixteen_bit_gray_looks_like_its_eight_bit_twin(tmp_path: Path, suffix: str) -> None:
    gray = np.arange(256, dtype=np.uint16).reshape(16, 16)
    Image.fromarray(gray * 257).save(tmp_path / f"a.{suffix}")
    assert np.array_equal(read(tmp_path / f"a.{suffix}"), np.repeat(gray[..., None], 3, 2))


def test_a_dark_sixteen_bit_picture_is_dark(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 200, dtype=np.uint16)).save(tmp_path / "a.png")
    assert read(tmp_path / "a.png").max() <= 1


def test_one_bit_is_black_and_white(tmp_path: Path) -> None:
    picture = Image.new("1", (2, 1))
    picture.putdata([0, 1])
    picture.save(tmp_path / "a.png")
    assert read(tmp_path / "a.png")[0].tolist() == [[0, 0, 0], [255, 255, 255]]


def test_of_a_moving_picture_the_first_frame_counts(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "lime", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert np.array_equal(read(tmp_path / "a.gif"), np.asarray(frames[0]))


def test_the_content_counts_not_the_suffix(tmp_path: Path) -> None:
    pixels = noise(3, 3)
    Image.fromarray(pixels).save(tmp_path / "a.jpg", "PNG")
    assert np.array_equal(read(tmp_path / "a.jpg"), pixels)


def test_a_truncated_jpeg_is_damaged(tmp_path: Path) -> None:
    data = images.jpeg_bytes(Image.fromarray(noise(64, 64)))
    (tmp_path / "a.jpg").write_bytes(data[: len(data) // 2])
    with pytest.raises(BadImage, match="a damaged image") as caught:
        images.read_photo(tmp_path / "a.jpg")
    assert caught.value.place == str(tmp_path / "a.jpg")


@pytest.mark.parametrize(
    ("data", "fact"),
    [(b"", "the file is empty"), (b"Dear diary", "not an image"), (b"\xff\xd8\xff", "image")],
)
def test_read_photo_names_a_file_that_is_not_a_picture(tmp_path: Path, data: bytes, fact: str) -> None:
    (tmp_path / "a.jpg").write_bytes(data)
    with pytest.raises(BadImage, match=fact) as caught:
        images.read_photo(tmp_path / "a.jpg")
    assert caught.value.place == str(tmp_path / "a.jpg")


def test_a_missing_file_and_a_broken_link_are_no_such_file(tmp_path: Path) -> None:
    (tmp_path / "link.jpg").symlink_to(tmp_path / "none.jpg")
    for name in ("none.jpg", "link.jpg"):
        with pytest.raises(BadImage, match="no such file") as caught:
            images.read_photo(tmp_path / name)
        assert caught.value.place == str(tmp_path / name)


def test_a_folder_named_like_a_picture_is_a_bad_image(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").mkdir()
    with pytest.raises(BadImage):
        images.read_photo(tmp_path / "a.jpg")


def test_a_decompression_bomb_is_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (10, 10)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 49)
    with pytest.raises(BadImage, match="more pixels than is safe"):
        images.read_photo(tmp_path / "a.png")


def test_a_picture_only_somewhat_large_is_read_without_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGB", (10, 10)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 60)
    with warnings.catch_warnings(action="error"):
        assert read(tmp_path / "a.png").shape == (10, 10, 3)


def encoded(form: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(noise(9, 8)).save(stream, form)
    return stream.getvalue()


WHOLE = {form: encoded(form) for form in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")}


@given(
    st.sampled_from(sorted(WHOLE)),
    st.dictionaries(st.integers(0, 60), st.integers(0, 255), max_size=4),
    st.none() | st.integers(0, 300),
)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damage_gives_a_picture_or_a_bad_image(
    tmp_path: Path, form: str, flips: dict[int, int], length: int | None
) -> None:
    data = bytearray(WHOLE[form])
    for place, value in flips.items():
        data[place] = value
    (tmp_path / "a.jpg").write_bytes(data[:length])
    found = outcome(BadImage, lambda: images.read_photo(tmp_path / "a.jpg"))
    if isinstance(found, BadImage):
        assert found.place == str(tmp_path / "a.jpg")
    else:
        assert found.mode == "RGB"


def test_jpeg_leaves_no_visible_trace(tmp_path: Path) -> None:
    smooth = Image.linear_gradient("L").convert("RGB").resize((64, 64))
    (tmp_path / "a.jpg").write_bytes(images.jpeg_bytes(smooth))
    assert np.abs(read(tmp_path / "a.jpg").astype(int) - np.asarray(smooth)).max() <= 4
    assert images.jpeg_bytes(smooth) == (tmp_path / "a.jpg").read_bytes()


def test_reading_leaves_the_file_closed(tmp_path: Path) -> None:
    Image.fromarray(noise(4, 4)).save(tmp_path / "a.png")
    before = len(os.listdir("/dev/fd"))
    for _ in range(5):
        images.read_photo(tmp_path / "a.png")
    assert len(os.listdir("/dev/fd")) == before


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


def refused(path: Path) -> BadImage:
    with pytest.raises(BadImage) as caught:
        images.read_photo(path)
    assert caught.value.place == str(path)
    assert caught.value.remedy
    assert "\n" not in str(caught.value)
    return caught.value


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jpg")
    assert refused(tmp_path / "a.jpg").fact == "not a plain file"


def test_a_device_is_refused_and_not_read_without_end(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").symlink_to("/dev/zero")
    assert refused(tmp_path / "a.jpg").fact == "not a plain file"


def test_a_folder_is_called_one(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").mkdir()
    assert refused(tmp_path / "a.jpg").fact == "a folder, not a file"


def test_a_link_to_itself_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").symlink_to("a.jpg")
    assert refused(tmp_path / "a.jpg").fact.startswith("cannot be read (")


def test_read_photo_gives_the_reason_of_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "denied", str(tmp_path))

    (tmp_path / "a.jpg").write_bytes(b"x")
    monkeypatch.setattr(Image, "open", denied)
    error = refused(tmp_path / "a.jpg")
    assert error.fact == "cannot be read (Permission denied)"
    assert "readable" in error.remedy


def test_a_drawing_program_is_not_a_picture_and_is_not_run(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.jpg", "EPS")
    assert refused(tmp_path / "a.jpg").fact == "a picture in a format that is not read"


@pytest.mark.parametrize("size", [(12_500, 12_500), (60_000, 60_000)])
def test_a_picture_that_declares_too_many_pixels_is_not_decoded(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    (tmp_path / "a.png").write_bytes(deep_png(np.zeros((1, 3), np.uint16), 2, declared=size))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    error = refused(tmp_path / "a.png")
    assert f"{size[0] * size[1]:,}" in error.fact
    assert error.remedy == "make it smaller"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


@pytest.mark.parametrize("size", [(10_000, 10_000), (100_000, 700)])
def test_a_picture_that_takes_far_more_memory_than_its_file_is_not_decoded(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    (tmp_path / "a.png").write_bytes(deep_png(np.zeros((1, 4), np.uint16), 6, declared=size))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert refused(tmp_path / "a.png").fact == "takes far more memory than its file, as damaged ones do"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


def test_photos_of_any_camera_are_below_the_limits() -> None:
    assert images.MOST_PIXELS > 2 * 48_000_000
    # with transparency, or from a library that makes the whole picture first
    assert images.SPACE > 8 * 48_000_000


def test_a_picture_beyond_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise MemoryError

    (tmp_path / "a.jpg").write_bytes(b"x")
    monkeypatch.setattr(Image, "open", full)
    assert refused(tmp_path / "a.jpg").fact == "more pixels than fit into memory"


def test_a_bug_of_ours_is_not_called_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(image: Image.Image) -> Image.Image:
        raise ValueError(image.mode)

    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    monkeypatch.setattr(images, "_as_rgb", bug)
    with pytest.raises(ValueError, match="L"):
        images.read_photo(tmp_path / "a.png")


def samples() -> dict[str, bytes]:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 17, 3), dtype=np.uint8)).resize(
        (34, 40)
    )
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    ways: dict[str, tuple[Image.Image, str, dict[str, object]]] = {
        "JPEG": (picture, "JPEG", {"exif": exif, "icc_profile": p3_profile()}),
        "progressive": (picture, "JPEG", {"progressive": True}),
        "CMYK": (picture.convert("CMYK"), "JPEG", {}),
        "PNG": (picture, "PNG", {"exif": exif, "icc_profile": p3_profile()}),
        "palette": (picture.quantize(16), "PNG", {"transparency": 3}),
        "deep": (Image.fromarray(np.arange(0, 65000, 127, dtype=np.uint16).reshape(16, 32)), "PNG", {}),
        "GIF": (picture, "GIF", {"save_all": True, "append_images": [picture.rotate(90)]}),
        "BMP": (picture, "BMP", {}),
        "TIFF": (picture, "TIFF", {"exif": exif}),
        "numbers": (picture.convert("F"), "TIFF", {}),
        "WEBP": (picture, "WEBP", {"exif": exif}),
        "PPM": (picture, "PPM", {}),
        **({"AVIF": (picture, "AVIF", {})} if "AVIF" in images.FORMATS else {}),
    }
    made = {}
    for name, (image, form, options) in ways.items():
        stream = io.BytesIO()
        image.save(stream, form, **options)
        made[name] = stream.getvalue()
    return made


SAMPLES = samples()


@pytest.mark.parametrize("name", SAMPLES)
def test_three_hundred_damages_of_each_kind_give_a_picture_or_a_bad_image(tmp_path: Path, name: str) -> None:
    whole, path, generator = SAMPLES[name], tmp_path / "a.jpg", np.random.default_rng(7)
    for _ in range(300):
        data = bytearray(whole)
        # headers are where damage tells most
        reach = len(data) if generator.random() < 0.3 else min(len(data), 400)
        for place in generator.integers(0, reach, generator.integers(0, 4)):
            data[place] = generator.integers(0, 256)
        end = generator.integers(1, len(data)) if generator.random() < 0.3 else len(data)
        path.write_bytes(data[:end])
        for call in (lambda: images.read_photo(path), lambda: images.read_reduced(path, 9).image):
            found = outcome(BadImage, call)
            if isinstance(found, BadImage):
                assert found.place == str(path)
                assert found.fact
            else:
                assert found.mode == "RGB"


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("suffix", [".heic", ".HEIF", ".jpg"])
def test_heic_is_read_upright_by_its_extra(tmp_path: Path, suffix: str, orientation: int) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    stored, exif = Image.linear_gradient("L").resize((64, 48)).convert("RGB"), Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    stored.save(tmp_path / f"a{suffix}", "HEIF", quality=95, exif=exif.tobytes())
    upright = UPRIGHT[orientation](np.asarray(stored)).astype(int)
    assert np.abs(read(tmp_path / f"a{suffix}") - upright).mean() < 4
    assert {".heic", ".heif"} <= images.readable_suffixes()


def test_without_its_extra_heic_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    for name in ("a.heic", "a.jpg"):
        (tmp_path / name).write_bytes(b"\0\0\0\x1cftypheic\0\0\0\0mif1heic")
        with pytest.raises(
            BadImage, match=r"pillow-heif, which is not installed; pip install 'emoprune\[heic\]'"
        ):
            images.read_photo(tmp_path / name)
    assert ".heic" not in images.readable_suffixes()
    # many cameras and messengers give JPEG that name
    Image.fromarray(noise(8, 8)).save(tmp_path / "a.heic", "JPEG")
    assert read(tmp_path / "a.heic").shape == (8, 8, 3)


@pytest.mark.parametrize("size", [(1, 149_999_999), (149_999_999, 1)])
def test_a_side_that_would_take_all_memory_is_not_decoded(tmp_path: Path, size: tuple[int, int]) -> None:
    stream = io.BytesIO()
    Image.new("1", (1, 1)).save(stream, "PNG")
    data = bytearray(stream.getvalue())
    data[16:24] = struct.pack(">II", *size)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(BadImage, match="a side of 149,999,999 pixels is longer than is safe"):
        images.read_photo(tmp_path / "a.png")


def test_pictures_are_converted_alike_in_one_band_and_in_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alpha = np.dstack([noise(9, 7), noise(9, 7, seed=1)[..., 0]])
    Image.fromarray(alpha).save(tmp_path / "a.png")
    Image.fromarray(noise(9, 7)[..., 0].astype(np.float32) / 255).save(tmp_path / "a.tif")
    whole = [read(tmp_path / name) for name in ("a.png", "a.tif")]
    monkeypatch.setattr(images, "PIXELS_OF_A_BAND", 20)
    for name, expected in zip(("a.png", "a.tif"), whole, strict=True):
        assert np.array_equal(read(tmp_path / name), expected)


@pytest.mark.parametrize("mode", ["RGB", "L", "LA", "P", "I;16", "CMYK", "1"])
def test_read_gray_gives_the_gray_of_read_photo(tmp_path: Path, mode: str) -> None:
    picture = Image.fromarray(noise(9, 7))
    if mode == "I;16":
        picture = Image.fromarray(noise(9, 7)[..., 0].astype(np.uint16) * 257)
    (picture if mode == "I;16" else picture.convert(mode)).save(tmp_path / "a.tif")
    found = images.read_gray(tmp_path / "a.tif")
    assert np.array_equal(np.asarray(found), np.asarray(read_photo(tmp_path / "a.tif").convert("L")))


def test_quiet_leaves_the_filters_of_warnings_as_they_were_whatever_threads_do(tmp_path: Path) -> None:
    Image.fromarray(noise(9, 7)).save(tmp_path / "a.png")
    with warnings.catch_warnings(action="error"):
        before = list(warnings.filters)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(images.read_photo, [tmp_path / "a.png"] * 200))
        assert list(warnings.filters) == before


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF"])
def test_photo_in_bytes_is_the_photo_in_their_file(tmp_path: Path, form: str) -> None:
    stored, exif = noise(24, 40), Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(stored).save(tmp_path / "a", form, exif=exif)
    data = (tmp_path / "a").read_bytes()
    assert np.array_equal(np.asarray(images.photo_in(data, "standard input")), read(tmp_path / "a"))


@pytest.mark.parametrize("data", [b"", b"text", b"\x89PNG\r\n\x1a\n" + bytes(40)])
def test_photo_in_bytes_of_something_else_names_their_place(data: bytes) -> None:
    with pytest.raises(BadImage, match=r"^standard input: "):
        images.photo_in(data, "standard input")
