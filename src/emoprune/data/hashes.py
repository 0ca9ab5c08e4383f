"""The perceptual hashes that crop leaves in crops.csv."""

from __future__ import annotations

import re
from pathlib import Path

from emoprune.errors import BadData
from emoprune.faces.manifest import MANIFEST
from emoprune.io import csv_text
from emoprune.io.files import read_bytes

NAME, HASH = "output", "phash"
SPELLED = re.compile("[0-9a-f]{16}")


def read_hashes(folder: Path) -> dict[str, str]:
    """The hash of each face, 16 hexadecimal digits, by its file relative to `folder`.

    Nothing here is a fault: no manifest, or one of another kind, gives none; a damaged row is left out.
    """
    try:
        rows = list(csv_text.parse(read_bytes(str(folder / MANIFEST))))
    except BadData:
        # the faces can be used without it
        return {}
    header = rows[0][1] if rows else []
    if NAME not in header or HASH not in header:
        return {}
    places = header.index(NAME), header.index(HASH)
    found = (tuple(row[place] for place in places) for _, row in rows[1:] if len(row) > max(places))
    return {name: spelled for name, spelled in found if name and SPELLED.fullmatch(spelled)}
