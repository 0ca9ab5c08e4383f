"""Pictures from files: upright, 8 bits, RGB or gray, whole or refused."""

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

FORMATS = (
    *("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "PPM", "JPEG2000"),
    *(["AVIF"] if features.check("avif") else []),
)
"""What Pillow is asked to read: of its other formats some start programs, as PostScript does."""
SUFFIXES = frozenset(
    {
        *(".jpg", ".jpeg", ".jfif", ".png", ".webp", ".gif", ".tif", ".tiff"),
        *(".bmp", ".ppm", ".pgm", ".pnm"),
        *([".avif"] if "AVIF" in FORMATS else []),
    }
)
MOST_PIXELS = 150_000_000
"""A picture that declares more is not decoded: its RGB alone takes 3 bytes a pixel."""
WHITES = (1.0, 255.0, 65535.0, 2.0**31 - 1)
"""What white is in pictures of more than 8 bits, by their brightest value."""

JPEG_QUALITY = 95
REMOVE, SHRINK = "remove it or replace it", "make it smaller"


def is_image_name(path: Path) -> bool:
    """Whether the name says picture and is not hidden."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


@dataclass(frozen=True)
class Reduced:
    """A photo made smaller: `image`, and the (width, height) of the upright photo in pixels."""

    image: Image.Image
    full: tuple[int, int]

    @property
    def scale(self) -> tuple[float, float]:
        """Pixels of the photo for one of the image, across and down, at least 1."""
        return self.full[0] / self.image.width, self.full[1] / self.image.height


def read_photo(path: Path) -> Image.Image:
    """The picture in a file as upright RGB; BadImage names the file and what is wrong with it.

    Of several frames the first; what is see-through lies on white; colors of another profile become sRGB.
    """
    return _as_rgb(_decoded(path, None)[0])


def read_reduced(path: Path, max_side: int) -> Reduced:
    """What `read_photo` reads, its longer side at most `max_side` pixels; never enlarged.

    JPEG is decoded at a half, a quarter or an eighth where that leaves enough: several times as fast, and
    not to the bit what shrinking the whole photo gives.
    """
    decoded, full = _decoded(path, max_side)
    return replace(reduced(_as_rgb(decoded), max_side), full=full)


def reduced(image: Image.Image, max_side: int) -> Reduced:
    """A picture whose longer side is at most `max_side` pixels; never enlarged."""
    full = image.size
    share = max_side / max(image.size)
    if share < 1:
        width, height = (max(1, round(length * share)) for length in image.size)
        image = image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=3)
    return Reduced(image, full)


def _decoded(path: Path, max_side: int | None) -> tuple[Image.Image, tuple[int, int]]:
    """The upright picture in the file's own mode, and the upright size that the file declares."""
    with _faults(path):
        _check_file(path)
        # what Pillow warns of, a suspicious size or broken EXIF, it also handles
        with warnings.catch_warnings(action="ignore"), Image.open(path, formats=FORMATS) as image:
            full = image.size
            if math.prod(full) > MOST_PIXELS:
                raise _too_large(math.prod(full))
            if max_side is not None and max_side < max(full):
                share = max_side / max(full)
                image.draft(None, (math.ceil(full[0] * share), math.ceil(full[1] * share)))
            image.load()
            lying = image.size
            with contextlib.suppress(Exception):
                # where only what the camera wrote about the picture is damaged, it is shown as it lies, as
                # viewers do; in place, for a copy of a large photo is a fifth of a gigabyte
                ImageOps.exif_transpose(image, in_place=True)
            return image, full if image.size == lying else full[::-1]


def _check_file(path: Path) -> None:
    # a pipe would be waited for, and a device may never end
    there = path.stat()
    if not stat.S_ISREG(there.st_mode):
        folder = stat.S_ISDIR(there.st_mode)
        raise BadImage("a folder, not a file" if folder else "not a plain file", REMOVE)
    if there.st_size == 0:
        raise BadImage("the file is empty", REMOVE)


@contextlib.contextmanager
def _faults(path: Path) -> Iterator[None]:
    """What Pillow and the system raise over the file at `path`, as BadImage that names it."""
    try:
        with at(str(path)):
            yield
    except BadImage:
        raise
    except Exception as error:
        # nothing of ours runs inside, and Pillow's decoders end in errors of every kind over damaged files
        found = _fault(error)
        found.place = str(path)
        raise found from None


def _fault(error: Exception) -> BadImage:
    if isinstance(error, UnidentifiedImageError):
        return BadImage("not an image", REMOVE)
    if isinstance(error, Image.DecompressionBombError):
        count = re.search(r"\d+", str(error))
        return _too_large(int(count[0]) if count else None)
    if isinstance(error, MemoryError):
        return BadImage("more pixels than fit into memory", SHRINK)
    if isinstance(error, FileNotFoundError):
        return BadImage("no such file", REMOVE)
    if isinstance(error, OSError) and error.errno is not None:
        return BadImage(f"cannot be read ({os.strerror(error.errno)})", "make it readable, or remove it")
    return BadImage(f"a damaged image ({str(error) or type(error).__name__})", REMOVE)


def _too_large(pixels: int | None) -> BadImage:
    count = "" if pixels is None else f" ({pixels:,})"
    return BadImage(f"more pixels than is safe to decode{count}", SHRINK)


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
    if image.mode.startswith("I;16"):
        white = WHITES[2]
    else:
        # fractions up to 1 are customary, whole numbers up to 1 are nearly black
        whites = WHITES if image.mode == "F" else WHITES[1:]
        white = next((white for white in whites if brightest <= white), brightest)
    return Image.fromarray((values / white * 255).clip(0, 255).astype(np.uint8))


def _in_srgb(image: Image.Image, profile: object) -> Image.Image | None:
    """The picture in sRGB where `profile` is another and can be followed."""
    if not isinstance(profile, bytes) or not features.check("littlecms2"):
        return None
    try:
        given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(given):
            return None
        srgb = ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, given, srgb, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        # damaged, or of other channels than the picture: as if there were none
        return None


def jpeg_bytes(image: Image.Image) -> bytes:
    """A picture as JPEG at a quality that leaves no visible trace."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=JPEG_QUALITY)
    return stream.getvalue()
