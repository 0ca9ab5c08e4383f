"""The letters that pictures are labelled in: DejaVu Sans, which comes with matplotlib."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import matplotlib
from PIL import ImageFont


@cache
def lettering(height: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans at `height` pixels: Latin, Greek, Cyrillic and their neighbours; Pillow's own has ASCII."""
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    # the other engine shapes by libraries that a machine may lack: the same sheet must come out everywhere
    return ImageFont.truetype(str(path), height, layout_engine=ImageFont.Layout.BASIC)
