"""Read pictures from files: upright, 8 bits, RGB or gray; damaged ones raise BadImage."""

from __future__ import annotations

import contextlib
import io
import math
import os
import re
import stat
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError, features

from emoprune.errors import BadImage, at

AVIF = features.check("avif")
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "PPM", "JPEG2000", *(["AVIF"] if AVIF else []))
"""The formats that Pillow may read; some others, as PostScript, start programs."""
SUFFIXES = {".jpg", ".jpeg", ".jfif", ".png", ".webp", ".gif", ".tif", ".tiff", ".bmp"}
SUFFIXES |= {".ppm", ".pgm", ".pnm", *([".avif"] if AVIF else [])}
MOST_PIXELS = 150_000_000
"""Larger pictures are not decoded: RGB alone takes 3 bytes a pixel."""
WHITES = (1.0, 255.0, 65535.0, 2.0**31 - 1)
"""Values of white in pictures of more than 8 bits: the least that no pixel exceeds."""

JPEG_QUALITY = 95
REMOVE, SHRINK = "remove it or replace it", "make it smaller"


def is_image_name(path: Path) -> bool:
    """Whether a file has the suffix of a picture and is not hidden."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


@dataclass(frozen=True)
class Reduced:
    """A shrunken photo, and the (width, height) in pixels of the upright photo before."""

    image: Image.Image
    full: tuple[int, int]

    @property
    def scale(self) -> tuple[float, float]:
        """Pixels of the photo per pixel of the image, across and down, at least 1."""
        return self.full[0] / self.image.width, self.full[1] / self.image.height


def read_photo(path: Path) -> Image.Image:
    """The picture in a file as upright RGB; BadImage names the file and the reason.

    Takes the first of several frames, puts transparent pixels on white and converts color profiles to sRGB.
    """
    return _as_rgb(_decoded(path, None)[0])


def read_reduced(path: Path, max_side: int) -> Reduced:
    """Like `read_photo`, with a longer side of at most `max_side` pixels; never enlarged.

    JPEG is decoded at a half, a quarter or an eighth where that is enough. This is several times as fast, and
    not bit-identical to shrinking the whole photo.
    """
    decoded, full = _decoded(path, max_side)
    return replace(reduced(_as_rgb(decoded), max_side), full=full)


def reduced(image: Image.Image, max_side: int) -> Reduced:
    """A picture whose longer side is at most `max_side` pixels; never enlarged."""
    full = image.size
    scale = max_side / max(image.size)
    if scale < 1:
        width, height = (max(1, round(length * scale)) for length in image.size)
        image = image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=3)
    return Reduced(image, full)


def _decoded(path: Path, max_side: int | None) -> tuple[Image.Image, tuple[int, int]]:
    """The upright picture in the file's own mode, and the upright size in the file's header."""
    with _faults(path):
        _check_file(path)
        # Pillow warns of suspicious sizes and broken EXIF, and handles them
        with warnings.catch_warnings(action="ignore"), Image.open(path, formats=FORMATS) as image:
            full = image.size
            if math.prod(full) > MOST_PIXELS:
                raise Image.DecompressionBombError(math.prod(full))
            if max_side is not None and max_side < max(full):
                scale = max_side / max(full)
                image.draft(None, (math.ceil(full[0] * scale), math.ceil(full[1] * scale)))
            image.load()
            lying = image.size
            with contextlib.suppress(Exception):
                # if only the EXIF is damaged, the picture is not turned, as in viewers; in place, as a copy
                # of a large photo takes a fifth of a gigabyte
                ImageOps.exif_transpose(image, in_place=True)
            return image, full if image.size == lying else full[::-1]


def _check_file(path: Path) -> None:
    # reading a pipe would wait, and a device may never end
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        folder = stat.S_ISDIR(found.st_mode)
        raise BadImage("a folder, not a file" if folder else "not a plain file", REMOVE)
    if found.st_size == 0:
        raise BadImage("the file is empty", REMOVE)


@contextlib.contextmanager
def _faults(path: Path) -> Iterator[None]:
    """Turn errors of Pillow and the system into a BadImage that names the file."""
    with at(str(path)):
        try:
            yield
        except BadImage:
            raise
        except Exception as error:
            # only Pillow runs inside, and its decoders raise errors of every kind for damaged files
            raise BadImage(*_fact_and_remedy(error)) from None


def _fact_and_remedy(error: Exception) -> tuple[str, str]:
    match error:
        case UnidentifiedImageError():
            return "not an image", REMOVE
        case Image.DecompressionBombError():
            count = "".join(f" ({int(digits):,})" for digits in re.findall(r"\d+", str(error))[:1])
            return f"more pixels than is safe to decode{count}", SHRINK
        case MemoryError():
            return "more pixels than fit into memory", SHRINK
        case FileNotFoundError():
            return "no such file", REMOVE
        case OSError(errno=int(number)):
            return f"cannot be read ({os.strerror(number)})", "make it readable, or remove it"
    return f"a damaged image ({str(error) or type(error).__name__})", REMOVE


def _as_rgb(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    if image.mode.startswith(("I", "F")):
        return _eight_bits(image).convert("RGB")
    if image.mode == "CMYK":
        return _in_srgb(image, profile) or image.convert("RGB")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    if image.mode != "RGB":
        image = image.convert("RGB")
    return _in_srgb(image, profile) or image


def _eight_bits(image: Image.Image) -> Image.Image:
    """Gray of more than 8 bits; Pillow's own conversion clips at 255 instead of scaling."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float64), posinf=0, neginf=0)
    brightest = values.max(initial=0)
    # floats up to 1 are usual, integers up to 1 are nearly black
    whites = WHITES[2:] if image.mode.startswith("I;16") else WHITES if image.mode == "F" else WHITES[1:]
    white = next((white for white in whites if brightest <= white), brightest)
    return Image.fromarray((values / white * 255).clip(0, 255).astype(np.uint8))


def _in_srgb(image: Image.Image, profile: object) -> Image.Image | None:
    """The picture in sRGB if `profile` is another one and is valid."""
    if not isinstance(profile, bytes) or not features.check("littlecms2"):
        return None
    try:
        given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(given):
            return None
        srgb = ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, given, srgb, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        # damaged, or of other channels than the picture: ignored
        return None


def jpeg_bytes(image: Image.Image) -> bytes:
    """A picture as JPEG, without visible loss."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=JPEG_QUALITY)
    return stream.getvalue()
