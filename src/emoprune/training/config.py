"""All that one training is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from emoprune.choices import Activation, DeviceName, Freeze, Keep, Optimizer, Scale, SplitBy
from emoprune.networks.registry import ARCHITECTURES

OF_THE_NETWORK = frozenset(
    ("arch", "weights", "hidden", "channels", "activation", "dropout", "size", "gray", "mean", "std", "scale")
)
"""What a checkpoint to go on with has decided."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a training is asked for; the defaults are those of the command line.

    `earlier` is the checkpoint that is trained on, `given` the options that the user wrote down, so that
    what contradicts that checkpoint can be told from a default.
    """

    data: str
    arch: str = "conv2"
    weights: str | None = None
    earlier: str | None = None
    freeze: Freeze = "none"
    hidden: tuple[int, ...] = ()
    channels: tuple[int, ...] = ()
    activation: Activation = "sigmoid"
    dropout: float = 0.0
    size: str | None = None
    gray: bool = False
    mean: str | None = None
    std: str | None = None
    scale: Scale = "minmax"
    penalty: float = 1.0
    epochs: int = 50
    lr: float = 1e-3
    lr_factor: float = 1.0
    lr_decay: float = 0.0
    batch_size: int = 32
    optimizer: Optimizer = "adam"
    momentum: float = 0.9
    weight_decay: float = 0.0
    augment: tuple[str, ...] = ()
    split: str | None = None
    group_by: str | None = None
    split_by: SplitBy | None = None
    keep: Keep | None = None
    overfit: int | None = None
    seed: int = 0
    device: DeviceName = "auto"
    preset: str | None = None
    given: frozenset[str] = frozenset()

    @property
    def start(self) -> str:
        """Where the weights come from: imagenet, none, a file of weights or the checkpoint gone on with."""
        usual = "none" if ARCHITECTURES[self.arch].own else "imagenet"
        return self.earlier or self.weights or usual


def settings_of(parameters: Mapping[str, Any], given: frozenset[str]) -> Settings:
    """The settings in the parameters of the command, by name."""
    found = {field.name: parameters[field.name] for field in fields(Settings) if field.name in parameters}
    lists = {name: tuple(found[name] or ()) for name in ("hidden", "channels", "augment")}
    return Settings(**{**found, **lists}, given=given)
