"""Time and memory of pruning, as ratios to well-known work, measured in one run.

    python -m benchmarks.pruning_time [--weights PATH] [--repeats 7] [--batch 500] [--only NAME ...]

statistics  one pass that collects all statistics for pruning a ResNet-18 at 224 pixels, against a plain
            forward pass over the same random images
angles      angles between 4,096 units over 10,000 patterns in batches, against scikit-learn's
            cosine_similarity of the whole float64 matrix
memory      the peak of a process that computes these angles, for more and more patterns
command     `emoprune prune --method reconstruct --macs 0.5 --data none` of a ResNet-18 at 224 pixels, with
            --weights or random ones, as a process, against one that only imports torch and torchvision

Both sides take turns, --repeats times; ratios are medians over the rounds.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import statistics as middles
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import emoprune as ep
from benchmarks.common import (
    interleaved,
    machine,
    markdown,
    median_ratio,
    noise_data,
    parser,
    progress,
)
from emoprune.networks import build
from emoprune.networks.graph import channel_graph
from emoprune.networks.statistics.activation_statistics import UnitSums, collect
from emoprune.networks.types import Spec
from emoprune.pruning.angles import angles_deg

ARCH = "resnet18"
SIDE = 224
BATCH, BATCHES = 32, 2
UNITS, PATTERNS = 4096, 10_000
LONGER = 1, 4, 16
PICTURES = 70
AGREEMENT_DEG = 1e-3

Row = list[str]


def compared(names: tuple[str, str], seconds: dict[str, list[float]], target: float) -> Row:
    """One row: the medians of both sides, the ratio and its target."""
    first, second = (seconds[name] for name in names)
    ratio = median_ratio(first, second)
    progress(f"{names[0]} / {names[1]}: {ratio:.2f}")
    return [
        *names,
        *(f"{middles.median(each):.2f}" for each in (first, second)),
        f"{ratio:.2f}",
        f"{target:g}",
    ]


def statistics_pass(args: argparse.Namespace) -> Row:
    """Collecting statistics against a plain forward pass."""
    torch.manual_seed(0)
    spec = Spec(ARCH, classes=7, input=(3, SIDE, SIDE))
    net = build.build(spec).eval()
    graph = channel_graph(build.blueprint(spec), spec.input)
    images = [torch.randn(BATCH, *spec.input) for _ in range(BATCHES)]

    def forward() -> None:
        with torch.inference_mode():
            for batch in images:
                net(batch)

    names = ("statistics of all layers", "plain forward pass")
    tasks = dict(zip(names, (lambda: collect(net, graph, graph.layers, images), forward), strict=True))
    return compared(names, interleaved(tasks, args.repeats), target=1.6)


def angles_of(batches: Iterable[Tensor]) -> Tensor:
    """Angles between all units of activations that come batch by batch."""
    sums = UnitSums()
    for batch in batches:
        sums.take(batch)
    return angles_deg(sums.statistics(), center="none")


def activations(patterns: int, batch: int) -> Iterator[Tensor]:
    """Batches of what 4,096 sigmoid units might say."""
    generator = torch.Generator().manual_seed(0)
    for start in range(0, patterns, batch):
        yield torch.randn(min(batch, patterns - start), UNITS, generator=generator).sigmoid()


def angles(args: argparse.Namespace) -> Row:
    """Angles from streamed batches against cosine similarities of the whole matrix."""
    from sklearn.metrics.pairwise import cosine_similarity

    batches = list(activations(PATTERNS, args.batch))
    # a row per unit, contiguous: what scikit-learn wants
    matrix = np.ascontiguousarray(torch.cat(batches).double().numpy().T)
    expected = torch.rad2deg(torch.acos(torch.from_numpy(cosine_similarity(matrix)).clamp(-1, 1)))
    apart = (angles_of(batches) - expected.fill_diagonal_(0)).abs().max()
    if apart > AGREEMENT_DEG:
        raise SystemExit(f"angles differ from scikit-learn's by up to {apart} degrees")
    names = (
        f"angles of {UNITS:,} units, {PATTERNS:,} patterns, {args.batch:,} at once",
        "scikit-learn's cosine_similarity",
    )
    tasks = dict(zip(names, (lambda: angles_of(batches), lambda: cosine_similarity(matrix)), strict=True))
    return compared(names, interleaved(tasks, args.repeats), target=1)


def peak_mib(patterns: int, batch: int) -> float:
    """Peak memory of this process after the angles of `patterns` patterns."""
    angles_of(activations(patterns, batch))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # bytes on macOS, KiB elsewhere
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def memory(args: argparse.Namespace) -> list[Row]:
    """Peak memory of separate processes, for more and more patterns."""
    rows = []
    for patterns in (times * PATTERNS for times in LONGER):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            peak = pool.apply(peak_mib, (patterns, args.batch))
        progress(f"{patterns:,} patterns: {peak:,.0f} MiB")
        rows.append([f"{patterns:,}", f"{peak:,.0f}"])
    return rows


def command(args: argparse.Namespace) -> Row:
    """The prune command as a process, against the imports that it needs."""
    with tempfile.TemporaryDirectory(prefix="emoprune-benchmark-") as scratch:
        data, model, target = (str(Path(scratch, name)) for name in ("data", "model.st", "half.st"))
        noise_data(Path(data), images=PICTURES)
        weights = args.weights or "none"
        ep.train(data, arch=ARCH, size=str(SIDE), epochs=0, weights=weights).save(model)
        options = ("--method", "reconstruct", "--macs", "0.5", "--data", "none", "-o", target, "--force")

        def run(*argv: str) -> None:
            subprocess.run([sys.executable, *argv], check=True, capture_output=True)

        names = ("emoprune prune --macs 0.5, process", "import torch, torchvision, process")
        tasks = {
            names[0]: lambda: run("-m", "emoprune", "prune", model, *options),
            names[1]: lambda: run("-c", "import torch, torchvision"),
        }
        return compared(names, interleaved(tasks, args.repeats), target=3)


MEASURED = {"statistics": statistics_pass, "angles": angles, "command": command}


def arguments() -> argparse.Namespace:
    """The command line."""
    options = parser(__doc__)
    options.add_argument("--weights", type=Path, help="ResNet-18 to prune (default: random weights)")
    options.add_argument("--repeats", type=int, default=7, help="rounds that count")
    options.add_argument("--batch", type=int, default=500, help="patterns per batch")
    choices = ["memory", *MEASURED]
    options.add_argument("--only", nargs="+", choices=choices, default=choices, help="(default: all)")
    return options.parse_args()


def run() -> None:
    """Measure and print the tables."""
    args = arguments()
    where = machine()
    # first, because the peak of a new process includes that of its parent
    peaks = memory(args) if "memory" in args.only else []
    rows = [measure(args) for name, measure in MEASURED.items() if name in args.only]
    if rows:
        headings = ["what", "against", "seconds", "against", "ratio", "target"]
        print(markdown(headings, rows, left=2), end="\n\n")
    if peaks:
        print(markdown([f"patterns of {UNITS:,} units", "peak memory, MiB"], peaks), end="\n\n")
    print(f"medians of {args.repeats} rounds, {where}")


if __name__ == "__main__":
    run()
