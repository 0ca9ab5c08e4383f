"""Pictures with a box and an answer at each face, and the folder of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from emoprune.deployment.types import Prediction
from emoprune.errors import OutputFault
from emoprune.faces.sources import OutputNames
from emoprune.faces.text_layout import font_of, printable, shortened
from emoprune.faces.types import Box
from emoprune.io import files
from emoprune.io.folder_files import FolderFiles
from emoprune.io.pictures import images

INK, PAPER, LINE = (255, 255, 255), (0, 0, 0), (255, 214, 0)
"""Of a label's letters and of what is behind them; a yellow line between two black ones is seen anywhere."""
SMALLEST, LARGEST = 12, 64
"""Pixels of the letters' height."""
OF_FACE, OF_PHOTO = 7, 40
"""A letter is this part of its face's width, and at least this part of the photo's longer side."""


def drawn(image: Image.Image, predictions: Sequence[Prediction]) -> Image.Image:
    """A copy of an RGB picture with a box, the most likely class and its probability at each face.

    Of several faces each has its number. A picture that is a face itself gets its answer below it.
    """
    several = len(predictions) > 1
    if len(predictions) == 1 and predictions[0].box is None:
        return _below(image, _text(predictions[0], numbered=False))
    made = image.copy()
    # the largest face comes first, and is drawn last
    for each in reversed(predictions):
        if each.box is not None:
            _draw_face(made, each.box, _text(each, numbered=several))
    return made


def _text(prediction: Prediction, *, numbered: bool) -> str:
    (name, chance), *_ = prediction.ranked
    return f"{prediction.face}: {name} {chance:.0%}" if numbered else f"{name} {chance:.0%}"


def _draw_face(image: Image.Image, box: Box, text: str) -> None:
    draw = ImageDraw.Draw(image)
    height = _letters(box.x2 - box.x1, image.size)
    width = max(1, height // 8)
    # boxes may reach beyond the photo
    left, top = max(0, math.floor(box.x1)), max(0, math.floor(box.y1))
    right, bottom = (
        min(end, length - 1)
        for end, length in zip((math.ceil(box.x2), math.ceil(box.y2)), image.size, strict=True)
    )
    edges = ((0, PAPER), (width, LINE), (2 * width, PAPER))
    for inset, color in edges:
        corners = (left + inset, top + inset, right - inset, bottom - inset)
        if corners[2] - corners[0] > width and corners[3] - corners[1] > width:
            draw.rectangle(corners, outline=color, width=width)
    size = _label_size(text, height)
    across = max(0, min(left, image.width - size[0]))
    # above the face, or in its upper edge where there is no room
    down = top - size[1] if top >= size[1] else top
    _draw_label(image, (across, down), text, height)


def _letters(face_width: float, photo: tuple[int, int]) -> int:
    wanted = max(face_width / OF_FACE, max(photo) / OF_PHOTO, SMALLEST)
    return round(min(wanted, LARGEST))


def _label_size(text: str, height: int) -> tuple[int, int]:
    return math.ceil(font_of(height).getlength(text)) + height, round(1.5 * height)


def _draw_label(image: Image.Image, corner: tuple[int, int], text: str, height: int) -> None:
    """White letters on black, cut to the picture's width."""
    font = font_of(height)
    shown = shortened(printable(text, font), font, max(1, image.width - height))
    width, down = _label_size(shown, height)
    left, top = corner
    draw = ImageDraw.Draw(image)
    draw.rectangle((left, top, left + width - 1, top + down - 1), fill=PAPER)
    draw.text((left + height // 2, top + down // 2), shown, INK, font, anchor="lm")


def _below(image: Image.Image, text: str) -> Image.Image:
    """The picture on a ground that is wide enough for its answer."""
    height = _letters(0, image.size)
    width, down = _label_size(text, height)
    made = Image.new("RGB", (max(image.width, width), image.height + down), PAPER)
    made.paste(image, ((made.width - image.width) // 2, 0))
    _draw_label(made, ((made.width - width) // 2, image.height), text, height)
    return made


class DrawnFolder:
    """A folder of copies of photos, which `names` names; it is made with the first.

    A copy is a file of its own, through no link below the folder, and replaces another only with `force`.
    """

    def __init__(self, place: str, names: OutputNames, *, force: bool) -> None:
        """Raises OutputFault where there can be no such folder."""
        files.check_files(place, (), force=force)
        self.place = place
        self._names, self._force = names, force
        self._files = FolderFiles(Path(place))
        self._taken: dict[str, str] = {}

    def check(self, sources: Iterable[str]) -> None:
        """Raise OutputFault now if a copy of one of these photos would be refused later."""
        for source in sources:
            self._taken[source] = self._free(source)

    def write(self, source: str, image: Image.Image, predictions: Sequence[Prediction]) -> None:
        """The copy of one photo."""
        files.made_folder(self.place)
        name = self._taken.get(source) or self._free(source)
        with files.explained(Path(self.place, name)):
            self._files.write(name, images.jpeg_bytes(drawn(image, predictions)))

    def _free(self, source: str) -> str:
        (name,) = self._names.take(source, 1)
        place = Path(self.place, name)
        with files.explained(place):
            there = Path(self.place).exists() and self._files.check_file(name)
        if there and not self._force:
            raise OutputFault("exists already", "give `force=True` to replace it", place=str(place))
        return name
