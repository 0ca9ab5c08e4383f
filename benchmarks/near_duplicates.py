r"""Distances between hashes of copies, of frames of one shot and of other pictures, and the groups they make.

    python -m benchmarks.near_duplicates [--data FACES] [--film '^[^_]+'] [--shot '^[^_]+_\d+']
        [--copies 600] [--pairs 120]

FACES is what `train` takes: a folder of faces by class, or a CSV of pixels. Without it, 300 drawn faces.

The first table alters --copies of them, and counts the hashes that then differ in at most 0, 2, 4, ...
bits. The second counts the pairs at every distance: of one --shot, of one --film, or of neither. It also
says how many of --pairs such pairs are alike by a second measure, and which groups a threshold there
makes. Two pictures are alike if their gray versions at 48 x 48 correlate by 0.8 or more at some shift of
up to 4 pixels.
"""

from __future__ import annotations

import argparse
import io
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.common import machine, markdown, parser, progress
from benchmarks.descriptors import drawn
from emoprune.data.datasets import open_data
from emoprune.data.types import Table
from emoprune.io.pictures.perceptual_hash import NEAR_BITS, hamming, near_duplicates, perceptual_hash

DRAWN, DRAWN_SIDE = 300, 96
STEPS = (0, 2, 4, 6, 8, 10, 12)
"""Half of the bits of a hash are set, so two hashes differ in an even number of bits."""

KINDS = ("one shot", "one film", "other")
SIDE, REACH, ALIKE = 48, 4, 0.8

Pair = tuple[int, int]


@dataclass(frozen=True)
class Pictures:
    """Names, and pictures by index."""

    names: tuple[str, ...]
    picture: Callable[[int], Image.Image]


def pictures_of(data: str | None) -> Pictures:
    """The pictures of the user, or drawn ones."""
    if data is None:
        return Pictures(tuple(f"{index}_{index}" for index in range(DRAWN)), lambda i: drawn(i, DRAWN_SIDE))
    found = open_data(data)
    assert not isinstance(found, Table)
    return Pictures(found.catalog.names, found.picture)


def as_jpeg(image: Image.Image, quality: int) -> Image.Image:
    """The picture after saving with that quality."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return Image.open(stream)


def resized(image: Image.Image, factor: float) -> Image.Image:
    """The picture, scaled by `factor`."""
    return image.resize((round(image.width * factor), round(image.height * factor)))


def cut(image: Image.Image, fraction: float) -> Image.Image:
    """The picture without its upper and left edge, resized to the old size."""
    left, top = (max(1, round(side * fraction)) for side in image.size)
    return image.crop((left, top, *image.size)).resize(image.size)


ALTERED: dict[str, Callable[[Image.Image], Image.Image]] = {
    "copied": lambda image: image.copy(),
    "JPEG of quality 75": lambda image: as_jpeg(image, 75),
    "JPEG of quality 40": lambda image: as_jpeg(image, 40),
    "half as large": lambda image: resized(image, 0.5),
    "1.5 times as large": lambda image: resized(image, 1.5),
    "20% brighter": lambda image: image.point(lambda value: min(255, int(value * 1.2))),
    "cut by 1%": lambda image: cut(image, 0.01),
    "cut by 3%": lambda image: cut(image, 0.03),
}


def copies_table(found: Pictures, hashes: Sequence[str], chosen: Sequence[int]) -> str:
    """The fraction of copies within each distance of their original."""
    rows = []
    for name, alter in ALTERED.items():
        bits = np.array([hamming(hashes[i], perceptual_hash(alter(found.picture(i)))) for i in chosen])
        rows.append([name, *(f"{(bits <= step).mean():.1%}" for step in STEPS)])
    return markdown(["altered", *(f"within {step} bits" for step in STEPS)], rows)


def kinds_of(names: Sequence[str], args: argparse.Namespace) -> list[NDArray[np.int64]]:
    """The number of the shot and of the film of each picture; without a pattern each has its own."""
    numbers = []
    for pattern in (args.shot, args.film):
        found = [re.search(pattern, PurePosixPath(name).name) if pattern else None for name in names]
        keys = [match.group() if match else f"/{index}" for index, match in enumerate(found)]
        numbers.append(np.unique(keys, return_inverse=True)[1])
    return numbers


def near_pairs(hashes: Sequence[str]) -> Iterator[tuple[int, Pair]]:
    """Every pair within the largest step, with its distance."""
    bits = np.array([int(each, 16) for each in hashes], dtype=np.uint64)
    for first in range(len(bits)):
        apart = np.bitwise_count(bits[first] ^ bits[first + 1 :])
        for place in np.flatnonzero(apart <= STEPS[-1]):
            yield int(apart[place]), (first, first + 1 + int(place))


def correlation(first: Image.Image, second: Image.Image) -> float:
    """The largest correlation of two gray pictures over all small shifts."""
    one, other = (
        np.asarray(image.convert("L").resize((SIDE, SIDE)), dtype=float) for image in (first, second)
    )
    inner = one[REACH:-REACH, REACH:-REACH]
    inner = inner - inner.mean()
    best = -1.0
    for down, right in product(range(2 * REACH + 1), repeat=2):
        window = other[down:, right:][: inner.shape[0], : inner.shape[1]]
        window = window - window.mean()
        size = np.sqrt((inner**2).sum() * (window**2).sum())
        best = max(best, float((inner * window).sum() / size) if size else 1.0)
    return best


def pairs_table(found: Pictures, hashes: Sequence[str], args: argparse.Namespace) -> str:
    """The pairs at every distance, and the groups that a threshold there makes."""
    shot, film = kinds_of(found.names, args)
    at: dict[int, list[Pair]] = {step: [] for step in STEPS}
    for bits, pair in near_pairs(hashes):
        at[bits].append(pair)
    generator = np.random.default_rng(0)
    rows = []
    for bits, pairs in at.items():
        kinds = [0 if shot[i] == shot[j] else 1 if film[i] == film[j] else 2 for i, j in pairs]
        chosen = [pairs[place] for place in generator.permutation(len(pairs))[: args.pairs]]
        alike = [correlation(found.picture(i), found.picture(j)) >= ALIKE for i, j in chosen]
        groups = near_duplicates(hashes, within_bits=bits)
        sizes = sorted(map(len, groups), reverse=True)
        rows.append(
            [
                f"{bits}{' (chosen)' if bits == NEAR_BITS else ''}",
                *(f"{kinds.count(kind):,}" for kind in range(len(KINDS))),
                f"{np.mean(alike):.0%}" if alike else "-",
                f"{len(groups):,}",
                f"{sum(sizes):,}",
                ", ".join(map(str, sizes[:3])) or "-",
                f"{sum(len(set(film[list(group)])) > 1 for group in groups):,}" if args.film else "-",
            ]
        )
        progress(f"{bits} bits: {len(pairs):,} pairs")
    pairs_of = (f"pairs of {kind}" if kind != "other" else "other pairs" for kind in KINDS)
    return markdown(
        ["bits", *pairs_of, "alike", "groups within", "pictures", "largest", "of several films"], rows
    )


def arguments() -> argparse.Namespace:
    """The command line."""
    options = parser(__doc__)
    options.add_argument("--data", help="faces by class, or a CSV of pixels (default: drawn faces)")
    options.add_argument("--film", help="pictures whose names match this alike are of one film")
    options.add_argument("--shot", help="the same for one shot")
    options.add_argument("--copies", type=int, default=600, help="pictures to alter")
    options.add_argument("--pairs", type=int, default=120, help="pairs to compare at each distance")
    return options.parse_args()


def run() -> None:
    """Measure and print the tables."""
    args = arguments()
    where = machine()
    found = pictures_of(args.data)
    start = time.perf_counter()
    hashes = [perceptual_hash(found.picture(index)) for index in range(len(found.names))]
    hashed = time.perf_counter()
    near_duplicates(hashes)
    grouped = time.perf_counter()
    chosen = np.random.default_rng(0).permutation(len(hashes))[: args.copies].tolist()
    print(copies_table(found, hashes, chosen), end="\n\n")
    print(pairs_table(found, hashes, args), end="\n\n")
    print(
        f"{len(hashes):,} pictures: read and hashed in {hashed - start:.1f} s, grouped in "
        f"{grouped - hashed:.2f} s, {where}"
    )


if __name__ == "__main__":
    run()
