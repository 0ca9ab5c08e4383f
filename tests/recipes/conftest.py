"""Data in the layout of the recipes, and a fast emoprune on their path."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import openpyxl
import pytest
import torch
from torchvision import models

from tests.conftest import draw_faces
from tests.recipes import serving
from tests.support.children import child, wait_until

ROOT = Path(__file__).parents[2]
EMOTIONS = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
ROWS = 675

Recipe = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn faces, and a spreadsheet in SFEW's layout with random numbers."""
    root = tmp_path_factory.mktemp("data")
    draw_faces(root / "sfew" / "frames", EMOTIONS, 10)
    for part, each in (("train", 8), ("val", 3)):
        draw_faces(root / "fer2013" / part, EMOTIONS, each, side=48)
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    titles = ("First 5 Components of Local Phase Quantization (LPQ) features", "PHOG features")
    sheet.append([None, "label", titles[0], None, None, None, None, titles[1], None, None, None, None])
    values = np.random.default_rng(0).normal(size=(ROWS, 10))
    for index, row in enumerate(values):
        label = index % len(EMOTIONS)
        sheet.append([f"film{index % 20}_{index:03d}.mat", label + 1, *(row + 0.3 * label).tolist()])
    book.save(root / "sfew" / "SFEW.xlsx")
    return root


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of random weights, with the names that the recipes expect."""
    folder = tmp_path_factory.mktemp("weights")
    for name, classes in (("squeezenet1_1_imagenet", 1000), ("resnet18_faces", len(EMOTIONS))):
        net = models.get_model(name.rpartition("_")[0], num_classes=classes)
        torch.save(net.state_dict(), folder / f"{name}.pth")
    return folder


@pytest.fixture(scope="session")
def recipe(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recipe]:
    """Runs recipes/NAME.sh on the drawn data."""
    folder = tmp_path_factory.mktemp("bin")
    place = str(folder / "door")
    serving.write_client(folder / "emoprune", place)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    server = [sys.executable, "-m", "tests.recipes.serving", place]
    with child(server, cwd=ROOT, env=environment) as serving_process:
        wait_until(Path(place).exists, serving_process)
        yield _runner(folder, environment)


def _runner(folder: Path, environment: dict[str, str]) -> Recipe:
    environment = {**environment, "PATH": os.pathsep.join([str(folder), os.environ["PATH"]])}

    def run(name: str, *argv: object) -> subprocess.CompletedProcess[str]:
        words = [str(ROOT / "recipes" / f"{name}.sh"), *map(str, argv)]
        return subprocess.run(words, env=environment, capture_output=True, text=True, cwd=folder, check=False)

    return run
