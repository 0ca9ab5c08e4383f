"""What can be watched of a training: a line for each epoch, and the figures in a log folder."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass

from torch import Tensor

from emoprune import events
from emoprune.networks.types import Epoch
from emoprune.training.config import TrainConfig
from emoprune.training.log_folder import LogFolder
from emoprune.training.state import Progress
from emoprune.training.steps.batches import training_batches
from emoprune.training.steps.schedule import rate_factor

SMALL_RATE, LARGE = 1e-3, 100


@dataclass(frozen=True)
class Watched:
    """The training that is watched: its samples are `train`, called `noun`, and it goes on from `start`."""

    config: TrainConfig
    train: Tensor
    noun: str
    start: Progress

    def rate(self, epoch: int) -> float:
        """The learning rate of the last step of an epoch, counted from 1."""
        steps = self._steps
        factor = rate_factor(self.config, epoch * steps - 1, epochs=self.config.epochs, per_epoch=steps)
        return self.config.lr * factor

    def samples(self, epoch: int) -> float:
        """How many samples of an epoch are trained on here: the first may have begun before."""
        begun = self.start.step / self._steps if epoch == len(self.start.curve) + 1 else 0
        return len(self.train) * (1 - begun)

    @property
    def _steps(self) -> int:
        return -(-len(training_batches(self.train, self.config.batch_size)) // self.config.accumulate)


def watched(epochs: Iterable[Epoch], training: Watched, log: LogFolder | None) -> Iterator[Epoch]:
    """The epochs of a training, each shown and, with a `log`, written there; those before its start are not.

    Raises OutputFault where the log is that of another training.
    """
    known = training.start.curve
    shown = events.progress("epoch", training.config.epochs, done=len(known), told=True)
    with shown as advance, log.opened(known) if log else nullcontext() as writer:
        began = time.monotonic()
        for epoch in epochs:
            if epoch.index > len(known):
                seconds = time.monotonic() - began
                rate, speed = training.rate(epoch.index), training.samples(epoch.index) / max(seconds, 1e-9)
                advance(text=f"{told(epoch)}; rate {short(rate)}; {round_number(speed)} {training.noun}/s")
                if writer is not None:
                    writer.add(epoch, rate=rate, seconds=seconds)
            yield epoch
            began = time.monotonic()


def told(epoch: Epoch) -> str:
    """Its figures as people read them: "loss 1.203, 54.1%; val 1.310, 50.2%"."""

    def figures(loss: float, accuracy: float | None) -> str:
        return f"{loss:.3f}" if accuracy is None else f"{loss:.3f}, {accuracy:.1%}"

    text = f"loss {figures(epoch.train_loss, epoch.train_accuracy)}"
    if epoch.val_loss is None:
        return text
    return f"{text}; val {figures(epoch.val_loss, epoch.val_accuracy)}"


def short(rate: float) -> str:
    """A learning rate as people write it: 0.01, 3e-4."""
    if not 0 < rate < SMALL_RATE:
        return f"{rate:.3g}"
    digits, _, power = f"{rate:.2e}".partition("e")
    return f"{float(digits):g}e{int(power)}"


def round_number(value: float) -> str:
    """Three digits at least, and all before the point: 0.512, 41.2, 12,345."""
    return f"{value:,.0f}" if value >= LARGE else f"{value:.3g}"
