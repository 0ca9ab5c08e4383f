"""Pictures without labels, labeled by a teacher."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from emoprune.data.datasets import open_data
from emoprune.evaluation.taught_data import open_taught
from emoprune.networks import checkpoint
from emoprune.training.config import train_config
from emoprune.training.train import train


@pytest.fixture
def loose(faces: Path, tmp_path: Path) -> Path:
    """The drawn faces, all in one folder."""
    folder = tmp_path / "loose"
    folder.mkdir()
    for path in sorted(faces.glob("*/*.*")):
        (folder / f"{path.parent.name}-{path.name}").symlink_to(path)
    return folder


def test_open_taught_labels_pictures_with_the_most_likely_class(
    loose: Path, faces: Path, model: Path, told: pytest.LogCaptureFixture
) -> None:
    teacher = checkpoint.read(str(model))
    data = open_taught(str(loose), teacher, name="m.st", device="cpu")
    labeled = open_data(faces)
    with torch.inference_mode():
        from emoprune.data.image_dataset import to_input
        from emoprune.evaluation.model import samples_for

        raw = samples_for(teacher, labeled).batch(torch.arange(len(labeled.catalog.names)))
        wanted = teacher.module()(to_input(raw, teacher.preprocess)).argmax(1).tolist()
    assert data.catalog.classes == teacher.classes
    assert list(data.catalog.labels) == wanted
    counts = Counter(teacher.classes[label] for label in wanted)
    said = ", ".join(f"{counts[name]} {name}" for name in teacher.classes if counts[name])
    assert f"{loose}: 60 pictures without labels, labeled by the answers of m.st: {said}" in told.messages


def test_open_taught_leaves_labels_that_are_there(faces: Path, model: Path) -> None:
    teacher = checkpoint.read(str(model))
    assert open_taught(str(faces), teacher).catalog == open_data(str(faces)).catalog
    assert open_taught(str(faces), None).catalog == open_data(str(faces)).catalog


def test_a_network_learns_from_a_teacher_without_any_label(loose: Path, model: Path) -> None:
    teacher = checkpoint.read(str(model))
    config = train_config(
        arch="conv1", size="24", gray=True, hidden=24, epochs=40, lr=0.01, teacher_weight=1.0
    )
    made = train(open_taught(str(loose), teacher), config, teacher=teacher).checkpoint
    assert made.classes == teacher.classes
    # how often it names the same class as the teacher
    assert (made.training[-1].train_accuracy or 0) > 0.8


def test_pictures_that_are_labeled_otherwise_are_other_data(loose: Path, model: Path) -> None:
    teacher = checkpoint.read(str(model))
    swapped = {
        name: value.flip(0) if name.startswith("classifier.output") else value
        for name, value in teacher.tensors.items()
    }
    other = replace(teacher, tensors=swapped)
    first, second = (open_taught(str(loose), each).catalog for each in (teacher, other))
    assert first.labels != second.labels
    assert first.fingerprint != second.fingerprint
    assert first.contents == second.contents
    assert len(set(first.contents)) == 60, "so that a checkpoint knows what it has seen"
