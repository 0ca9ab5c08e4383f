"""What two epochs bring a pruned network: with its teacher, without, and from scratch.

    python -m benchmarks.healing DATA WEIGHTS [--budgets 0.25 0.125 0.0625] [--epochs 2] [--seeds 3]

DATA has train/ and val/ with a folder per class, and WEIGHTS is a torchvision network for these classes. It
is pruned to each fraction of its multiply-accumulates by `reconstruct`, once. Each seed then trains the
pruned network on with the whole one as teacher, without one, and the same widths from new random weights,
all with SETTINGS. Accuracy is on all of val, after the last epoch.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from typing import Any

import torch
from torch import nn

import emoprune as ep
from benchmarks.common import machine, markdown, parser, progress
from emoprune.data.datasets import Data
from emoprune.evaluation.confidence import estimate
from emoprune.evaluation.types import Metrics
from emoprune.networks.types import Checkpoint

SETTINGS: dict[str, Any] = {"recipe": "heal", "statistics": False}
WAYS = ("with its teacher", "without", "from scratch")


def accuracy(model: Checkpoint, data: Data) -> float:
    """On val, in percent."""
    found = ep.evaluate(model, data, part="val")
    assert isinstance(found, Metrics)
    return 100 * found.accuracy


def from_scratch(model: Checkpoint, seed: int) -> Checkpoint:
    """The same widths with new random weights."""
    net = model.module()
    torch.manual_seed(seed)
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear | nn.BatchNorm2d):
            module.reset_parameters()
    return dataclasses.replace(
        model, tensors={name: value.detach() for name, value in net.state_dict().items()}
    )


def trained(way: str, pruned: Checkpoint, whole: Checkpoint, data: Data, **settings: Any) -> Checkpoint:
    """The pruned network after one of the ways of training."""
    start = from_scratch(pruned, settings["seed"]) if way == "from scratch" else pruned
    teacher = whole if way == "with its teacher" else None
    return ep.train(data, start=start, teacher=teacher, **SETTINGS, **settings)


def main() -> None:
    """Print a table: a row for each budget."""
    arguments = parser(__doc__)
    arguments.add_argument("data")
    arguments.add_argument("weights")
    arguments.add_argument("--arch", default="resnet18")
    arguments.add_argument("--size", default="64")
    arguments.add_argument("--mean", default="0.5")
    arguments.add_argument("--std", default="0.25")
    arguments.add_argument("--budgets", nargs="+", type=float, default=[0.25, 0.125, 0.0625])
    arguments.add_argument("--epochs", type=int, default=2)
    arguments.add_argument("--seeds", type=int, default=3)
    print_table(arguments.parse_args())


def print_table(given: argparse.Namespace) -> None:
    """Prune, train and measure all, and print what it comes to."""
    print(f"{machine()}\n")
    data = ep.open_data(given.data)
    network = {name: getattr(given, name) for name in ("arch", "weights", "size", "mean", "std")}
    whole = ep.train(data, **network, epochs=0)
    goal = accuracy(whole, data)
    rows = []
    for budget in given.budgets:
        pruned = ep.prune(whole, data=data, method="reconstruct", macs=budget)
        at_once = accuracy(pruned, data)
        progress(f"{budget:g} of the MACs: {at_once:.2f}% of {goal:.2f}%")
        found: dict[str, list[float]] = {way: [] for way in WAYS}
        for seed in range(given.seeds):
            for way, values in found.items():
                began = time.process_time()
                made = trained(way, pruned, whole, data, epochs=given.epochs, seed=seed)
                values.append(accuracy(made, data))
                progress(f"seed {seed}, {way}: {values[-1]:.2f}%, {time.process_time() - began:.0f} CPU s")
        lost = estimate(goal - value for value in found[WAYS[0]])
        rows.append([f"{budget:g}", f"{at_once:.1f}%", *map(shown, found.values()), f"{lost.mean:.2f}"])
    headings = ["MACs", "pruned", *WAYS, "points lost with it"]
    print(f"The whole network: {goal:.2f}%.\n\n{markdown(headings, rows)}")


def shown(values: list[float]) -> str:
    """Mean and interval of accuracies."""
    found = estimate(values)
    return (
        f"{found.mean:.1f}%"
        if found.low is None
        else f"{found.mean:.1f}% ({found.low:.1f} to {found.high:.1f})"
    )


if __name__ == "__main__":
    main()
