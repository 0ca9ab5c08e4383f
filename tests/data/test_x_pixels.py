"""Faces in FER-2013's CSV, here of random noise, wherever a folder of faces is taken."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from emoprune.data.datasets import open_data
from emoprune.data.fer2013 import Pixels
from tests.support.command_line import SMALL, Runner, opened
from tests.support.records import fer2013_csv, noise_pixels

USAGES = [*["Training"] * 12, *["PublicTest"] * 6, *["PrivateTest"] * 6]


def rows(emotions: tuple[int, ...] = (3, 0, 5)) -> list[tuple[int, str]]:
    return [(emotions[index % 3], usage) for index, usage in enumerate(USAGES)]


@pytest.fixture
def fer(in_folder: Path) -> Path:
    path = in_folder / "fer.csv"
    path.write_bytes(fer2013_csv(noise_pixels(len(USAGES)), rows()))
    return path


def test_pixels_go_through_every_command(emoprune: Runner, fer: Path) -> None:
    trained = emoprune.done("train", fer, "m.st", *SMALL).record
    assert trained["classes"] == ["angry", "happy", "surprise"]
    assert trained["parts"] == {"train": 12, "val": 6, "test": 6}
    assert emoprune.done("eval", "m.st", fer).record["n"] == 6
    emoprune.done("angles", "m.st", "--data", fer)
    pruned = emoprune.done("prune", "m.st", "--data", fer, "--amount", "0.25", "-o", "small.st").record
    assert pruned["images"] == 12
    assert emoprune.done("export", "small.st", "small.onnx").record["real_samples"] == 24
    assert emoprune.done("eval", "small.onnx", fer, "--split", "val").record["n"] == 6


def test_a_folder_of_the_same_pictures_gives_the_same_scores(
    emoprune: Runner, fer: Path, in_folder: Path
) -> None:
    emoprune.done("train", fer, "m.st", *SMALL)
    found = open_data(str(fer))
    assert isinstance(found, Pixels)
    for name, label, values in zip(found.catalogue.names, found.catalogue.labels, found.values, strict=True):
        part, _, number = name.partition("/")
        place = in_folder / "faces" / part / found.catalogue.classes[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(values).save(place / f"{number}.png")
    scores = [emoprune.done("eval", "m.st", data, "--split", "all").record for data in (fer, "faces")]
    assert scores[0]["confusion"] == scores[1]["confusion"]
    assert scores[0]["log_loss"] == pytest.approx(scores[1]["log_loss"], rel=1e-5)


def test_pixels_can_be_piped_and_give_the_same_network(emoprune: Runner, fer: Path, in_folder: Path) -> None:
    emoprune.done("train", fer, "a.st", *SMALL)
    emoprune.done("train", "-", "b.st", *SMALL, stdin=fer.read_bytes())
    ours, theirs = (opened(in_folder / name)[0] for name in ("a.st", "b.st"))
    assert all(torch.equal(ours.tensors[name], theirs.tensors[name]) for name in ours.tensors)


def test_pixels_become_a_feature_table_that_is_split_alike(
    emoprune: Runner, fer: Path, in_folder: Path
) -> None:
    emoprune.done("features", fer, "t.csv", "--size", "48", "--gray")
    table, found = open_data("t.csv"), open_data(str(fer))
    assert isinstance(found, Pixels)
    assert table.catalogue.names == found.catalogue.names
    first = (in_folder / "t.csv").read_text().splitlines()[1].split(",")[2:]
    expected = torch.from_numpy(found.values[0].copy()).flatten() / 255
    torch.testing.assert_close(torch.tensor([float(cell) for cell in first]), expected, rtol=1e-6, atol=0)
    assert emoprune.done("train", "t.csv", "m.st", "--arch", "mlp", "--epochs", "1").record["parts"] == {
        "train": 12,
        "val": 6,
        "test": 6,
    }


def test_pixels_without_a_training_part_train_nothing(emoprune: Runner, in_folder: Path) -> None:
    (in_folder / "fer.csv").write_bytes(
        fer2013_csv(noise_pixels(6), [(index % 2, "PublicTest") for index in range(6)])
    )
    emoprune.check_refused("train", "fer.csv", "m.st", *SMALL, says=("fer.csv: has val but no train",))


def test_pixels_with_a_fault_are_refused_by_line(emoprune: Runner, fer: Path) -> None:
    fer.write_bytes(fer.read_bytes().replace(b"\n3,", b"\n9,", 1))
    for argv in (("train", fer, "m.st"), ("features", fer, "t.csv")):
        emoprune.check_refused(*argv, says=(f"{fer}: line 2: emotion is '9'",))
    says = ("standard input: line 2: emotion is '9'",)
    emoprune.check_refused("train", "-", "m.st", stdin=fer.read_bytes(), says=says)


def test_a_network_of_tables_takes_no_pixels(emoprune: Runner, fer: Path, table_model: Path) -> None:
    says = (f"{fer}: is a CSV of photos", "feature table")
    emoprune.check_refused("eval", table_model, fer, "--split", "all", says=says)


def test_a_table_has_no_faces(emoprune: Runner, in_folder: Path) -> None:
    (in_folder / "t.csv").write_text("name,label,x\na,b,1\n")
    emoprune.check_refused("features", "t.csv", "o.csv", says=("t.csv: is a feature table already",))
