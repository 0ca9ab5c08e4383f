"""emoprune predict: the expression of every face in photos, a video or a camera's picture."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import astuple
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emoprune.cli import options, output
from emoprune.deployment.config import PredictConfig
from emoprune.errors import UsageFault
from emoprune.io.files import STANDARD
from emoprune.reporting.tables import Table, table

if TYPE_CHECKING:
    from emoprune.deployment.types import Prediction

SCHEMA = "emoprune.prediction/1"
DECIMALS = 3
"""Digits after the point of a number of pixels, as in crops.csv."""

EXAMPLES = """\b
Examples:
  emoprune predict model.st photo.jpg
  emoprune predict model.onnx photos/ --draw drawn/
  emoprune predict model.st faces/ --no-crop > predictions.jsonl
  emoprune predict model.st film.mp4 --every 2 --faces largest
  emoprune predict model.st --camera 0"""


@options.with_settings(PredictConfig)
def command(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="A checkpoint (.st) or .onnx file, or - for standard input."),
    ],
    given: options.Given,
    photos: Annotated[
        str | None,
        typer.Argument(
            metavar="PHOTOS",
            help="A photo, a folder of photos, a video, or - for a photo on standard input.",
            show_default=False,
        ),
    ] = None,
    draw: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Write copies of the pictures with boxes and answers there."),
    ] = None,
    camera: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help="Show a camera's picture live, 0 being the first."),
    ] = None,
    jobs: options.Jobs = None,
    arch: options.Arch = None,
    device: options.Device = "auto",
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Name the expression of every face in photos.

    Faces are found as crop finds them, and cropped as those that MODEL was trained on. In a pipe there is a
    JSON line a face, as soon as it is known: file, box, class, the probability of each class. Photos without
    a face are passed over and counted.
    """
    if (photos is None) == (camera is None):
        raise UsageFault("PHOTOS and --camera are two sources", "give one of them")
    if model == photos == STANDARD:
        raise UsageFault("standard input cannot be a model and a photo", "name a file for one of them")
    from emoprune.deployment.predict import predict
    from emoprune.evaluation.model import load
    from emoprune.io import devices

    config, loaded = PredictConfig(**given.values), load(model, devices.device(device), arch)
    if camera is not None:
        from emoprune.deployment.camera import watch

        if draw is not None:
            raise UsageFault("--draw is for photos, and --camera shows a window", "leave out one of them")
        watch(loaded, camera, config, device=device)
        return
    assert photos is not None
    found = predict(loaded, photos, config, draw=draw, device=device, jobs=jobs, force=force)
    output.emit(map(_record, found), lambda: [_table(found)], as_json=as_json)


def _record(found: Prediction) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "file": found.file,
        "frame_s": found.frame_s,
        "face": found.face,
        "status": found.status,
        "box": None if found.box is None else [round(edge, DECIMALS) for edge in astuple(found.box)],
        "face_probability": found.face_probability,
        "class": found.predicted,
        "probabilities": dict(found.probabilities),
    }


def _table(found: Iterable[Prediction]) -> Table:
    predictions = [*found]
    film = any(each.frame_s is not None for each in predictions)
    columns = ["file", *["time (s)"] * film, "face", "box", "class", "probability", "second class", ""]
    return table("Predictions", columns, _rows(predictions, film=film))


def _rows(predictions: list[Prediction], *, film: bool) -> Iterator[list[object]]:
    for each in predictions:
        (first, chance), *rest = each.ranked
        box = "whole" if each.box is None else ",".join(str(round(edge)) for edge in astuple(each.box))
        second = [rest[0][0], f"{rest[0][1]:.1%}"] if rest else [None, None]
        yield [each.file, *[each.frame_s] * film, each.face, box, first, f"{chance:.1%}", *second]
