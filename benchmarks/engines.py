"""Pruned networks in onnxruntime: are the answers right, and how much faster are they?

    python -m benchmarks.engines DATA [--weights NAME=PATH ...] [--images 350] [--repeats 100] [--work DIR]

DATA has train/ and val/ with a folder per class. Each network gets the weights given for it, or random
ones. It is pruned to half its multiply-accumulates, exported, and evaluated on val as checkpoint and as
ONNX file. If the accuracies differ, the exit code is 1. Then a ResNet-18 at 224 pixels processes one
image at a time: whole, at half its multiply-accumulates, and the same with widths that are multiples of
8. The three take turns; ratios are medians over the rounds.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from benchmarks.common import (
    emoprune,
    interleaved,
    machine,
    markdown,
    median_ratio,
    parser,
    progress,
    sampled_data,
    workplace,
)

NAMES = ("alexnet", "resnet18", "mobilenet_v2", "densenet121")
TIMED = "resnet18"
TIMED_SIDE = 224
TIMED_IMAGES = 70
WARM_UP = 10
HALF = ("--method", "reconstruct", "--macs", 0.5, "--data", "none")
ROUNDED = 8
TARGET = 1.6
AGREEMENT = (
    "network",
    "MACs left",
    "parameters left",
    "whole, %",
    "half, %",
    "half as ONNX, %",
    "equal",
    "log loss apart",
)
LATENCY = (f"{TIMED}, {TIMED_SIDE} pixels", "MACs left", "ms per image", "times faster", "target")
MEASURED = ("accuracy", "latency")


def adopted(
    name: str,
    data: Path,
    place: Path,
    *,
    side: int,
    weights: Mapping[str, str],
    extra: tuple[object, ...] = (),
) -> Path:
    """A checkpoint of an architecture, with the weights given for it or random ones."""
    model = place / f"{name}.{side}.st"
    shape = ("--arch", name, "--size", side, "--epochs", 0, "--weights", weights.get(name, "none"))
    emoprune("train", data, model, *shape, *extra, "--force")
    return model


def halved(model: Path, *options: object) -> tuple[Path, dict[str, Any]]:
    """A pruned checkpoint and the summary of its pruning."""
    target = model.with_suffix(".".join([".half", *map(str, options), "st"]).replace("--", ""))
    (summary,) = emoprune("prune", model, "-o", target, "--force", *HALF, *options)
    return target, summary


def exported(model: Path, data: Path) -> Path:
    """The ONNX file of a checkpoint."""
    target = model.with_suffix(".onnx")
    emoprune("export", model, target, "--data", data, "--force")
    return target


def agreement(args: argparse.Namespace, place: Path) -> tuple[list[list[str]], bool]:
    """A row per network, and whether each ONNX file is as accurate as its checkpoint."""
    data = place / "data"
    sampled_data(args.data, data, images=args.images, seed=0)
    rows, equal = [], True
    for name in NAMES:
        preprocess = ("--mean", args.mean, "--std", args.std)
        model = adopted(name, data, place, side=args.size, weights=dict(args.weights), extra=preprocess)
        half, summary = halved(model)
        files = (model, half, exported(half, data))
        whole, checkpoint, engine = (emoprune("eval", file, data, "--split", "val")[0] for file in files)
        same = checkpoint["accuracy"] == engine["accuracy"] and checkpoint["confusion"] == engine["confusion"]
        equal = equal and same
        left = [summary[key]["after"] / summary[key]["before"] for key in ("macs", "parameters")]
        accuracies = [f"{100 * scores['accuracy']:.2f}" for scores in (whole, checkpoint, engine)]
        apart = f"{abs(checkpoint['log_loss'] - engine['log_loss']):.0e}"
        fractions = [f"{each:.1%}" for each in left]
        rows.append([name, *fractions, *accuracies, "yes" if same else "NO", apart])
        progress(" ".join(rows[-1]))
    return rows, equal


def latency(args: argparse.Namespace, place: Path) -> list[list[str]]:
    """A row per ResNet-18: time of one image, and how many times faster than the whole network."""
    data = place / "few"
    sampled_data(args.data, data, images=TIMED_IMAGES, seed=0)
    whole = adopted(TIMED, data, place, side=TIMED_SIDE, weights=dict(args.weights))
    half, summary = halved(whole)
    rounded, rounded_summary = halved(whole, "--round-to", ROUNDED)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = args.threads
    image = np.random.default_rng(0).standard_normal((1, 3, TIMED_SIDE, TIMED_SIDE), dtype=np.float32)
    names = ("whole", "half", f"half, widths multiples of {ROUNDED}")
    tasks = {}
    for name, model in zip(names, (whole, half, rounded), strict=True):
        file = str(exported(model, data))
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        tasks[name] = partial(session.run, None, {session.get_inputs()[0].name: image})
    interleaved(tasks, WARM_UP)
    seconds = interleaved(tasks, args.repeats)
    rows = []
    for name, cost in zip(names, ({}, summary, rounded_summary), strict=True):
        left = cost["macs"]["after"] / cost["macs"]["before"] if cost else 1
        times = [1000 * statistics.median(seconds[name]), median_ratio(seconds[names[0]], seconds[name])]
        rows.append(
            [name, f"{left:.1%}", f"{times[0]:.1f}", f"{times[1]:.2f}", f"{TARGET:g}" if cost else ""]
        )
    return rows


def weights_of(text: str) -> tuple[str, str]:
    """NAME=PATH as a pair."""
    name, _, path = text.partition("=")
    if name not in NAMES or not Path(path).is_file():
        raise argparse.ArgumentTypeError(f"{text}: give one of {', '.join(NAMES)}, = and a file")
    return name, path


def arguments() -> argparse.Namespace:
    """The command line."""
    options = parser(__doc__)
    options.add_argument("data", type=Path, help="folder with train/ and val/")
    options.add_argument("--weights", type=weights_of, nargs="+", default=[], metavar="NAME=PATH")
    options.add_argument("--images", type=int, default=350, help="training images to use")
    options.add_argument("--size", type=int, default=64, help="side of the input for comparing accuracies")
    options.add_argument("--mean", type=float, default=0.5, help="of the networks' preprocessing")
    options.add_argument("--std", type=float, default=0.25, help="of the networks' preprocessing")
    options.add_argument("--threads", type=int, default=1, help="of onnxruntime; 0 lets it choose")
    options.add_argument("--repeats", type=int, default=100, help="rounds that count")
    options.add_argument("--only", nargs="+", choices=MEASURED, default=MEASURED, help="(default: both)")
    options.add_argument("--work", type=Path, help="folder for data and models (default: temporary)")
    return options.parse_args()


def run() -> None:
    """Measure and print the tables."""
    args = arguments()
    where = machine()
    equal = True
    with workplace(args.work) as place:
        if "accuracy" in args.only:
            rows, equal = agreement(args, place)
            print(markdown(AGREEMENT, rows), end="\n\n")
        if "latency" in args.only:
            print(markdown(LATENCY, latency(args, place)))
            print(f"\nmedians of {args.repeats} rounds", end="\n\n")
    print(f"onnxruntime {onnxruntime.__version__}, {where}")
    if not equal:
        raise SystemExit(1)


if __name__ == "__main__":
    run()
