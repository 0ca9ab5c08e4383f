"""Local phase quantization: the signs of four local frequencies as a code per pixel.

V. Ojansivu, J. Heikkila: Blur Insensitive Texture Classification Using Local Phase Quantization. 2008.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from emoprune.errors import BadData
from emoprune.features.grayscale import NEGLIGIBLE, unit_gray

WINDOW = 7
RHO = 0.9
"""Correlation of neighboring pixels."""

BITS = 8
CODES = 2**BITS
# close to 1; separates two pairs of equal eigenvalues, whose eigenvectors would be arbitrary
NUDGE = 1 + 1e-6 * np.array([7, 6, 5, 4, 3, 2, 1, 0])

Values = NDArray[np.float64]

_OFFSETS = np.arange(WINDOW) - WINDOW // 2
_ANGLES = 2 * np.pi / WINDOW * _OFFSETS
_BOX, _COS, _SIN = np.ones(WINDOW), np.cos(_ANGLES), np.sin(_ANGLES)


def lpq(image: NDArray[np.generic]) -> Values:
    """The fraction of pixels with each code, (256,), summing to 1.

    `image` is gray as `unit_gray` takes it. Code 255 is where the window is constant, so a constant picture
    is 1 there and 0 elsewhere. Raises BadData for a picture smaller than the 7x7 window.
    """
    codes = lpq_codes(image)
    return np.bincount(codes.ravel(), minlength=CODES) / codes.size


def lpq_codes(image: NDArray[np.generic]) -> NDArray[np.int64]:
    """The code of every pixel with a whole window, (height - 6, width - 6), 0..255.

    Bit j is set where component j of the decorrelated responses (sections 3.1 and 3.2) is at least -1e-9, so
    that rounding errors count as zero.
    """
    responses = frequency_responses(image)
    components = decorrelation() @ responses.reshape(BITS, -1)
    bits = components >= -NEGLIGIBLE
    codes: NDArray[np.int64] = np.left_shift(1, np.arange(BITS)) @ bits
    return codes.reshape(responses.shape[1:])


def frequency_responses(image: NDArray[np.generic]) -> Values:
    """The short-term Fourier transform of the 7x7 window around every pixel, (8, height - 6, width - 6).

    Real and imaginary part in turn, at the frequencies (right, down) (a, 0), (0, a), (a, a) and (a, -a) with
    a = 1/7 cycles per pixel: F(u, x) = sum over y of f(x - y) exp(-2 pi j u.y), pixels in 0..1. Raises
    BadData for a picture smaller than the window.
    """
    gray = unit_gray(image)
    if min(gray.shape) < WINDOW:
        height, width = gray.shape
        fact = f"a picture of {height}x{width} pixels is smaller than the {WINDOW}x{WINDOW} window of LPQ"
        raise BadData(fact, f"give a `size` of {WINDOW} or more")
    box, cos, sin = (_convolved(gray, weights, axis=1) for weights in (_BOX, _COS, _SIN))
    cos_cos, sin_sin = _convolved(cos, _COS, axis=0), _convolved(sin, _SIN, axis=0)
    # names: to the right, then down
    sin_cos, cos_sin = _convolved(sin, _COS, axis=0), _convolved(cos, _SIN, axis=0)
    return np.stack(
        [
            _convolved(cos, _BOX, axis=0),
            -_convolved(sin, _BOX, axis=0),
            _convolved(box, _COS, axis=0),
            -_convolved(box, _SIN, axis=0),
            cos_cos - sin_sin,
            -sin_cos - cos_sin,
            cos_cos + sin_sin,
            cos_sin - sin_cos,
        ]
    )


@cache
def decorrelation() -> Values:
    """The whitening of a picture's responses, (8, 8), a row per component (section 3.2).

    Rows are the eigenvectors of the responses' covariance for pixels that correlate by 0.9 ** distance, the
    largest eigenvalue first. The paper leaves open their signs, and the vectors of two pairs of equal
    eigenvalues. As in the authors' program, the covariance is scaled by a diagonal of 1.000007, 1.000006, ...
    1 from both sides. The first entry of a row with more than a tenth of its largest magnitude is positive.
    """
    down, right = (offsets.ravel() for offsets in np.meshgrid(_OFFSETS, _OFFSETS, indexing="ij"))
    phases = 2 * np.pi / WINDOW * np.stack([right, down, right + down, right - down])
    weights = np.stack([np.cos(phases), -np.sin(phases)], axis=1).reshape(BITS, -1) * NUDGE[:, None]
    pixels = RHO ** np.hypot(right[:, None] - right, down[:, None] - down)
    # the third result is V transposed: its rows are the eigenvectors
    rows = np.linalg.svd(weights @ pixels @ weights.T)[2]
    notable = np.abs(rows) > np.abs(rows).max(axis=1, keepdims=True) / 10
    first = rows[np.arange(BITS), notable.argmax(axis=1)]
    found: Values = rows * np.sign(first)[:, None]
    return found


def _convolved(values: Values, weights: Values, *, axis: int) -> Values:
    """The convolution along `axis` where the window lies inside."""
    full = ndimage.convolve1d(values, weights, axis=axis)
    inside = slice(WINDOW // 2, -(WINDOW // 2))
    found: Values = full[inside] if axis == 0 else full[:, inside]
    return found
