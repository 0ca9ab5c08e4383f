"""Pictures to describe: drawn, real and random, small enough for the pixel by pixel references."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Gray = NDArray[np.uint8]


def _gray(path: Path, height: int, width: int) -> Gray:
    """A picture file as gray, resized."""
    with Image.open(path) as photo:
        return np.asarray(photo.convert("L").resize((width, height)))


def noise(height: int, width: int, *, seed: int = 0) -> Gray:
    """Independent pixels."""
    return np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)


def drawn_pictures(faces: Path) -> list[Gray]:
    """Some of a folder of drawn faces."""
    return [_gray(path, 48, 40) for path in _photos(faces, 3)]


def real_pictures(shared_data: Path) -> list[Gray]:
    """Some faces, and some whole photos."""
    faces, photos = shared_data / "data" / "fer2013" / "val", shared_data / "data" / "photos"
    return [
        *(_gray(path, 48, 48) for path in _photos(faces, 3)),
        *(_gray(path, 40, 56) for path in _photos(photos, 2)),
    ]


def _photos(root: Path, count: int) -> list[Path]:
    """So many photos below a folder, evenly spread."""
    found = sorted(path for path in root.rglob("*.*") if path.suffix in (".jpg", ".png"))
    return found[:: max(1, len(found) // count)][:count]
