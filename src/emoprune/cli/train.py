"""emoprune train: from faces or features to a checkpoint that can be pruned without them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emoprune import events
from emoprune.choices import Activation, Optimizer, Scale
from emoprune.cli import options
from emoprune.cli import output as console
from emoprune.cli import train_options as own
from emoprune.errors import UsageFault
from emoprune.reporting import tables
from emoprune.training.config import Settings, settings_of

if TYPE_CHECKING:
    from emoprune.networks.types import Checkpoint

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
  emoprune train fer2013.csv model.st --arch conv2 --size 48 --gray
  emoprune train SFEW.xlsx model.st --preset jain2020-ff
  emoprune train faces/ model.st --preset jain2020-alexnet
  emoprune train faces/ healed.st --from model.reconstruct.st --epochs 5"""


def command(
    context: typer.Context,
    data: own.Data,
    output: own.Output,
    preset: own.PresetOption = None,
    arch: options.Arch = Settings.arch,
    weights: options.Weights = None,
    earlier: own.Earlier = None,
    freeze: own.FreezeOption = Settings.freeze,
    hidden: own.Hidden = None,
    channels: own.Channels = None,
    activation: Annotated[Activation, typer.Option(help="Of the hidden layers.")] = Settings.activation,
    dropout: own.Dropout = Settings.dropout,
    size: options.Size = None,
    gray: options.Gray = False,
    mean: options.Mean = None,
    std: options.Std = None,
    scale: Annotated[
        Scale, typer.Option(help="Of table columns, fitted on the training part.")
    ] = Settings.scale,
    penalty: own.Penalty = Settings.penalty,
    epochs: own.Epochs = Settings.epochs,
    lr: Annotated[float, typer.Option(min=0, metavar="RATE", help="Learning rate.")] = Settings.lr,
    lr_factor: own.Factor = Settings.lr_factor,
    lr_decay: own.LrDecay = Settings.lr_decay,
    batch_size: Annotated[
        int, typer.Option(min=0, metavar="N", help="0 is the whole training part at once.")
    ] = Settings.batch_size,
    optimizer: Annotated[Optimizer, typer.Option(help="How gradients become steps.")] = Settings.optimizer,
    momentum: own.Momentum = Settings.momentum,
    weight_decay: own.Decay = Settings.weight_decay,
    augment: own.Augment = None,
    split: options.Split = None,
    group_by: options.GroupBy = None,
    split_by: options.SplitByOption = None,
    keep: own.KeepOption = None,
    overfit: own.Overfit = None,
    save_init: own.SaveInit = None,
    curve: own.Curve = None,
    label: own.Label = None,
    seed: options.Seed = Settings.seed,
    device: options.Device = Settings.device,
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Train a classifier, ready to be pruned.

    The checkpoint holds weights, classes, preprocessing, split, learning curve and, for every layer that
    can be pruned, one-pass statistics of its units over the training part; with a frozen backbone, for
    those of the head.
    """
    from emoprune.data.datasets import open_data
    from emoprune.io import devices, files
    from emoprune.networks import checkpoint
    from emoprune.training import setup as train_setup
    from emoprune.training import train

    settings = settings_of(context.params, own.given(context))
    devices.device(device)
    if preset is not None:
        events.note(f"preset {preset}: {own.spelled_out(settings)}")
        events.note(own.where_from(preset))
    found = open_data(data)
    setup = train_setup.set_up(settings, found)
    _check_curve(curve, label, epochs=setup.recipe.epochs)
    outputs = [path for path in (output, save_init, curve) if path is not None]
    files.check_apart(outputs)
    for path in outputs:
        files.check_output(path, force=force)
    if save_init is not None:
        files.write_bytes(save_init, checkpoint.to_bytes(train.initial(setup, settings)), force=force)
    trained = train.run(setup, settings)
    if curve is not None:
        files.write_bytes(curve, train.learning_curve(trained, output, label), force=force)
    files.write_bytes(output, checkpoint.to_bytes(trained), force=force)
    parts = {name: len(indices) for name, indices in setup.parts.items()}
    summary = _summary(data, output, trained, parts)
    if files.STANDARD not in outputs:
        console.emit([summary], lambda: _tables(summary), as_json=as_json)


def _check_curve(curve: str | None, label: str | None, *, epochs: int) -> None:
    if curve is None and label is not None:
        raise UsageFault("--label says what --curve is of, and there is none", "give --curve FILE as well")
    if curve is not None and not epochs:
        raise UsageFault("--curve needs epochs, and there are none", "leave it out")


def _summary(data: str, output: str, trained: Checkpoint, parts: dict[str, int]) -> dict[str, Any]:
    training = {"training": dataclasses.asdict(trained.training[-1])} if trained.training else {}
    return {
        "schema": SCHEMA,
        "input": data,
        "output": output,
        "arch": trained.spec.arch,
        "classes": list(trained.classes),
        "parts": parts,
        "layers": {layer.name: trained.statistics[layer.name].units for layer in trained.layers},
        **training,
    }


def _tables(summary: dict[str, Any]) -> Iterable[tables.Table]:
    def text(value: Any) -> str:
        if isinstance(value, dict) and len(value) > FEW:
            return f"{sum(value.values()):,} in {len(value)}"
        if isinstance(value, dict):
            return ", ".join(
                f"{key} {tables.cell(entry)}" for key, entry in value.items() if entry is not None
            )
        return ", ".join(value) if isinstance(value, list) else tables.cell(value)

    rows = [(key, text(value)) for key, value in summary.items() if key != "schema"]
    yield tables.table("Trained", ["", ""], rows, left=2)
