"""Files that are no whole picture: each is refused in plain words, and nothing else ever escapes."""

import io
import os
import resource
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from emoprune.errors import BadImage
from emoprune.io import images
from tests.support.image_bytes import deep_png, p3_profile
from tests.support.records import outcome


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


def test_what_the_system_refuses_is_told_in_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "denied", str(tmp_path))

    (tmp_path / "a.jpg").write_bytes(b"x")
    monkeypatch.setattr(Image, "open", denied)
    error = refused(tmp_path / "a.jpg")
    assert error.fact == "cannot be read (Permission denied)"
    assert "readable" in error.remedy


def test_a_drawing_program_is_not_a_picture_and_is_not_run(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.jpg", "EPS")
    assert refused(tmp_path / "a.jpg").fact == "not an image"


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


def test_photos_of_any_camera_are_below_the_limit() -> None:
    assert images.MOST_PIXELS > 2 * 48_000_000


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
