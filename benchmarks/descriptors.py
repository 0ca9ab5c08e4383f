"""Pictures per second of each descriptor, on one core.

    python -m benchmarks.descriptors [--repeats 7] [--images 50] [--size 128] [--data PATH]

Drawn faces, or the first pictures of --data, become gray squares of --size before the clock starts. The
descriptors take turns, --repeats times; the rate is that of the median round.
"""

from __future__ import annotations

import argparse
import statistics as middles
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.common import interleaved, machine, markdown, parser
from emoprune.features.extract import DESCRIBE
from emoprune.io.pictures.image_files import list_files
from emoprune.io.pictures.images import read_photo
from emoprune.synthetic_faces import draw_scene

EXPRESSIONS = ("angry", "happy", "surprise")
TARGET = 50

Gray = NDArray[np.uint8]


def faces(args: argparse.Namespace) -> list[Gray]:
    """--images gray squares."""
    if args.data is not None:
        photos = [read_photo(args.data / name) for name in list_files(args.data).pictures[: args.images]]
    else:
        photos = [drawn(index, args.size) for index in range(args.images)]
    side = (args.size, args.size)
    return [np.asarray(photo.convert("L").resize(side)) for photo in photos]


def drawn(index: int, size: int) -> Image.Image:
    """The drawn scene with this index."""
    generator = np.random.default_rng(index)
    return draw_scene(EXPRESSIONS[index % len(EXPRESSIONS)], generator=generator, size=(size, size))


def arguments() -> argparse.Namespace:
    """The command line."""
    options = parser(__doc__)
    options.add_argument("--repeats", type=int, default=7, help="rounds that count")
    options.add_argument("--images", type=int, default=50, help="pictures per round")
    options.add_argument("--size", type=int, default=128, help="side of a picture, in pixels")
    options.add_argument("--data", type=Path, help="folder of pictures (default: drawn faces)")
    return options.parse_args()


def run() -> None:
    """Measure and print the table."""
    args = arguments()
    where = machine()
    images = faces(args)

    def task(name: str) -> Callable[[], object]:
        describe = DESCRIBE[name]
        return lambda: [describe(image) for image in images]

    seconds = interleaved({name: task(name) for name in DESCRIBE}, args.repeats)
    rows = [
        [name, f"{len(images) / middles.median(found):,.0f}", f"{len(images) / max(found):,.0f}", str(TARGET)]
        for name, found in seconds.items()
    ]
    headings = ["descriptor", "images/s", "slowest round", "target"]
    print(markdown(headings, rows), end="\n\n")
    print(f"{len(images)} pictures of {args.size}x{args.size}, medians of {args.repeats} rounds, {where}")


if __name__ == "__main__":
    run()
