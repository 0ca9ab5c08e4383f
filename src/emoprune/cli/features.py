"""emoprune features: from faces to a feature table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emoprune.cli import options
from emoprune.cli import output as console
from emoprune.errors import UsageFault
from emoprune.features import DESCRIPTORS

if TYPE_CHECKING:
    from collections.abc import Iterable

SCHEMA = "emoprune.features-summary/1"

KINDS: dict[str, str] = {
    "pixels": "the resized picture in 0..1, plane by plane",
    "deep": "what a network's output layer reads",
    "backbone": "what a network's head reads, before any dense layer of its own",
    **{name: f"{entry.meaning}, of the gray picture" for name, entry in DESCRIPTORS.items()},
}

FacesSize = Annotated[
    str | None,
    typer.Option(
        "--size",
        metavar="PX|HxW",
        help=f"What faces are resized to.  [default: 48 for pixels, 128 for {' and '.join(DESCRIPTORS)}, "
        "the architecture's own for a network]",
        show_default=False,
    ),
]

EXAMPLES = """\b
Examples:
  emoprune features faces/ pixels.csv --kind pixels --size 24 --gray
  emoprune features faces/ deep.st --kind deep --arch mobilenet_v2
  emoprune features faces/ f.st --kind deep --arch resnet18 --weights r18.st
  emoprune features faces/ f.csv --kind lpq,phog --pca 5 --group-by '^[^_]+'
  emoprune train f.csv model.st --arch mlp --hidden 20 --group-by '^[^_]+'"""


def command(
    faces: Annotated[
        str, typer.Argument(metavar="FACES", help="A folder of faces by class, or FER-2013's CSV.")
    ],
    output: Annotated[
        str, typer.Argument(metavar="OUT", help="A .csv or .st table, or - for CSV on standard output.")
    ],
    kind: Annotated[
        str,
        typer.Option(
            metavar="NAME[,NAME...]",
            callback=options.list_of(KINDS),
            autocompletion=options.completing_list(KINDS),
            help="; ".join(f"{name}: {meaning}" for name, meaning in KINDS.items())
            + ". Several stand side by side.",
        ),
    ] = "pixels",
    pca: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="K",
            help="Keep the first K principal components of each kind, fitted to the training part alone.",
            show_default=False,
        ),
    ] = None,
    split: options.Split = None,
    group_by: options.GroupBy = None,
    split_by: options.SplitByOption = None,
    seed: options.Seed = 0,
    arch: options.TorchvisionArch = None,
    weights: options.Weights = None,
    size: FacesSize = None,
    gray: options.Gray = False,
    mean: options.Mean = None,
    std: options.Std = None,
    device: options.Device = "auto",
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Turn faces into a feature table.

    Its columns are name, label, then one per feature. --split, --group-by, --split-by and --seed tell --pca
    the training part; train the table with the same. With --split-by names begin with their part, by which
    train then splits.
    """
    import torch

    from emoprune.data import feature_tables, splits
    from emoprune.data.datasets import open_faces
    from emoprune.data.types import Table
    from emoprune.errors import at
    from emoprune.features import extract
    from emoprune.io import devices, files

    suffix = ".csv" if output == files.STANDARD else Path(output).suffix
    if suffix not in feature_tables.SUFFIXES:
        raise UsageFault(f"{output} is neither .csv nor .st", "name the table so")
    kinds = kind.split(",")
    look = extract.Look(size, gray, arch, weights, mean, std, devices.device(device))
    extract.check_options(kinds, look, pca=pca, splits=bool(split or group_by or split_by or seed))
    files.check_output(output, force=force)
    found = open_faces(faces)
    catalog, count = found.catalog, len(found.catalog.names)
    train = None
    if pca is not None:
        rule = splits.split_rule(found, split, group_by, split_by, seed)
        train, catalog = extract.training_part(found, rule, pca, named=split_by is not None)
    explained: dict[str, float] = {}
    rows = extract.rows_by_kind(found, kinds, look)
    with at(faces):
        values = extract.values_by_kind(rows, count)
        if pca is not None and train is not None:
            values, explained = extract.reduced(values, train, pca)
    columns = tuple(f"{name}_{index}" for name in kinds for index in range(1, values[name].shape[1] + 1))
    table = Table(catalog, columns, torch.cat([values[name].float() for name in kinds], dim=1))
    files.write_bytes(output, feature_tables.to_bytes(table, suffix=suffix), force=force)
    summary = {
        "schema": SCHEMA,
        "input": faces,
        "output": output,
        "kind": kind,
        "samples": count,
        "features": len(columns),
        "classes": list(found.catalog.classes),
    }
    if train is not None:
        summary["pca"] = {"components": pca, "part": "train", "samples": len(train), "explained": explained}
    if output != files.STANDARD:
        console.emit([summary], lambda: _lines(summary), as_json=as_json)


def _lines(summary: dict[str, Any]) -> Iterable[str]:
    yield f"wrote {summary['output']}: {summary['samples']:,} faces, {summary['features']:,} features"
    if "pca" in summary:
        shares = ", ".join(f"{share:.1%} of {name}" for name, share in summary["pca"]["explained"].items())
        yield f"its components hold {shares} (variance in the train part)"
