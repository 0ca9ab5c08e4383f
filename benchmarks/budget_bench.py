"""What the benchmark of a budget prunes: a whole network, images to see, images to measure on."""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import emoprune as ep
from benchmarks.common import sampled_data
from benchmarks.rivals import Subject
from emoprune.data.formats.image_folders import open_folder, open_unlabeled
from emoprune.data.loader import batches
from emoprune.data.splits import partition
from emoprune.data.types import Preprocess
from emoprune.evaluation import model as loading
from emoprune.networks import build
from emoprune.networks.costs import profiling
from emoprune.networks.heads import output_name
from emoprune.networks.losses import predict
from emoprune.networks.types import Spec
from emoprune.networks.weights import pretrained

MEASURED = 3
"""Without labels one picture in so many is measured on, and not seen."""
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Result:
    """One pruned network, by the fractions of its cost and the CPU seconds that it took.

    `score` is its accuracy, or without labels how often it answers as the whole one does. `divergence` is
    that of its answers from those of the whole one.
    """

    score: float
    divergence: float
    parameters: float
    macs: float
    seconds: float


@dataclass(frozen=True)
class Bench:
    """The whole network for one choice of images; `seen` are those for methods, `measured` the others.

    `prune` is emoprune's own way with some settings and a fraction of the MACs.
    """

    spec: Spec
    tensors: Mapping[str, Tensor]
    seen: list[Tensor]
    measured: list[Tensor]
    labels: Tensor | None
    seed: int
    prune: Callable[[Mapping[str, Any], float], nn.Module]

    @property
    def net(self) -> nn.Module:
        """A new copy to prune."""
        copied = {name: tensor.clone() for name, tensor in self.tensors.items()}
        return build.restore(self.spec, copied).requires_grad_(True)

    @cached_property
    def subject(self) -> Subject:
        """The same for rivals."""
        return Subject(self.net.requires_grad_(False), self.spec.input, self.seen, self.seed)

    def logits(self, net: nn.Module) -> Tensor:
        """What a network answers to the images measured on, (images, classes)."""
        return torch.cat(list(predict(net, iter(self.measured)))).double()

    @cached_property
    def whole(self) -> Tensor:
        """Logits of the whole network."""
        return self.logits(self.net)

    def result(self, net: nn.Module, seconds: float) -> Result:
        """The result of a pruned network."""
        before, after = (profiling.cost(each, self.spec.input) for each in (self.net, net))
        logits = self.logits(net)
        right = self.whole.argmax(1) if self.labels is None else self.labels
        score = float((logits.argmax(1) == right).double().mean())
        answers = logits.log_softmax(1), self.whole.log_softmax(1)
        divergence = float(F.kl_div(*answers, reduction="batchmean", log_target=True))
        costs = after.parameters / before.parameters, after.macs / before.macs
        return Result(score, divergence, *costs, seconds)


def labeled(args: argparse.Namespace, place: Path, seed: int) -> Bench:
    """The checkpoint of the weights, with statistics of the training images of one seed; measured on val."""
    data, model = place / f"data{seed}", place / f"model{seed}.st"
    sampled_data(args.data, data, images=args.images, seed=seed)
    numbers = {name: ",".join(map(str, getattr(args, name))) for name in ("mean", "std")}
    shape: dict[str, Any] = {"size": str(args.size), **numbers}
    checkpoint = ep.train(data, arch=args.arch, epochs=0, weights=str(args.weights), **shape)
    checkpoint.save(model, force=True)
    found = open_folder(str(data))
    parts = {name: torch.tensor(part) for name, part in partition(found.catalog, checkpoint.split).items()}
    samples = loading.samples(found, checkpoint.preprocess, checkpoint.spec.input)
    train, val = (
        list(batches(samples, parts[part], checkpoint.preprocess, CPU)) for part in ("train", "val")
    )
    labels = torch.tensor(found.catalog.labels)[parts["val"]]

    def prune(settings: Mapping[str, Any], budget: float) -> nn.Module:
        return ep.prune(model, macs=budget, **settings).module()

    return Bench(checkpoint.spec, checkpoint.tensors, train, val, labels, seed, prune)


def unlabeled(args: argparse.Namespace, place: Path, seed: int) -> Bench:
    """A torchvision classifier with the classes of its weights; one picture in three is measured on."""
    tensors = pretrained.read(str(args.weights)).tensors
    shape = (3, args.size, args.size)
    output = output_name(build.blueprint(Spec(args.arch, 1, shape)))
    spec = Spec(args.arch, len(tensors[f"{output}.weight"]), shape)
    mean, std = (tuple(numbers * (3 // len(numbers))) for numbers in (args.mean, args.std))
    preprocess = Preprocess("image", (args.size, args.size), mean=mean, std=std)
    found = open_unlabeled(str(args.data))
    samples = loading.samples(found, preprocess, spec.input)
    order = list(range(len(found.catalog.names)))
    random.Random(seed).shuffle(order)
    split = len(order) // MEASURED
    seen, measured = (
        list(batches(samples, torch.tensor(part), preprocess, CPU))
        for part in (order[split:][: args.images], order[:split])
    )

    def prune(settings: Mapping[str, Any], budget: float) -> nn.Module:
        own = {name: value for name, value in settings.items() if name != "data"}
        images = None if settings.get("data") == "drawn" else seen
        net = build.restore(spec, tensors)
        pruned, _ = ep.prune_module(net, torch.zeros(1, *spec.input), images=images, macs=budget, **own)
        return pruned

    return Bench(spec, tensors, seen, measured, None, seed, prune)
