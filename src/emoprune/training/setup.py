"""What a config comes to on its data: the network to start from, the parts, every default filled in."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from emoprune import events
from emoprune.data import class_names
from emoprune.data.config import SplitConfig
from emoprune.data.datasets import Data
from emoprune.data.formats.parts import declared_parts
from emoprune.data.image_dataset import Kept
from emoprune.data.loader import READING_BATCH
from emoprune.data.splits import note_split, partition, split_rule
from emoprune.data.types import Preprocess, Samples, SplitRule, Table
from emoprune.errors import BadData, UsageFault, at
from emoprune.evaluation import model
from emoprune.evaluation.seen import content_keys
from emoprune.io import files
from emoprune.networks import build, inputs, memory
from emoprune.networks.checkpoint import trusting
from emoprune.networks.heads import head_name
from emoprune.networks.losses import task_of
from emoprune.networks.registry import ARCHITECTURES, USUAL, architecture
from emoprune.networks.sources import user_networks
from emoprune.networks.svm import fitted_svm
from emoprune.networks.table_networks import fitted_scaling
from emoprune.networks.types import Spec
from emoprune.networks.weights.adoption import Adoption
from emoprune.networks.weights.growth import grown
from emoprune.training.checks import (
    check_batch_norm,
    check_combination,
    check_kind,
    check_past,
    check_settings,
    check_used,
    check_validation,
    kind_of,
    settings_of_other_kinds,
    unused_settings,
)
from emoprune.training.config import OF_THE_NETWORK, OF_THE_SPLIT, SETTINGS, TrainConfig
from emoprune.training.types import Past

PUBLISHED = {name for entry in ARCHITECTURES.values() for name in entry.weights}


@dataclass(frozen=True)
class Start:
    """The network that a training starts from, and the samples as it reads them.

    `outputs` names its outputs, and `trained` are the content keys of what it has learned from already.
    """

    spec: Spec
    preprocess: Preprocess
    net: nn.Module
    outputs: tuple[str, ...]
    samples: Samples
    trained: Tensor | None = None


@dataclass(frozen=True)
class Prepared:
    """A training that can begin: `config` with every default filled in, `data_name` for the history.

    `keys` (samples,) are those of the contents of its data, None where they are not known.
    """

    config: TrainConfig
    data_name: str
    start: Start
    rule: SplitRule
    parts: Mapping[str, Tensor]
    past: Past | None
    keys: Tensor | None
    teacher: str | None = None

    @property
    def masks(self) -> Mapping[str, Tensor]:
        """Of the network that is trained on: bool, false for weights that stay zero."""
        return self.past.checkpoint.masks if self.past else {}

    @property
    def settings(self) -> dict[str, Any]:
        """What decides this training, by the names that a settings file has; without what it ignores."""
        config, spec = self.config, self.start.spec
        ignored = settings_of_other_kinds(spec) | unused_settings(spec.arch, taught=self.teacher is not None)
        ignored |= OF_THE_NETWORK if self.past else set()
        if config.initial_weights not in (*PUBLISHED, "none") and "scale" not in config.given:
            # the weights may bring the scaling of their columns
            ignored.add("scale")
        own = {name: getattr(config, name) for name in SETTINGS if name not in ignored}
        return {"preset": config.preset, "recipe": config.recipe} | own


def prepare(
    data: Data,
    config: TrainConfig,
    *,
    past: Past | None = None,
    rule: SplitRule | None = None,
    data_name: str | None = None,
    teacher: str | None = None,
) -> Prepared:
    """The training that `config` asks for on `data`; UsageFault or BadData for what cannot be.

    `rule` is how the config splits the data, if that is known; `teacher` names the teacher, if there is one.
    """
    config = without_unused(data, config, past)
    check_settings(config, taught=teacher is not None)
    if teacher is not None and isinstance(data, Table):
        raise UsageFault("a teacher needs pictures, and this is a feature table", "leave out `teacher`")
    if past is None:
        config = for_data(data, config)
        check(data, config)
    else:
        if "arch" in config.given - config.in_file:
            with at(files.shown(past.name)):
                past = replace(past, checkpoint=trusting(past.checkpoint, config.arch))
        check_kind(data, config)
        check_past(config, past)
        past, config = _with_new_classes(data, config, past)
        check_used(config, past.checkpoint.spec.arch)
        check_combination(past.checkpoint.spec, config)
    rule = rule or _rule_of(data, config, past)
    with at(data.catalog.place):
        dealt = partition(data.catalog, rule)
    if past is None or rule is not past.checkpoint.split:
        note_split(data, rule, dealt)
    parts = {name: torch.tensor(indices) for name, indices in dealt.items()}
    if config.overfit:
        parts["train"] = _few(parts["train"], config.overfit, config.seed)
    if "val" not in parts:
        check_validation(config)
    start = _fresh(data, config, parts["train"]) if past is None else _continued(data, config, past)
    keep = config.keep or ("best" if "val" in parts else "last")
    config = replace(config, keep=keep, epochs=0 if start.spec.arch == "svm" else config.epochs)
    data_name = data_name or data.catalog.place
    if config.freeze == "backbone" or config.unfreeze_last or config.backbone_lr is not None:
        with at(start.spec.arch):
            head_name(start.net)
    with at(data_name):
        check_batch_norm(start.net, config, samples=len(parts["train"]))
        # training reads the other parts only: refuse a picture now that could not be evaluated later
        for chunk in parts["test"].split(READING_BATCH) if "test" in parts else ():
            start.samples.batch(chunk)
    keys = content_keys(data.catalog)
    return Prepared(config, data_name, start, rule, parts, past, keys, teacher)


def without_unused(data: Data, config: TrainConfig, past: Past | None) -> TrainConfig:
    """The config without what a preset or a recipe sets and this data has no use for."""
    unused = dict[str, Any]()
    if config.split is not None and "split" not in config.given:
        # a preset's split is for data without parts of their own, or in a file, and not for a test part that
        # is unseen
        continued = past is not None and past.checkpoint.split.fingerprint == data.catalog.fingerprint
        kept = continued and not config.given & OF_THE_SPLIT
        parted = config.split_file or declared_parts(data.catalog.names)
        unused = {"split": None} if kept or parted else {}
    if isinstance(data, Table) and config.augment and "augment" not in config.given:
        events.note("`augment` changes photos, and is left out for a feature table")
        unused["augment"] = ()
    if config.warmup > config.epochs and "warmup" not in config.given:
        unused["warmup"] = 0.0
    if (isinstance(data, Table) or config.banked) and config.cutmix and "cutmix" not in config.given:
        events.note("`cutmix` joins pictures, and is left out where features are read")
        unused["cutmix"] = 0.0
    return replace(config, **unused)


def for_data(data: Data, config: TrainConfig) -> TrainConfig:
    """The config with a network that reads the data, where it names none."""
    return replace(config, arch=config.arch or USUAL[kind_of(data)])


def rule_of(data: Data, config: TrainConfig, past: Past | None) -> SplitRule:
    """The split of a training that is given no other."""
    with events.muted():
        # the training itself tells what it leaves out
        config = without_unused(data, config, past)
    return _rule_of(data, config, past)


def spec_of(data: Data, config: TrainConfig, past: Past | None) -> Spec:
    """The network of a training."""
    return past.checkpoint.spec if past else _described(data, for_data(data, config))[0]


def _rule_of(data: Data, config: TrainConfig, past: Past | None) -> SplitRule:
    """The split that the config asks for; of a past training its own, so that its test part stays unseen."""
    earlier = past.checkpoint.split if past else None
    same = earlier is not None and earlier.fingerprint == data.catalog.fingerprint
    if earlier is not None and same and not config.given & OF_THE_SPLIT:
        return earlier
    rule = split_rule(data, SplitConfig.of(config), config.seed)
    if earlier is not None and earlier != rule:
        events.note("the split is not that of the earlier training: its test part may be trained on now")
    return rule


def _few(train: Tensor, count: int, seed: int) -> Tensor:
    if count > len(train):
        raise UsageFault(f"`overfit={count}`, and the training part has {len(train)} samples", "give fewer")
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
    return train[order[:count].sort().values]


def _with_new_classes(data: Data, config: TrainConfig, past: Past) -> tuple[Past, TrainConfig]:
    """The checkpoint with an output for every class of the data, and the config that names the new ones.

    Raises BadData where the data lack a class that it knows, too: a class may have been renamed.
    """
    known, names, place = past.checkpoint.classes, data.catalog.classes, data.catalog.place
    if task_of(past.checkpoint.spec.arch) != "classify":
        return past, config
    there = class_names.places(names, known)
    new = tuple(name for name, row in zip(names, there, strict=True) if row is None)
    absent = [name for index, name in enumerate(known) if index not in there]
    wrong = [name for name in config.added_names if name not in new]
    if wrong:
        fact = f"`new_classes` names {wrong[0]}, and {place} has " + (", ".join(new) or "no new class")
        raise UsageFault(fact, f"name classes that {past.name} lacks and the data have")
    unnamed = [name for name in new if name not in config.added_names]
    if absent and unnamed:
        fact = (
            f"class {unnamed[0]} is not one of the model's ({', '.join(known)}), and there is no {absent[0]}"
        )
        remedy = f"rename it if they are the same, or give `new_classes={','.join(new)}`"
        raise BadData(fact, remedy, place=place)
    if absent:
        events.warn(
            f"{place} has no {', '.join(absent)}, which {past.name} tells apart: "
            "trained on without them, the network forgets them"
        )
    if not new:
        return past, config
    kept = f"rows of {', '.join(known)} are kept"
    events.note(f"{past.name}: the output layer grows by {', '.join(new)}, which start fresh; {kept}")
    if not config.epochs:
        events.warn(f"without epochs the rows of {', '.join(new)} stay random")
    made = grown(past.checkpoint, new, seed=config.seed)
    return replace(past, checkpoint=made), replace(config, new_classes=new)


def _continued(data: Data, config: TrainConfig, past: Past) -> Start:
    """A copy of the past network; BadData for data that it was not made for."""
    checkpoint = past.checkpoint
    samples = model.samples_for(checkpoint, data, _kept(data, checkpoint.preprocess, config))
    with at(files.shown(past.name)):
        # training changes tensors in place
        tensors = {name: tensor.clone() for name, tensor in checkpoint.tensors.items()}
        net = build.restore(checkpoint.spec, tensors)
    return Start(checkpoint.spec, checkpoint.preprocess, net, checkpoint.classes, samples, checkpoint.trained)


def _kept(data: Data, preprocess: Preprocess, config: TrainConfig) -> Kept:
    """Where decoded pictures are kept."""
    most = memory.limit_bytes(config.memory) // 2
    if config.cache_dir is None or preprocess.kind == "table":
        return Kept(most)
    what = (data.catalog.fingerprint, preprocess.size, preprocess.color, preprocess.channels)
    key = hashlib.sha256(repr(what).encode()).hexdigest()[:16]
    return Kept(most, files.made_folder(config.cache_dir) / f"pictures-{key}.npy")


def check(data: Data, config: TrainConfig) -> None:
    """Raise what `prepare` does for the settings of a new network, without building it."""
    config = for_data(data, config)
    if config.new_classes:
        raise UsageFault("`new_classes` are those of a checkpoint that is trained on", "give `past`")
    check_kind(data, config)
    check_used(config, config.network)
    spec, _, _ = _described(data, config)
    check_combination(spec, config)
    if config.freeze == "backbone" and config.initial_weights == "none":
        events.warn("the frozen backbone has random weights; `weights` gives it learned ones")


def _described(data: Data, config: TrainConfig) -> tuple[Spec, Preprocess, tuple[str, ...]]:
    """The network that the config asks for, what it reads, and the names of its outputs."""
    entry = architecture(config.network)
    weights, given = config.initial_weights, {"mean": config.mean, "std": config.std}
    preprocess = inputs.preprocess(
        data, config.network, config.size, gray=config.gray, **given, weights=weights
    )
    outputs = model.outputs(data, entry.task)
    spec = Spec(
        arch=config.network,
        classes=len(outputs),
        input=inputs.input_shape(data, preprocess),
        hidden=config.hidden or entry.hidden,
        activation=config.activation,
        dropout=config.dropout,
        channels=config.channels,
        args=config.arguments,
    )
    build.check_input(spec)
    spec = _runnable(spec, config)
    if weights in PUBLISHED and weights not in entry.weights:
        others = " or ".join(f"`weights={name}`" for name in (*entry.weights, "none"))
        raise UsageFault(f"there are no {weights} weights of {spec.arch}", f"give {others}, or a file")
    if config.row_names and (weights in PUBLISHED or weights == "none" or entry.task != "classify"):
        raise UsageFault("`classes` names the rows of a classifier in a `weights` file", "leave it out")
    return spec, preprocess, outputs


def _runnable(spec: Spec, config: TrainConfig) -> Spec:
    """The spec, which may run the function that a caller has named; a file only names it."""
    if config.file and "arch" in config.in_file:
        with at(config.file.place):
            build.check_runs(spec)
        return spec
    spec = user_networks.trusting(spec, spec.arch)
    build.check_runs(spec)
    return spec


def _fresh(data: Data, config: TrainConfig, train: Tensor) -> Start:
    """A new network: its weights are pre-trained, its scaling is fitted to the samples `train`."""
    spec, preprocess, outputs = _described(data, config)
    samples = model.samples(data, preprocess, spec.input, kept=_kept(data, preprocess, config))
    scaled, trained = False, None
    if spec.arch != "svm":
        given = {"mean": config.mean, "std": config.std}
        inputs.note_usual_input(spec.arch, config.initial_weights, config.size, **given)
        net, adoption = inputs.pretrained(
            spec,
            config.initial_weights,
            seed=config.seed,
            classes=outputs,
            rows=config.row_names,
            preprocess=preprocess,
        )
        _tell_adoption(config.initial_weights, adoption, epochs=config.epochs)
        trained = adoption.trained if adoption else None
        scaled = adoption is not None and adoption.scaled and "scale" not in config.given
        if scaled:
            events.note(f"columns are scaled as in {config.initial_weights}; `scale` fits that to this table")
    with at(data.catalog.place):
        if isinstance(data, Table) and not scaled:
            columns = outputs if preprocess.label else data.columns
            values = samples.batch(train)
            scaling = fitted_scaling(values, config.scale, columns=columns)
            if spec.arch == "svm":
                spec, net = fitted_svm(spec, values, samples.labels[train], scaling, penalty=config.penalty)
            else:
                net.get_submodule("scaling").load_state_dict(scaling.state_dict())
    return Start(spec, preprocess, net, outputs, samples, trained)


def _tell_adoption(weights: str, made: Adoption | None, *, epochs: int) -> None:
    """Say what `weights` does not fill; a warning or an error where no epoch trains it either."""
    if made is None:
        if epochs == 0:
            events.warn("no weights and no epochs leave the network as drawn at random")
        return
    if epochs == 0 and made.fault:
        with at(weights):
            raise made.fault
    why = f" ({made.fault.fact})" if made.fault else ""
    if made.lacking:
        count = f"{len(made.kept)} of {len(made.kept + made.lacking)} classes"
        kept, lacking = ", ".join(made.kept), ", ".join(made.lacking)
        events.note(
            f"{weights}: rows of {made.output} for {count} are kept: {kept}; others start fresh: {lacking}"
        )
    elif epochs == 0 and made.fresh:
        events.warn(f"{weights} has no weights for {', '.join(made.fresh)}: without epochs they stay random")
    elif made.fresh:
        events.note(f"{weights} has no weights for {', '.join(made.fresh)}: trained from the start{why}")
