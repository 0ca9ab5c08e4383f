"""emoprune train: from faces or features to a checkpoint that can be pruned without them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emoprune.cli import console, options
from emoprune.core.architectures import ARCHITECTURES
from emoprune.core.augmentations import AUGMENTATIONS, parse_augmentations
from emoprune.records.choices import Activation, Freeze, Keep, Optimizer, Scale

if TYPE_CHECKING:
    from rich.console import Group

SCHEMA = "emoprune.train/1"
FEW = 5
"""Layers beyond which their units are told in sum."""

EXAMPLES = """\b
Examples:
  emoprune train faces/ model.st
  emoprune train faces/ m.st --arch conv2 --size 48 --augment flip,rotate:10
  emoprune train faces/ m.st --arch resnet18 --freeze backbone --hidden 200
  emoprune train faces/ m.st --arch resnet18 --weights resnet18.st --epochs 0
  emoprune train frames/ model.st --split 75/10/15 --group-by '^[^_]+'
  emoprune train features.csv m.st --arch mlp --hidden 20 --activation relu"""

Data = Annotated[str, typer.Argument(metavar="DATA", help="A folder of faces by class, or a feature table.")]
Output = Annotated[
    str, typer.Argument(metavar="MODEL", help="The checkpoint to write, or - for standard output.")
]
FreezeOption = Annotated[
    Freeze, typer.Option(help="backbone: train the head alone, on features computed once.")
]
Hidden = Annotated[
    list[int] | None,
    typer.Option(
        min=1,
        metavar="UNITS",
        help="Width of a dense hidden layer between features and classes; may be repeated.  "
        "[default: 200 for conv1 and conv2, 20 for mlp, else torchvision's own classifier]",
        show_default=False,
    ),
]
Dropout = Annotated[float, typer.Option(min=0, max=0.99, metavar="SHARE", help="After each hidden layer.")]
Epochs = Annotated[int, typer.Option(min=0, metavar="N", help="0 adopts finished weights as they are.")]
Momentum = Annotated[float, typer.Option(min=0, max=1, metavar="SHARE", help="Of sgd.")]
Decay = Annotated[float, typer.Option(min=0, metavar="RATE", help="L2 penalty; decoupled in adamw.")]
Augment = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME[:STRENGTH]",
        autocompletion=options.completing(AUGMENTATIONS),
        help="May be repeated or joined by commas. "
        + "; ".join(f"{name}:{kind.default:g}: {kind.meaning}" for name, kind in AUGMENTATIONS.items())
        + ".",
    ),
]
Split = Annotated[
    str | None,
    typer.Option(
        metavar="80/20|75/10/15|346/329",
        help="Train/test or train/val/test, in percent or counts.  [default: the data's own train/, "
        "val/, test/ folders, else 80/20]",
        show_default=False,
    ),
]
GroupBy = Annotated[
    str | None,
    typer.Option(
        metavar="REGEX",
        help="Keep files on one side whose names' match is the same: '^[^_]+' for film_0001.jpg.",
    ),
]
KeepOption = Annotated[
    Keep | None,
    typer.Option(
        help="Which epoch: best is by validation accuracy.  [default: best with a val part, else last]",
        show_default=False,
    ),
]


def command(
    data: Data,
    output: Output,
    arch: options.Arch = "conv2",
    weights: options.Weights = None,
    freeze: FreezeOption = "none",
    hidden: Hidden = None,
    activation: Annotated[Activation, typer.Option(help="Of the hidden layers.")] = "sigmoid",
    dropout: Dropout = 0.0,
    size: options.Size = None,
    gray: options.Gray = False,
    mean: options.Mean = None,
    std: options.Std = None,
    scale: Annotated[Scale, typer.Option(help="Of table columns, fitted on the training part.")] = "minmax",
    epochs: Epochs = 50,
    lr: Annotated[float, typer.Option(min=0, metavar="RATE", help="Learning rate.")] = 1e-3,
    batch_size: Annotated[
        int, typer.Option(min=0, metavar="N", help="0 is the whole training part at once.")
    ] = 32,
    optimizer: Annotated[Optimizer, typer.Option(help="How gradients become steps.")] = "adam",
    momentum: Momentum = 0.9,
    weight_decay: Decay = 0.0,
    augment: Augment = None,
    split: Split = None,
    group_by: GroupBy = None,
    keep: KeepOption = None,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Train a classifier, ready to be pruned.

    The checkpoint holds weights, classes, preprocessing, split, learning curve and, for every layer that
    can be pruned, one-pass statistics of its units over the training part; with a frozen backbone, for
    those of the head.
    """
    import torch

    from emoprune.cli import history, loading, shaping, train_run
    from emoprune.core.fitting import Recipe
    from emoprune.core.scaling import fit_scaling
    from emoprune.core.splits import partition
    from emoprune.errors import at
    from emoprune.records import Checkpoint, Spec, Table
    from emoprune.store import checkpoints, streams
    from emoprune.store.datasets import open_data

    strengths = parse_augmentations(augment or [])
    chosen = options.device(device)
    found = open_data(data)
    rule = train_run.split_rule(found.catalogue, split, group_by, seed)
    with at(data):
        parts = {name: torch.tensor(indices) for name, indices in partition(found.catalogue, rule).items()}
    entry = ARCHITECTURES[arch]
    preprocess = shaping.preprocess(found, arch, size, gray=gray, mean=mean, std=std)
    spec = Spec(
        arch=arch,
        classes=len(found.catalogue.classes),
        input=shaping.input_shape(found, preprocess),
        hidden=tuple(hidden or entry.hidden),
        activation=activation,
        dropout=dropout,
    )
    weights = weights or ("none" if entry.own else "imagenet")
    train_run.check_combination(spec, weights, freeze, strengths)
    recipe = Recipe(
        epochs=epochs,
        lr=lr,
        batch_size=batch_size,
        optimizer=optimizer,
        momentum=momentum,
        weight_decay=weight_decay,
        augment=strengths,
        keep=train_run.kept_epoch(keep, parts),
        seed=seed,
    )
    train_run.tell_split(rule)
    streams.check_output(output, force=force)
    net, fresh = shaping.pretrained(spec, weights, seed=seed)
    train_run.tell_adoption(weights, fresh, epochs=epochs)
    samples = loading.samples(found, preprocess, spec.input)
    if isinstance(found, Table):
        fit_scaling(net, found.values[parts["train"]], scale)
    with at(data):
        trained = train_run.run(
            net.to(chosen), spec, samples, parts, preprocess, recipe, freeze=freeze, device=chosen
        )
    parameters = {"data": data, "weights": weights, "freeze": freeze, "scale": scale}
    outcome = dataclasses.asdict(trained.curve[-1]) if trained.curve else {}
    checkpoint = Checkpoint(
        spec=spec,
        classes=found.catalogue.classes,
        preprocess=preprocess,
        split=rule,
        tensors=net.cpu().state_dict(),
        layers=trained.layers,
        statistics=trained.statistics,
        moments=trained.moments,
        history=(history.entry("train", {**parameters, **dataclasses.asdict(recipe)}, outcome),),
        training=trained.curve,
    )
    streams.write_bytes(output, checkpoints.to_bytes(checkpoint), force=force)
    summary = {
        "schema": SCHEMA,
        "input": data,
        "output": output,
        "arch": arch,
        "classes": list(found.catalogue.classes),
        "parts": {name: len(indices) for name, indices in parts.items()},
        "layers": {layer.name: trained.statistics[layer.name].units for layer in trained.layers},
        **({"training": outcome} if outcome else {}),
    }
    if output != streams.STANDARD:
        console.emit([summary], lambda: _tables(summary), as_json=as_json)


def _tables(summary: dict[str, Any]) -> Iterable[Group]:
    def text(value: Any) -> str:
        if isinstance(value, dict) and len(value) > FEW:
            return f"{sum(value.values()):,} in {len(value)}"
        if isinstance(value, dict):
            return ", ".join(
                f"{key} {console.cell(entry)}" for key, entry in value.items() if entry is not None
            )
        return ", ".join(value) if isinstance(value, list) else console.cell(value)

    rows = [(key, text(value)) for key, value in summary.items() if key != "schema"]
    yield console.table("Trained", ["", ""], rows, left=2)
