"""emoprune crop: from photos to faces."""

from __future__ import annotations

from typing import Annotated

import typer

from emoprune.cli import console, options
from emoprune.errors import BadData
from emoprune.records.choices import OnMissing, Select

SCHEMA = "emoprune.crop/1"

EXAMPLES = """\b
Examples:
  emoprune crop raw/ faces/
  emoprune crop raw/ faces/ --size 128 --margin 0.2 --select confident
  emoprune crop raw/ faces/ --boxes faces/failures.csv    with x1 to y2 given"""


def command(
    raw: Annotated[
        str, typer.Argument(metavar="RAW", help="A folder of photos, as a rule one folder per class.")
    ],
    faces: Annotated[str, typer.Argument(metavar="FACES", help="The folder to make, laid out like RAW.")],
    size: Annotated[
        int | None,
        typer.Option(
            min=8,
            max=4096,
            metavar="PX",
            help="Side of a face picture.  [default: 224, with --boxes that of the pictures in FACES]",
            show_default=False,
        ),
    ] = None,
    margin: Annotated[
        float,
        typer.Option(
            min=0, max=2, metavar="FRACTION", help="Widen the square around the face by this share."
        ),
    ] = 0.0,
    select: Annotated[Select, typer.Option(help="Which face of a photo with several.")] = "largest",
    on_missing: Annotated[
        OnMissing,
        typer.Option(
            "--on-missing",
            help="A photo without a face: leave it out, take the whole photo, or stop with an error.",
        ),
    ] = "skip",
    boxes: Annotated[
        str | None,
        typer.Option(
            metavar="CSV",
            help="Boxes by hand: a failures.csv with x1,y1,x2,y2 filled in. If FACES is there already, only "
            "these photos are done.",
        ),
    ] = None,
    device: options.Device = "auto",
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Cut the faces out of photos, with MTCNN.

    FACES gets crops.csv, a row for every face or photo without one, and failures.csv, the latter alone:
    fill in boxes there and run again with --boxes. Nothing appears in FACES before all photos are done.
    """
    from emoprune.cli.crop_run import Settings, crop_folder
    from emoprune.store import crops

    settings = Settings(size, margin, select, on_missing)
    by_hand = crops.read_boxes(boxes) if boxes else {}
    if boxes and not by_hand:
        raise BadData("has no box", "fill in x1,y1,x2,y2 for at least one photo", place=boxes)
    rows = crop_folder(raw, faces, settings, by_hand, options.device(device), force=force)
    counts = {status: sum(row.status == status for row in rows) for status in crops.STATUSES}
    summary = {
        "schema": SCHEMA,
        "input": raw,
        "output": faces,
        "photos": len({row.source for row in rows}),
        "faces": sum(bool(row.output) for row in rows),
        **counts,
    }
    if summary["faces"] == 0:
        console.warn(f"no face in any photo; draw boxes into {faces}/{crops.FAILURES} and give it to --boxes")
    lines = [(key, value) for key, value in summary.items() if key != "schema"]
    console.emit([summary], lambda: [console.table("Crop", ["", ""], lines)], as_json=as_json)
