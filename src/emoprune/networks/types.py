"""Checkpoints: how to build a network, its weights, statistics and history."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from emoprune.choices import Activation
from emoprune.data.types import Preprocess, SplitRule
from emoprune.errors import InvalidRecord
from emoprune.networks.registry import architecture

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn

WIDEST = 2**22
"""Units of a layer, so that a hostile file cannot ask for all memory."""

MOST_CLASSES = 1000
"""Of a classifier: their confusion is a table of so many rows and columns."""

PictureInput = tuple[tuple[int, int], tuple[float, ...], tuple[float, ...]]
"""Size (height, width), mean and deviation of pictures."""

MAKE_AGAIN = "make the checkpoint again with emoprune train"
TRAIN_AGAIN = "train the checkpoint again"


LARGEST = 1e140
"""Squares of larger numbers, summed over patterns, may be infinite in float64."""


def _require_finite(*numbers: Tensor) -> None:
    for values in numbers:
        low, high = values.aminmax()
        # written so that NaN fails too
        if not (float(low) >= -LARGEST and float(high) <= LARGEST):
            raise InvalidRecord("statistics that are not finite, or huge", TRAIN_AGAIN)


def check_keys(trained: Tensor | None) -> None:
    """Raise InvalidRecord for content keys of training samples that are not int64 in ascending order."""
    if trained is None:
        return
    fits = str(trained.dtype) == "torch.int64" and trained.ndim == 1
    if not fits or bool((trained[1:] <= trained[:-1]).any()):
        raise InvalidRecord("the keys of its training samples are not in order", MAKE_AGAIN)


@dataclass(frozen=True)
class Moments:
    """Mean (channels,) and population covariance (channels, channels) over `count` samples, float64.

    Of a layer input every position of a map counts as a sample.
    """

    count: int
    mean: Tensor
    covariance: Tensor

    def __post_init__(self) -> None:
        channels = self.units
        fits = self.mean.ndim == 1 and tuple(self.covariance.shape) == (channels, channels)
        if self.count < 1 or channels < 1 or not fits:
            raise InvalidRecord(f"moments of {self.count} samples with shapes that do not fit", TRAIN_AGAIN)
        _require_finite(self.mean, self.covariance)
        # float32 products of nearly constant channels are mostly rounding
        largest = max(map(abs, map(float, self.covariance.aminmax())))
        rounding = 1e-3 * largest + 1e-9 * float(self.mean.square().max())
        lopsided = float((self.covariance - self.covariance.mT).max()) > rounding
        if lopsided or bool((self.covariance.diagonal() < 0).any()):
            raise InvalidRecord("a covariance that is not symmetric or has a negative diagonal", TRAIN_AGAIN)

    @property
    def units(self) -> int:
        """Number of units, or of channels."""
        return self.mean.numel()


@dataclass(frozen=True)
class UnitStatistics(Moments):
    """Moments of the activations of one layer's units over the training patterns, and their extremes.

    `low` and `high` are (units,), float64.
    """

    low: Tensor
    high: Tensor

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.low.shape == self.high.shape == self.mean.shape:
            raise InvalidRecord("extremes of other units than the statistics", TRAIN_AGAIN)
        _require_finite(self.low, self.high)


@dataclass(frozen=True)
class Cost:
    """Parameters, those of them that are not zero, and multiply-accumulates for one sample."""

    parameters: int
    nonzero_parameters: int
    macs: int


@dataclass(frozen=True)
class Spec:
    """All that is needed to build a network without its weights.

    `input` is (channels, height, width) or (features,). `hidden` are the widths of the head's dense hidden
    layers (empty: the architecture's own classifier), `channels` those of the convolutions of our own
    networks (empty: the default). `widths` maps every layer that pruning has narrowed to (inputs, outputs),
    a number of a module to (before, after), and another parameter to (dimension from 1, length).

    A network of the user's own is made by a function that `arch` names, called with `args`. A file only names
    it: `function` is there where the user has named it too, and no JSON value is one.
    """

    arch: str
    classes: int
    input: tuple[int, ...]
    hidden: tuple[int, ...] = ()
    activation: Activation = "sigmoid"
    dropout: float = 0.0
    widths: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    channels: tuple[int, ...] = ()
    args: Mapping[str, Any] = field(default_factory=dict)
    function: Callable[..., Any] | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        entry = architecture(self.arch)
        if self.args and entry.source != "code":
            raise InvalidRecord(f"{self.arch} takes no arguments", MAKE_AGAIN)
        if self.classes < 1 or len(self.input) not in (1, 3) or min(self.input) < 1:
            fact = f"{self.classes} classes of input {self.input} do not make a network"
            raise InvalidRecord(fact, MAKE_AGAIN)
        widths = [*self.hidden, *self.channels, *(side for pair in self.widths.values() for side in pair)]
        if any(width < 1 for width in widths):
            raise InvalidRecord("a layer without units", "give every layer at least 1 unit")
        if max(self.classes, *self.input, *widths) > WIDEST:
            raise InvalidRecord(f"a layer wider than {WIDEST:,}", "give every layer fewer units")
        if self.classes > MOST_CLASSES and entry.task == "classify":
            raise InvalidRecord(f"{self.classes:,} classes, more than {MOST_CLASSES:,}", "join some of them")
        if not 0 <= self.dropout < 1:
            raise InvalidRecord(f"dropout {self.dropout} is not in 0..1", "give `dropout` below 1")


@dataclass(frozen=True)
class Epoch:
    """One pass over the training part.

    Validation figures are None without a validation part, accuracies if the network does not classify.
    """

    index: int
    train_loss: float
    train_accuracy: float | None
    val_loss: float | None = None
    val_accuracy: float | None = None
    val_balanced_accuracy: float | None = None
    val_macro_f1: float | None = None


@dataclass(frozen=True)
class HiddenLayer:
    """Units that can be removed: neurons or channels that one layer writes first.

    `activation` is the name of the function between the layer and the first of its `consumers`.
    """

    name: str
    activation: str
    consumers: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.consumers:
            raise InvalidRecord(f"hidden layer {self.name} has no consumers", MAKE_AGAIN)


@dataclass(frozen=True)
class HistoryEntry:
    """What one command did to a model: all its parameters, the result, and the versions that it ran under."""

    command: str
    parameters: Mapping[str, Any]
    metrics: Mapping[str, Any]
    versions: Mapping[str, str]


@dataclass(frozen=True)
class Card:
    """All that is known of a model but its tensors; kept in checkpoints and ONNX files.

    `layers` are its prunable layers, `history` has one entry per command, `training` is its learning curve.
    It has no clock time, so the same work gives the same card.
    """

    spec: Spec
    classes: tuple[str, ...]
    preprocess: Preprocess
    split: SplitRule
    layers: tuple[HiddenLayer, ...] = ()
    history: tuple[HistoryEntry, ...] = ()
    training: tuple[Epoch, ...] = ()

    def __post_init__(self) -> None:
        if len(self.classes) != self.spec.classes:
            fact = f"{len(self.classes)} class names for {self.spec.classes} outputs"
            raise InvalidRecord(fact, MAKE_AGAIN)
        # columns that a network reconstructs may share a title
        classifies = architecture(self.spec.arch).task == "classify"
        if classifies and (len(set(self.classes)) < len(self.classes) or "" in self.classes):
            raise InvalidRecord("has a class without a name of its own", MAKE_AGAIN)
        shape = (self.preprocess.channels, *self.preprocess.size)
        fits = len(self.spec.input) == 1 if self.preprocess.kind == "table" else self.spec.input == shape
        if not fits:
            raise InvalidRecord("its preprocessing does not make the input of its network", MAKE_AGAIN)


@dataclass(frozen=True, kw_only=True)
class Checkpoint(Card):
    """A network with everything that later commands need, without images and code.

    `tensors` are its parameters and buffers by name. `statistics` has an entry for each of its layers,
    `moments` for each layer input that is not exactly the units of a layer. `sensitivities` (outputs,
    outputs) say of the layers that read units how much the answer depends on what they compute. `masks`
    (bool) are false for the weights that pruning has set to zero. `trained` (n,) int64, ascending, are the
    content keys of the samples that it learned from or was chosen by; None where nobody knows. `place` is the
    file that it was read from, and is not kept in files: its training data may be beside it.
    """

    tensors: Mapping[str, Tensor]
    statistics: Mapping[str, UnitStatistics] = field(default_factory=dict)
    moments: Mapping[str, Moments] = field(default_factory=dict)
    sensitivities: Mapping[str, Tensor] = field(default_factory=dict)
    masks: Mapping[str, Tensor] = field(default_factory=dict)
    trained: Tensor | None = None
    place: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if sorted(layer.name for layer in self.layers) != sorted(self.statistics):
            raise InvalidRecord("its statistics are not those of its hidden layers", MAKE_AGAIN)
        for layer in self.layers:
            self._check_layer(layer)
        for name, matrix in self.sensitivities.items():
            weight = self.tensors.get(f"{name}.weight")
            if weight is None or matrix.shape != (len(weight), len(weight)):
                raise InvalidRecord(f"its sensitivity of {name} does not fit that layer", MAKE_AGAIN)
            _require_finite(matrix)
        for name, mask in self.masks.items():
            weight = self.tensors.get(name)
            if weight is None or weight.shape != mask.shape or str(mask.dtype) != "torch.bool":
                raise InvalidRecord(f"its mask of {name} does not fit that tensor", MAKE_AGAIN)
        check_keys(self.trained)

    def _check_layer(self, layer: HiddenLayer) -> None:
        """A layer may have more channels than units: some are frozen, and a unit may have several."""
        units = self.statistics[layer.name].units
        weight = self.tensors.get(f"{layer.name}.weight")
        if weight is None or weight.ndim < 2 or weight.shape[0] < units:
            raise InvalidRecord(f"statistics of {units} units contradict layer {layer.name}", MAKE_AGAIN)
        for consumer in layer.consumers:
            weight = self.tensors.get(f"{consumer}.weight")
            if weight is None or weight.ndim < 2:
                raise InvalidRecord(f"{layer.name} is read by {consumer}, which has no weights", MAKE_AGAIN)

    @property
    def units(self) -> int:
        """Units of all prunable layers together."""
        return sum(statistics.units for statistics in self.statistics.values())

    def module(self) -> nn.Module:
        """The network in evaluation mode, ready to run, with tensors of its own."""
        from emoprune.networks.build import restore

        return restore(self.spec, {name: tensor.clone() for name, tensor in self.tensors.items()})

    def save(self, path: str | Path, *, force: bool = False, keep_paths: bool = False) -> None:
        """Write the checkpoint to a file; an existing one is replaced only with `force`.

        Of absolute paths in its history only the last name is written, unless `keep_paths`.
        """
        from emoprune.io.files import write_bytes
        from emoprune.networks.checkpoint import to_bytes

        write_bytes(path, to_bytes(self, keep_paths=keep_paths), force=force)
