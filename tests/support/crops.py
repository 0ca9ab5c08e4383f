"""Crops by the library, and what they leave in the working folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from emoprune.errors import EmopruneError
from emoprune.faces import manifest
from emoprune.faces.crop_folder import crop_folder
from emoprune.faces.types import CropConfig, CropRow, CropSummary
from emoprune.synthetic_faces import draw_scene
from tests.support.command_line import tree

SIZE = (180, 144)


def scene(seed: int = 1, size: tuple[int, int] = SIZE) -> Image.Image:
    """A happy face in a busy scene."""
    return draw_scene("happy", generator=np.random.default_rng(seed), size=size)


def crop(
    raw: object = "raw",
    faces: str = "faces",
    *,
    boxes: str | None = None,
    jobs: int | None = None,
    force: bool = False,
    **settings: Any,
) -> CropSummary:
    """Crop into pictures of 32 pixels, unless `size` says otherwise."""
    config = CropConfig(**{"size": 32, **settings})
    return crop_folder(str(raw), faces, config, boxes=boxes, jobs=jobs, force=force)


def rows(faces: str = "faces") -> dict[str, CropRow]:
    """The rows of the manifest by output, or by source where there is none."""
    path = Path(faces, manifest.MANIFEST)
    found = manifest.rows_of(path.read_bytes(), str(path))
    return {row.output or row.source: row for row in found}


def write_boxes(*lines: str) -> str:
    """A file of boxes by hand: source,x1,y1,x2,y2."""
    Path("boxes.csv").write_text("\n".join(["source,x1,y1,x2,y2", *lines, ""]))
    return "boxes.csv"


def pixels(path: str | Path) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """The picture in a file."""
    with Image.open(path) as image:
        return np.asarray(image, dtype=np.float64)


@contextmanager
def refused(*says: str) -> Iterator[None]:
    """Within, an error is raised that says so, and no file is made or changed."""
    before = tree(Path())
    with pytest.raises(EmopruneError) as caught:
        yield
    for word in says:
        assert word in str(caught.value)
    assert tree(Path()) == before
