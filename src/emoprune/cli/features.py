"""emoprune features: from faces to a feature table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from emoprune.cli import console, options
from emoprune.errors import UsageFault

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

    from emoprune.records import Preprocess, Samples

SCHEMA = "emoprune.features-summary/1"
PIXELS_SIZE = 48

EXAMPLES = """\b
Examples:
  emoprune features faces/ pixels.csv --kind pixels --size 24 --gray
  emoprune features faces/ deep.st --kind deep --arch mobilenet_v2
  emoprune features faces/ f.st --kind deep --arch resnet18 --weights r18.st
  emoprune train deep.st model.st --arch mlp --hidden 200"""


def command(
    faces: Annotated[str, typer.Argument(metavar="FACES", help="A folder of faces by class.")],
    output: Annotated[
        str, typer.Argument(metavar="OUT", help="A .csv or .st table, or - for CSV on standard output.")
    ],
    kind: Annotated[
        Literal["pixels", "deep"],
        typer.Option(
            help="pixels: resized (to 48 unless --size says), in 0..1; deep: what a network's output layer "
            "reads."
        ),
    ] = "pixels",
    arch: options.TorchvisionArch = "mobilenet_v2",
    weights: options.Weights = None,
    size: options.Size = None,
    gray: options.Gray = False,
    mean: options.Mean = None,
    std: options.Std = None,
    device: options.Device = "auto",
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Turn faces into a feature table.

    Its columns are name, label, then one per feature.
    """
    import torch

    from emoprune.cli import shaping
    from emoprune.records import Preprocess, Table
    from emoprune.store import streams, tables
    from emoprune.store.datasets import open_folder
    from emoprune.store.images import Photos

    suffix = ".csv" if output == streams.STANDARD else Path(output).suffix
    if suffix not in tables.SUFFIXES:
        raise UsageFault(f"{output} is neither .csv nor .st", "name the table so")
    streams.check_output(output, force=force)
    chosen = options.device(device)
    folder = open_folder(faces)
    if kind == "pixels":
        if mean or std or weights:
            raise UsageFault("--mean, --std and --weights are for --kind deep", "leave them out")
        side = shaping.parse_size(size) if size else (PIXELS_SIZE, PIXELS_SIZE)
        channels = 1 if gray else 3
        preprocess = Preprocess(
            "image", side, "gray" if gray else "rgb", mean=(0.0,) * channels, std=(1.0,) * channels
        )
    else:
        preprocess = shaping.preprocess(folder, arch, size, gray=gray, mean=mean, std=std)
    samples = Photos(folder.paths, folder.catalogue.labels, preprocess)
    count = len(folder.catalogue.names)
    if kind == "pixels":
        rows = _pixels(samples, count)
    else:
        rows = _deep(samples, count, preprocess, arch, weights or "imagenet", chosen)
    values = torch.cat(list(console.tracked(rows, "features", count, steps=len)))
    columns = tuple(f"{kind}_{index}" for index in range(1, values.shape[1] + 1))
    table = Table(folder.catalogue, columns, values.float())
    streams.write_bytes(output, tables.to_bytes(table, suffix=suffix), force=force)
    summary = {
        "schema": SCHEMA,
        "input": faces,
        "output": output,
        "kind": kind,
        "samples": count,
        "features": len(columns),
        "classes": list(folder.catalogue.classes),
    }
    if output != streams.STANDARD:
        console.emit(
            [summary],
            lambda: [f"wrote {output}: {count:,} faces, {len(columns):,} features"],
            as_json=as_json,
        )


def _pixels(samples: Samples, count: int) -> Iterator[torch.Tensor]:
    import torch

    from emoprune.core.fitting import READING_BATCH
    from emoprune.core.preprocessing import unit_scale

    return (unit_scale(samples.batch(chunk)).flatten(1) for chunk in torch.arange(count).split(READING_BATCH))


def _deep(
    samples: Samples, count: int, preprocess: Preprocess, arch: str, weights: str, device: torch.device
) -> Iterator[torch.Tensor]:
    import torch

    from emoprune.cli import shaping
    from emoprune.core import nets
    from emoprune.core.fitting import batches
    from emoprune.records import Spec

    net, _ = shaping.pretrained(Spec(arch, 1000, (3, *preprocess.size)), weights, seed=0)
    net = net.to(device).eval()
    for batch in batches(samples, torch.arange(count), preprocess, device):
        with torch.inference_mode():
            read = nets.penultimate(net, batch).cpu()
        yield read
