"""Accuracy on film frames when films are kept apart, and what each ingredient of the training brings.

    python -m benchmarks.films FACES WEIGHTS [--seeds 5] [--folds 5] [--only NAME ...]

FACES has a folder of faces per class, whose names begin with that of their film, as those of SFEW do. WEIGHTS
is a network for faces of the same classes. Each row trains it on with all INGREDIENTS up to its own, on all
folds but one, films kept apart. The accuracy is that of all faces, each answered by the network that has not
seen its film. Every seed makes other folds.

No epoch is chosen: the last one counts. To choose ingredients, take seeds that are not reported (--first).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.common import machine, markdown, parser, progress
from emoprune.evaluation.confidence import estimate, paired

START = ["--arch", "resnet18", "--size", "64", "--mean", "0.5", "--std", "0.25"]
INGREDIENTS: dict[str, list[str]] = {
    # folds are of trainings, and one at a rate of 0 changes nothing
    "as it is": ["--epochs", "1", "--lr", "0", "--freeze-bn"],
    "gray pictures": ["--gray"],
    "batch norms of the films": ["--adapt-bn"],
    "12 epochs of adam": ["--epochs", "12", "--lr", "3e-4"],
    "adamw, one-cycle": ["--optimizer", "adamw", "--schedule", "one-cycle", "--weight-decay", "0.05"],
    "flip, rotate, crop": ["--augment", "flip,rotate:10,crop:0.85"],
    "label smoothing": ["--label-smoothing", "0.1"],
    "mixup": ["--mixup", "0.2"],
    "average of the weights": ["--ema", "0.99"],
}


def main() -> None:
    """Print a table: a row for each ingredient."""
    arguments = parser(__doc__)
    arguments.add_argument("faces")
    arguments.add_argument("weights")
    arguments.add_argument("--first", type=int, default=0, metavar="SEED")
    arguments.add_argument("--seeds", type=int, default=5)
    arguments.add_argument("--folds", type=int, default=5)
    arguments.add_argument("--group-by", default="^[^_-]+")
    arguments.add_argument("--only", nargs="+", choices=INGREDIENTS)
    arguments.add_argument("--jobs", type=int, default=1)
    given = arguments.parse_args()
    print(f"{machine()}\n")
    rows = []
    options: list[str] = []
    before: dict[int, float] | None = None
    for name, more in INGREDIENTS.items():
        options += more
        if given.only and name not in given.only:
            continue
        found = {
            seed: accuracy(given, options, seed) for seed in range(given.first, given.first + given.seeds)
        }
        progress(f"{name}: {' '.join(f'{value:.1f}' for value in found.values())}")
        gain = paired(before.items(), found.items()) if before else None
        mean = estimate(found.values())
        shown = (
            f"{mean.mean:.1f}% ({mean.low:.1f} to {mean.high:.1f})"
            if mean.low is not None
            else f"{mean.mean:.1f}%"
        )
        rows.append([name, shown, f"{gain.mean:+.1f}" if gain else ""])
        before = found
    print(markdown(["with, from above", "accuracy", "gain, points"], rows))


def accuracy(given: argparse.Namespace, options: list[str], seed: int) -> float:
    """Out of fold, in percent."""
    with tempfile.TemporaryDirectory() as folder:
        argv = [sys.executable, "-m", "emoprune", "train", given.faces, str(Path(folder, "m.st"))]
        argv += [*START, "--weights", given.weights, *options, "--seed", str(seed), "--no-statistics"]
        argv += [
            "--folds",
            str(given.folds),
            "--group-by",
            given.group_by,
            "--jobs",
            str(given.jobs),
            "--json",
        ]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return 100 * float(json.loads(done.stdout)["out_of_fold"]["accuracy"])


if __name__ == "__main__":
    main()
