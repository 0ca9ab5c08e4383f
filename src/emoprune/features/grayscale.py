"""Gray pictures of any depth, the input of every descriptor."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emoprune.errors import BadData

NEGLIGIBLE = 1e-9
"""Values smaller than this fraction of the full range of gray count as zero: they are rounding errors."""


def unit_gray(image: NDArray[np.generic]) -> NDArray[np.float64]:
    """A gray picture (height, width) of uint8, uint16 or floats in 0..1 as float64 in 0..1.

    Raises BadData for other shapes, other types and floats beyond 0..1.
    """
    if image.ndim != 2 or image.size == 0:
        shape = "x".join(map(str, image.shape))
        raise BadData(f"an array of shape {shape} is not a gray picture", "give height and width alone")
    values = image.astype(np.float64)
    if image.dtype in (np.uint8, np.uint16):
        return values / (255 if image.dtype == np.uint8 else 65535)
    if image.dtype.kind != "f":
        raise BadData(f"a picture of {image.dtype}", "give uint8, uint16 or floats in 0..1")
    # asks for values inside, so that NaN fails too
    if not bool(((values >= 0) & (values <= 1)).all()):
        raise BadData("a picture of floats that are not all in 0..1", "scale it")
    return values
