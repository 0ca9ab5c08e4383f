"""Accuracy of a ResNet-18 pruned to a budget of multiply-accumulates, without one gradient step.

    python -m benchmarks.resnet18_budget DATA WEIGHTS [--images 2000] [--seeds 1] [--only NAME ...]

DATA has train/ and val/ with a folder per class. WEIGHTS is a torchvision ResNet-18 for these classes.
Its statistics are measured on --images of the training images. It is pruned to each fraction of its
multiply-accumulates by emoprune's methods and by Torch-Pruning: L2 norms over coupled groups, the same
ratio in every layer or one ranking over all. The ratio is found by bisection. Torch-Pruning's networks
are also measured with their batch norms re-estimated on the same images. It is made for networks that are
trained further; none is here.

Accuracy is on all of val. So is KL, the mean divergence of a network's answers from those of the whole
one. CPU seconds are for everything up to the pruned network: statistics, search, surgery and, if there is
any, refitting or re-estimation. With --seeds all is repeated on other training images, and the table has
means and ranges.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import torch_pruning  # type: ignore[import-untyped]
from torch import Tensor, nn
from torch.nn import functional as F

import emoprune as ep
from benchmarks.common import (
    machine,
    markdown,
    parser,
    progress,
    sampled_data,
    workplace,
)
from emoprune.data.formats.image_folders import open_folder
from emoprune.data.loader import batches
from emoprune.data.splits import partition
from emoprune.errors import UsageFault
from emoprune.evaluation import model as loading
from emoprune.networks import build
from emoprune.networks.costs import profiling
from emoprune.networks.heads import output_name
from emoprune.networks.losses import predict
from emoprune.networks.types import Checkpoint

ARCH = "resnet18"
OURS: dict[str, dict[str, Any]] = {
    "emoprune distinct, sum": {"method": "distinct", "merge": "sum"},
    "emoprune importance, sum": {"method": "importance", "merge": "sum"},
    "emoprune reconstruct, no images": {"method": "reconstruct", "data": "none", "max_error": 1},
    "emoprune reconstruct, drawn faces": {"method": "reconstruct", "data": "drawn"},
    "emoprune reconstruct": {"method": "reconstruct"},
}
THEIRS = {"Torch-Pruning, uniform": False, "Torch-Pruning, global": True}
REESTIMATED = ", batch norm re-estimated"
WHOLE = (1.0, "whole network")
BISECTIONS = 14


@dataclass(frozen=True)
class Result:
    """One pruned network: accuracy, divergence from the whole one, fractions of its cost, CPU seconds."""

    accuracy: float
    divergence: float
    parameters: float
    macs: float
    seconds: float


Results = dict[tuple[float, str], Result | None]


@dataclass(frozen=True)
class Bench:
    """The whole network for one choice of training images, with its inputs."""

    model: Path
    data: Path
    checkpoint: Checkpoint
    train: list[Tensor]
    val: list[Tensor]
    labels: Tensor

    @property
    def net(self) -> nn.Module:
        """A new copy to prune."""
        return copy.deepcopy(build.restore(self.checkpoint.spec, self.checkpoint.tensors)).requires_grad_(
            True
        )

    def logits(self, net: nn.Module) -> Tensor:
        """What a network answers on val, (images, classes)."""
        return torch.cat(list(predict(net, iter(self.val)))).double()

    @cached_property
    def whole(self) -> Tensor:
        """Logits of the whole network on val."""
        return self.logits(self.net)

    def result(self, net: nn.Module, seconds: float) -> Result:
        """The result of a pruned network."""
        before, after = (profiling.cost(each, self.checkpoint.spec.input) for each in (self.net, net))
        logits = self.logits(net)
        accuracy = float((logits.argmax(1) == self.labels).double().mean())
        answers = logits.log_softmax(1), self.whole.log_softmax(1)
        divergence = float(F.kl_div(*answers, reduction="batchmean", log_target=True))
        costs = after.parameters / before.parameters, after.macs / before.macs
        return Result(accuracy, divergence, *costs, seconds)


def adopted(args: argparse.Namespace, place: Path, seed: int) -> Bench:
    """The checkpoint of the weights, with statistics of the images of one seed."""
    data, model = place / f"data{seed}", place / f"model{seed}.st"
    sampled_data(args.data, data, images=args.images, seed=seed)
    shape: dict[str, Any] = {"size": str(args.size), "mean": str(args.mean), "std": str(args.std)}
    checkpoint = ep.train(data, arch=ARCH, epochs=0, weights=str(args.weights), **shape)
    checkpoint.save(model, force=True)
    found = open_folder(str(data))
    parts = {name: torch.tensor(part) for name, part in partition(found.catalog, checkpoint.split).items()}
    samples = loading.samples(found, checkpoint.preprocess, checkpoint.spec.input)
    train, val = (
        list(batches(samples, parts[part], checkpoint.preprocess, torch.device("cpu")))
        for part in ("train", "val")
    )
    return Bench(model, data, checkpoint, train, val, torch.tensor(found.catalog.labels)[parts["val"]])


def ours(bench: Bench, settings: Mapping[str, Any], budget: float) -> Result | None:
    """The result of one method of emoprune; None if it cannot reach the budget."""
    start = time.process_time()
    try:
        pruned = ep.prune(bench.model, macs=budget, **settings)
    except UsageFault:
        return None
    return bench.result(pruned.module(), time.process_time() - start)


def theirs(bench: Bench, budget: float, *, global_pruning: bool) -> tuple[nn.Module, float]:
    """Torch-Pruning's network with the smallest ratio within the budget, and its seconds."""
    start = time.process_time()
    spec = bench.checkpoint.spec
    wanted = profiling.cost(bench.net, spec.input).macs * budget

    def pruned(ratio: float) -> nn.Module:
        net = bench.net
        pruner = torch_pruning.pruner.BasePruner(
            net,
            torch.zeros(1, *spec.input),
            importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
            global_pruning=global_pruning,
            pruning_ratio=ratio,
            ignored_layers=[net.get_submodule(output_name(net))],
        )
        pruner.step()
        return net

    low, high, best = 0.0, 1.0, None
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        net = pruned(middle)
        if profiling.cost(net, spec.input).macs <= wanted:
            high, best = middle, net
        else:
            low = middle
    return pruned(high) if best is None else best, time.process_time() - start


def reestimated(net: nn.Module, images: Sequence[Tensor]) -> tuple[nn.Module, float]:
    """A copy whose batch norms have the statistics of their present input, and the seconds."""
    start = time.process_time()
    net = copy.deepcopy(net).eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            # None: the plain mean over all batches
            module.momentum = None
            module.train()
    with torch.no_grad():
        for batch in images:
            net(batch)
    return net.eval(), time.process_time() - start


def measured(bench: Bench, budgets: Sequence[float], only: Sequence[str]) -> Results:
    """The results of the methods in `only` for one choice of images."""
    results: Results = {}

    def note(budget: float, name: str, result: Result | None) -> None:
        results[budget, name] = result
        said = "out of reach"
        if result:
            said = f"{result.accuracy:.2%}, KL {result.divergence:.4f}, in {result.seconds:.1f} s"
        progress(f"{budget:g} {name}: {said}")

    note(*WHOLE, bench.result(bench.net, 0))
    for budget in budgets:
        for name in only:
            if name in OURS:
                note(budget, name, ours(bench, OURS[name], budget))
                continue
            net, seconds = theirs(bench, budget, global_pruning=THEIRS[name])
            note(budget, name, bench.result(net, seconds))
            net, more = reestimated(net, bench.train)
            note(budget, name + REESTIMATED, bench.result(net, seconds + more))
    return results


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
        spread([100 * result.accuracy for result in results]),
        spread([100 * (whole.accuracy - result.accuracy) for whole, result in pairs]),
        f"{statistics.mean(result.divergence for result in results):.4f}",
        f"{statistics.mean(result.parameters for result in results):.1%}",
        f"{statistics.mean(result.macs for result in results):.1%}",
        f"{statistics.mean(result.seconds for result in results):.1f}",
    ]


def arguments() -> argparse.Namespace:
    """The command line."""
    options = parser(__doc__)
    options.add_argument("data", type=Path, help="folder with train/ and val/")
    options.add_argument("weights", type=Path, help="ResNet-18, .safetensors or .pth")
    options.add_argument("--images", type=int, default=2000, help="training images to use")
    options.add_argument("--seeds", type=int, default=1, help="how many choices of training images")
    methods = [*OURS, *THEIRS]
    options.add_argument("--only", nargs="+", choices=methods, default=methods, help="(default: all)")
    options.add_argument("--budgets", type=float, nargs="+", default=[0.5, 0.25, 0.125], metavar="FRACTION")
    options.add_argument("--size", type=int, default=64, help="side of the network's input in pixels")
    options.add_argument("--mean", type=float, default=0.5, help="of the network's preprocessing")
    options.add_argument("--std", type=float, default=0.25, help="of the network's preprocessing")
    options.add_argument("--work", type=Path, help="folder for data and checkpoints (default: temporary)")
    return options.parse_args()


def run() -> None:
    """Measure and print the table."""
    args = arguments()
    warnings.filterwarnings("ignore", module="torch_pruning")
    where = machine()
    with workplace(args.work) as place:
        benches = (adopted(args, place, seed) for seed in range(args.seeds))
        runs = [measured(bench, args.budgets, args.only) for bench in benches]
    headings = ["MACs", "method", "accuracy, %", "points lost", "KL", "parameters left", "MACs left", "CPU s"]
    print(markdown(headings, [row(key, runs) for key in runs[0]], left=2))
    print(f"\n{args.images:,} training images, chosen by {args.seeds} seeds, {where}")


if __name__ == "__main__":
    run()
