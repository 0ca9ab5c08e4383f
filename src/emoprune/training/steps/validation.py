"""How well a network in training does on the val part."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from emoprune.choices import KeepBy, Task
from emoprune.evaluation.confusion import balanced_accuracy
from emoprune.evaluation.scores import score
from emoprune.networks.losses import judge, predict
from emoprune.networks.types import Epoch


@dataclass(frozen=True)
class Validation:
    """Mean loss and, where the network classifies, three scores; NaN for outputs that are not finite."""

    loss: float
    accuracy: float | None = None
    balanced_accuracy: float | None = None
    macro_f1: float | None = None


def validate(
    net: nn.Module, inputs: Iterator[Tensor], labels: Tensor, task: Task, classes: int
) -> Validation:
    """The validation of a network on labeled inputs, in evaluation mode."""
    if task != "classify":
        return Validation(judge(net, inputs, labels, task)[0])
    logits = torch.cat([*predict(net, inputs)])
    if not bool(logits.isfinite().all()):
        return Validation(math.nan)
    found = score(logits, labels, [str(index) for index in range(classes)])
    balanced = balanced_accuracy(found["confusion"])
    return Validation(found["log_loss"], found["accuracy"], balanced, found["macro_f1"])


def merit(epoch: Epoch, by: KeepBy) -> float:
    """What makes one epoch better than another; minus its loss where it has no such score."""
    assert epoch.val_loss is not None
    scores: dict[KeepBy, float | None] = {
        "accuracy": epoch.val_accuracy,
        "balanced-accuracy": epoch.val_balanced_accuracy,
        "macro-f1": epoch.val_macro_f1,
        "loss": None,
    }
    found = scores[by]
    return -epoch.val_loss if found is None else found
