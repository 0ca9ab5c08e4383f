"""How much of what one network answers another one loses, without labels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from emoprune.choices import Task

ROUNDING = 1e-10
"""Information in nats, or variance relative to the squared values, that is only rounding."""


@dataclass(frozen=True)
class AnswerLoss:
    """What a network loses of the answers of another on so many images of some kind (`on`).

    `lost` is a fraction of what the answers tell of an image: 0 for the same answers, 1 or more for ones that
    do no better than the mean answer. `same` is the fraction with the same most likely class; None without
    classes.
    """

    lost: float
    same: float | None
    images: int
    on: str

    def __str__(self) -> str:
        """One sentence."""
        on = f"({self.images:,} {self.on})"
        said = f"the answers lose {self.lost:.1%} of their information {on}"
        return said if self.same is None else f"{said}; {self.same:.1%} name the same class"


def answer_loss(
    before: nn.Module, after: nn.Module, batches: Iterable[Tensor], task: Task, *, on: str
) -> AnswerLoss | None:
    """What `after` loses of the answers of `before`; None where those are the same for all images.

    What answers tell is their mutual information with the image: the mean divergence from the mean answer. If
    the network reconstructs, it is their variance.
    """
    count = same = lost = squares = entropy = 0.0
    total: Tensor | float = 0.0
    for batch in batches:
        with torch.inference_mode():
            # a network may overwrite its input
            whole, now = (
                net(batch.clone()).double().reshape(len(batch), -1).cpu() for net in (before, after)
            )
        same += float((whole.argmax(1) == now.argmax(1)).sum())
        if task == "classify":
            answers, logs, others = whole.softmax(1), whole.log_softmax(1), now.log_softmax(1)
            lost += float((answers * (logs - others)).sum())
            entropy -= float((answers * logs).sum())
        else:
            answers = whole
            lost += float((whole - now).square().sum())
            squares += float(whole.square().sum())
        total, count = total + answers.sum(0), count + len(batch)
    if not isinstance(total, Tensor):
        return None
    mean = total / count
    if task == "classify":
        told, least = float(-(mean * mean.log()).nansum()) - entropy / count, ROUNDING
        lost /= count
    else:
        told, least = squares - count * float(mean.square().sum()), ROUNDING * squares
    named = same / count if task == "classify" else None
    return AnswerLoss(lost / told, named, int(count), on) if told > least else None
