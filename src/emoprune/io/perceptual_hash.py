"""Perceptual hashes of pictures, and near-duplicates found by them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import fft, sparse

SIDE = 32
"""Pixels of the side to which a picture is shrunk before the transform."""

LOW = slice(1, 9)
"""The frequencies used in either direction; 0, the brightness of rows and columns, is left out."""

NEAR_BITS = 6
"""Hashes of near-duplicates differ in at most so many bits; see benchmarks/near_duplicates.py."""

NEGLIGIBLE = 1e-6
"""Smaller coefficients count as 0: in a picture without structure, rounding would choose the bits."""

AT_ONCE = 2**20
"""Pairs of pictures compared, and edges kept, at a time."""


def perceptual_hash(image: Image.Image) -> str:
    """64 bits, as 16 hexadecimal digits; those of two copies of a picture differ in few.

    A bit says whether one of the 8 x 8 low frequencies of the gray picture of 32 x 32 pixels exceeds their
    median; the lowest comes first, then those to its right. Re-encoding, resizing and light change few bits
    (C. Zauner: Implementation and Benchmarking of Perceptual Image Hash Functions. 2010, section 3.2.1;
    shrinking replaces the averaging before).
    """
    gray = image.convert("L").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    low = fft.dctn(np.asarray(gray, dtype=np.float64), norm="ortho")[LOW, LOW].ravel()
    low[np.abs(low) < NEGLIGIBLE] = 0
    return np.packbits(low > np.median(low)).tobytes().hex()


def hamming(first: str, second: str) -> int:
    """The number of the 64 bits in which two hashes differ."""
    return (int(first, 16) ^ int(second, 16)).bit_count()


def near_duplicates(hashes: Sequence[str], *, within_bits: int = NEAR_BITS) -> tuple[tuple[int, ...], ...]:
    """Groups of two or more near-duplicates, as indices in ascending order.

    A group is a connected component of hashes that differ in at most `within_bits` bits. Time grows with
    the square of the number of different hashes, memory with the number.
    """
    bits = np.array([int(each, 16) for each in hashes], dtype=np.uint64)
    # copies with the same hash are one point
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
        # edges are merged once there are many; each point has one to itself
        if sum(map(len, edges)) > AT_ONCE:
            labels, edges = _merged(labels, edges), []
    return _merged(labels, edges)


def _merged(labels: NDArray[np.int64], edges: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """The labels after the two points of every edge (edges, 2) get the same one."""
    if not edges:
        return labels
    left, right = labels[np.concatenate(edges)].T
    graph = sparse.coo_array((np.ones(len(left), dtype=bool), (left, right)), shape=(len(labels),) * 2)
    found: NDArray[np.int64] = sparse.csgraph.connected_components(graph, directed=False)[1]
    return found[labels]
