"""Edges as thin lines, and the gradients they come from.

J. Canny: A Computational Approach to Edge Detection. 1986. What the paper leaves open is set as MATLAB's
edge function has it, with which PHOG was published: a Gaussian of sigma sqrt(2), a high threshold that 70% of
the pixels do not exceed, a low one of 0.4 times that. Beyond the border the nearest pixel is repeated.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from emoprune.features.grayscale import NEGLIGIBLE

SIGMA = 2**0.5
REACH = 4
"""The Gaussian is cut off after so many standard deviations (rounded to whole pixels)."""

STEPS = 64
"""The high threshold is a multiple of the largest magnitude divided by this."""

TENTHS_BELOW = 7
LOW_FRACTION = 0.4
STEEP = np.tan(np.radians(67.5))
FLAT = np.tan(np.radians(22.5))
CORNERS_TOO = np.ones((3, 3), dtype=int)

Values = NDArray[np.float64]


def gradients(gray: Values) -> tuple[Values, Values]:
    """How much brighter a picture (height, width) grows to the right and downwards: Sobel's two masks."""
    right, down = (ndimage.sobel(gray, axis=axis, mode="nearest") for axis in (1, 0))
    return right, down


def edges(gray: Values) -> NDArray[np.bool_]:
    """Where a picture (height, width) with values in 0..1 has edges; nowhere in a constant one.

    A pixel is on a ridge if neither neighbor along its gradient, rounded to eight directions, has a larger
    gradient. Ridge pixels that reach the high threshold are edges, and so are those that reach the low one
    and are joined to such by sides or corners. Of two equal neighbors the upper or left one counts.
    """
    smooth = ndimage.gaussian_filter(gray, SIGMA, mode="nearest", truncate=REACH)
    right, down = gradients(smooth)
    sizes = np.hypot(right, down)
    peak = float(sizes.max())
    if peak <= NEGLIGIBLE:
        return np.zeros(gray.shape, dtype=bool)
    slack = NEGLIGIBLE * peak
    ridge = _is_ridge(right, down, sizes, slack)
    # the least 64th of the peak that at least 70% of the magnitudes do not exceed
    steps = np.ceil(STEPS * sizes / peak - NEGLIGIBLE).astype(int).clip(1, STEPS)
    up_to = np.bincount(steps.ravel(), minlength=STEPS + 1).cumsum()
    high = float(np.argmax(10 * up_to >= TENTHS_BELOW * sizes.size)) * peak / STEPS
    weak = ridge & (sizes >= LOW_FRACTION * high - slack)
    strong = ridge & (sizes >= high - slack)
    pieces, _ = ndimage.label(weak, structure=CORNERS_TOO)
    return weak & np.isin(pieces, np.unique(pieces[strong]))


def _is_ridge(right: Values, down: Values, sizes: Values, slack: float) -> NDArray[np.bool_]:
    """Where neither neighbor along the gradient, its direction rounded to 45 degrees, is larger."""
    across, along = np.abs(right), np.abs(down)
    level = along <= FLAT * across
    upright = ~level & (along >= STEEP * across)
    falling = ~level & ~upright & ((right > 0) == (down > 0))
    rising = ~(level | upright | falling)
    padded = np.pad(sizes, 1)
    height, width = sizes.shape

    def neighbors(step_down: int, step_right: int) -> Values:
        return padded[1 + step_down :, 1 + step_right :][:height, :width]

    found = np.zeros(sizes.shape, dtype=bool)
    for where, step in ((level, (0, 1)), (falling, (1, 1)), (upright, (1, 0)), (rising, (1, -1))):
        before, after = neighbors(-step[0], -step[1]), neighbors(*step)
        # of neighbors that differ only by rounding, the first is kept
        found |= where & (sizes > before + slack) & (sizes >= after - slack)
    return found
