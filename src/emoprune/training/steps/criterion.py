"""What a training minimizes: the labels' loss, and the distance to a teacher's answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from emoprune.choices import Task
from emoprune.data import class_names
from emoprune.data.image_dataset import standardize
from emoprune.data.randomness import generator_at
from emoprune.data.types import Preprocess
from emoprune.errors import UsageFault
from emoprune.networks.build import over_positions
from emoprune.networks.heads import output_name
from emoprune.networks.losses import LOSSES
from emoprune.networks.types import Checkpoint
from emoprune.training.config import TrainConfig
from emoprune.training.steps.batches import Batch


@dataclass(frozen=True)
class Teacher:
    """A network whose answers another one learns; `places` are those of its outputs, class by class.

    It looks at the same pictures, in the size and color that it was trained with.
    """

    net: nn.Module
    preprocess: Preprocess
    places: Tensor

    @classmethod
    def of(
        cls, checkpoint: Checkpoint, classes: tuple[str, ...], *, name: str, device: torch.device
    ) -> Teacher:
        """The network of a checkpoint; UsageFault where it does not tell the same `classes` apart."""
        found = class_names.places(classes, checkpoint.classes)
        lacking = [name for name, place in zip(classes, found, strict=True) if place is None]
        if lacking or checkpoint.preprocess.kind == "table":
            fact = f"does not know {', '.join(lacking)}" if lacking else "takes feature tables"
            raise UsageFault(f"the teacher {name} {fact}", "give one of the same classes and data")
        net = checkpoint.module().to(device).to(memory_format=torch.channels_last)
        net.requires_grad_(False)
        return cls(net, checkpoint.preprocess, torch.tensor(found, device=device))

    def answer(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (n, classes) and last features (n, features) for pictures in 0..1."""
        inputs = standardize(self._as_known(pictures), self.preprocess)
        with torch.no_grad(), reading_last(self.net) as last:
            logits = self.net(inputs.contiguous(memory_format=torch.channels_last))
        return logits[:, self.places].float(), last[0].float()

    def _as_known(self, pictures: Tensor) -> Tensor:
        """The pictures in the size and the channels that the network takes."""
        if tuple(pictures.shape[2:]) != self.preprocess.size:
            pictures = nn.functional.interpolate(
                pictures, self.preprocess.size, mode="bilinear", align_corners=False, antialias=True
            )
        if self.preprocess.color == "gray" and pictures.shape[1] == 3:
            # as Pillow turns colors into gray (ITU-R 601-2)
            weights = torch.tensor([0.299, 0.587, 0.114], device=pictures.device)
            pictures = (pictures * weights[:, None, None]).sum(1, keepdim=True)
        return pictures.expand(-1, self.preprocess.channels, -1, -1)


@contextmanager
def reading_last(net: nn.Module) -> Iterator[list[Tensor]]:
    """Within, a list has what the output layer of `net` read last, (n, features)."""
    read = list[Tensor]()

    def keep(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        read[:] = [over_positions(inputs[0])]

    hook = net.get_submodule(output_name(net)).register_forward_pre_hook(keep)
    try:
        yield read
    finally:
        hook.remove()


class Criterion(nn.Module):
    """The loss of a network on a batch.

    Without a teacher it is that of the task. With one it is (1 - w) times that, plus w T^2 times the
    divergence of the teacher's answers from the network's at temperature T (Hinton et al. 2015), plus
    `match_features` times the mean squared distance of the last features. Where those differ in
    width a linear map, trained along, brings the network's to the teacher's.
    """

    def __init__(
        self,
        config: TrainConfig,
        task: Task,
        weights: Tensor | None = None,
        teacher: Teacher | None = None,
        bridge: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.config, self.task, self.weights, self.teacher = config, task, weights, teacher
        self.bridge = bridge or nn.Identity()

    @classmethod
    def of(
        cls,
        net: nn.Module,
        config: TrainConfig,
        task: Task,
        *,
        weights: Tensor | None = None,
        teacher: Teacher | None = None,
    ) -> Criterion:
        """The criterion for a network; `weights` are those of its classes."""
        if teacher is None or not config.match_features:
            return cls(config, task, weights, teacher)
        narrow, wide = (last_width(each) for each in (net, teacher.net))
        if narrow == wide:
            return cls(config, task, weights, teacher)
        bridge = nn.Linear(narrow, wide, bias=False)
        with torch.no_grad():
            bridge.weight.normal_(std=narrow**-0.5, generator=generator_at(config.seed))
        return cls(config, task, weights, teacher, bridge)

    def forward(self, net: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """The mean loss, and the outputs of `net`."""
        if self.teacher is None:
            outputs = net(batch.inputs).float()
            return self._own(net, batch, outputs), outputs
        with reading_last(net) as last:
            outputs = net(batch.inputs).float()
        assert batch.pictures is not None, "checked before: a teacher sees pictures"
        logits, features = self.teacher.answer(batch.pictures)
        config = self.config
        soft = nn.functional.kl_div(
            (outputs / config.temperature).log_softmax(1),
            (logits / config.temperature).log_softmax(1),
            reduction="batchmean",
            log_target=True,
        )
        loss = config.teacher_weight * config.temperature**2 * soft
        if config.teacher_weight < 1:
            loss = loss + (1 - config.teacher_weight) * self._own(net, batch, outputs)
        if config.match_features:
            distance = nn.functional.mse_loss(self.bridge(last[0].float()), features)
            loss = loss + config.match_features * distance
        return loss, outputs

    def _own(self, net: nn.Module, batch: Batch, outputs: Tensor) -> Tensor:
        if self.task != "classify":
            return LOSSES[self.task](net, batch.inputs, outputs, batch.targets)
        return nn.functional.cross_entropy(
            outputs, batch.targets, weight=self.weights, label_smoothing=self.config.label_smoothing
        )


def matches(outputs: Tensor, targets: Tensor) -> Tensor:
    """How many samples get their label; of mixed ones the fraction of the class that was named."""
    named = outputs.argmax(1)
    if targets.ndim == 1:
        return (named == targets).sum()
    return targets.gather(1, named[:, None]).sum()


def last_width(net: nn.Module) -> int:
    """How many features the output layer of a network reads."""
    weight = net.get_submodule(output_name(net)).weight
    assert isinstance(weight, Tensor)
    return weight.shape[1]
