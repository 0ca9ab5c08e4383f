"""The contact sheet of a folder of faces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from PIL import Image

from emoprune.choices import Standing
from emoprune.cli import output
from emoprune.faces import manifest
from emoprune.faces.contact_sheet import Tile, contact_sheet
from emoprune.faces.lettering import lettering
from emoprune.faces.output_folder import CropFolder
from emoprune.faces.sources import Originals
from emoprune.faces.types import CropRow
from emoprune.io import images

TITLE = "Faces, and photos without one"
"""Without the folder's name: the same photos give the same bytes wherever they are cropped."""

STANDINGS: dict[str, Standing] = {
    manifest.FACE: "face",
    manifest.RESCUED: "rescued",
    manifest.BOXED: "by hand",
    manifest.WHOLE: "whole",
    manifest.NO_FACE: "failed",
    manifest.UNREADABLE: "failed",
}


Picture = Callable[[], Image.Image]


def sheet_of(rows: Sequence[CropRow], originals: Originals, folder: CropFolder) -> bytes:
    """A JPEG of all faces, and of the photos without one."""
    with output.progress("contact sheet", len(rows)) as advance:

        def tile(row: CropRow) -> Tile:
            picture = _picture(row, originals, folder)
            if picture is None:
                return Tile(STANDINGS[row.status], row.source, None, row.reason)
            return Tile(STANDINGS[row.status], row.output or row.source, partial(shown, picture), row.reason)

        def shown(picture: Picture) -> Image.Image:
            advance()
            return picture()

        sheet = contact_sheet(map(tile, rows), title=TITLE, font=lettering)
    return images.jpeg_bytes(sheet)


def _picture(row: CropRow, originals: Originals, folder: CropFolder) -> Picture | None:
    if row.output:
        return partial(images.read_photo, folder.picture(row.output))
    return None if row.status == manifest.UNREADABLE else originals.original(row.source)
