"""A live window: a camera's picture with a box and an answer at each face."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from emoprune.choices import DeviceName
from emoprune.deployment.config import PredictConfig
from emoprune.deployment.drawing import drawn
from emoprune.deployment.predict import check_model, crop_settings, predictions_of
from emoprune.errors import Unavailable, UsageFault
from emoprune.evaluation.model import LoadedModel
from emoprune.faces.sources import Photo

TITLE = "emoprune: q ends"
ENDS = (27, ord("q"))
"""The keys that close the window: Escape and q."""


def watch(
    model: LoadedModel, number: int, config: PredictConfig | None = None, *, device: DeviceName = "auto"
) -> None:
    """Show what camera `number` sees, with the answers for its faces, until q, Escape or a closed window.

    Raises Unavailable without OpenCV, without a screen and without that camera.
    """
    config = config or PredictConfig()
    if config.every is not None:
        raise UsageFault("`every` is for videos, and a camera shows each frame it can", "leave it out")
    check_model(model)
    cv2 = _opencv()
    settings = crop_settings(model, config)
    camera = cv2.VideoCapture(number)
    try:
        shown = False
        while (frame := _next(camera)) is not None:
            shown = True
            photo = Photo(f"camera {number}", Path("camera"), image=frame, sha256="camera")
            found = predictions_of(model, photo, settings, device)
            # OpenCV has blue first
            cv2.imshow(TITLE, np.asarray(drawn(frame, found))[..., ::-1])
            if cv2.waitKey(1) & 0xFF in ENDS or cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) < 1:
                return
        fact = "stopped giving pictures" if shown else "is not there, or another program has it"
        raise Unavailable(fact, "plug it in, or give another number to `camera`", place=f"camera {number}")
    finally:
        camera.release()
        if shown:
            cv2.destroyAllWindows()


def _opencv() -> Any:
    try:
        import cv2
    except ImportError:
        fact = "the camera is read by OpenCV, which is not installed"
        raise Unavailable(fact, "pip install 'emoprune[camera]'") from None
    # without a screen its window ends the program
    if sys.platform == "linux" and not {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys():
        raise Unavailable("there is no screen to show a window on", "run it on a desktop, or give a video")
    # it tells of a camera that is not there in lines of its own
    cv2.setLogLevel(0)
    return cv2


def _next(camera: Any) -> Image.Image | None:
    there, frame = camera.read()
    return Image.fromarray(np.ascontiguousarray(frame[..., ::-1])) if there else None
