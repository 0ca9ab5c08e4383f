"""How long training takes beside a plain loop of torchvision, and whether it learns as much.

    python -m benchmarks.train FACES FER2013 MOBILENET_V2

FACES is a folder of faces by class, FER2013 one with train/ and val/, MOBILENET_V2 a file of its ImageNet
weights. The plain loop is what a tutorial does: ImageFolder, transforms of Pillow pictures one by one, a
DataLoader with two workers, Adam. Both run in turns, in processes of their own; the ratio is the median of
the rounds.

frozen: 50 epochs of a head with 200 units on a frozen MobileNetV2 at 224 pixels, flips and turns. An epoch of
the plain loop takes the same time each, so that `--plain-epochs` of them are timed, after one. Ours is the
whole command with its statistics.
whole: an epoch of ResNet-18 at 224 pixels on FACES. fer: the same at 64 pixels on FER2013, with flips, turns
and crops. Of both the mean of `--epochs`, and of ours with the val part that the plain loop has not.

`--accuracy SEEDS` trains the head of "frozen" to the end with both, for so many seeds, and compares the
accuracy on a test part of films that neither has seen. One run of the plain loop trains its heads of all
seeds on the same pictures, since the frozen network takes nearly all of its time.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.common import parser

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CASES = ("frozen", "whole", "fer")
FROZEN_EPOCHS, BATCH, WORKERS = 50, 32, 2


def plain_loop(
    net: nn.Module,
    train: Any,
    epochs: int,
    *,
    learning: Iterable[nn.Parameter],
    fraction: float = 0.95,
) -> list[float]:
    """Train as a tutorial does; the seconds of each epoch."""
    torch.manual_seed(0)
    # as many as of the same data ours trains on
    train = torch.utils.data.Subset(train, range(round(len(train) * fraction)))
    loader = torch.utils.data.DataLoader(train, BATCH, shuffle=True, num_workers=WORKERS)
    optimizer = torch.optim.Adam(learning, lr=1e-3)
    seconds = []
    for _ in range(epochs):
        began = time.perf_counter()
        # what is frozen keeps its batch norms as they are
        net.train(all(value.requires_grad for value in net.parameters()))
        for images, labels in loader:
            optimizer.zero_grad()
            logits = net(images)
            copies = len(logits) // len(labels)
            # the sum over heads, each of which learns from a mean of its own
            loss = copies * nn.functional.cross_entropy(logits, labels.repeat(copies))
            loss.backward()
            optimizer.step()
        seconds.append(time.perf_counter() - began)
    return seconds


def transforms(size: int, *, changed: bool, crop: bool = False) -> Any:
    """Of Pillow pictures, one by one."""
    from torchvision import transforms as T

    changes: list[Any] = [T.RandomHorizontalFlip(), T.RandomRotation(15)] if changed else []
    if crop:
        changes.append(T.RandomResizedCrop(size, (0.81, 1.0), (1.0, 1.0)))
    return T.Compose([T.Resize((size, size)), *changes, T.ToTensor(), T.Normalize(MEAN, STD)])


def frozen_net(weights: str) -> tuple[nn.Module, list[nn.Parameter]]:
    """MobileNetV2 with a head of 200 sigmoid units, and what of it learns."""
    import safetensors.torch
    from torchvision import models

    net = models.mobilenet_v2(weights=None)
    net.load_state_dict(safetensors.torch.load_file(weights))
    net.requires_grad_(False)
    net.classifier = head()
    return net, list(net.classifier.parameters())


def head() -> nn.Module:
    """A head with 200 sigmoid units."""
    return nn.Sequential(nn.Linear(1280, 200), nn.Sigmoid(), nn.Linear(200, 7))


def plain(case: str, given: argparse.Namespace) -> dict[str, float]:
    """The plain loop of a case: its seconds."""
    from torchvision import datasets, models

    if case == "frozen":
        net, learning = frozen_net(given.mobilenet)
        train = datasets.ImageFolder(given.faces, transforms(224, changed=True))
        first, *later = plain_loop(net, train, 1 + given.plain_epochs, learning=learning)
        return {"seconds": first + (FROZEN_EPOCHS - 1) * statistics.mean(later)}
    size = 224 if case == "whole" else 64
    net = models.resnet18(num_classes=7)
    place = given.faces if case == "whole" else f"{given.fer2013}/train"
    train = datasets.ImageFolder(place, transforms(size, changed=True, crop=case == "fer"))
    seconds = plain_loop(net, train, given.epochs, learning=net.parameters())
    return {"seconds": statistics.mean(seconds)}


def ours(case: str, given: argparse.Namespace) -> dict[str, float]:
    """The same with emoprune: its seconds."""
    import emoprune as ep

    settings: dict[str, Any] = {"lr": 1e-3, "mean": ",".join(map(str, MEAN)), "std": ",".join(map(str, STD))}
    if case == "frozen":
        settings |= {"arch": "mobilenet_v2", "weights": given.mobilenet, "size": "224", "freeze": "backbone"}
        settings |= {"hidden": (200,), "augment": ("flip", "rotate:15"), "epochs": FROZEN_EPOCHS}
        began = time.perf_counter()
        # all but a few are trained on, as in the plain loop
        ep.train(ep.open_data(given.faces, split="95/5"), **settings)
        return {"seconds": time.perf_counter() - began}
    settings |= {"arch": "resnet18", "weights": "none", "epochs": given.epochs, "statistics": False}
    if case == "whole":
        settings |= {"size": "224", "augment": ("flip", "rotate:15")}
        data = ep.open_data(given.faces, split="95/5")
    else:
        settings |= {"size": "64", "augment": ("flip", "rotate:15", "crop:0.9")}
        data = ep.open_data(f"{given.fer2013}/train", split="95/5")
    with tempfile.TemporaryDirectory() as folder:
        ep.train(data, **settings, log_dir=folder)
        with Path(folder, "curve.csv").open(newline="") as stream:
            return {"seconds": statistics.mean(float(row["seconds"]) for row in csv.DictReader(stream))}


class Heads(nn.Module):
    """Heads of several seeds on what one frozen network computes; the logits of all, one below the other."""

    def __init__(self, weights: str, seeds: int) -> None:
        super().__init__()
        self.net, _ = frozen_net(weights)
        self.heads = nn.ModuleList()
        for seed in range(seeds):
            torch.manual_seed(seed)
            self.heads.append(head())
        self.net.classifier = nn.Identity()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of every head for all images, then of the next."""
        found = self.net(images)
        return torch.cat([each(found) for each in self.heads])


def accuracy(given: argparse.Namespace) -> dict[str, list[float]]:
    """Accuracy of every seed on a test part of films that none has seen: of the plain loop, and of ours."""
    from torchvision import datasets

    import emoprune as ep
    from emoprune.data.splits import partition
    from emoprune.evaluation.types import Metrics

    data = ep.open_data(given.faces, split="80/20", group_by=given.group_by)
    settings: dict[str, Any] = {"arch": "mobilenet_v2", "weights": given.mobilenet, "size": "224", "lr": 1e-3}
    settings |= {"mean": ",".join(map(str, MEAN)), "std": ",".join(map(str, STD)), "freeze": "backbone"}
    settings |= {"hidden": (200,), "augment": ("flip", "rotate:15"), "epochs": FROZEN_EPOCHS}
    found: dict[str, list[float]] = {"plain": [], "ours": []}
    parts: dict[str, list[int]] = {}
    for seed in range(given.accuracy):
        made = ep.train(data, **settings, seed=seed, statistics=False, cache_dir=given.cache_dir)
        scores = ep.evaluate(made, data, part="test")
        assert isinstance(scores, Metrics)
        found["ours"].append(scores.accuracy)
        parts = {name: list(part) for name, part in partition(data.catalog, made.split).items()}
    folder = datasets.ImageFolder(given.faces, transforms(224, changed=True))
    whole = datasets.ImageFolder(given.faces, transforms(224, changed=False))
    labels = dict(folder.samples)
    names = [str(Path(given.faces, name)) for name in data.catalog.names]
    folder.samples = [(names[index], labels[names[index]]) for index in parts["train"]]
    whole.samples = [(names[index], labels[names[index]]) for index in parts["test"]]
    net = Heads(given.mobilenet, given.accuracy)
    plain_loop(net, folder, FROZEN_EPOCHS, learning=net.heads.parameters(), fraction=1)
    net.eval()
    right = torch.zeros(given.accuracy)
    with torch.inference_mode():
        for images, wanted in torch.utils.data.DataLoader(whole, 64):
            right += (net(images).argmax(1).view(given.accuracy, -1) == wanted).sum(1)
    found["plain"] = [float(count) / len(whole) for count in right]
    return found


def in_process(*job: str) -> Any:
    """What a process of its own measures."""
    argv = [sys.executable, "-m", "benchmarks.train", *sys.argv[1:], "--job", *job]
    done = subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Print tables of times and of accuracy."""
    arguments = parser(__doc__)
    arguments.add_argument("faces")
    arguments.add_argument("fer2013")
    arguments.add_argument("mobilenet")
    arguments.add_argument("--only", nargs="+", choices=CASES, default=CASES)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--epochs", type=int, default=2)
    arguments.add_argument("--plain-epochs", type=int, default=2)
    arguments.add_argument("--accuracy", type=int, default=0, metavar="SEEDS")
    arguments.add_argument("--group-by", default="^[^_]+")
    arguments.add_argument("--cache-dir")
    arguments.add_argument("--job", nargs="+", help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.job:
        kind, what = given.job
        jobs: dict[str, Callable[[], Any]] = {
            "plain": lambda: plain(what, given),
            "ours": lambda: ours(what, given),
            "accuracy": lambda: accuracy(given),
        }
        print(json.dumps(jobs[kind]()))
        return
    print("| | plain loop, s | emoprune, s | ratio of medians |\n|:--|--:|--:|--:|")
    for case in given.only:
        seconds: dict[str, list[float]] = {"plain": [], "ours": []}
        for _ in range(given.rounds):
            for kind, found in seconds.items():
                found.append(in_process(kind, case)["seconds"])
        slow, fast = (statistics.median(found) for found in seconds.values())
        print(f"| {case} | {slow:.1f} | {fast:.1f} | {slow / fast:.2f} |", flush=True)
    if given.accuracy:
        from emoprune.evaluation.confidence import estimate

        scores = in_process("accuracy", "frozen")
        differences = [ours - plain for ours, plain in zip(scores["ours"], scores["plain"], strict=True)]
        for kind, values in (*scores.items(), ("difference", differences)):
            mean = estimate(100 * value for value in values)
            print(f"{kind}: {mean.mean:.1f} points, {mean.low:.1f} to {mean.high:.1f}")


if __name__ == "__main__":
    main()
