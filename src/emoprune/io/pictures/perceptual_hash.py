"""Perceptual hashes of pictures, and near-duplicates found by them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import fft, sparse

BITS = 64
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

TOGETHER = 256
"""Pictures that are transformed together; the hashes are the same, and take a third of the time."""


def perceptual_hash(image: Image.Image) -> str:
    """64 bits, as 16 hexadecimal digits; those of two copies of a picture differ in few.

    A bit says whether one of the 8 x 8 low frequencies of the gray picture of 32 x 32 pixels exceeds their
    median; the lowest comes first, then those to its right. Re-encoding, resizing and light change few bits
    (C. Zauner: Implementation and Benchmarking of Perceptual Image Hash Functions. 2010, section 3.2.1;
    shrinking replaces the averaging before).
    """
    return next(perceptual_hashes([image]))


def perceptual_hashes(images: Iterable[Image.Image]) -> Iterator[str]:
    """The hash of each picture."""
    grays = map(_gray, images)
    while batch := list(islice(grays, TOGETHER)):
        pixels = np.stack(batch).astype(np.float64)
        # the second transform only of the rows that are used
        rows = fft.dct(pixels, axis=1, norm="ortho")[:, LOW]
        low = fft.dct(rows, axis=2, norm="ortho")[:, :, LOW].reshape(len(batch), -1)
        low[np.abs(low) < NEGLIGIBLE] = 0
        above = np.packbits(low > np.median(low, axis=1, keepdims=True), axis=1)
        yield from (bits.tobytes().hex() for bits in above)


def _gray(image: Image.Image) -> NDArray[np.uint8]:
    gray = image if image.mode == "L" else image.convert("L")
    small = gray.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return np.frombuffer(small.tobytes(), dtype=np.uint8).reshape(SIDE, SIDE)


def hamming(first: str, second: str) -> int:
    """The number of the 64 bits in which two hashes differ."""
    return (int(first, 16) ^ int(second, 16)).bit_count()


def near_duplicates(hashes: Sequence[str], *, within_bits: int = NEAR_BITS) -> tuple[tuple[int, ...], ...]:
    """Groups of two or more near-duplicates, as indices in ascending order.

    A group is a connected component of hashes that differ in at most `within_bits` bits. Memory grows with
    the number of hashes; time too, unless many of them agree in some of their bits.
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
    labels = np.arange(len(points))
    edges: list[NDArray[np.int64]] = []
    for alike in _alike(points, within_bits):
        rows = max(1, AT_ONCE // len(alike))
        for start in range(0, len(alike), rows):
            block = points[alike[start : start + rows], None] ^ points[None, alike[start:]]
            left, right = np.nonzero(np.bitwise_count(block) <= within_bits)
            apart = left < right
            edges.append(np.stack([alike[start + left[apart]], alike[start + right[apart]]], axis=1))
            # edges are merged once there are many
            if sum(map(len, edges)) > AT_ONCE:
                labels, edges = _merged(labels, edges), []
    return _merged(labels, edges)


def _alike(points: NDArray[np.uint64], within_bits: int) -> Iterator[NDArray[np.int64]]:
    """Indices of points that agree in one of the bands of bits, band after band.

    Of one band more than bits that may differ, two points within `within_bits` agree in at least one.
    """
    limits = np.linspace(0, BITS, min(within_bits + 1, BITS) + 1).astype(int)
    for low, high in pairwise(limits.tolist()):
        band = (points >> np.uint64(low)) & np.uint64(2 ** (high - low) - 1)
        order = np.argsort(band, kind="stable")
        alike = np.split(order, np.flatnonzero(np.diff(band[order])) + 1)
        yield from (group for group in alike if len(group) > 1)


def _merged(labels: NDArray[np.int64], edges: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """The labels after the two points of every edge (edges, 2) get the same one."""
    if not edges:
        return labels
    left, right = labels[np.concatenate(edges)].T
    graph = sparse.coo_array((np.ones(len(left), dtype=bool), (left, right)), shape=(len(labels),) * 2)
    found: NDArray[np.int64] = sparse.csgraph.connected_components(graph, directed=False)[1]
    return found[labels]
