"""What the settings of a training come to on its data: the network to start from, the parts, the recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from emoprune import events
from emoprune.choices import Keep
from emoprune.data.augmentation import parse_augmentations
from emoprune.data.datasets import Data
from emoprune.data.splits import declared_parts, partition, split_rule, tell_split
from emoprune.data.types import Preprocess, Samples, SplitRule, Table
from emoprune.errors import BadData, UsageFault, at
from emoprune.evaluation import model
from emoprune.io import files
from emoprune.networks import build, checkpoint, inputs
from emoprune.networks.losses import task_of
from emoprune.networks.registry import ARCHITECTURES
from emoprune.networks.svm import fitted_svm
from emoprune.networks.table_networks import TABLENETS, fitted_scaling
from emoprune.networks.types import Checkpoint, Spec
from emoprune.training.config import OF_THE_NETWORK, Settings
from emoprune.training.loop import Recipe
from emoprune.training.presets import PRESETS

UNUSED_BY_SVM = OF_THE_NETWORK - {"arch", "scale"} | {
    *("epochs", "lr", "lr_factor", "lr_decay", "batch_size", "optimizer", "momentum", "weight_decay"),
    *("keep", "overfit"),
}

OF_PHOTOS = {"size", "gray", "mean", "std"}


@dataclass(frozen=True)
class Start:
    """The network that a training starts from, and the samples as it sees them.

    `outputs` names what its outputs stand for.
    """

    spec: Spec
    preprocess: Preprocess
    net: nn.Module
    outputs: tuple[str, ...]
    samples: Samples


@dataclass(frozen=True)
class Setup:
    """All that a training needs; `past` is the checkpoint that is gone on with."""

    start: Start
    rule: SplitRule
    parts: Mapping[str, Tensor]
    recipe: Recipe
    past: Checkpoint | None


def set_up(settings: Settings, found: Data, rule: SplitRule | None = None) -> Setup:
    """The settings, checked against the data and one another, with every default filled in.

    `rule` is how they split the data, where that has been found already.
    """
    past = checkpoint.read(settings.earlier) if settings.earlier else None
    if past is None:
        check(settings, found)
    else:
        _check_kind(settings.preset, found)
        _check_going_on(settings, past)
        _check_used(settings, past.spec.arch)
        _check_combination(past.spec, settings)
    rule = rule or _rule_of(settings, found, past)
    with at(settings.data):
        dealt = partition(found.catalog, rule)
    if past is None or rule is not past.split:
        tell_split(found, rule, dealt)
    parts = {name: torch.tensor(indices) for name, indices in dealt.items()}
    if settings.overfit:
        parts["train"] = _few(parts["train"], settings.overfit, settings.seed)
    recipe = Recipe(
        epochs=settings.epochs,
        lr=settings.lr,
        lr_factor=settings.lr_factor,
        lr_decay=settings.lr_decay,
        batch_size=settings.batch_size,
        optimizer=settings.optimizer,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        augment=parse_augmentations(settings.augment),
        keep=_kept_epoch(settings.keep, parts),
        seed=settings.seed,
    )
    start = _fresh(settings, found, parts["train"]) if past is None else _gone_on_with(settings, found, past)
    if start.spec.arch == "svm":
        recipe = replace(recipe, epochs=0)
    return Setup(start, rule, parts, recipe, past)


def _check_kind(preset: str | None, found: Data) -> None:
    if preset is None:
        return
    wanted, given = PRESETS[preset].data, "table" if isinstance(found, Table) else "image"
    if wanted != given:
        kinds = {"image": "photos", "table": "a feature table"}
        fact = f"--preset {preset} is for {kinds[wanted]}, and this is {kinds[given]}"
        remedy = "make one with emoprune features" if wanted == "table" else "give a folder of faces by class"
        raise BadData(fact, remedy, place=found.catalog.place)


def _check_going_on(settings: Settings, past: Checkpoint) -> None:
    fixed = sorted(settings.given & OF_THE_NETWORK)
    if fixed:
        option = f"--{fixed[0].replace('_', '-')}"
        raise UsageFault(f"{option} and --from both say what the network is", f"leave out {option}")
    if past.spec.arch == "svm":
        raise UsageFault(f"{settings.earlier} is a machine that is fitted in one go", "train it anew")


def _check_used(settings: Settings, arch: str) -> None:
    """Raise UsageFault for an option that this architecture makes no use of."""
    unused = settings.given & (UNUSED_BY_SVM if arch == "svm" else {"penalty"})
    if unused:
        raise UsageFault(f"{arch} makes no use of --{min(unused).replace('_', '-')}", "leave it out")
    if settings.overfit and task_of(arch) != "classify":
        raise UsageFault(f"--overfit counts right answers, and {arch} classifies nothing", "leave it out")


def _rule_of(settings: Settings, found: Data, past: Checkpoint | None) -> SplitRule:
    """What the options ask for; going on, that of the checkpoint, lest its test part be trained on."""
    same = past is not None and past.split.fingerprint == found.catalog.fingerprint
    if past is not None and same and not settings.given & {"split", "group_by", "split_by"}:
        return past.split
    # a preset's split is for data that is not split already
    preset_alone = "split" not in settings.given and declared_parts(found.catalog.names)
    split = None if preset_alone else settings.split
    rule = split_rule(found, split, settings.group_by, settings.split_by, settings.seed)
    if past is not None and past.split != rule:
        events.note("the split is not that of the earlier training: its test part may be trained on now")
    return rule


def _few(train: Tensor, count: int, seed: int) -> Tensor:
    if count > len(train):
        raise UsageFault(f"--overfit {count}, and the training part has {len(train)} samples", "give fewer")
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
    return train[order[:count].sort().values]


def _kept_epoch(keep: Keep | None, parts: Mapping[str, object]) -> Keep:
    """Best where there is a validation part to tell it, else last; UsageFault for the impossible."""
    if keep == "best" and "val" not in parts:
        raise UsageFault("--keep best needs a validation part", "give --split 75/10/15")
    return keep or ("best" if "val" in parts else "last")


def _gone_on_with(settings: Settings, found: Data, past: Checkpoint) -> Start:
    """The network of an earlier checkpoint; BadData for data that it was not made for."""
    samples = model.samples_for(past, found)
    absent = sorted(set(past.classes) - set(found.catalog.classes))
    if absent and task_of(past.spec.arch) == "classify":
        events.warn(
            f"{found.catalog.place} has no {', '.join(absent)}, which {settings.earlier} tells apart: "
            "going on without, the network forgets"
        )
    with at(files.shown(settings.earlier or "")):
        # its own copy: training changes it in place
        net = build.restore(past.spec, {name: tensor.clone() for name, tensor in past.tensors.items()})
    return Start(past.spec, past.preprocess, net, past.classes, samples)


def check(settings: Settings, found: Data) -> None:
    """What `set_up` refuses of the options of a fresh network, without building it or reading a sample."""
    _check_kind(settings.preset, found)
    _check_used(settings, settings.arch)
    spec, _, _ = _described(settings, found)
    _check_combination(spec, settings)


def _described(settings: Settings, found: Data) -> tuple[Spec, Preprocess, tuple[str, ...]]:
    """The network that the settings ask for, what it reads, and what its outputs stand for."""
    entry = ARCHITECTURES[settings.arch]
    preprocess = inputs.preprocess(
        found, settings.arch, settings.size, gray=settings.gray, mean=settings.mean, std=settings.std
    )
    outputs = model.outputs(found, entry.task)
    spec = Spec(
        arch=settings.arch,
        classes=len(outputs),
        input=inputs.input_shape(found, preprocess),
        hidden=settings.hidden or entry.hidden,
        activation=settings.activation,
        dropout=settings.dropout,
        channels=settings.channels,
    )
    build.check_input(spec)
    if entry.own and settings.start == "imagenet":
        raise UsageFault(f"there are no ImageNet weights of {spec.arch}", "give --weights none or a file")
    return spec, preprocess, outputs


def _fresh(settings: Settings, found: Data, train: Tensor) -> Start:
    """A network of the settings' own: its weights pre-trained, its scaling fitted to the samples `train`."""
    spec, preprocess, outputs = _described(settings, found)
    samples = model.samples(found, preprocess, spec.input)
    if spec.arch != "svm":
        net, fresh = inputs.pretrained(spec, settings.start, seed=settings.seed)
        _tell_adoption(settings.start, fresh, epochs=settings.epochs)
    with at(settings.data):
        if isinstance(found, Table):
            columns = outputs if preprocess.label else found.columns
            values = samples.batch(train)
            scaling = fitted_scaling(values, settings.scale, columns=columns)
            if spec.arch == "svm":
                spec, net = fitted_svm(spec, values, samples.labels[train], scaling, penalty=settings.penalty)
            else:
                net.get_submodule("scaling").load_state_dict(scaling.state_dict())
    return Start(spec, preprocess, net, outputs, samples)


def _tell_adoption(weights: str, fresh: tuple[str, ...], *, epochs: int) -> None:
    """Say which layers `weights` does not fill, loudly where no epoch will train them either."""
    if epochs == 0 and weights == "none":
        events.warn("no weights and no epochs leave the network as drawn at random")
    elif epochs == 0 and fresh:
        events.warn(f"{weights} has no weights for {', '.join(fresh)}: without epochs they stay random")
    elif fresh:
        events.note(f"{weights} has no weights for {', '.join(fresh)}: trained from the start")


def _check_combination(spec: Spec, settings: Settings) -> None:
    """Raise UsageFault for options that make no sense for the architecture or the data; warn of the odd."""
    table, augment = len(spec.input) == 1, parse_augmentations(settings.augment)
    if spec.arch in TABLENETS and settings.freeze == "backbone":
        raise UsageFault(f"{spec.arch} has no backbone to freeze", "leave out --freeze")
    if table and augment:
        raise UsageFault("--augment changes photos, and this is a feature table", "leave it out")
    misplaced = settings.given & (OF_PHOTOS if table else {"scale"})
    if misplaced:
        photos, a_table = "photos", "a feature table"
        of, this = (photos, f"this is {a_table}") if table else (a_table, f"these are {photos}")
        raise UsageFault(f"--{min(misplaced)} is of {of}, and {this}", "leave it out")
    if settings.freeze == "backbone" and settings.start == "none":
        events.warn("the frozen backbone has random weights; --weights gives it learned ones")
