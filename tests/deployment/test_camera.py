"""A camera's live window, with an OpenCV that only notes what it is asked."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from emoprune.deployment.camera import watch
from emoprune.deployment.config import PredictConfig
from emoprune.errors import Unavailable, UsageFault
from emoprune.evaluation.model import LoadedModel, load
from emoprune.io.devices import device
from tests.support.crops import scene

Frame = NDArray[np.uint8]


class Camera:
    """Gives its frames, blue first, and then none."""

    def __init__(self, frames: Iterable[Frame]) -> None:
        self._frames = iter(frames)
        self.released = False

    def read(self) -> tuple[bool, Frame | None]:
        frame = next(self._frames, None)
        return frame is not None, frame

    def release(self) -> None:
        self.released = True


class Window(ModuleType):
    """What stands for OpenCV: notes the pictures that it shows, and presses these keys."""

    WND_PROP_VISIBLE = 4

    def __init__(self, frames: Iterable[Frame], keys: Iterable[int] = (), *, closed: bool = False) -> None:
        super().__init__("cv2")
        self.camera = Camera(frames)
        self.shown = list[Frame]()
        self.destroyed = False
        self._keys, self._closed = iter(keys), closed

    def VideoCapture(self, number: int) -> Camera:  # noqa: N802  as OpenCV has it
        return self.camera

    def setLogLevel(self, level: int) -> None:  # noqa: N802
        assert level == 0

    def imshow(self, title: str, picture: Frame) -> None:
        self.shown.append(np.array(picture))

    def waitKey(self, milliseconds: int) -> int:  # noqa: N802
        return next(self._keys, -1)

    def getWindowProperty(self, title: str, what: int) -> float:  # noqa: N802
        return 0.0 if self._closed else 1.0

    def destroyAllWindows(self) -> None:  # noqa: N802
        self.destroyed = True


@pytest.fixture
def opened(model: Path, monkeypatch: pytest.MonkeyPatch) -> LoadedModel:
    """A model, on a machine with a screen."""
    monkeypatch.setenv("DISPLAY", ":0")
    return load(str(model), device("cpu"))


def frame() -> Frame:
    return np.asarray(scene(1))[..., ::-1]


def test_watch_shows_each_frame_with_its_answers_until_a_key(
    opened: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = Window([frame()] * 5, [-1, ord("q")])
    monkeypatch.setitem(sys.modules, "cv2", window)
    watch(opened, 0)
    assert len(window.shown) == 2
    assert window.camera.released
    assert window.destroyed
    difference = np.abs(window.shown[0].astype(int) - frame()).max(axis=2)
    assert 0.02 < (difference > 60).mean() < 0.5, "the box and its label, in the colors of the frame"


@pytest.mark.parametrize(("keys", "closed"), [([27], False), ([], True)])
def test_watch_ends_with_escape_and_with_the_window(
    opened: LoadedModel, monkeypatch: pytest.MonkeyPatch, keys: list[int], closed: bool
) -> None:
    window = Window([frame()] * 3, keys, closed=closed)
    monkeypatch.setitem(sys.modules, "cv2", window)
    watch(opened, 0, PredictConfig(crop=False))
    assert len(window.shown) == 1


@pytest.mark.parametrize(
    ("frames", "says"), [(0, "camera 3: is not there, or another program"), (2, "camera 3: stopped giving")]
)
def test_a_camera_that_is_not_there_or_stops_is_named(
    opened: LoadedModel, monkeypatch: pytest.MonkeyPatch, frames: int, says: str
) -> None:
    window = Window([frame()] * frames)
    monkeypatch.setitem(sys.modules, "cv2", window)
    with pytest.raises(Unavailable, match=says):
        watch(opened, 3, PredictConfig(crop=False))
    assert window.camera.released


def test_watch_without_opencv_or_a_screen_says_what_helps(
    opened: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing: Any = None
    monkeypatch.setitem(sys.modules, "cv2", nothing)
    with pytest.raises(Unavailable, match=r"pip install 'emoprune\[camera\]'"):
        watch(opened, 0)
    monkeypatch.setitem(sys.modules, "cv2", Window([frame()]))
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(Unavailable, match="there is no screen"):
        watch(opened, 0)
    with pytest.raises(UsageFault, match="`every` is for videos"):
        watch(opened, 0, PredictConfig(every=2.0))
