"""Whether a training has learned anything: what its curve and its answers say, and what to try."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from emoprune import events
from emoprune.choices import Keep, KeepBy
from emoprune.evaluation.confidence import wilson_interval
from emoprune.networks.types import Epoch
from emoprune.training.steps.validation import merit

JUDGED = ("best_epoch", "train_accuracy", "val_accuracy", "chance", "majority")
"""The figures of a verdict."""
ONE_CLASS = 0.95
"""Fraction of answers from which nearly all are the same."""
LARGE_GAP = 0.1
"""Between accuracy on train and on val."""
BLOWN_UP = 2.0
"""So many times the loss of guessing is far above it."""


@dataclass(frozen=True)
class Answers:
    """How many samples of a part each class has, and is answered for, and how many answers are right."""

    support: tuple[int, ...]
    predicted: tuple[int, ...]
    right: int

    @classmethod
    def of(cls, labels: Tensor, predicted: Tensor, classes: int) -> Answers:
        """Those of class indices, both (samples,)."""
        support, counts = (tuple(each.bincount(minlength=classes).tolist()) for each in (labels, predicted))
        return cls(support, counts, int((labels == predicted).sum()))

    @property
    def samples(self) -> int:
        """Of the part."""
        return sum(self.support)

    @property
    def accuracy(self) -> float:
        """The fraction of right answers."""
        return self.right / self.samples

    @property
    def most_frequent(self) -> int:
        """The class with the most samples; of equals the first."""
        return max(range(len(self.support)), key=self.support.__getitem__)


@dataclass(frozen=True)
class Verdict:
    """How a training ended; None where it has no such figure.

    `best_epoch` is the best on the val part, accuracies are those of the network that is kept. `chance` is
    the accuracy of guessing, `majority` that of always answering the most frequent class, on val or, without
    that part, on train. `fact` says all this, `warnings` what is wrong and what to try.
    """

    best_epoch: int | None
    train_accuracy: float | None
    val_accuracy: float | None
    chance: float | None
    majority: float | None
    fact: str
    warnings: tuple[str, ...]

    @property
    def learned(self) -> bool:
        """Whether more is right than by always answering one class; True where nobody knows."""
        accuracy = self.train_accuracy if self.val_accuracy is None else self.val_accuracy
        return accuracy is None or self.majority is None or accuracy > self.majority

    def tell(self) -> None:
        """Give it to those who listen to events."""
        events.note(self.fact)
        for warning in self.warnings:
            events.warn(warning)


def verdict(
    curve: Sequence[Epoch],
    answers: Mapping[str, Answers],
    classes: Sequence[str],
    *,
    keep: Keep,
    by: KeepBy = "accuracy",
    overfit: bool = False,
) -> Verdict:
    """What to say of a training with this curve, whose network gives these `answers` on "train" and "val".

    The best epoch is the best `by` a figure of the val part. Without `answers` the network does not classify.
    With `overfit` a few samples are trained on to be overfit.
    """
    best = best_epoch(curve, by)
    when = _when(curve, best, keep)
    if not answers:
        fact = f"{when}: loss {_losses(curve, best if keep == 'best' else None)}"
        return Verdict(best, None, None, None, None, fact, tuple(_of_the_loss(curve, None)))
    part = "val" if "val" in answers else "train"
    judged = answers[part]
    most = judged.support[judged.most_frequent] / judged.samples
    figures = " and ".join(f"{each.accuracy:.1%} of {name}" for name, each in answers.items())
    compared = (
        f"chance is {1 / len(classes):.1%}, always {classes[judged.most_frequent]} {most:.1%} of {part}"
    )
    learn, generalize, balance = "another `penalty`", "a lower `penalty`", ""
    if curve:
        learn, balance = "another `lr`, more `epochs`", ", or `balance`"
        generalize = "more `weight_decay`, `dropout`, or `augment` for photos"
    warnings = [*_of_the_loss(curve, len(classes))]
    warnings += [f"{text}; try {learn}{balance}" for text in _of_one_class(part, judged, classes)]
    if not overfit:
        warnings += [f"{text}; try {learn}, or more data" for text in _of_majority(part, judged, classes)]
    if not overfit and part == "val":
        warnings += [f"{text}; try {generalize}" for text in _of_overfitting(answers["train"], judged)]
    return Verdict(
        best_epoch=best,
        train_accuracy=answers["train"].accuracy,
        val_accuracy=answers["val"].accuracy if "val" in answers else None,
        chance=1 / len(classes),
        majority=most,
        fact=f"{when}: {figures} right; {compared}",
        warnings=tuple(warnings),
    )


def best_epoch(curve: Sequence[Epoch], by: KeepBy) -> int | None:
    """The first of the best epochs, None without a val part."""
    judged = [epoch for epoch in curve if epoch.val_loss is not None]
    return max(judged, key=lambda epoch: merit(epoch, by)).index if judged else None


def _when(curve: Sequence[Epoch], best: int | None, keep: Keep) -> str:
    if not curve:
        return "fitted in one go"
    last = curve[-1].index
    if best is None or keep == "last":
        return f"epoch {last} is kept, the last" + (f" (the best on val is {best})" if best else "")
    return f"epoch {best} of {last} is kept, the best on val"


def _losses(curve: Sequence[Epoch], index: int | None) -> str:
    kept = next((epoch for epoch in curve if epoch.index == index), curve[-1])
    return f"{kept.train_loss:.3g} on train" + (
        "" if kept.val_loss is None else f", {kept.val_loss:.3g} on val"
    )


def _of_the_loss(curve: Sequence[Epoch], classes: int | None) -> Iterator[str]:
    """A loss that has risen, or is worse than that of guessing by far."""
    if not curve:
        return
    first, last = curve[0].train_loss, curve[-1].train_loss
    guess = math.log(classes) if classes else 0.0
    if classes and last > BLOWN_UP * guess:
        yield f"the loss ends at {last:.3g}, that of guessing is {guess:.3g}; try a lower `lr`"
    elif last > max(first, guess):
        yield f"the loss has risen from {first:.3g} to {last:.3g}; try a lower `lr`"


def _of_one_class(part: str, judged: Answers, classes: Sequence[str]) -> Iterator[str]:
    top = max(range(len(classes)), key=judged.predicted.__getitem__)
    fraction = judged.predicted[top] / judged.samples
    if fraction >= ONE_CLASS and fraction > wilson_interval(judged.support[top], judged.samples)[1]:
        share = judged.support[top] / judged.samples
        yield f"{fraction:.0%} of {part} is taken for {classes[top]}, and {share:.0%} is"


def _of_majority(part: str, judged: Answers, classes: Sequence[str]) -> Iterator[str]:
    most = judged.support[judged.most_frequent]
    if wilson_interval(judged.right, judged.samples)[0] <= most / judged.samples:
        always = f"always answering {classes[judged.most_frequent]} gets {most}"
        found = f"{judged.right} of {judged.samples} samples of {part} are right, and {always}"
        yield f"{found}: it may be chance"


def _of_overfitting(train: Answers, val: Answers) -> Iterator[str]:
    gap = train.accuracy - val.accuracy
    low = wilson_interval(train.right, train.samples)[0]
    if gap >= LARGE_GAP and low > wilson_interval(val.right, val.samples)[1]:
        yield f"the network overfits: accuracy on train is {100 * gap:.0f} points above that on val"
