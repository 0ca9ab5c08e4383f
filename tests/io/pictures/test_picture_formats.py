from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from emoprune.errors import BadImage
from emoprune.io.pictures import images
from emoprune.io.pictures.picture_formats import HEIF, RAW, unread_format, unread_suffix


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "JPEG2000", "BMP", "PPM"])
def test_unread_format_says_nothing_of_pictures_that_are_read(form: str) -> None:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, form)
    assert unread_format(stream.getvalue()) is None


def test_unread_format_knows_heic_and_raw_photos() -> None:
    assert unread_format(b"\0\0\0\x1cftypheic\0\0\0\0mif1heic") is HEIF
    assert unread_format(b"II*\0\x10\0\0\0CR\x02\0") is RAW


def test_a_raw_photo_is_not_read_as_its_preview(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.NEF", "TIFF")
    with pytest.raises(BadImage, match=r"a raw photo, which is not read; develop it to \.jpg"):
        images.read_photo(tmp_path / "a.NEF")
    assert unread_suffix(".nef") is RAW
    assert unread_suffix(".jpg") is None


SVG = b'<?xml version="1.0"?>\n<!-- drawn -->\n<svg xmlns="x"/>'


@pytest.mark.parametrize(("name", "data"), [("a.jpg", SVG), ("a.psd", b"8BPS\0\1"), ("a.jxl", b"?")])
def test_a_picture_in_another_format_is_called_one(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(BadImage, match="a picture in a format that is not read; save it as"):
        images.read_photo(tmp_path / name)
