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

import emoprune as ep
from benchmarks.common import (
    interleaved,
    machine,
    markdown,
    median_ratio,
    parser,
    progress,
    sampled_data,
    workplace,
)
from emoprune.evaluation.types import Metrics

NAMES = ("alexnet", "resnet18", "mobilenet_v2", "densenet121")
TIMED = "resnet18"
TIMED_SIDE = 224
TIMED_IMAGES = 70
WARM_UP = 10
HALF: dict[str, Any] = {"method": "reconstruct", "macs": 0.5, "data": "none"}
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
    **settings: Any,
) -> Path:
    """A checkpoint of an architecture, with the weights given for it or random ones."""
    model = place / f"{name}.{side}.st"
    weights_file = weights.get(name, "none")
    trained = ep.train(data, arch=name, size=str(side), epochs=0, weights=weights_file, **settings)
    trained.save(model, force=True)
    return model


def halved(model: Path, **settings: Any) -> tuple[Path, dict[str, float]]:
    """A pruned checkpoint, and the fractions of parameters and multiply-accumulates that are left."""
    target = model.with_suffix(".".join([".half", *map(str, settings.values()), "st"]))
    pruned = ep.prune(model, **HALF, **settings)
    pruned.save(target, force=True)
    done = pruned.history[-1].metrics
    return target, {key: done[key]["after"] / done[key]["before"] for key in ("macs", "parameters")}


def exported(model: Path, data: Path) -> Path:
    """The ONNX file of a checkpoint."""
    target = model.with_suffix(".onnx")
    ep.export(model, target, data=data, force=True)
    return target


def scores(model: Path, data: Path) -> Metrics:
    """The metrics of a model on the val part."""
    found = ep.evaluate(model, data, part="val")
    assert isinstance(found, Metrics)
    return found


def agreement(args: argparse.Namespace, place: Path) -> tuple[list[list[str]], bool]:
    """A row per network, and whether each ONNX file is as accurate as its checkpoint."""
    data = place / "data"
    sampled_data(args.data, data, images=args.images, seed=0)
    rows, equal = [], True
    for name in NAMES:
        scale = {"mean": str(args.mean), "std": str(args.std)}
        model = adopted(name, data, place, side=args.size, weights=dict(args.weights), **scale)
        half, left = halved(model)
        files = (model, half, exported(half, data))
        whole, checkpoint, engine = (scores(file, data) for file in files)
        same = (checkpoint.accuracy, checkpoint.confusion) == (engine.accuracy, engine.confusion)
        equal = equal and same
        accuracies = [f"{100 * each.accuracy:.2f}" for each in (whole, checkpoint, engine)]
        apart = f"{abs(checkpoint.log_loss - engine.log_loss):.0e}"
        fractions = [f"{each:.1%}" for each in left.values()]
        rows.append([name, *fractions, *accuracies, "yes" if same else "NO", apart])
        progress(" ".join(rows[-1]))
    return rows, equal


def latency(args: argparse.Namespace, place: Path) -> list[list[str]]:
    """A row per ResNet-18: time of one image, and how many times faster than the whole network."""
    data = place / "few"
    sampled_data(args.data, data, images=TIMED_IMAGES, seed=0)
    whole = adopted(TIMED, data, place, side=TIMED_SIDE, weights=dict(args.weights))
    half, cost = halved(whole)
    rounded, rounded_cost = halved(whole, round_to=ROUNDED)
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
    for name, fractions in zip(names, ({}, cost, rounded_cost), strict=True):
        left = fractions.get("macs", 1)
        times = [1000 * statistics.median(seconds[name]), median_ratio(seconds[names[0]], seconds[name])]
        rows.append(
            [name, f"{left:.1%}", f"{times[0]:.1f}", f"{times[1]:.2f}", f"{TARGET:g}" if fractions else ""]
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
