"""The whole pipeline on real photos and real weights, where the data folder is there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from emoprune.cli.main import main

FRAMES_PER_CLASS = 6


def run(capsys: pytest.CaptureFixture[str], *argv: object) -> dict[str, object]:
    capsys.readouterr()
    assert main([str(word) for word in argv]) == 0
    record: dict[str, object] = json.loads(capsys.readouterr().out.splitlines()[0])
    return record


def test_frames_of_films_become_a_pruned_onnx_file(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames, faces = tmp_path / "frames", tmp_path / "faces"
    for folder in sorted((shared_data / "data" / "sfew" / "frames").iterdir()):
        (frames / folder.name).mkdir(parents=True)
        for photo in sorted(folder.iterdir())[:FRAMES_PER_CLASS]:
            shutil.copy(photo, frames / folder.name)
    cropped = run(capsys, "crop", frames, faces)
    assert cropped["photos"] == 7 * FRAMES_PER_CLASS
    found = cropped["faces"]
    assert isinstance(found, int)
    assert found >= 7 * FRAMES_PER_CLASS - 4

    weights = shared_data / "weights" / "mobilenet_v2_imagenet.safetensors"
    model, pruned, onnx = tmp_path / "m.st", tmp_path / "p.st", tmp_path / "p.onnx"
    argv = [
        "--weights",
        weights,
        "--freeze",
        "backbone",
        "--hidden",
        "64",
        "--epochs",
        "20",
        "--split",
        "60/40",
    ]
    run(capsys, "train", faces, model, "--arch", "mobilenet_v2", *argv)
    units = run(capsys, "prune", model, "--angle", "30", "--layer", "classifier.*", "-o", pruned)["units"]
    assert isinstance(units, dict)
    assert units["after"] < units["before"] == 64
    exported = run(capsys, "export", pruned, onnx, "--tolerance", "1e-4")
    assert exported["real_samples"] == found
    before, after, there = (run(capsys, "eval", path, faces) for path in (model, pruned, onnx))
    assert after["accuracy"] == there["accuracy"]
    assert after["confusion"] == there["confusion"]
    assert before["n"] == after["n"]


def test_every_photo_of_ordinary_life_is_accounted_for(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = shared_data / "data" / "photos"
    cropped = run(capsys, "crop", photos, tmp_path / "faces", "--select", "all")
    assert cropped["photos"] == len(list(photos.glob("*.jpg")))
    assert cropped["unreadable"] == 0
    assert isinstance(cropped["faces"], int)
    assert cropped["faces"] > len(list(photos.glob("*.jpg")))
