"""What settings of a training contradict: each other, the network, the data."""

from __future__ import annotations

from torch import nn

from emoprune import events
from emoprune.choices import Kind
from emoprune.data.augmentation import parse_augmentations
from emoprune.data.datasets import Data
from emoprune.data.types import Table
from emoprune.errors import BadData, UsageFault
from emoprune.networks.losses import task_of
from emoprune.networks.table_networks import TABLENETS
from emoprune.networks.types import Spec
from emoprune.training.config import OF_THE_NETWORK, TrainConfig, chosen_files
from emoprune.training.steps.batch_norms import has_norms
from emoprune.training.types import Past

OF_STEPS = {
    *("epochs", "lr", "lr_factor", "lr_every", "lr_decay", "schedule", "warmup", "backbone_lr", "batch_size"),
    *("accumulate", "clip_grad", "optimizer", "momentum", "weight_decay", "ema", "precision", "save_every"),
    *("label_smoothing", "balance", "mixup", "cutmix", "keep", "keep_by", "patience", "overfit", "freeze_bn"),
    *("adapt_bn", "unfreeze_last", "unfreeze_every", "views", "cache_dir"),
}
UNUSED_BY_SVM = OF_THE_NETWORK - {"arch", "scale"} | OF_STEPS
"""It is fitted in one go."""
OF_PHOTOS = {"size", "gray", "mean", "std", "cutmix"}
OF_A_TEACHER = {"temperature", "teacher_weight", "match_features"}


def kind_of(data: Data) -> Kind:
    """What a network for the data reads."""
    return "table" if isinstance(data, Table) else "image"


def check_kind(data: Data, config: TrainConfig) -> None:
    """Raise BadData for data of another kind than a preset is for."""
    found = kind_of(data)
    kinds = {"image": "photos", "table": "a feature table"}
    for name, file in chosen_files(config.preset, config.recipe, config.file).items():
        if file.data not in (None, found):
            fact = f"{name} is for {kinds[file.data]}, and this is {kinds[found]}"
            image = file.data == "image"
            remedy = "give a folder of faces by class" if image else "make one with emoprune features"
            raise BadData(fact, remedy, place=data.catalog.place)


def check_past(config: TrainConfig, past: Past) -> None:
    """Raise UsageFault for settings that a checkpoint which is trained on has decided."""
    # the architecture may be named again, as a network of the user's own has to be
    fixed = sorted((config.given - config.in_file) & OF_THE_NETWORK - {"arch"})
    if fixed:
        raise UsageFault(f"`{fixed[0]}` and `past` both say what the network is", f"leave out `{fixed[0]}`")
    if config.file and config.in_file & OF_THE_NETWORK:
        names = ", ".join(sorted(config.in_file & OF_THE_NETWORK))
        events.note(f"{config.file.place}: {past.name} decides what the network is, not {names}")
    if past.checkpoint.spec.arch == "svm":
        raise UsageFault(f"{past.name} is an svm, which is fitted in one go", "train it from scratch")


def unused_settings(arch: str, *, taught: bool) -> set[str]:
    """Settings that this architecture ignores, or that are of a teacher that is not there."""
    if arch == "svm":
        return {*UNUSED_BY_SVM, *OF_A_TEACHER}
    return {"penalty"} if taught else {"penalty", *OF_A_TEACHER}


def check_used(config: TrainConfig, arch: str) -> None:
    """Raise UsageFault for a setting that this architecture ignores."""
    unused = config.given & unused_settings(arch, taught=True)
    if unused:
        raise UsageFault(f"{arch} ignores `{min(unused)}`", "leave it out")
    if config.recipe and arch == "svm":
        raise UsageFault("svm is fitted in one go, and ignores `recipe`", "leave it out")
    if config.overfit and task_of(arch) != "classify":
        raise UsageFault(f"`overfit` counts right answers, and {arch} does not classify", "leave it out")


def check_settings(config: TrainConfig, *, taught: bool) -> None:
    """Raise UsageFault for settings that contradict each other whatever the network."""
    if config.warmup and (config.schedule == "one-cycle" or config.warmup > config.epochs > 0):
        own = config.schedule == "one-cycle"
        fact = "`schedule=one-cycle` warms up by itself" if own else "`warmup` is longer than `epochs`"
        raise UsageFault(fact, "leave out `warmup`" if own else "give fewer epochs of it")
    if config.unfreeze_every and not config.unfreeze_last:
        raise UsageFault("`unfreeze_every` says when blocks join, not which", "give `unfreeze_last` as well")
    if taught and config.banked:
        raise UsageFault("a teacher needs pictures, and a frozen backbone hides them", "leave out `freeze`")
    if config.banked and config.cutmix:
        raise UsageFault("`cutmix` needs pictures, and a frozen backbone hides them", "give `mixup` instead")
    alone = config.given & OF_A_TEACHER
    if alone and not taught:
        raise UsageFault(f"`{min(alone)}` is of a teacher, and there is none", "give `teacher`")


def check_validation(config: TrainConfig) -> None:
    """Raise UsageFault for what needs a validation part."""
    if config.keep == "best":
        raise UsageFault("`keep=best` needs a validation part", "give `split=75/10/15`")
    if config.patience is not None:
        raise UsageFault("`patience` needs a validation part", "give `split=75/10/15`")


def check_batch_norm(net: nn.Module, config: TrainConfig, *, samples: int) -> None:
    """Raise UsageFault where batch norm would see one sample at a time, or should be there and is not."""
    normed = has_norms(net)
    if config.adapt_bn and not normed:
        raise UsageFault(f"`adapt_bn`: {config.network} has no batch norms", "leave it out")
    one = (
        config.epochs
        and not config.freeze_bn
        and config.freeze == "none"
        and min(config.batch_size or samples, samples) == 1
    )
    if normed and (one or (config.adapt_bn and samples == 1)):
        raise UsageFault("batch norm cannot learn from one sample", "give `batch_size=2` or more")


def settings_of_other_kinds(spec: Spec) -> set[str]:
    """Settings that only networks of another kind of input have."""
    return OF_PHOTOS if len(spec.input) == 1 else {"scale"}


def check_whole(spec: Spec, config: TrainConfig) -> None:
    """Raise UsageFault for a setting of a backbone, for a network without one."""
    of_a_backbone = {"freeze": "none", "unfreeze_last": None, "backbone_lr": None}
    for name, default in of_a_backbone.items():
        if getattr(config, name) != default:
            raise UsageFault(f"{spec.arch} has no backbone, of which `{name}` is", "leave it out")


def check_reconstruction(spec: Spec, config: TrainConfig) -> None:
    """Raise UsageFault for a setting of classes."""
    of_classes = {"label_smoothing", "mixup", "cutmix", "balance", "keep_by"}
    defaults = TrainConfig()
    for name in sorted(of_classes):
        if getattr(config, name) != getattr(defaults, name):
            raise UsageFault(f"`{name}` is of classes, and {spec.arch} does not classify", "leave it out")


def check_combination(spec: Spec, config: TrainConfig) -> None:
    """Raise UsageFault for settings that contradict the architecture or the data."""
    table, augment = len(spec.input) == 1, parse_augmentations(config.augment)
    if task_of(spec.arch) != "classify":
        check_reconstruction(spec, config)
    if spec.arch in TABLENETS:
        check_whole(spec, config)
    if table and augment and "augment" in config.given:
        raise UsageFault("`augment` changes photos, and this is a feature table", "leave it out")
    misplaced = config.given & settings_of_other_kinds(spec)
    if misplaced:
        photos, a_table = "photos", "a feature table"
        of, this = (photos, f"this is {a_table}") if table else (a_table, f"these are {photos}")
        raise UsageFault(f"`{min(misplaced)}` is of {of}, and {this}", "leave it out")
