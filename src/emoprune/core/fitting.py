"""Training, one epoch at a time."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from emoprune.core.nets import features
from emoprune.core.preprocessing import standardise, to_input, unit_scale
from emoprune.core.warping import augment
from emoprune.errors import TrainingFault
from emoprune.records import Epoch, Preprocess, Samples
from emoprune.records.choices import Keep, Optimizer

READING_BATCH = 64
"""Samples per forward pass where nothing is learned: the size changes speed, not results."""


@dataclass(frozen=True)
class Recipe:
    """How to train. `batch_size` 0 is the whole part at once; `augment` maps names to strengths."""

    epochs: int
    lr: float
    batch_size: int
    optimizer: Optimizer
    momentum: float
    weight_decay: float
    augment: dict[str, float]
    keep: Keep
    seed: int


@dataclass(frozen=True)
class TensorSamples:
    """Samples that are in memory already: table rows, or features computed once."""

    values: Tensor
    labels: Tensor

    def batch(self, indices: Tensor) -> Tensor:
        """The rows at `indices`."""
        return self.values[indices]


def batches(
    samples: Samples, indices: Tensor, preprocess: Preprocess, device: torch.device
) -> Iterator[Tensor]:
    """Network inputs of the samples at `indices`, in order, a batch at a time."""
    for chunk in indices.split(READING_BATCH):
        yield to_input(samples.batch(chunk).to(device), preprocess)


def predict(net: nn.Module, inputs: Iterator[Tensor]) -> Iterator[Tensor]:
    """Logits of every batch, on the CPU; the network runs in evaluation mode without gradients."""
    net.eval()
    for batch in inputs:
        # not around the yield: the mode would leak into whoever takes the logits
        with torch.inference_mode():
            logits = net(batch).cpu()
        yield logits


def fit(
    net: nn.Module,
    samples: Samples,
    parts: dict[str, Tensor],
    preprocess: Preprocess,
    recipe: Recipe,
    device: torch.device,
) -> Iterator[Epoch]:
    """Train the parameters of `net` that want gradients; yields after every epoch, validated on "val" if any.

    With `keep` "best" the network ends as it was after the epoch of the highest validation accuracy, the
    earliest of equals. Deterministic for one seed, machine and thread count. Raises TrainingFault when the
    loss stops being finite.
    """
    optimizer = _optimizer(net, recipe)
    order = torch.Generator().manual_seed(recipe.seed)
    best: tuple[float, dict[str, Tensor]] | None = None
    for index in range(1, recipe.epochs + 1):
        loss, accuracy = _train_epoch(
            net, samples, parts["train"], preprocess, recipe, optimizer, order, device
        )
        _require_finite(loss, index)
        if "val" not in parts:
            yield Epoch(index, loss, accuracy)
            continue
        val_loss, val_accuracy = _validate(net, samples, parts["val"], preprocess, device)
        _require_finite(val_loss, index)
        if recipe.keep == "best" and (best is None or val_accuracy > best[0]):
            best = val_accuracy, copy.deepcopy(net.state_dict())
        yield Epoch(index, loss, accuracy, val_loss, val_accuracy)
    if best is not None:
        net.load_state_dict(best[1])


def _require_finite(loss: float, epoch: int) -> None:
    if not math.isfinite(loss):
        raise TrainingFault(f"the loss is {loss} after epoch {epoch}", "train with a lower --lr")


def _optimizer(net: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    wanted = [parameter for parameter in net.parameters() if parameter.requires_grad]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            wanted, lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay
        )
    kind = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
    return kind(wanted, lr=recipe.lr, weight_decay=recipe.weight_decay)


def _train_epoch(
    net: nn.Module,
    samples: Samples,
    train: Tensor,
    preprocess: Preprocess,
    recipe: Recipe,
    optimizer: torch.optim.Optimizer,
    order: torch.Generator,
    device: torch.device,
) -> tuple[float, float]:
    """Mean loss and accuracy over the epoch, as they were when each batch was seen."""
    _set_training(net)
    loss_sum, hits = 0.0, 0
    shuffled = train[torch.randperm(len(train), generator=order)]
    # dropout draws from torch's global generator: lend it a seed of ours and give it back as it was
    with torch.random.fork_rng():
        torch.manual_seed(int(torch.randint(2**62, (), generator=order)))
        for chunk in training_batches(shuffled, recipe.batch_size):
            inputs = _training_input(samples.batch(chunk).to(device), preprocess, recipe, order)
            labels = samples.labels[chunk].to(device)
            optimizer.zero_grad()
            logits = net(inputs)
            loss = nn.functional.cross_entropy(logits, labels)
            loss.backward()
            optimizer.step()
            loss_sum += loss.item() * len(chunk)
            hits += int((logits.argmax(1) == labels).sum())
    return loss_sum / len(train), hits / len(train)


def training_batches(indices: Tensor, batch_size: int) -> Sequence[Tensor]:
    """`indices` in chunks; a last chunk of one joins its neighbour, for batch norm cannot learn from one."""
    chunks = list(indices.split(batch_size or len(indices)))
    if len(chunks) > 1 and len(chunks[-1]) == 1:
        chunks[-2:] = [torch.cat(chunks[-2:])]
    return chunks


def _training_input(raw: Tensor, preprocess: Preprocess, recipe: Recipe, order: torch.Generator) -> Tensor:
    if not recipe.augment:
        return to_input(raw, preprocess)
    return standardise(augment(unit_scale(raw), recipe.augment, generator=order), preprocess)


def _set_training(module: nn.Module, inherited: bool = True) -> None:
    """Training mode, but frozen parts keep their batch-norm statistics and drop nothing."""
    own = list(module.parameters())
    module.training = any(parameter.requires_grad for parameter in own) if own else inherited
    for child in module.children():
        _set_training(child, module.training)


def _validate(
    net: nn.Module, samples: Samples, val: Tensor, preprocess: Preprocess, device: torch.device
) -> tuple[float, float]:
    return loss_and_accuracy(net, batches(samples, val, preprocess, device), samples.labels[val])


def loss_and_accuracy(net: nn.Module, inputs: Iterator[Tensor], labels: Tensor) -> tuple[float, float]:
    """Mean cross-entropy in nats and accuracy over all of `inputs`."""
    logits = torch.cat(list(predict(net, inputs)))
    loss = float(nn.functional.cross_entropy(logits, labels))
    return loss, float((logits.argmax(1) == labels).double().mean())


def precompute(net: nn.Module, inputs: Iterator[Tensor]) -> Iterator[Tensor]:
    """What the head of `net` reads for every batch, on the CPU: a frozen backbone needs to run once only."""
    net.eval()
    for batch in inputs:
        with torch.no_grad():
            read = features(net, batch).cpu()
        yield read
