"""A contact sheet: every face, and every photo without one, in one picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw

from emoprune import events
from emoprune.errors import BadImage
from emoprune.faces import manifest
from emoprune.faces.output_folder import CropFolder
from emoprune.faces.sources import Source
from emoprune.faces.text_layout import caption, font_of, lines
from emoprune.faces.types import DOUBTFUL, CropRow
from emoprune.io.pictures import images

MOST = 6_000
"""Tiles of the largest sheet: 6,000 pixels wide, and far below the 65,500 that a JPEG may be high."""
WIDEST, NARROWEST = 6_000, 860
SHAPE = 1.4
"""Width of a sheet of many tiles as a multiple of its height."""
EDGE, GAP, HEAD, TITLE, LINE = 20, 8, 64, 34, 16
"""Pixels: around the sheet, between tiles, of the heading, of a section's title, of a caption."""
HEADING = "Faces, and photos without one"
"""Without the folder's name: the same photos give the same bytes in any folder."""
PAPER, INK, GRAY, CROSS = (255, 255, 255), (28, 28, 28), (222, 222, 222), (190, 190, 190)

Color = tuple[int, int, int]
Outcome = Literal["failed", "rescued", "doubtful", "by hand", "whole", "face"]
Picture = Callable[[], Image.Image]


@dataclass(frozen=True)
class Tile:
    """One photo; `picture` reads the face, or the photo of a failure, when the tile is drawn.

    Without a `picture`, or where it raises BadImage, the tile shows a cross and the `reason`.
    """

    outcome: Outcome
    name: str
    picture: Picture | None
    reason: str = ""


@dataclass(frozen=True)
class Style:
    """How a tile shows its outcome: in words, by the color of its frame, by a letter for the color-blind."""

    label: str
    color: Color
    letter: str = ""
    frame: int = 4


# Okabe and Ito's colors, which the color-blind can distinguish (jfly.uni-koeln.de/color); the purple is
# darker than theirs, as they have no gray beside it
STYLES: dict[Outcome, Style] = {
    "failed": Style("failed", (213, 94, 0), "!"),
    "rescued": Style("rescued", (240, 188, 40), "R"),
    "doubtful": Style("doubtful", (170, 50, 120), "?"),
    "by hand": Style("by hand", (0, 114, 178), "H"),
    "whole": Style("whole photo", (86, 180, 233), "W"),
    "face": Style("faces", (170, 170, 170), frame=1),
}
SECTIONS: dict[str, tuple[Outcome, ...]] = {
    "Failed": ("failed",),
    "To check": ("rescued", "doubtful", "by hand", "whole"),
    "Faces": ("face",),
}
SIDES = {
    "named": ((12, 168), (150, 128), (1000, 104), (MOST, 84)),
    "plain": ((40, 144), (400, 96), (MOST, 64)),
}
"""Side of a tile in pixels, by the most tiles of a section; tiles with names need room for them."""


@dataclass(frozen=True)
class _Section:
    title: str
    tiles: Sequence[Tile]
    numbers: Sequence[int]
    total: int
    side: int
    named: bool

    @property
    def cell(self) -> tuple[int, int]:
        return self.side + GAP, self.side + GAP + (LINE if self.named else 0)

    def columns(self, width: int) -> int:
        return max(1, (width - 2 * EDGE + GAP) // self.cell[0])

    def height(self, width: int) -> int:
        return TITLE + math.ceil(len(self.tiles) / self.columns(width)) * self.cell[1]


def contact_sheet(tiles: Iterable[Tile]) -> Image.Image:
    """All tiles as one RGB picture: failures first, then what a person should check, then the faces.

    Tiles of a section keep their order; numbers in captions count from 1. One picture is in memory at a time.
    Of more than MOST tiles the last section that fits shows as many as there is room for, evenly chosen.
    """
    given = list(tiles)
    sections = list(_sections(given))
    width = _width(sections)
    height = HEAD + sum(section.height(width) for section in sections) + EDGE
    sheet = Image.new("RGB", (width, height), PAPER)
    _draw_heading(sheet, given)
    top = HEAD
    for section in sections:
        _draw_section(sheet, section, top)
        top += section.height(width)
    return sheet


def _sections(tiles: Sequence[Tile]) -> Iterator[_Section]:
    room = MOST
    for title, outcomes in SECTIONS.items():
        found = [tile for tile in tiles if tile.outcome in outcomes]
        shown = min(len(found), room)
        room -= shown
        if not shown:
            continue
        # spread over all of them, the first included
        places = [index * len(found) // shown for index in range(shown)]
        named = "face" not in outcomes
        side = next(side for most, side in SIDES["named" if named else "plain"] if shown <= most)
        numbers = [place + 1 for place in places]
        yield _Section(title, [found[place] for place in places], numbers, len(found), side, named)


def _width(sections: Sequence[_Section]) -> int:
    area = sum(len(section.tiles) * math.prod(section.cell) for section in sections)
    wanted = min(max(math.isqrt(int(area * SHAPE)), NARROWEST), WIDEST)
    if not sections:
        return wanted
    # so that the columns of the largest section fill the width
    cell = max(sections, key=lambda section: len(section.tiles) * math.prod(section.cell)).cell[0]
    return math.ceil((wanted - 2 * EDGE + GAP) / cell) * cell - GAP + 2 * EDGE


def _draw_heading(sheet: Image.Image, tiles: Sequence[Tile]) -> None:
    draw = ImageDraw.Draw(sheet)
    small = font_of(13)
    draw.text((EDGE, 27), HEADING, INK, font_of(18), anchor="ls")
    x = float(EDGE)
    for outcome, style in STYLES.items():
        count = sum(tile.outcome == outcome for tile in tiles)
        if not count and outcome != "failed":
            continue
        _draw_frame(sheet, (round(x), 38, round(x) + 18, 56), style)
        text = f"{count:,} {style.label}"
        draw.text((x + 25, 52), text, INK, small, anchor="ls")
        x += 25 + small.getlength(text) + 22


def _draw_section(sheet: Image.Image, section: _Section, top: int) -> None:
    draw = ImageDraw.Draw(sheet)
    counted = f"{section.total:,}"
    if len(section.tiles) < section.total:
        counted = f"{len(section.tiles):,} of {counted}, evenly chosen"
    draw.line((EDGE, top + 4, sheet.width - EDGE, top + 4), GRAY)
    draw.text((EDGE, top + 24), f"{section.title}: {counted}", INK, font_of(14), anchor="ls")
    columns, small = section.columns(sheet.width), font_of(11)
    for index, (tile, number) in enumerate(zip(section.tiles, section.numbers, strict=True)):
        x = EDGE + index % columns * section.cell[0]
        y = top + TITLE + index // columns * section.cell[1]
        style = STYLES[tile.outcome]
        inner = _thumbnail(tile, section.side - 2 * style.frame)
        sheet.paste(inner, (x + style.frame, y + style.frame))
        _draw_frame(sheet, (x, y, x + section.side, y + section.side), style)
        if section.named:
            text = caption(tile.name, number, small, section.side)
            draw.text((x + section.side / 2, y + section.side + 12), text, INK, small, anchor="ms")


def _draw_frame(sheet: Image.Image, box: tuple[int, int, int, int], style: Style) -> None:
    """A frame inside `box`, with the letter of its style in the upper left corner."""
    left, top, right, bottom = box
    draw = ImageDraw.Draw(sheet)
    draw.rectangle((left, top, right - 1, bottom - 1), outline=style.color, width=style.frame)
    if style.letter:
        side = 18
        draw.rectangle((left, top, left + side - 1, top + side - 1), fill=style.color)
        light = float(np.dot(style.color, (0.299, 0.587, 0.114))) > 140
        # fonts leave a blank column at the left of a letter
        middle = (left + side / 2 + 1, top + side / 2)
        draw.text(middle, style.letter, INK if light else PAPER, font_of(13), anchor="mm")


def _thumbnail(tile: Tile, side: int) -> Image.Image:
    """The whole picture fitted into a square, or a gray square with a cross and the reason."""
    square = Image.new("RGB", (side, side), GRAY)
    reason = tile.reason
    try:
        picture = tile.picture() if tile.picture else None
    except BadImage as error:
        picture, reason = None, error.fact
    if picture is None:
        _draw_cross(square, reason or "no picture")
        return square
    scale = side / max(picture.size)
    width, height = (max(1, round(length * scale)) for length in picture.size)
    # most photos are many times larger than their tile
    small = picture.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=3)
    square.paste(small, ((side - width) // 2, (side - height) // 2))
    return square


def _draw_cross(square: Image.Image, reason: str) -> None:
    draw, side, small = ImageDraw.Draw(square), square.width, font_of(11)
    for ends in ((0, 0, side, side), (0, side, side, 0)):
        draw.line(ends, CROSS, 2)
    found = lines(reason, small, side - 16, most=max(1, side // 20))
    top = (side - 14 * len(found)) / 2
    for row, line in enumerate(found):
        middle = (side / 2, top + 14 * row + 7)
        half = small.getlength(line) / 2 + 3
        draw.rectangle((middle[0] - half, middle[1] - 8, middle[0] + half, middle[1] + 7), fill=GRAY)
        draw.text(middle, line, INK, small, anchor="mm")


OUTCOMES: dict[str, Outcome] = {
    manifest.FACE: "face",
    manifest.RESCUED: "rescued",
    manifest.BOXED: "by hand",
    manifest.WHOLE: "whole",
    manifest.NO_FACE: "failed",
    manifest.UNREADABLE: "failed",
}


def crop_sheet(rows: Sequence[CropRow], source: Source, folder: CropFolder) -> bytes:
    """The contact sheet of a folder of faces, as JPEG."""
    with events.progress("contact sheet", len(rows)) as advance:

        def tile(row: CropRow) -> Tile:
            picture = _picture(row, source, folder)
            shown = None if picture is None else partial(counted, picture)
            name = row.output or row.source
            if row.status == manifest.FACE and row.probability is not None and row.probability < DOUBTFUL:
                return Tile("doubtful", f"{name} {row.probability:.3f}", shown)
            return Tile(OUTCOMES[row.status], name, shown, row.reason)

        def counted(picture: Picture) -> Image.Image:
            advance()
            return picture()

        return images.jpeg_bytes(contact_sheet(map(tile, rows)))


def _picture(row: CropRow, source: Source, folder: CropFolder) -> Picture | None:
    if row.output:
        return partial(images.read_photo, folder.picture(row.output))
    return None if row.status == manifest.UNREADABLE else source.reader(row.source)
