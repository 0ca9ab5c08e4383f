"""emoprune crop: from photos to faces."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from emoprune.cli import options, output
from emoprune.faces.types import CropConfig
from emoprune.reporting import tables

SCHEMA = "emoprune.crop/2"

EXAMPLES = """\b
Examples:
  emoprune crop raw/ faces/
  emoprune crop raw/ faces/ --size 128 --margin 0.2 --rescue
  emoprune crop raw/ faces/ --boxes faces/failures.csv    with x1 to y2 given
  emoprune crop film.mp4 faces/ --every 2"""


@options.with_settings(CropConfig)
def command(
    raw: Annotated[
        str,
        typer.Argument(metavar="RAW", help="A folder of photos, as a rule one folder per class, or a video."),
    ],
    faces: Annotated[str, typer.Argument(metavar="FACES", help="The folder to make, laid out like RAW.")],
    given: options.Given,
    boxes: Annotated[
        str | None,
        typer.Option(metavar="CSV", help="Boxes by hand: a failures.csv with x1,y1,x2,y2 filled in."),
    ] = None,
    jobs: options.Jobs = None,
    device: options.Device = "auto",
    force: Annotated[
        bool, typer.Option("--force", help="Crop all photos of a folder again; boxes by hand are kept.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Cut the faces out of photos, or of a video, with MTCNN.

    FACES gets crops.csv, a row for every face or photo without one; failures.csv, the latter alone; and
    contact-sheet.jpg, all of them at a glance. Fill in boxes in failures.csv and run again with --boxes.
    The same command continues after an interruption, and crops only photos that are new or have changed.
    Options that are not given are those that FACES was cropped with.
    Faces appear in FACES when all photos are done.
    """
    from emoprune.faces.crop_folder import crop_folder

    config = CropConfig(**given.values)
    summary = crop_folder(raw, faces, config, boxes=boxes, device=device, jobs=jobs, force=force)
    counts = {name.replace("_", "-"): value for name, value in dataclasses.asdict(summary).items()}
    output.emit(
        [{"schema": SCHEMA, **counts}],
        lambda: [tables.table("Crop", ["", ""], counts.items())],
        as_json=as_json,
    )
