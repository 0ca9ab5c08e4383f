"""Pictures as FER-2013 was published: a CSV of emotion, pixels and, where it is split, Usage."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import IO

import numpy as np
from PIL import Image

from emoprune.data.config import SplitConfig
from emoprune.data.types import Catalog
from emoprune.errors import BadData
from emoprune.io.content_hash import fingerprint

CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""What its emotions 0 to 6 stand for."""

EMOTIONS = dict(zip("0123456", CLASSES, strict=True))
USAGES = {"Training": "train", "PublicTest": "val", "PrivateTest": "test"}
SIDE = 48
HEADERS = (["emotion", "pixels", "usage"], ["emotion", "pixels"])
"""The competition's training part has no Usage, and so no split."""

LONGEST = 2**16
"""Bytes of a line, several times what one takes, so that a file without line ends fits in memory."""

BRIGHTNESS = {str(value).encode(): value for value in range(256)}
QUOTES = b'" \t\r\n'
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
CORRECT = "correct or remove the line"


@dataclass(frozen=True, eq=False)
class Pixels:
    """Gray pictures in memory, `values` (samples, 48, 48) uint8, in the order of the catalog's names."""

    catalog: Catalog
    values: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
    split: SplitConfig = field(default_factory=SplitConfig)

    def picture(self, index: int) -> Image.Image:
        """The picture at an index, as RGB."""
        return Image.fromarray(self.values[index]).convert("RGB")


def is_header(line: bytes) -> bool:
    """Whether `line` is the header of such a CSV."""
    return sorted(_header(line)) in HEADERS


def read(place: str, header: bytes, lines: IO[bytes]) -> Pixels:
    """The pictures on the `lines` after the `header`, read one by one to save memory.

    They are named by Usage and row, such as train/00000, which gives their split; without Usage by row.
    Raises BadData that names the line at fault.
    """
    titles = _header(header)
    names: list[str] = []
    labels, contents, values = [], [], bytearray()
    for line, text in enumerate(iter(partial(lines.readline, LONGEST), b""), 2):
        if not text.strip():
            continue
        cells = [cell.strip(QUOTES) for cell in text.split(b",")]
        if len(cells) != len(titles):
            raise BadData(f"line {line} has {len(cells)} cells, not {len(titles)}", CORRECT)
        row = dict(zip(titles, cells, strict=True))
        part = _meaning(row["usage"], USAGES, f"line {line}: Usage") + "/" if "usage" in row else ""
        names.append(f"{part}{len(names):05d}")
        labels.append(_meaning(row["emotion"], EMOTIONS, f"line {line}: emotion"))
        picture = _picture(row["pixels"], line)
        contents.append(hashlib.sha256(picture).hexdigest())
        values += picture
    if not labels:
        raise BadData("has no rows", "copy it again")
    catalog = Catalog.of(place, names, labels, fingerprint(zip(names, labels, contents, strict=True)))
    return Pixels(catalog, np.frombuffer(values, np.uint8).reshape(-1, SIDE, SIDE))


def _header(line: bytes) -> list[str]:
    cells = line.removeprefix(BYTE_ORDER_MARK).split(b",")
    return [cell.strip(QUOTES).decode("latin-1").lower() for cell in cells]


def _meaning(cell: bytes, meanings: Mapping[str, str], title: str) -> str:
    meaning = meanings.get(cell.decode("latin-1"))
    if meaning is None:
        raise BadData(f"{title} is {_shown(cell)}, not {', '.join(meanings)}", CORRECT)
    return meaning


def _picture(cell: bytes, line: int) -> bytes:
    cells = cell.split()
    if len(cells) != SIDE**2:
        raise BadData(f"line {line} has {len(cells)} pixels, not {SIDE**2}", CORRECT)
    try:
        # by table: several times as fast as by int(), and strict
        return bytes(map(BRIGHTNESS.__getitem__, cells))
    except KeyError as error:
        (wrong,) = error.args
        fact = f"line {line}: pixel {cells.index(wrong) + 1} is {_shown(wrong)}"
        raise BadData(f"{fact}, not a whole number from 0 to 255", CORRECT) from None


def _shown(cell: bytes) -> str:
    text = cell.decode("utf-8", "replace")
    return repr(text if len(text) <= 20 else f"{text[:17]}...")
