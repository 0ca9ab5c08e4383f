"""FER-2013 from scratch: a ResNet-18 by the recipe `modern`, and one of a tenth of its cost.

    python -m benchmarks.fer2013 DATA [--seeds 3] [--epochs 50] [--budget 0.1] [--healing 15] [--folder DIR]

DATA has train/ and val/ with a folder per class. Each seed trains a ResNet-18 at 64 pixels on train, without
a look at val: the last epoch is kept. It is pruned to the budget by `reconstruct`, and trained on for
`--healing` epochs with the whole network as its teacher. Accuracy is on all of val. With --folder the
checkpoints are kept there, and a run that was interrupted goes on.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import emoprune as ep
from benchmarks.common import machine, markdown, parser, progress, workplace
from benchmarks.healing import SETTINGS, accuracy
from emoprune.evaluation.confidence import estimate
from emoprune.networks.types import Checkpoint

WHOLE: dict[str, Any] = {
    "arch": "resnet18",
    "weights": "none",
    "size": "64",
    "batch_size": 64,
    "recipe": "modern",
    "keep": "last",
}


def kept(path: Path, **settings: Any) -> Checkpoint:
    """The checkpoint at a path, trained now if it is not there."""
    if path.exists():
        return ep.load(path)
    state = path.with_suffix(".state")
    made = ep.train(**settings, state=state, resume=state.exists())
    made.save(path)
    return made


def main() -> None:
    """Print a table: a row for each seed, and means."""
    arguments = parser(__doc__)
    arguments.add_argument("data")
    arguments.add_argument("--seeds", type=int, default=3)
    arguments.add_argument("--epochs", type=int, default=50)
    arguments.add_argument("--budget", type=float, default=0.1)
    arguments.add_argument("--healing", type=int, default=15)
    arguments.add_argument("--folder", type=Path)
    given = arguments.parse_args()
    print(f"{machine()}\n")
    with workplace(given.folder) as folder:
        print_table(given, folder)


def print_table(given: argparse.Namespace, folder: Path) -> None:
    """Train, prune and heal for each seed, and print what it comes to."""
    data = ep.open_data(given.data)
    rows, found = [], list[tuple[float, float, float]]()
    for seed in range(given.seeds):
        began = time.process_time()
        whole = kept(folder / f"whole{seed}.st", data=data, **WHOLE, epochs=given.epochs, seed=seed)
        pruned = ep.prune(whole, data=data, method="reconstruct", macs=given.budget)
        healing = {**SETTINGS, "epochs": given.healing, "seed": seed}
        small = kept(folder / f"small{seed}.st", data=data, start=pruned, teacher=whole, **healing)
        values = (accuracy(whole, data), accuracy(pruned, data), accuracy(small, data))
        progress(f"seed {seed}: {values}, {time.process_time() - began:.0f} CPU s")
        found.append(values)
        rows.append([str(seed), *(f"{value:.2f}%" for value in values)])
    means = [estimate(column) for column in zip(*found, strict=True)]
    shown = (
        f"{each.mean:.2f}%" if each.low is None else f"{each.mean:.2f}% ({each.low:.2f} to {each.high:.2f})"
        for each in means
    )
    headings = [
        "seed",
        "ResNet-18",
        f"pruned to {given.budget:g} of its MACs",
        f"after {given.healing} epochs",
    ]
    print(markdown(headings, [*rows, ["mean", *shown]]))


if __name__ == "__main__":
    main()
