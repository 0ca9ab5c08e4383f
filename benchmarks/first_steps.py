"""CPU time before a training can begin: reading a folder, splitting it, finding near-duplicates.

    python -m benchmarks.first_steps [--data FACES] [--pictures 100000] [--folder WORK]

Without --data, --pictures small JPEGs of smooth noise are written to --folder first, as `crop` leaves faces:
with a crops.csv that has their hashes. The times are of this process and all of its threads, in seconds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.common import CLASSES, PICTURE_SIDE, machine, markdown, parser, progress, workplace
from emoprune.data import near_duplicates, splits
from emoprune.data.config import SplitConfig
from emoprune.data.datasets import open_data
from emoprune.data.formats.image_folders import Folder
from emoprune.faces import manifest
from emoprune.faces.types import Box, CropRow
from emoprune.io.pictures.perceptual_hash import perceptual_hash

COARSE = 6
"""Values per side of the noise, enlarged to a picture."""


def drawn(folder: Path, *, pictures: int) -> Path:
    """Pictures by class and their crops.csv, unless they are there already."""
    target = folder / f"noise{pictures}"
    if (target / manifest.MANIFEST).is_file():
        return target
    generator, rows = np.random.default_rng(0), []
    for index in range(pictures):
        name = f"class{index % CLASSES}/{index:06d}.jpg"
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(generator.integers(0, 256, (COARSE, COARSE), dtype=np.uint8))
        smooth = np.asarray(
            coarse.resize((PICTURE_SIDE, PICTURE_SIDE), Image.Resampling.BICUBIC), dtype=float
        )
        noisy = smooth + generator.normal(0, 4, smooth.shape)
        picture = Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
        picture.save(target / name, quality=90)
        whole = Box(0, 0, PICTURE_SIDE, PICTURE_SIDE)
        rows.append(CropRow(name, name, manifest.FACE, whole, 1.0, phash=perceptual_hash(picture)))
    (target / manifest.MANIFEST).write_bytes(manifest.to_bytes(rows))
    return target


def timed(rows: list[list[str]], label: str, task: Callable[[], object]) -> None:
    """Run `task` and add a row with its CPU time."""
    start = time.process_time()
    task()
    rows.append([label, f"{time.process_time() - start:.2f}"])
    progress(" ".join(rows[-1]))


def measured(place: str) -> list[list[str]]:
    """CPU seconds of each step."""
    rows: list[list[str]] = []
    timed(rows, "open, with the fingerprint", lambda: open_data(place))
    data = open_data(place)
    assert isinstance(data, Folder)
    rule = splits.split_rule(data, SplitConfig(split="80/20"), seed=0)
    # the first split imports scikit-learn
    splits.partition(data.catalog, rule)
    timed(rows, "split at random", lambda: splits.partition(data.catalog, rule))
    parts = splits.partition(data.catalog, rule)
    timed(rows, "warn of near-duplicates, by crops.csv", lambda: splits.note_split(data, rule, parts))
    # without its place nobody finds the hashes
    unknown = replace(data, catalog=replace(data.catalog, place=""))
    timed(rows, "keep near-duplicates together, hashed", lambda: near_duplicates.kept_together(unknown))
    return rows


def arguments() -> argparse.Namespace:
    """The command line."""
    options = parser(__doc__)
    options.add_argument("--data", help="a folder of faces by class (default: noise)")
    options.add_argument("--pictures", type=int, default=100_000, help="of noise, where there is no --data")
    options.add_argument("--folder", type=Path, help="where the noise is kept (default: a temporary folder)")
    return options.parse_args()


def run() -> None:
    """Measure and print the table."""
    args = arguments()
    where = machine()
    with workplace(args.folder) as folder:
        place = args.data or str(drawn(folder, pictures=args.pictures))
        print(markdown(["step", "CPU s"], measured(place)), end="\n\n")
    print(where)


if __name__ == "__main__":
    run()
