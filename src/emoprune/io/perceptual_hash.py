"""Perceptual hashes of pictures, and the near-duplicates that they tell."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import fft, sparse

SIDE = 32
"""What a picture is shrunk to before its frequencies are taken, in pixels."""

LOW = slice(1, 9)
"""The frequencies that count in either direction; 0, the brightness of whole rows and columns, does not."""

NEAR_BITS = 6
"""Hashes that differ in no more bits are of near-duplicates; for why see benchmarks/near_duplicates.py."""

NEGLIGIBLE = 1e-6
"""A coefficient as small as this is none: in a picture without structure rounding would choose the bits."""

AT_ONCE = 2**20
"""Pairs of pictures that are compared, and edges that are kept, at one time."""


def perceptual_hash(image: Image.Image) -> str:
    """64 bits, as 16 hexadecimal digits, of which copies of a picture share nearly all.

    Each says whether one of the 8 x 8 low frequencies of the gray picture of 32 x 32 pixels exceeds their
    median; the lowest comes first, then those to its right. What re-encoding, resizing and light do to a
    picture moves few of them (C. Zauner: Implementation and Benchmarking of Perceptual Image Hash Functions.
    2010, section 3.2.1; the averaging before is left to the shrinking).
    """
    gray = image.convert("L").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    low = fft.dctn(np.asarray(gray, dtype=np.float64), norm="ortho")[LOW, LOW].ravel()
    low[np.abs(low) < NEGLIGIBLE] = 0
    return np.packbits(low > np.median(low)).tobytes().hex()


def hamming(first: str, second: str) -> int:
    """How many of the 64 bits of two hashes differ."""
    return (int(first, 16) ^ int(second, 16)).bit_count()


def near_duplicates(hashes: Sequence[str], *, within_bits: int = NEAR_BITS) -> tuple[tuple[int, ...], ...]:
    """Indices of pictures that belong together, in ascending order: two or more a group.

    A group is all that can be reached by steps between hashes of which at most `within_bits` bits differ.
    Takes time with the square of the different hashes, and memory with their number.
    """
    bits = np.array([int(each, 16) for each in hashes], dtype=np.uint64)
    # as many copies of one picture as there may be are one point
    points, point_of = np.unique(bits, return_inverse=True)
    groups = _connected(points, within_bits)[point_of]
    order = np.argsort(groups, kind="stable")
    ends = np.cumsum(np.bincount(groups))
    members = (order[start:end] for start, end in zip([0, *ends], ends, strict=False))
    return tuple(sorted(tuple(map(int, group)) for group in members if len(group) > 1))


def _connected(points: NDArray[np.uint64], within_bits: int) -> NDArray[np.int64]:
    """The number of the component of each point."""
    count = len(points)
    labels = np.arange(count)
    edges: list[NDArray[np.int64]] = []
    rows = max(1, AT_ONCE // max(1, count))
    for start in range(0, count, rows):
        block = points[start : start + rows, None] ^ points[None, start:]
        edges.append(np.argwhere(np.bitwise_count(block) <= within_bits) + start)
        # every point is near itself; what is more is kept until it is much
        if sum(map(len, edges)) > AT_ONCE:
            labels, edges = _merged(labels, edges), []
    return _merged(labels, edges)


def _merged(labels: NDArray[np.int64], edges: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """The labels once the points of every edge (edges, 2) have the same."""
    if not edges:
        return labels
    left, right = labels[np.concatenate(edges)].T
    graph = sparse.coo_array((np.ones(len(left), dtype=bool), (left, right)), shape=(len(labels),) * 2)
    found: NDArray[np.int64] = sparse.csgraph.connected_components(graph, directed=False)[1]
    return found[labels]
