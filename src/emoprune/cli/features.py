"""emoprune features: from faces to a feature table."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from emoprune.cli import options
from emoprune.cli import output as console
from emoprune.data.config import SplitConfig
from emoprune.errors import UsageFault
from emoprune.features.config import FeaturesConfig
from emoprune.features.registry import KINDS

SCHEMA = "emoprune.features-summary/1"

EXAMPLES = """\b
Examples:
  emoprune features faces/ pixels.csv --kind pixels --size 24 --gray
  emoprune features faces/ deep.st --kind deep --arch mobilenet_v2
  emoprune features faces/ f.st --kind deep --arch resnet18 --weights r18.st
  emoprune features faces/ f.csv --kind lpq,phog --pca 5 --group-by '^[^_]+'
  emoprune train f.csv model.st --arch mlp --hidden 20 --group-by '^[^_]+'"""


@options.with_settings(FeaturesConfig, SplitConfig, without=("kinds",))
def command(
    faces: Annotated[
        str, typer.Argument(metavar="FACES", help="A folder of faces by class, or FER-2013's CSV.")
    ],
    output: Annotated[
        str, typer.Argument(metavar="OUT", help="A .csv or .st table, or - for CSV on standard output.")
    ],
    *,
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
    given: options.Given,
    device: options.Device = "auto",
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Turn faces into a feature table.

    Its columns are name, label, then one per feature. --split, --group-by, --split-by and --seed choose the
    training part of --pca; train the table with the same. With --split-by names begin with their part, by
    which train then splits.
    """
    from emoprune.data.datasets import open_data
    from emoprune.data.formats import feature_tables
    from emoprune.features.extract import extract
    from emoprune.io import files

    suffix = ".csv" if output == files.STANDARD else Path(output).suffix
    if suffix not in feature_tables.SUFFIXES:
        raise UsageFault(f"{output} is neither .csv nor .st", "name the table so")
    files.check_output(output, force=force)
    config = FeaturesConfig(kinds=tuple(kind.split(",")), **given.of(FeaturesConfig))
    found = extract(open_data(faces, **given.of(SplitConfig)), config, device=device)
    files.write_bytes(output, feature_tables.to_bytes(found.table, suffix=suffix), force=force)
    samples, features = found.table.values.shape
    lines = [f"wrote {output}: {samples:,} faces, {features:,} features"]
    if found.pca:
        fractions = ", ".join(f"{value:.1%} of {name}" for name, value in found.pca.explained.items())
        lines.append(f"its components hold {fractions} (variance in the train part)")
    summary = {
        "schema": SCHEMA,
        "input": faces,
        "output": output,
        "kind": kind,
        "samples": samples,
        "features": features,
        "classes": list(found.table.catalog.classes),
        **({"pca": dataclasses.asdict(found.pca)} if found.pca else {}),
    }
    if output != files.STANDARD:
        console.emit([summary], lambda: lines, as_json=as_json)
