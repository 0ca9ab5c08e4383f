"""Pictures from files: upright, 8 bits, RGB or grey, whole or refused."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from os import cpu_count
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from emoprune.errors import BadImage
from emoprune.records import Preprocess

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pnm"}
)
CACHE_BYTES = 2 * 1024**3
"""Decoded pictures are kept in memory up to this size; larger sets are decoded every time."""

JPEG_QUALITY = 95
REMOVE = "remove it or replace it"


def is_image_name(path: Path) -> bool:
    """Whether the name says picture and is not hidden."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def read_photo(path: Path) -> Image.Image:
    """The picture in a file as upright RGB; BadImage names the file and what is wrong with it."""
    try:
        # what Pillow warns of, a suspicious size or broken EXIF, it also handles
        with warnings.catch_warnings(action="ignore"), Image.open(path) as image:
            image.load()
            return _as_rgb(ImageOps.exif_transpose(image))
    except UnidentifiedImageError:
        fact = "the file is empty" if path.stat().st_size == 0 else "not an image"
    except Image.DecompressionBombError:
        fact = "more pixels than is safe to decode"
    except FileNotFoundError:
        fact = "no such file"
    except (OSError, SyntaxError, EOFError, ValueError) as error:
        # Pillow's decoders raise all four for damaged files
        fact = f"a damaged image ({error})"
    raise BadImage(fact, REMOVE, place=str(path))


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        # 16-bit grey: Pillow's own conversion clips at 255 instead of scaling
        values = np.asarray(image, dtype=np.float64)
        scale = 65535 if image.mode.startswith("I;16") or values.max(initial=0) > 255 else 255
        return Image.fromarray((values / scale * 255).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def to_array(image: Image.Image, preprocess: Preprocess) -> Tensor:
    """An RGB picture resized to the preprocess's size and colour: (channels, height, width) uint8.

    Shrinking averages over all source pixels. Grey pictures are repeated where three channels are wanted.
    """
    height, width = preprocess.size
    if preprocess.colour == "gray":
        image = image.convert("L")
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    pixels = torch.from_numpy(np.array(image))
    planes = pixels[None] if pixels.ndim == 2 else pixels.permute(2, 0, 1)
    return planes.expand(preprocess.channels, -1, -1).contiguous()


class Photos:
    """The pictures of a data set as samples: made in threads, kept as they are fed while they fit in memory.

    `picture` gives the one at an index as RGB; it runs in several threads at once.
    """

    def __init__(
        self,
        picture: Callable[[int], Image.Image],
        labels: Sequence[int] | Tensor,
        preprocess: Preprocess,
    ) -> None:
        self.labels = torch.as_tensor(labels, dtype=torch.int64)
        self._source = picture
        self._preprocess = preprocess
        height, width = preprocess.size
        self._shape = (preprocess.channels, height, width)
        fits = len(labels) * int(np.prod(self._shape)) <= CACHE_BYTES
        self._cache: dict[int, Tensor] | None = {} if fits else None
        self._pool = ThreadPoolExecutor(cpu_count() or 1)

    def batch(self, indices: Tensor) -> Tensor:
        """The pictures at `indices`, (n, channels, height, width) uint8; BadImage for a file that is none."""
        return torch.stack(list(self._pool.map(self._picture, indices.tolist())))

    def _picture(self, index: int) -> Tensor:
        if self._cache is None:
            return to_array(self._source(index), self._preprocess)
        if index not in self._cache:
            self._cache[index] = to_array(self._source(index), self._preprocess)
        return self._cache[index]


def jpeg_bytes(image: Image.Image) -> bytes:
    """A picture as JPEG at a quality that leaves no visible trace."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=JPEG_QUALITY)
    return stream.getvalue()
