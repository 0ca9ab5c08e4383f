"""Pyramid histograms of oriented gradients: the orientations of edges in finer and finer cells.

A. Bosch, A. Zisserman, X. Munoz: Representing Shape with a Spatial Pyramid Kernel. 2007.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emoprune.features.canny import edges, gradients
from emoprune.features.grayscale import NEGLIGIBLE, unit_gray

BINS = 8
LEVELS = 3


def phog(image: NDArray[np.generic], *, levels: int = LEVELS) -> NDArray[np.float64]:
    """Gradient magnitudes at a picture's edges by cell and orientation, (8 * (4 ** (levels + 1) - 1) / 3,).

    `image` is gray as `unit_gray` takes it. Level l has 2 ** l by 2 ** l cells, row by row. Pixel y of
    `height` is in row floor(y * 2 ** l / height), for pictures of any shape; small ones leave cells empty.
    Levels 0 to `levels` follow each other: 680 numbers for 3, 168 for 2. They sum to 1; without an edge, as
    in a constant picture, all are 0.

    What the paper leaves open: edges are those of `canny.edges`, gradients are Sobel's without smoothing, and
    each edge pixel votes for one orientation. Bin k is centered on 45 k degrees: 0 where the picture grows
    brighter to the right, 90 where it does so downwards. So vertical and horizontal edges, of which faces
    have many, do not lie between two bins.
    """
    gray = unit_gray(image)
    right, down = gradients(gray)
    votes = np.hypot(right, down)
    rows, columns = np.nonzero(edges(gray) & (votes > NEGLIGIBLE))
    votes, right, down = (values[rows, columns] for values in (votes, right, down))
    width_deg = 360 / BINS
    angles_deg = np.degrees(np.arctan2(down, right))
    bins = np.floor((angles_deg + width_deg / 2) / width_deg).astype(np.int64) % BINS
    height, width = gray.shape
    histograms = []
    for cells in (2**level for level in range(levels + 1)):
        cell = rows * cells // height * cells + columns * cells // width
        histograms.append(np.bincount(cell * BINS + bins, weights=votes, minlength=cells * cells * BINS))
    whole = np.concatenate(histograms).astype(np.float64)
    total = float(whole.sum())
    return whole / total if total else whole
