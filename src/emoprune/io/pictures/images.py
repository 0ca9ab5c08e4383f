"""Read pictures from files: upright, 8 bits, RGB or gray; damaged ones raise BadImage."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import math
import os
import re
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError, features

from emoprune.errors import BadImage
from emoprune.io import file_kinds
from emoprune.io.files import open_regular
from emoprune.io.pictures import picture_formats
from emoprune.io.pictures.picture_formats import HEIF, RAW, Format

AVIF = features.check("avif")
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "PPM", "JPEG2000", *(["AVIF"] if AVIF else []))
"""The formats that Pillow may read; some others, as PostScript, start programs."""
SUFFIXES = {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".gif", ".tif", ".tiff"}
SUFFIXES |= {".bmp", ".dib", ".tga", ".pbm", ".pgm", ".ppm", ".pnm", ".jp2", ".j2k", ".j2c", ".jpc", ".jpf"}
SUFFIXES |= {".jpx", *(picture_formats.AVIF.suffixes if AVIF else ())}
MOST_PIXELS, LONGEST_SIDE = 150_000_000, 100_000
"""Larger pictures are not decoded: RGB takes 4 bytes a pixel, and each row takes memory of its own."""
SPACE, SPACE_OF_A_BYTE = 450_000_000, 10
"""Bytes of memory that any picture may take, and more for each byte of its file. A bomb takes more."""

BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2}
"""Of a pixel in Pillow, where they are not four."""

DECODED_WHOLE = {"WEBP", "AVIF", "HEIF", "JPEG2000", "TIFF"}
"""Formats whose library makes the whole picture before Pillow gets it."""

WHITES = (1.0, 255.0, 65535.0, 2.0**31 - 1)
"""Values of white in pictures of more than 8 bits: the least that no pixel exceeds."""

TURNING = {"exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"}
"""Where files but TIFFs say how the camera was held."""

TO_CONVERT = {"icc_profile", "transparency"}
"""What a gray picture may have that changes its values."""

PIXELS_OF_A_BAND = 2**20

AT_ONCE = 2**22
"""Bytes of a file that is read before it is decoded."""

JPEG_QUALITY = 95
Bytes = io.FileIO | io.BytesIO
REMOVE, SHRINK = "remove it or replace it", "make it smaller"


def readable_suffixes() -> frozenset[str]:
    """Suffixes of pictures that can be read here."""
    heif = HEIF.suffixes if importlib.util.find_spec("pillow_heif") else ()
    return frozenset(SUFFIXES.union(heif))


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


def photo_in(data: bytes, place: str) -> Image.Image:
    """What `read_photo` gives for a file of these bytes; BadImage names the `place` they are from."""
    with _faults(place):
        return _as_rgb(_decode(io.BytesIO(data), Path(place).suffix, None)[0])


def read_gray(path: Path) -> Image.Image:
    """The gray values (mode L) of `read_photo`; a gray picture takes a fifth less time."""
    image = _decoded(path, None)[0]
    return image if image.mode == "L" and not TO_CONVERT & image.info.keys() else _as_rgb(image).convert("L")


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
    with _faults(str(path)), open_regular(path, fault=BadImage) as stream:
        return _decode(stream, path.suffix, max_side)


@contextlib.contextmanager
def _faults(place: str) -> Iterator[None]:
    """Turn what goes wrong into a BadImage of that place."""
    try:
        yield
    except BadImage as error:
        error.place = place
        raise
    except Exception as error:
        # only Pillow runs inside, and its decoders raise errors of every kind for damaged files
        raise BadImage(*_fact_and_remedy(error), place=place) from None


def _decode(stream: Bytes, suffix: str, max_side: int | None) -> tuple[Image.Image, tuple[int, int]]:
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    with quiet(), _opened(stream, size, suffix.lower()) as image:
        full = image.size
        if math.prod(full) > MOST_PIXELS:
            raise Image.DecompressionBombError(math.prod(full))
        if max(full) > LONGEST_SIDE:
            raise BadImage(f"a side of {max(full):,} pixels is longer than is safe to decode", SHRINK)
        if max_side is not None and max_side < max(full):
            scale = max_side / max(full)
            image.draft(None, (math.ceil(full[0] * scale), math.ceil(full[1] * scale)))
        if _memory_of(image, full) > SPACE + SPACE_OF_A_BYTE * size:
            raise BadImage("takes far more memory than its file, as damaged ones do", SHRINK)
        image.load()
        lying = image.size
        if image.format == "TIFF" or TURNING & image.info.keys():
            with contextlib.suppress(Exception):
                # if only the EXIF is damaged, the picture is not turned, as in viewers; in place, as a copy
                # of a large photo takes a fifth of a gigabyte
                ImageOps.exif_transpose(image, in_place=True)
        return image, full if image.size == lying else full[::-1]


def _memory_of(image: Image.Image, full: tuple[int, int]) -> int:
    """Bytes that a picture takes while it is decoded and becomes RGB; `full` is its size in the file."""
    a_pixel = BYTES.get(image.mode, 4) + (image.mode != "RGB") * 4 + (image.format in DECODED_WHOLE) * 4
    # all coefficients of a progressive JPEG are held, those of hidden pixels too
    whole = 6 * math.prod(full) if image.format == "JPEG" and "progressive" in image.info else 0
    return whole + a_pixel * math.prod(image.size)


class quiet:  # noqa: N801  used like contextlib.suppress
    """Within, Pillow does not warn of suspicious sizes and broken EXIF, which it handles.

    Unlike warnings.catch_warnings it may be entered by several threads at once, and costs nothing where it
    is entered already.
    """

    _lock, _depth, _caught = threading.Lock(), 0, warnings.catch_warnings(action="ignore")

    def __enter__(self) -> None:
        with self._lock:
            if not quiet._depth:
                quiet._caught = warnings.catch_warnings(action="ignore")
                quiet._caught.__enter__()
            quiet._depth += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            quiet._depth -= 1
            if not quiet._depth:
                quiet._caught.__exit__(None, None, None)


def _opened(stream: Bytes, size: int, suffix: str) -> Image.Image:
    """The picture in a file, not yet decoded; BadImage says of what kind another file is."""
    if size == 0:
        raise BadImage("the file is empty", REMOVE)
    # Pillow reads in small pieces, which takes longer than to decode a small picture
    source = io.BytesIO(stream.read()) if size < AT_ONCE else io.BufferedReader(stream)
    head = source.read(file_kinds.START)
    source.seek(0)
    found = RAW if suffix in RAW.suffixes else picture_formats.unread_format(head)
    try:
        if found is RAW:
            raise UnidentifiedImageError
        return Image.open(source, formats=FORMATS + _more_formats(found, suffix))
    except UnidentifiedImageError:
        kind, found = file_kinds.kind_of(head), found or picture_formats.unread_suffix(suffix)
        if kind not in (None, "a picture"):
            raise BadImage(f"{kind}, not a picture", file_kinds.REMEDIES.get(kind, REMOVE)) from None
        if found:
            raise BadImage(found.fact, found.remedy) from None
        raise


def _more_formats(found: Format | None, suffix: str) -> tuple[str, ...]:
    """Formats that are tried for some files only."""
    if suffix in (".tga", ".dib"):
        # they have no first bytes of their own: anything might be taken for them
        return (suffix[1:].upper(),)
    if found is HEIF:
        with contextlib.suppress(ImportError):
            import pillow_heif

            pillow_heif.register_heif_opener(thumbnails=False)
            return ("HEIF",)
    return ()


def _fact_and_remedy(error: Exception) -> tuple[str, str]:
    match error:
        case UnidentifiedImageError():
            return "not an image", REMOVE
        case Image.DecompressionBombError():
            count = "".join(f" ({int(digits):,})" for digits in re.findall(r"\d+", str(error))[:1])
            return f"more pixels than is safe to decode{count}", SHRINK
        case MemoryError():
            return "more pixels than fit into memory", SHRINK
        case FileNotFoundError() | IsADirectoryError():
            return "no such file" if isinstance(error, FileNotFoundError) else "a folder, not a file", REMOVE
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
        image = _on_white(image)
    if image.mode != "RGB":
        image = image.convert("RGB")
    return _in_srgb(image, profile) or image


def _bands(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """The picture in pieces, with the row at which each begins: converting takes several times its memory."""
    rows = max(1, PIXELS_OF_A_BAND // image.width)
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(image.height, top + rows)))


def _on_white(image: Image.Image) -> Image.Image:
    """A picture with transparent pixels as RGB, before a white ground."""
    found = Image.new("RGB", image.size)
    for top, band in _bands(image):
        white = Image.new("RGBA", band.size, "white")
        found.paste(Image.alpha_composite(white, band.convert("RGBA")).convert("RGB"), (0, top))
    return found


def _eight_bits(image: Image.Image) -> Image.Image:
    """Gray of more than 8 bits; Pillow's own conversion clips at 255 instead of scaling."""

    def values(band: Image.Image) -> NDArray[np.float64]:
        return np.nan_to_num(np.asarray(band, dtype=np.float64), posinf=0, neginf=0)

    brightest = max(values(band).max(initial=0) for _, band in _bands(image))
    # floats up to 1 are usual, integers up to 1 are nearly black
    whites = WHITES[2:] if image.mode.startswith("I;16") else WHITES if image.mode == "F" else WHITES[1:]
    white = next((white for white in whites if brightest <= white), brightest)
    found = Image.new("L", image.size)
    for top, band in _bands(image):
        found.paste(Image.fromarray((values(band) / white * 255).clip(0, 255).astype(np.uint8)), (0, top))
    return found


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
