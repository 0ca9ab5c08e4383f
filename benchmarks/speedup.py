"""Networks pruned to a measured speed: what was asked, what single layers promised, what was measured.

    python -m benchmarks.speedup [--asked 2] [--threads 1] [--only NAME ...] [--work DIR]

Each network has random weights and the statistics of noise pictures at 224 pixels: no answers matter here. It
is pruned with --speedup, and beside it to the fraction of multiply-accumulates that would promise as much.
Both are exported and take turns with the whole network once more; "measured again" is that median ratio. Of
VGG13 only the convolutions are pruned: its dense layers take little of the time, and minutes to decide.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import onnxruntime
import torch

import emoprune as ep
from benchmarks.common import (
    interleaved,
    machine,
    markdown,
    median_ratio,
    noise_data,
    parser,
    progress,
    workplace,
)
from emoprune.errors import UsageFault
from emoprune.io.onnx_engine import Engine
from emoprune.networks.types import Checkpoint

NAMES = ("resnet18", "vgg13_bn", "mobilenet_v2")
SIDE = 224
IMAGES = 70
WARM_UP = 3
HEADINGS = ("network", "pruned to", "predicted", "measured", "measured again", "MACs left", "seconds")
LAYERS = {"vgg13_bn": "features.*"}
SHARED: dict[str, Any] = {"method": "reconstruct", "data": "none", "max_error": 1000}


def task(checkpoint: Checkpoint, place: Path, threads: int) -> Callable[[], object]:
    """A call that runs one sample in onnxruntime."""
    target = place / "timed.onnx"
    ep.export(checkpoint, target, force=True, tolerance=1)
    return Engine(target.read_bytes(), threads=threads).task(torch.randn(1, 3, SIDE, SIDE))


def rows(args: argparse.Namespace, name: str, place: Path) -> list[list[str]]:
    """A row for the speed that was asked, and one for the same fraction of multiply-accumulates."""
    data = place / "noise"
    noise_data(data, images=IMAGES)
    whole = ep.train(data, arch=name, size=str(SIDE), epochs=0, weights="none", split="80/20")
    tasks = {"whole": task(whole, place, args.threads)}
    found = []
    timed = {"speedup": args.asked, "threads": args.threads}
    for key, settings in {f"--speedup {args.asked:g}": timed, "--macs": {"macs": 1 / args.asked}}.items():
        label = key if settings is timed else f"{key} {1 / args.asked:.3g}"
        start = time.perf_counter()
        try:
            pruned = ep.prune(whole, layer=LAYERS.get(name, "*"), **SHARED, **settings)
        except UsageFault as fault:
            found.append([name, label, "-", str(fault), "-", "-", f"{time.perf_counter() - start:.0f}"])
            continue
        seconds = time.perf_counter() - start
        done = pruned.history[-1].metrics
        speed = done.get("speed") or {}
        tasks["pruned"] = task(pruned, place, args.threads)
        interleaved(tasks, WARM_UP)
        both = interleaved(tasks, args.repeats)
        promised = [f"{speed[name]:.2f}" if speed else "-" for name in ("predicted", "speedup")]
        again = f"{median_ratio(both['whole'], both['pruned']):.2f}"
        left = f"{done['macs']['after'] / done['macs']['before']:.1%}"
        found.append([name, label, *promised, again, left, f"{seconds:.0f}"])
        progress(" ".join(found[-1]))
    return found


def arguments() -> argparse.Namespace:
    """The command line."""
    options = parser(__doc__)
    options.add_argument("--asked", type=float, default=2, help="how many times as fast")
    options.add_argument("--threads", type=int, default=1, help="of onnxruntime")
    options.add_argument("--repeats", type=int, default=40, help="rounds of the last measurement")
    options.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, help="(default: all)")
    options.add_argument("--work", type=Path, help="folder for data and models (default: temporary)")
    return options.parse_args()


def run() -> None:
    """Measure and print the table."""
    args = arguments()
    where = machine()
    with workplace(args.work) as place:
        made = partial(rows, args, place=place)
        table = [row for name in args.only for row in made(name)]
    print(markdown(HEADINGS, table, left=2))
    print(f"\nonnxruntime {onnxruntime.__version__}, {args.threads} threads, {where}")


if __name__ == "__main__":
    run()
