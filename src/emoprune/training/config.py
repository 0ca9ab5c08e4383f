"""All that a training is asked for, declared once: the command line and the search follow from it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from emoprune.choices import (
    Activation,
    Balance,
    DeviceName,
    Freeze,
    Keep,
    KeepBy,
    Kind,
    Optimizer,
    Precision,
    Scale,
    Schedule,
    SplitBy,
)
from emoprune.data.augmentation import AUGMENTATIONS
from emoprune.data.config import SplitConfig
from emoprune.errors import BadSettings, InvalidRecord, UsageFault
from emoprune.io import json_records
from emoprune.networks.config import MEMORY, InputConfig
from emoprune.networks.registry import ARCHITECTURES, NAMES, USUAL, architecture
from emoprune.settings import check_limits, check_setting, like, nearest, setting, settings_of
from emoprune.training import settings_files
from emoprune.training.presets import PRESETS
from emoprune.training.recipes import RECIPES
from emoprune.training.settings_files import SettingsFile

OF_THE_NETWORK = frozenset(
    (
        "arch",
        "arch_args",
        "weights",
        "classes",
        "hidden",
        "channels",
        "activation",
        "dropout",
        "size",
        "gray",
        "mean",
        "std",
        "scale",
    )
)
"""What a checkpoint that is trained on has decided."""
OF_THE_SPLIT = frozenset(settings_of(SplitConfig))


def _own(kind: Kind) -> str:
    names = [name for name, entry in ARCHITECTURES.items() if entry.own and entry.takes[-1] == kind]
    return ", ".join(names)


def _names(setting: str, values: Iterable[str]) -> tuple[str, ...]:
    names = [name.strip() for joined in values for name in joined.split(",")]
    for name in names:
        if not name or names.count(name) > 1:
            fault = f"{name} twice" if name else "an empty name"
            raise UsageFault(f"`{setting}` has {fault}", "give each name once")
    return tuple(names)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """What a training is asked for; `train_config` makes one.

    `given` names the settings that the caller chose: what contradicts the data or a checkpoint is refused
    if it is among them, and ignored if it is a default. Settings of the `file` are given, too; those
    `in_file` are from there, and no caller has changed them.
    """

    arch: str | None = setting(
        None,
        f"{_own('image')} (convolutions, then dense layers); {_own('table')} (for feature tables); "
        "any torchvision classifier by name; inception_resnet_v1 (of facenet-pytorch); timm/NAME (of timm); "
        "or package.module:function, which is called with num_classes and returns a network of your own.",
        metavar="NAME",
        names=NAMES,
        default_text="; ".join((USUAL["image"], f"for a feature table {USUAL['table']}")),
    )
    arch_args: str | None = setting(
        None, 'More arguments of a function of your own, a JSON object as {"width": 8}.', metavar="JSON"
    )
    weights: str | None = like(InputConfig, "weights")
    classes: tuple[str, ...] = setting(
        (),
        "The classes that the rows of the output layer in a weights file stand for, in order; may be "
        "repeated or joined by commas.",
        metavar="NAME[,NAME...]",
        default_text="what the file says, else alphabetical",
    )
    new_classes: tuple[str, ...] = setting(
        (),
        "Classes of the data that a checkpoint to train on gets; needed only where the data also lack one "
        "that it has. May be repeated or joined by commas.",
        metavar="NAME[,NAME...]",
        default_text="those that it does not know",
    )
    freeze: Freeze = setting("none", "backbone: train the head alone, on features computed once.")
    views: int = setting(
        4,
        "Of a frozen backbone with `augment`: changed copies of each picture whose features are computed "
        "once, and of which each epoch draws one. 1: pictures as they are.",
        metavar="N",
        low=1,
    )
    unfreeze_last: int | None = setting(
        None, "Train the head and the last N blocks of the backbone.", metavar="N", low=1
    )
    unfreeze_every: int | None = setting(
        None,
        "Start with the head, and let one more block join after so many epochs.",
        metavar="EPOCHS",
        low=1,
    )
    adapt_bn: bool = setting(
        False,
        "Start from the means and variances that batch norms find on the training part; for weights of other "
        "pictures.",
    )
    freeze_bn: bool = setting(False, "Keep the means and variances of batch norms as they are.")
    hidden: tuple[int, ...] = setting(
        (),
        "Width of a dense hidden layer between features and classes; may be repeated.",
        metavar="UNITS",
        low=1,
        default_text="the network's own: 200 for conv2, 20 for mlp",
    )
    channels: tuple[int, ...] = setting(
        (),
        "Width of each convolution of a network of ours, in order; repeat it.",
        metavar="N",
        low=1,
        default_text="its own",
    )
    activation: Activation = setting("sigmoid", "Of the hidden layers.")
    dropout: float = setting(0.0, "After each hidden layer.", metavar="FRACTION", low=0, high=0.99)
    size: str | None = like(InputConfig, "size")
    gray: bool = like(InputConfig, "gray")
    mean: str | None = like(InputConfig, "mean")
    std: str | None = like(InputConfig, "std")
    scale: Scale = setting("minmax", "Of table columns, fitted on the training part.")
    penalty: float = setting(1.0, "Of svm: how much a misclassified sample costs.", metavar="C", low=1e-6)
    epochs: int = setting(50, "0 adopts finished weights as they are.", metavar="N", low=0)
    lr: float = setting(1e-3, "Learning rate.", metavar="RATE", low=0)
    backbone_lr: float | None = setting(
        None, "Learning rate of all but the head.", metavar="RATE", low=0, default_text="that of the head"
    )
    schedule: Schedule = setting(
        "constant", "How the rate falls; one-cycle first rises for 30% of the steps."
    )
    warmup: float = setting(0.0, "Epochs in which the rate rises from 0.", metavar="EPOCHS", low=0)
    lr_factor: float = setting(
        1.0, "Multiply the rate by this every `lr_every` epochs.", metavar="FRACTION", low=0, high=1
    )
    lr_every: int = setting(1, "See `lr_factor`.", metavar="EPOCHS", low=1)
    lr_decay: float = setting(0.0, "Divide the rate by 1 + RATE x steps taken.", metavar="RATE", low=0)
    batch_size: int = setting(32, "0 is the whole training part at once.", metavar="N", low=0)
    accumulate: int = setting(1, "Batches whose gradients make one step.", metavar="N", low=1)
    clip_grad: float | None = setting(
        None, "Longest gradient; longer ones are shortened.", metavar="NORM", low=0
    )
    optimizer: Optimizer = setting("adam", "How gradients become steps.")
    momentum: float = setting(0.9, "Of sgd.", metavar="FRACTION", low=0, high=1)
    weight_decay: float = setting(0.0, "L2 penalty; decoupled in adamw.", metavar="RATE", low=0)
    label_smoothing: float = setting(
        0.0, "Part of each label that goes to all classes alike.", metavar="FRACTION", low=0, high=1
    )
    balance: Balance = setting(
        "none", "Classes with few samples: loss counts each more, sampler draws each more often."
    )
    mixup: float = setting(0.0, "Mix pairs of samples and labels; 0.2 is usual.", metavar="ALPHA", low=0)
    cutmix: float = setting(
        0.0, "Paste a rectangle of another picture; with `mixup` either by chance.", metavar="ALPHA", low=0
    )
    ema: float = setting(
        0.0,
        "Average the weights over steps, with this much of the old ones.",
        metavar="FRACTION",
        low=0,
        high=1,
    )
    temperature: float = setting(3.0, "Of the answers of a teacher.", metavar="T", low=0.01)
    teacher_weight: float = setting(
        0.9, "Of a teacher's answers in the loss; labels have the rest.", metavar="FRACTION", low=0, high=1
    )
    match_features: float = setting(
        0.0, "Weight of the distance from a teacher's last features.", metavar="WEIGHT", low=0
    )
    precision: Precision = setting(
        "auto", "Of training steps; auto is bf16 where this machine is much faster with it."
    )
    augment: tuple[str, ...] = setting(
        (),
        "May be repeated or joined by commas; none: none. "
        + "; ".join(f"{name}:{kind.default:g}: {kind.meaning}" for name, kind in AUGMENTATIONS.items())
        + ".",
        metavar="NAME[:STRENGTH]",
        offered=AUGMENTATIONS,
    )
    split: str | None = like(SplitConfig, "split")
    split_file: str | None = like(SplitConfig, "split_file")
    group_by: str | None = like(SplitConfig, "group_by")
    split_by: SplitBy | None = like(SplitConfig, "split_by")
    keep: Keep | None = setting(
        None, "Which epoch: best is by `keep_by`.", default_text="best with a val part, else last"
    )
    keep_by: KeepBy = setting("accuracy", "What of the val part makes an epoch the best.")
    patience: int | None = setting(None, "Stop after N epochs without a better one.", metavar="N", low=1)
    overfit: int | None = setting(
        None,
        "Sanity check: train on N samples of the training part, and say whether they are learned.",
        metavar="N",
        low=1,
    )
    data_license: str | None = setting(
        None, "The license of the data, kept in the checkpoint and what is exported of it.", metavar="TEXT"
    )
    weights_license: str | None = setting(
        None, "The license of the `weights` that it starts from, kept likewise.", metavar="TEXT"
    )
    seed: int = setting(0, "What every random choice follows from.", metavar="N", low=0, high=2**32 - 1)
    statistics: bool = setting(
        True,
        "Whether to end with the statistics that pruning needs; without them prune gathers them from `data`.",
        option="--statistics/--no-statistics",
    )
    save_every: float = setting(
        5.0, "Longest time between two states to resume from.", metavar="MINUTES", low=0
    )
    cache_dir: str | None = setting(
        None, "A folder for decoded pictures and features, which later trainings read.", metavar="FOLDER"
    )
    memory: float | None = MEMORY
    device: DeviceName = setting("auto", "Where to compute; auto takes CUDA where there is one.")
    preset: str | None = None
    recipe: str | None = None
    file: SettingsFile | None = None
    given: frozenset[str] = frozenset()
    in_file: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        check_limits(self)
        for name in ("data_license", "weights_license"):
            if getattr(self, name) is not None and not getattr(self, name).strip():
                raise UsageFault(f"`{name}` has no text", "give it one, or leave it out")

    @property
    def network(self) -> str:
        """The architecture; where no data has decided it, that for photos."""
        return self.arch or USUAL["image"]

    @property
    def banked(self) -> bool:
        """Whether only the head learns, from features that are computed once."""
        return self.freeze == "backbone" and self.unfreeze_last is None

    @property
    def initial_weights(self) -> str:
        """Where a new network's weights come from: imagenet, none or a file."""
        return self.weights or architecture(self.network).usual_weights

    @property
    def arguments(self) -> Mapping[str, Any]:
        """The arguments in `arch_args`; UsageFault for what is not a JSON object."""
        if self.arch_args is None:
            return {}
        if architecture(self.network).source != "code":
            fact = f"`arch_args` is for a function of your own, and {self.network} is not one"
            raise UsageFault(fact, "leave it out")
        try:
            found = json_records.decode(dict[str, Any], json_records.loads(self.arch_args))
        except (ValueError, RecursionError, InvalidRecord):
            raise UsageFault("`arch_args` is not a JSON object", 'write {"width": 8}') from None
        if "num_classes" in found:
            raise UsageFault("`arch_args` has num_classes, which the data decides", "leave it out")
        return found

    @property
    def row_names(self) -> tuple[str, ...]:
        """The names in `classes` one by one; UsageFault for an empty one, or one that is there twice."""
        return _names("classes", self.classes)

    @property
    def added_names(self) -> tuple[str, ...]:
        """The names in `new_classes`, likewise."""
        return _names("new_classes", self.new_classes)


SETTINGS = settings_of(TrainConfig)
HINTS = get_type_hints(TrainConfig)


def train_config(
    preset: str | None = None,
    *,
    recipe: str | None = None,
    config: SettingsFile | str | Path | None = None,
    **given: Any,
) -> TrainConfig:
    """The defaults, changed by a preset, then by a recipe, by the file `config`, and by what is `given`.

    The file may name a preset and a recipe. A single value may stand for a list of one. Raises UsageFault for
    an unknown preset, recipe or setting, BadSettings for a file that says what no training has.
    """
    file = settings_files.read(str(config)) if isinstance(config, str | Path) else config
    named = chosen_files(preset, recipe, file)
    in_file = frozenset(file.settings if file else ())
    for name in given:
        if name not in SETTINGS:
            raise UsageFault(f"`{name}` is not a setting of a training", nearest(name, SETTINGS))
    values = {name: value for each in named.values() for name, value in each.settings.items()} | given
    return TrainConfig(
        **{name: _typed(name, value) for name, value in values.items()},
        preset=preset or (file.preset if file else None),
        recipe=recipe or (file.recipe if file else None),
        file=file,
        given=in_file | frozenset(given),
        in_file=in_file - frozenset(given),
    )


def chosen_files(
    preset: str | None, recipe: str | None, file: SettingsFile | None
) -> dict[str, SettingsFile]:
    """The files that change defaults, in order, by what messages call them: preset, recipe, file.

    UsageFault for an unknown preset or recipe, BadSettings for a file that says what no training has.
    """
    if file is not None:
        _check_file(file)
        preset, recipe = preset or file.preset, recipe or file.recipe
    found = dict[str, SettingsFile]()
    for kind, name, known in (("preset", preset, PRESETS), ("recipe", recipe, RECIPES)):
        if name is not None and name not in known:
            raise UsageFault(f"`{kind}={name}` is unknown", nearest(name, known))
        if name is not None:
            found[f"{kind} {name}"] = known[name]
    return found if file is None else {**found, file.place: file}


def _check_file(file: SettingsFile) -> None:
    for name, value in file.settings.items():
        if name not in SETTINGS:
            fact = f"{name} is not a setting of a training"
            raise BadSettings(fact, nearest(name, SETTINGS), place=file.place)
        try:
            check_setting(name, _typed(name, value), SETTINGS[name], HINTS[name])
        except UsageFault as fault:
            # a file has no options
            raise BadSettings(fault.fact.replace("`", ""), fault.remedy, place=file.place) from None
    for kind, named, known in (("preset", file.preset, PRESETS), ("recipe", file.recipe, RECIPES)):
        if named is not None and named not in known:
            raise BadSettings(f"{kind} {named} is unknown", nearest(named, known), place=file.place)


def _typed(name: str, value: Any) -> Any:
    """The value of a setting as the command line gives it: a list of one, a whole number as float."""
    if isinstance(value, dict):
        try:
            return json.dumps(value)
        except (TypeError, ValueError, RecursionError):
            raise UsageFault(f"`{name}` has values that are not JSON", "give numbers and texts") from None
    if get_origin(HINTS[name]) is tuple:
        return tuple(value) if isinstance(value, tuple | list) else (value,)
    whole = isinstance(value, int) and not isinstance(value, bool)
    return float(value) if whole and float in (HINTS[name], *get_args(HINTS[name])) else value
