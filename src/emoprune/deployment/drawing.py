"""Pictures with a box and an answer at each face, and the folder of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from emoprune.deployment.types import Prediction
from emoprune.errors import OutputFault
from emoprune.faces.sources import OutputNames
from emoprune.faces.text_layout import font_of, lines
from emoprune.faces.types import Box
from emoprune.io import files
from emoprune.io.folder_files import FolderFiles
from emoprune.io.pictures import images

Rectangle = tuple[int, int, int, int]
INK, PAPER, LINE = (255, 255, 255), (0, 0, 0), (255, 214, 0)
"""Of a label's letters and of what is behind them; a yellow line between two black ones is seen anywhere."""
SMALLEST, LARGEST = 12, 64
"""Pixels of the letters' height."""
LONGEST = 12
"""Of these heights is as long a label as usual ones are."""
OF_FACE, OF_PHOTO = 7, 40
"""A letter is this part of its face's width, and at least this part of the photo's longer side."""


def drawn(image: Image.Image, predictions: Sequence[Prediction]) -> Image.Image:
    """A copy of an RGB picture with a box, the most likely class and its probability at each face.

    Of several faces each has its number, and one that may be none a question mark. A picture that is a face
    itself gets its answer below it.
    """
    several = len(predictions) > 1
    if len(predictions) == 1 and predictions[0].box is None:
        return _below(image, _text(predictions[0], numbered=False))
    made = image.copy()
    boxes = [_edges(each.box, image.size) for each in predictions if each.box is not None]
    # the largest face comes first, and its box is drawn last
    for box in reversed(boxes):
        _draw_box(made, box)
    taken = list(boxes)
    for box, each in zip(boxes, predictions, strict=True):
        taken.append(_draw_label(made, box, _text(each, numbered=several), taken))
    return made


def _text(prediction: Prediction, *, numbered: bool) -> str:
    (name, chance), *_ = prediction.ranked
    number = f"{prediction.face}: " if numbered else ""
    return f"{number}{name} {chance:.0%}{' ?' if prediction.is_doubtful else ''}"


def _edges(box: Box, photo: tuple[int, int]) -> Rectangle:
    """The pixels of a box, which may reach beyond the photo: left, top, and behind its right and bottom."""
    width, height = photo
    left, top = (min(max(0, math.floor(edge)), end - 1) for edge, end in ((box.x1, width), (box.y1, height)))
    return (
        left,
        top,
        max(left + 1, min(math.ceil(box.x2), width)),
        max(top + 1, min(math.ceil(box.y2), height)),
    )


def _draw_box(image: Image.Image, box: Rectangle) -> None:
    draw = ImageDraw.Draw(image)
    left, top, right, bottom = box
    width = max(1, _letters(right - left, image.size) // 8)
    for inset, color in ((0, PAPER), (width, LINE), (2 * width, PAPER)):
        corners = (left + inset, top + inset, right - 1 - inset, bottom - 1 - inset)
        if min(corners[2] - corners[0], corners[3] - corners[1]) > width:
            draw.rectangle(corners, outline=color, width=width)


def _letters(face_width: float, photo: tuple[int, int]) -> int:
    wanted = max(face_width / OF_FACE, max(photo) / OF_PHOTO, SMALLEST)
    return round(min(wanted, LARGEST, max(SMALLEST, photo[0] / LONGEST)))


def _draw_label(image: Image.Image, box: Rectangle, text: str, taken: Sequence[Rectangle]) -> Rectangle:
    """Write beside a face, where the least of faces and of other labels is hidden; the label's place."""
    height = _letters(box[2] - box[0], image.size)
    font = font_of(height)
    (shown,) = lines(text, font, max(1, image.width - height), most=1)
    across, down = _label_size(shown, height)
    left, top, right, bottom = box
    corners = [(x, y) for y in (top - down, bottom, top) for x in (left, right - across)]
    within = [(max(0, min(x, image.width - across)), max(0, min(y, image.height - down))) for x, y in corners]
    places = [(x, y, x + across, y + down) for x, y in within]
    place = min(places, key=lambda each: sum(_overlap(each, other) for other in taken))
    _write(image, place, shown, height)
    return place


def _overlap(one: Rectangle, other: Rectangle) -> int:
    """Pixels that two rectangles share."""
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    return max(0, across) * max(0, down)


def _label_size(text: str, height: int) -> tuple[int, int]:
    return math.ceil(font_of(height).getlength(text)) + height, round(1.5 * height)


def _write(image: Image.Image, place: Rectangle, text: str, height: int) -> None:
    """White letters on black."""
    left, top, right, bottom = place
    draw = ImageDraw.Draw(image)
    draw.rectangle((left, top, right - 1, bottom - 1), fill=PAPER)
    draw.text((left + height // 2, (top + bottom) // 2), text, INK, font_of(height), anchor="lm")


def _below(image: Image.Image, text: str) -> Image.Image:
    """The picture on a ground that is wide enough for its answer."""
    height = _letters(0, image.size)
    (text,) = lines(text, font_of(height), LONGEST * height, most=1)
    width, down = _label_size(text, height)
    made = Image.new("RGB", (max(image.width, width), image.height + down), PAPER)
    made.paste(image, ((made.width - image.width) // 2, 0))
    left = (made.width - width) // 2
    _write(made, (left, image.height, left + width, made.height), text, height)
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
