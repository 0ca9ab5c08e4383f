"""Training, one epoch at a time."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from emoprune.choices import Task
from emoprune.data.augmentation import parse_augmentations
from emoprune.data.image_dataset import standardize, to_input, unit_scale
from emoprune.data.loader import batches
from emoprune.data.types import Preprocess, Samples
from emoprune.data.warping import augment
from emoprune.errors import TrainingFault
from emoprune.networks.build import features
from emoprune.networks.losses import LOSSES, hits, judge
from emoprune.networks.types import Epoch
from emoprune.training.config import TrainConfig


def fit(
    net: nn.Module,
    samples: Samples,
    parts: Mapping[str, Tensor],
    preprocess: Preprocess,
    config: TrainConfig,
    device: torch.device,
    *,
    task: Task = "classify",
    masks: Mapping[str, Tensor] | None = None,
) -> Iterator[Epoch]:
    """Train the parameters of `net` that require gradients; yields after every epoch, validated on "val".

    Weights that `masks` (bool, by parameter) hold at zero stay zero. With `keep` "best" the network ends as
    after the epoch of the highest validation accuracy, or of the lowest loss if it does not classify; the
    earliest of equals. Deterministic for one seed, machine and thread count. Raises TrainingFault for a loss
    that is not finite.
    """
    if not config.epochs:
        return
    held = [(net.get_parameter(name), mask.to(device)) for name, mask in (masks or {}).items()]
    training = _Training(net, samples, preprocess, config, device, task, held)
    best: tuple[float, dict[str, Tensor]] | None = None
    for index in range(1, config.epochs + 1):
        loss, accuracy = training.epoch(parts["train"])
        _require_finite(loss, index)
        if "val" not in parts:
            yield Epoch(index, loss, accuracy)
            continue
        inputs = batches(samples, parts["val"], preprocess, device)
        val_loss, val_accuracy = judge(net, inputs, samples.labels[parts["val"]], task)
        _require_finite(val_loss, index)
        merit = -val_loss if val_accuracy is None else val_accuracy
        if config.keep == "best" and (best is None or merit > best[0]):
            best = merit, copy.deepcopy(net.state_dict())
        yield Epoch(index, loss, accuracy, val_loss, val_accuracy)
    if best is not None:
        net.load_state_dict(best[1])


def _require_finite(loss: float, epoch: int) -> None:
    if not math.isfinite(loss):
        raise TrainingFault(f"the loss is {loss} after epoch {epoch}", "train with a lower `lr`")


@dataclass
class _Training:
    """A network in training; `held` are parameters with the masks (bool) that set them to zero."""

    net: nn.Module
    samples: Samples
    preprocess: Preprocess
    config: TrainConfig
    device: torch.device
    task: Task
    held: Sequence[tuple[Tensor, Tensor]]

    def __post_init__(self) -> None:
        self._augment = parse_augmentations(self.config.augment)
        self._optimizer = _optimizer(self.net, self.config)
        self._order = torch.Generator().manual_seed(self.config.seed)
        self._epochs, self._steps = 0, 0

    def epoch(self, train: Tensor) -> tuple[float, float | None]:
        """Mean loss and accuracy over the samples at `train`, each batch before its own step."""
        _set_training(self.net)
        loss_sum, right = 0.0, 0
        shuffled = train[torch.randperm(len(train), generator=self._order)]
        # dropout draws from torch's global generator: it gets a seed of ours and is restored afterwards
        with torch.random.fork_rng():
            torch.manual_seed(int(torch.randint(2**62, (), generator=self._order)))
            for chunk in training_batches(shuffled, self.config.batch_size):
                loss, hit = self._step(chunk)
                loss_sum += loss * len(chunk)
                right += hit or 0
        self._epochs += 1
        return loss_sum / len(train), right / len(train) if self.task == "classify" else None

    def _step(self, chunk: Tensor) -> tuple[float, int | None]:
        raw = self.samples.batch(chunk).to(self.device)
        if self._augment:
            raw = augment(unit_scale(raw), self._augment, generator=self._order)
            inputs = standardize(raw, self.preprocess)
        else:
            inputs = to_input(raw, self.preprocess)
        labels = self.samples.labels[chunk].to(self.device)
        for group in self._optimizer.param_groups:
            group["lr"] = self.config.rate(epoch=self._epochs, step=self._steps)
        self._optimizer.zero_grad()
        outputs = self.net(inputs)
        loss = LOSSES[self.task](self.net, inputs, outputs, labels)
        loss.backward()
        self._optimizer.step()
        self._steps += 1
        with torch.no_grad():
            for parameter, mask in self.held:
                parameter.mul_(mask)
        return loss.item(), hits(outputs, labels, self.task)


def _optimizer(net: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    # each step sets its own rate
    wanted = [parameter for parameter in net.parameters() if parameter.requires_grad]
    if config.optimizer == "sgd":
        return torch.optim.SGD(wanted, momentum=config.momentum, weight_decay=config.weight_decay)
    kind = torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW
    return kind(wanted, weight_decay=config.weight_decay)


def training_batches(indices: Tensor, batch_size: int) -> Sequence[Tensor]:
    """`indices` in chunks; a last chunk of one joins the one before, as batch norm cannot learn from one."""
    chunks = list(indices.split(batch_size or len(indices)))
    if len(chunks) > 1 and len(chunks[-1]) == 1:
        chunks[-2:] = [torch.cat(chunks[-2:])]
    return chunks


def _set_training(module: nn.Module, inherited: bool = True) -> None:
    """Training mode, but frozen parts keep their batch-norm statistics and drop nothing."""
    own = list(module.parameters())
    module.training = any(parameter.requires_grad for parameter in own) if own else inherited
    for child in module.children():
        _set_training(child, module.training)


def precompute(net: nn.Module, inputs: Iterator[Tensor]) -> Iterator[Tensor]:
    """The input of the head of `net` for every batch, on the CPU: a frozen backbone runs only once."""
    net.eval()
    for batch in inputs:
        with torch.no_grad():
            read = features(net, batch).cpu()
        yield read
