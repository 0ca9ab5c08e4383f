"""Accuracy of a network pruned to a budget of multiply-accumulates, without one gradient step.

    python -m benchmarks.budget DATA WEIGHTS [--arch resnet18] [--images 2000] [--seeds 1] [--only NAME ...]
    python -m benchmarks.budget PICTURES WEIGHTS --unlabeled --arch mobilenet_v2 --size 224 \\
        --mean 0.485 0.456 0.406 --std 0.229 0.224 0.225 --budgets 0.75 0.5

DATA has train/ and val/ with a folder per class, and WEIGHTS is a torchvision network for these classes. With
--unlabeled, PICTURES is a folder of pictures, and WEIGHTS a torchvision classifier with classes of its own. A
third of the pictures, drawn by the seed, is measured on; methods see the others. Near-duplicates are not kept
together.

Statistics are measured on up to --images of the training images. The network is pruned to each fraction of
its multiply-accumulates by emoprune's methods, by Torch-Pruning, and by rivals after their papers
(benchmarks.rivals). Torch-Pruning ranks L2 norms over coupled groups, with the same ratio in every layer or
in one ranking over all. Ratios are found by bisection. Where a row says so, the batch norms of the pruned
network are re-estimated on the same images. Torch-Pruning is made for networks that are trained further; none
is here.

Accuracy is on all of val. Without labels it is agreement: how often the network's top class is that of the
whole one. KL is the mean divergence of a network's answers from those of the whole one. CPU seconds are for
everything up to the pruned network: statistics, search, surgery and, if there is any, refitting or
re-estimation. With --seeds all is repeated on other images, and the table has means and ranges. With --work
each result is kept in that folder as soon as it is there, and a run that was interrupted goes on.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.budget_bench import Bench, Result, labeled, unlabeled
from benchmarks.common import machine, markdown, parser, progress, workplace
from benchmarks.rivals import RIVALS, reestimated
from emoprune.choices import Ranking
from emoprune.errors import UsageFault
from emoprune.networks.registry import ARCHITECTURES
from emoprune.sweeping.rivals import pruned_net

OURS: dict[str, dict[str, Any]] = {
    "emoprune distinct, sum": {"method": "distinct", "merge": "sum"},
    "emoprune importance, sum": {"method": "importance", "merge": "sum"},
    "emoprune reconstruct, no images": {"method": "reconstruct", "data": "none"},
    "emoprune reconstruct, drawn faces": {"method": "reconstruct", "data": "drawn"},
    "emoprune reconstruct": {"method": "reconstruct"},
}
THEIRS: dict[str, Ranking] = {"Torch-Pruning, uniform": "uniform", "Torch-Pruning, global": "global"}
REESTIMATED = ", batch norm re-estimated"
ALWAYS = ("Model Folding",)
"""Rivals that end with re-estimated batch norms, and have no row without them."""
WHOLE = (1.0, "whole network")
WHOLE_AGAIN = (1.0, f"whole network{REESTIMATED}")

Results = dict[tuple[float, str], Result | None]


def ours(bench: Bench, budget: float, *, name: str) -> nn.Module | None:
    """The network of one method of emoprune; None if it cannot reach the budget."""
    try:
        # however much is lost, the table has it
        return bench.prune({**OURS[name], "max_error": 1e9}, budget)
    except UsageFault as fault:
        progress(str(fault))
        return None


def theirs(bench: Bench, budget: float, *, ranking: Ranking) -> nn.Module:
    """Torch-Pruning's network with the smallest ratio within the budget."""
    return pruned_net(lambda: bench.net, bench.spec.input, budget, ranking=ranking)


@torch.no_grad()
def rival(bench: Bench, budget: float, *, name: str) -> nn.Module:
    """The network of a rival."""
    return RIVALS[name](bench.subject, budget)


METHODS: dict[str, Callable[[Bench, float], nn.Module | None]] = {
    **{name: partial(ours, name=name) for name in OURS},
    **{name: partial(theirs, ranking=ranking) for name, ranking in THEIRS.items()},
    **{name: partial(rival, name=name) for name in RIVALS},
}


class Kept:
    """The results of one choice of images, those in a file included, which gets each new one."""

    def __init__(self, path: Path, settings: dict[str, str]) -> None:
        self.path = path
        self.found: Results = {}
        if not path.exists():
            path.write_text(f"{json.dumps(settings)}\n")
            return
        first, *rest = map(json.loads, path.read_text().splitlines())
        if first != settings:
            raise SystemExit(f"{path}: results of other settings; give another --work")
        for line in rest:
            self.found[line["budget"], line["name"]] = line["result"] and Result(**line["result"])

    def has(self, budget: float, *names: str) -> bool:
        """Whether all of these were measured."""
        return all((budget, name) in self.found for name in names)

    def add(self, budget: float, name: str, result: Result | None) -> None:
        """Keep a result, None for a budget out of reach, and say it."""
        self.found[budget, name] = result
        line = {"budget": budget, "name": name, "result": result and asdict(result)}
        with self.path.open("a") as stream:
            stream.write(f"{json.dumps(line)}\n")
        said = "out of reach"
        if result:
            said = f"{result.score:.2%}, KL {result.divergence:.4f}, in {result.seconds:.1f} s"
        progress(f"{budget:g} {name}: {said}")


def names_of(method: str) -> list[str]:
    """The rows of a method: as it is, re-estimated, or both."""
    as_it_is = [] if method in ALWAYS else [method]
    return as_it_is if method in OURS else [*as_it_is, method + REESTIMATED]


def measured(bench: Bench, kept: Kept, budgets: Sequence[float], only: Sequence[str]) -> Results:
    """The results of the methods in `only` for one choice of images."""
    if not kept.has(*WHOLE_AGAIN):
        kept.add(*WHOLE, bench.result(bench.net, 0))
        with torch.no_grad():
            # what re-estimation alone changes
            again = reestimated(bench.net, bench.seen)
        kept.add(*WHOLE_AGAIN, bench.result(again, 0))
    for budget in budgets:
        for name in only:
            if kept.has(budget, *names_of(name)):
                continue
            start = time.process_time()
            net = METHODS[name](bench, budget)
            seconds = time.process_time() - start
            if name not in ALWAYS:
                kept.add(budget, name, None if net is None else bench.result(net, seconds))
            if net and name not in OURS:
                start = time.process_time()
                with torch.no_grad():
                    net = reestimated(net, bench.seen)
                seconds += time.process_time() - start
                kept.add(budget, name + REESTIMATED, bench.result(net, seconds))
    rows = [(budget, row) for budget in budgets for name in only for row in names_of(name)]
    return {key: kept.found[key] for key in (WHOLE, WHOLE_AGAIN, *rows) if key in kept.found}


def spread(values: Sequence[float]) -> str:
    """Mean and, for several values, range."""
    text = f"{statistics.mean(values):.1f}"
    return text if len(values) == 1 else f"{text} ({min(values):.1f} to {max(values):.1f})"


def row(key: tuple[float, str], runs: Sequence[Results]) -> list[str]:
    """The row of one method at one budget, over all choices of images."""
    budget, name = key
    pairs = [(whole, result) for run in runs if (whole := run[WHOLE]) and (result := run[key])]
    if not pairs:
        return [f"{budget:g}", name, "out of reach", *["-"] * 5]
    results = [result for _, result in pairs]
    return [
        f"{budget:g}",
        name,
        spread([100 * result.score for result in results]),
        spread([100 * (whole.score - result.score) for whole, result in pairs]),
        f"{statistics.mean(result.divergence for result in results):.4f}",
        f"{statistics.mean(result.parameters for result in results):.1%}",
        f"{statistics.mean(result.macs for result in results):.1%}",
        f"{statistics.mean(result.seconds for result in results):.1f}",
    ]


def arguments() -> argparse.Namespace:
    """The command line."""
    options = parser(__doc__)
    options.add_argument("data", type=Path, help="folder with train/ and val/, or of pictures")
    options.add_argument("weights", type=Path, help="of the network, .safetensors or .pth")
    options.add_argument("--arch", choices=sorted(ARCHITECTURES), default="resnet18", metavar="NAME")
    options.add_argument("--unlabeled", action="store_true", help="the pictures have no classes")
    options.add_argument("--images", type=int, default=2000, help="training images to use")
    options.add_argument("--seeds", type=int, default=1, help="how many choices of images")
    options.add_argument("--only", nargs="+", choices=list(METHODS), metavar="NAME", help=", ".join(METHODS))
    options.add_argument("--budgets", type=float, nargs="+", default=[0.5, 0.25, 0.125], metavar="FRACTION")
    options.add_argument("--size", type=int, default=64, help="side of the network's input in pixels")
    for name, usual in (("--mean", 0.5), ("--std", 0.25)):
        numbers = "of the network's preprocessing, one or three"
        options.add_argument(name, type=float, nargs="+", default=[usual], metavar="NUMBER", help=numbers)
    options.add_argument("--work", type=Path, help="folder for data and checkpoints (default: temporary)")
    args = options.parse_args()
    stored = [name for name, settings in OURS.items() if settings.get("data") == "none"]
    if args.only is None:
        args.only = [name for name in METHODS if not (args.unlabeled and name in stored)]
    elif args.unlabeled and set(stored) & set(args.only):
        options.error("statistics are stored in checkpoints, and --unlabeled prunes a module")
    return args


def run() -> None:
    """Measure and print the table."""
    args = arguments()
    warnings.filterwarnings("ignore", module="torch_pruning")
    where, made = machine(), unlabeled if args.unlabeled else labeled
    names = ("data", "weights", "arch", "images", "size", "mean", "std")
    settings = {name: str(getattr(args, name)) for name in names}
    with workplace(args.work) as place:
        runs = [
            measured(
                made(args, place, seed),
                Kept(place / f"results{seed}.jsonl", settings),
                args.budgets,
                args.only,
            )
            for seed in range(args.seeds)
        ]
    score = "agreement" if args.unlabeled else "accuracy"
    headings = ["MACs", "method", f"{score}, %", "points lost", "KL", "parameters left", "MACs left", "CPU s"]
    print(markdown(headings, [row(key, runs) for key in runs[0]], left=2))
    print(f"\n{args.arch}, up to {args.images:,} images seen, chosen by {args.seeds} seeds, {where}")


if __name__ == "__main__":
    run()
