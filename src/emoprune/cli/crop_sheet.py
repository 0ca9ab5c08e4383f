"""The contact sheet of a folder of faces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from PIL import Image

from emoprune.backends.lettering import lettering
from emoprune.choices import Standing
from emoprune.cli import console
from emoprune.cli.crop_sources import Originals
from emoprune.core.contact import Tile, contact_sheet
from emoprune.io import images
from emoprune.records.faces import CropRow
from emoprune.store import crops
from emoprune.store.cropfolder import CropFolder

TITLE = "Faces, and photos without one"
"""Without the folder's name: the same photos give the same bytes wherever they are cropped."""

STANDINGS: dict[str, Standing] = {
    crops.FACE: "face",
    crops.RESCUED: "rescued",
    crops.BOXED: "by hand",
    crops.WHOLE: "whole",
    crops.NO_FACE: "failed",
    crops.UNREADABLE: "failed",
}


Picture = Callable[[], Image.Image]


def sheet_of(rows: Sequence[CropRow], originals: Originals, folder: CropFolder) -> bytes:
    """A JPEG of all faces, and of the photos without one."""
    with console.progress("contact sheet", len(rows)) as advance:

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
    return None if row.status == crops.UNREADABLE else originals.original(row.source)
