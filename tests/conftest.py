"""Fixtures that several rooms of tests share."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings
from PIL import Image

from emoprune.cli.main import main
from emoprune.io.pictures.images import jpeg_bytes
from emoprune.synthetic_faces import draw_scene

pytest_plugins = ["tests.support.command_line"]

# the same examples every time: a test that fails by chance is found when it is written, not by a user
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

# a shell starts what it runs in the background with Ctrl-C ignored, and so would be what a test starts
signal.signal(signal.SIGINT, signal.default_int_handler)

LONGEST = ("tests/recipes/test_recipes.py", "tests/pruning/test_surgery.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take minutes go first: begun last, each would keep one core busy and the other idle."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Tests run side by side; one thread each keeps them from fighting over the cores."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _state_of_fixtures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What fixtures of the session keep of the user's state is kept nowhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(autouse=True)
def state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the user's state, another one for each test, so that no test sees what another did."""
    folder = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    return folder


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """The notes and warnings of the library."""
    caplog.set_level("INFO", "emoprune")
    return caplog


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real photos and weights, where EMOPRUNE_TEST_DATA names one."""
    place = os.environ.get("EMOPRUNE_TEST_DATA")
    if not place or not Path(place).is_dir():
        pytest.skip("EMOPRUNE_TEST_DATA names no folder")
    return Path(place)


def draw_faces(root: Path, classes: tuple[str, ...], each: int, *, side: int = 64) -> Path:
    """A folder of drawn faces, cut out roughly, `each` per class."""
    for number, name in enumerate(classes):
        folder = root / name
        folder.mkdir(parents=True)
        for index in range(each):
            generator = np.random.default_rng((number, index))
            scene = draw_scene(name, generator=generator, size=(side, side))
            (folder / f"film{index % 5}_{name}{index:03d}.jpg").write_bytes(jpeg_bytes(scene))
    return root


@pytest.fixture(scope="session")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of twenty drawn faces each; read only."""
    return draw_faces(tmp_path_factory.mktemp("drawn") / "faces", ("angry", "happy", "surprise"), 20)


@pytest.fixture(scope="session")
def model(faces: Path) -> Path:
    """A small trained checkpoint beside its `faces`; read only."""
    path = faces.with_name("model.st")
    argv = ["train", str(faces), str(path), "--arch", "conv1", "--size", "24", "--gray", "--hidden", "24"]
    assert main([*argv, "--epochs", "8"]) == 0
    return path


@pytest.fixture
def black_jpeg() -> Callable[[Path], Path]:
    """Writes a small valid picture to a path."""

    def write(path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32)).save(path, "JPEG")
        return path

    return write


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
