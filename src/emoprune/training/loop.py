"""Training, one epoch at a time, from any step on."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from emoprune import events
from emoprune.choices import Task
from emoprune.data.loader import batches
from emoprune.data.randomness import drawing_from, generator_at
from emoprune.data.types import Preprocess, Samples
from emoprune.errors import TrainingFault
from emoprune.networks.types import Epoch
from emoprune.training.config import TrainConfig
from emoprune.training.state import (
    Progress,
    State,
    after_epoch,
    copied,
    optimizer_tensors,
    restore,
    restore_optimizer,
)
from emoprune.training.steps.batch_norms import set_training
from emoprune.training.steps.batches import (
    BatchMaker,
    class_weights,
    epoch_order,
    training_batches,
)
from emoprune.training.steps.criterion import Criterion, Teacher, matches
from emoprune.training.steps.optimizer import averaged, optimizer, unfreeze
from emoprune.training.steps.schedule import rate_factor
from emoprune.training.steps.validation import merit, validate
from emoprune.training.types import Trained

SAVING = 0.05
"""The fraction of the time that may go into states at the ends of epochs."""
Save = Callable[[State], None]


@dataclass(frozen=True)
class Feed:
    """A network, or the head of one, with the samples it learns from.

    `parts` are indices by part, `masks` (bool, by parameter) are false for weights that stay zero. `head` is
    the part that a rate of its own is for.
    """

    net: nn.Module
    head: nn.Module
    samples: Samples
    parts: Mapping[str, Tensor]
    preprocess: Preprocess
    classes: int
    task: Task = "classify"
    masks: Mapping[str, Tensor] = field(default_factory=dict)


class Diverged(TrainingFault):
    """The loss is no longer a finite number; the network is as after the `good` epochs before.

    `kept` is what `train` makes of it.
    """

    def __init__(self, loss: float, *, epoch: int, step: int, rate: float, good: tuple[Epoch, ...]) -> None:
        fact = f"the loss is {loss} in epoch {epoch}, step {step}, at a rate of {rate:.3g}"
        super().__init__(fact, "train with a lower `lr`, or with `warmup` or `clip_grad`")
        self.good = good
        self.kept: Trained | None = None

    def keeping(self, trained: Trained) -> Diverged:
        """The same, with what was learned before."""
        epochs = events.counted(len(self.good), "epoch")
        self.kept, self.remedy = trained, f"what {epochs} before it have taught is kept; {self.remedy}"
        return self

    @property
    def learned(self) -> Trained:
        """What was learned before; raises this error where that is nothing."""
        if self.kept is None:
            raise self
        return self.kept


def fit(
    feed: Feed,
    config: TrainConfig,
    device: torch.device,
    *,
    teacher: Teacher | None = None,
    dtype: torch.dtype | None = None,
    run: str = "",
    start: State | None = None,
    save: Save | None = None,
) -> Iterator[Epoch]:
    """Train the parameters of a network that require gradients; yields every epoch, validated on "val".

    With `keep` "best" the network ends as after the best epoch by `keep_by`, the earliest of equals; one that
    does not classify goes by its loss. `dtype` is that of products within a step, None float32.
    `save` gets states of the training `run` to go on from: after epochs, and `save_every` minutes after the
    one before. `start` is such a state; its epochs are yielded again, and what follows is what would have
    followed. Deterministic for one seed, machine and thread count. Raises Diverged for a loss that is not
    finite.
    """
    if config.epochs:
        yield from _Training(feed, config, device, teacher, dtype, run, save).epochs(start)


class _Training:
    def __init__(
        self,
        feed: Feed,
        config: TrainConfig,
        device: torch.device,
        teacher: Teacher | None,
        dtype: torch.dtype | None,
        run: str,
        save: Save | None,
    ) -> None:
        self._feed, self._config, self._device, self._dtype = feed, config, device, dtype
        self._run, self._save = run, save
        net = feed.net
        if config.unfreeze_last:
            unfreeze(net, config.unfreeze_last)
        labels = feed.samples.labels[feed.parts["train"]]
        weights = class_weights(labels, feed.classes).to(device) if config.balance == "loss" else None
        self._criterion = Criterion.of(net, config, feed.task, weights=weights, teacher=teacher).to(device)
        self._held = [(net.get_parameter(name), mask.to(device)) for name, mask in feed.masks.items()]
        self._optimizer = optimizer(net, config, head=feed.head, beside=self._criterion.parameters())
        self._scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
        self._maker = BatchMaker(feed.samples, feed.preprocess, config, feed.classes, device)
        self._average = (
            AveragedModel(net, avg_fn=averaged(config.ema), use_buffers=True) if config.ema else None
        )
        self._progress = Progress()
        self._best: dict[str, Tensor] = {}
        self._good: dict[str, Tensor] = {}
        self._saved, self._cost = time.monotonic(), 0.0

    @property
    def _shown(self) -> nn.Module:
        """The network that is validated and kept: the average, if one is made."""
        return self._feed.net if self._average is None else self._average.module

    def epochs(self, start: State | None) -> Iterator[Epoch]:
        """Train to the end, or until nothing gets better."""
        config = self._config
        if start is not None:
            self._go_on(start)
            yield from self._progress.curve
        self._good = self._good or copied(self._shown.state_dict())
        while not self._finished:
            try:
                epoch = self._epoch()
            except Diverged:
                restore(self._feed.net, self._best or self._good)
                raise
            found = None if epoch.val_loss is None else merit(epoch, config.keep_by)
            before, self._progress = self._progress, after_epoch(self._progress, epoch, found)
            if config.keep == "best" and self._progress.merit != before.merit:
                self._best = copied(self._shown.state_dict())
            self._good = copied(self._shown.state_dict())
            if time.monotonic() - self._saved >= self._cost / SAVING:
                self._write()
            yield epoch
        restore(self._feed.net, self._best or self._good)

    @property
    def _finished(self) -> bool:
        progress, config = self._progress, self._config
        waited = config.patience is not None and progress.since >= config.patience
        return len(progress.curve) >= config.epochs or (waited and progress.merit is not None)

    def _epoch(self) -> Epoch:
        """The rest of the epoch that has begun, with its validation."""
        feed, config, index = self._feed, self._config, len(self._progress.curve)
        train, labels = feed.parts["train"], feed.samples.labels
        self._prepare(index)
        generator = generator_at(config.seed, index)
        order = epoch_order(train, labels, balance=config.balance, generator=generator)
        chunks = training_batches(order, config.batch_size)
        steps = [chunks[at : at + config.accumulate] for at in range(0, len(chunks), config.accumulate)]
        places = range(self._progress.step, len(steps))
        for place in events.tracked(places, "steps", len(places)):
            self._step(steps[place], place, index, per_epoch=len(steps))
            if place + 1 < len(steps) and time.monotonic() - self._saved >= 60 * config.save_every:
                self._write()
        loss = self._progress.loss_sum / len(train)
        accuracy = self._progress.right / len(train) if feed.task == "classify" else None
        if "val" not in feed.parts:
            return Epoch(index + 1, loss, accuracy)
        inputs = batches(feed.samples, feed.parts["val"], feed.preprocess, self._device)
        found = validate(self._shown, inputs, labels[feed.parts["val"]], feed.task, feed.classes)
        self._require_finite(found.loss, index, len(steps) - 1, len(steps))
        shown = found.loss, found.accuracy, found.balanced_accuracy, found.macro_f1
        return Epoch(index + 1, loss, accuracy, *shown)

    def _prepare(self, index: int) -> None:
        """Set what learns in an epoch."""
        net, config = self._feed.net, self._config
        if config.unfreeze_last:
            joined = index // config.unfreeze_every if config.unfreeze_every else config.unfreeze_last
            unfreeze(net, min(joined, config.unfreeze_last))
        set_training(net, freeze_bn=config.freeze_bn)

    def _step(self, chunks: Sequence[Tensor], place: int, index: int, *, per_epoch: int) -> None:
        config, samples = self._config, sum(map(len, chunks))
        generator = generator_at(config.seed, index, place)
        factor = rate_factor(config, index * per_epoch + place, epochs=config.epochs, per_epoch=per_epoch)
        for group in self._optimizer.param_groups:
            group["lr"] = group["rate"] * factor
        self._optimizer.zero_grad()
        loss_sum = right = 0.0
        for chunk in chunks:
            batch = self._maker(chunk, generator)
            # dropout draws from torch's global generator
            with (
                drawing_from(generator),
                torch.autocast(self._device.type, self._dtype, enabled=self._dtype is not None),
            ):
                loss, outputs = self._criterion(self._feed.net, batch)
            self._scaler.scale(loss * (len(chunk) / samples)).backward()
            loss_sum += loss.item() * len(chunk)
            if self._feed.task == "classify":
                right += float(matches(outputs.detach(), batch.targets))
        self._require_finite(loss_sum, index, place, per_epoch)
        if config.clip_grad is not None:
            self._scaler.unscale_(self._optimizer)
            trained = [each for group in self._optimizer.param_groups for each in group["params"]]
            torch.nn.utils.clip_grad_norm_(trained, config.clip_grad)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        with torch.no_grad():
            for parameter, mask in self._held:
                parameter.mul_(mask)
        if self._average is not None:
            self._average.update_parameters(self._feed.net)
        self._progress = replace(
            self._progress,
            step=place + 1,
            loss_sum=self._progress.loss_sum + loss_sum,
            right=self._progress.right + right,
        )

    def _require_finite(self, loss: float, index: int, place: int, per_epoch: int) -> None:
        if not math.isfinite(loss):
            rate = self._optimizer.param_groups[0]["lr"]
            raise Diverged(loss, epoch=index + 1, step=place + 1, rate=rate, good=self._progress.curve)

    def _write(self) -> None:
        if self._save is None:
            return
        began = time.monotonic()
        tensors: dict[str, Tensor] = {}
        for prefix, found in self._stored().items():
            tensors |= {f"{prefix}.{name}": value for name, value in found.items()}
        averaged = 0 if self._average is None else int(self._average.n_averaged)
        scaler = self._scaler.state_dict()
        self._save(State(self._run, replace(self._progress, averaged=averaged, scaler=scaler), tensors))
        self._saved = time.monotonic()
        self._cost = self._saved - began

    def _stored(self) -> dict[str, Mapping[str, Tensor]]:
        average = {} if self._average is None else self._average.module.state_dict()
        return {
            "net": self._feed.net.state_dict(),
            "average": average,
            "best": self._best,
            # within an epoch, what a loss that diverges falls back to
            "good": self._good if self._progress.step and not self._best else {},
            "bridge": self._criterion.bridge.state_dict(),
            "optimizer": dict(optimizer_tensors(self._optimizer)),
        }

    def _go_on(self, start: State) -> None:
        self._progress = start.progress
        restore(self._feed.net, start.below("net."))
        self._best, self._good = start.below("best."), start.below("good.")
        self._criterion.bridge.load_state_dict(start.below("bridge."))
        restore_optimizer(self._optimizer, start.below("optimizer."))
        self._scaler.load_state_dict(dict(start.progress.scaler))
        if self._average is not None:
            restore(self._average.module, start.below("average."))
            self._average.n_averaged.fill_(start.progress.averaged)
