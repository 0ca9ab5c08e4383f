"""emoprune crop: from photos to faces."""

from __future__ import annotations

from typing import Annotated

import typer

from emoprune import events
from emoprune.choices import Align, OnMissing, Pad, Select
from emoprune.cli import options, output
from emoprune.errors import BadData
from emoprune.reporting import tables

SCHEMA = "emoprune.crop/2"

EXAMPLES = """\b
Examples:
  emoprune crop raw/ faces/
  emoprune crop raw/ faces/ --size 128 --margin 0.2 --rescue
  emoprune crop raw/ faces/ --boxes faces/failures.csv    with x1 to y2 given
  emoprune crop film.mp4 faces/ --every 2"""


def command(
    raw: Annotated[
        str,
        typer.Argument(metavar="RAW", help="A folder of photos, as a rule one folder per class, or a video."),
    ],
    faces: Annotated[str, typer.Argument(metavar="FACES", help="The folder to make, laid out like RAW.")],
    size: Annotated[
        int | None,
        typer.Option(
            min=8, max=4096, metavar="PX", help="Side of a face picture.  [default: 224]", show_default=False
        ),
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=2,
            metavar="FRACTION",
            help="Widen the square around the face by this share.  [default: 0]",
            show_default=False,
        ),
    ] = None,
    align: Annotated[
        Align | None,
        typer.Option(
            help="Turn and scale faces so that their eyes are at a fixed place.  [default: none]",
            show_default=False,
        ),
    ] = None,
    pad: Annotated[
        Pad | None,
        typer.Option(
            help="What a square shows beyond the photo's edge: its mirror image, black, or nothing, the "
            "square being moved.  [default: reflect]",
            show_default=False,
        ),
    ] = None,
    select: Annotated[
        Select | None,
        typer.Option(help="Which face of a photo with several.  [default: largest]", show_default=False),
    ] = None,
    min_face: Annotated[
        int | None,
        typer.Option(
            min=0, metavar="PX", help="Pass over faces with a shorter side.  [default: 0]", show_default=False
        ),
    ] = None,
    min_probability: Annotated[
        float | None,
        options.fraction(
            "Pass over faces that the detector is less sure of; it gives none below 0.7.  [default: 0]"
        ),
    ] = None,
    rescue: Annotated[
        bool | None,
        typer.Option(
            "--rescue/--no-rescue",
            help="Look a second time at photos without a face: turned, equalized, less strictly. What is "
            "found so is marked: check it.  [default: no-rescue]",
            show_default=False,
        ),
    ] = None,
    on_missing: Annotated[
        OnMissing | None,
        typer.Option(
            "--on-missing",
            help="A photo without a face: leave it out, take the whole photo, or stop with an error.  "
            "[default: skip]",
            show_default=False,
        ),
    ] = None,
    max_side: Annotated[
        int | None,
        typer.Option(
            min=64,
            metavar="PX",
            help="Shrink larger photos to this before anything else: faster, and other boxes.  "
            "[default: never]",
            show_default=False,
        ),
    ] = None,
    every: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            metavar="SECONDS",
            help="Of a video, one frame for so many seconds.  [default: 1]",
            show_default=False,
        ),
    ] = None,
    boxes: Annotated[
        str | None,
        typer.Option(metavar="CSV", help="Boxes by hand: a failures.csv with x1,y1,x2,y2 filled in."),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Processes at work.  [default: one per core]", show_default=False
        ),
    ] = None,
    device: options.Device = "auto",
    force: Annotated[bool, typer.Option("--force", help="Crop a folder anew, boxes by hand kept.")] = False,
    as_json: options.Json = False,
) -> None:
    """Cut the faces out of photos, or of a video, with MTCNN.

    FACES gets crops.csv, a row for every face or photo without one; failures.csv, the latter alone; and
    contact-sheet.jpg, all of them in one glance. Fill in boxes in failures.csv and run again with --boxes.
    The same command goes on after an interruption, and does only what is new: photos that were added or
    changed. Options that are not given are those that FACES was cropped with.
    Faces appear in FACES when all photos are done.
    """
    from emoprune.faces import manifest
    from emoprune.faces.crop_folder import Engine, crop_folder
    from emoprune.io import devices

    settings = {
        **{"size": size, "margin": margin, "align": align, "pad": pad, "select": select},
        **{"min_face": min_face, "min_probability": min_probability, "rescue": rescue},
        **{"on_missing": on_missing, "max_side": max_side, "every": every},
    }
    given = {name: value for name, value in settings.items() if value is not None}
    by_hand = manifest.read_boxes(boxes) if boxes else {}
    if boxes and not by_hand:
        raise BadData("has no box", "fill in x1,y1,x2,y2 for at least one photo", place=boxes)
    if device == "cuda":
        devices.device(device)
    result = crop_folder(raw, faces, given, by_hand, Engine(device, jobs), force=force)
    counts = {status: sum(row.status == status for row in result.rows) for status in manifest.STATUSES}
    photos = {row.source for row in result.rows}
    listed = f"{faces}/{manifest.FAILURES}"
    summary = {
        "schema": SCHEMA,
        "input": raw,
        "output": faces,
        "photos": len(photos),
        "processed": result.looked_at,
        "faces": sum(bool(row.output) for row in result.rows),
        **counts,
    }
    if counts[manifest.NO_FACE]:
        events.note(
            f"{events.counted(counts[manifest.NO_FACE], 'photo')} without a face in {listed}, to be seen in "
            f"{manifest.SHEET}; fill in boxes there and give it to --boxes"
        )
    if counts[manifest.UNREADABLE]:
        unusable = events.counted(counts[manifest.UNREADABLE], "photo")
        events.note(f"{unusable} that cannot be used in {listed}, with the reason")
    lines = [(key, value) for key, value in summary.items() if key != "schema"]
    output.emit([summary], lambda: [tables.table("Crop", ["", ""], lines)], as_json=as_json)
