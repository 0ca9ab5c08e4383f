"""emoprune features: several kinds side by side, and principal components of the training part."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from emoprune.data.datasets import open_folder
from emoprune.data.splits import partition
from emoprune.data.types import SplitRule
from emoprune.features.extract import DESCRIBE, READ
from emoprune.features.registry import DESCRIPTORS, KINDS, OF_A_NETWORK
from tests.support.command_line import Runner

FacesHere = Callable[..., Path]
DEEP = ("--arch", "squeezenet1_1", "--weights", "none")
BOTH = ("--kind", "lpq,phog", "--size", "32")


def read(path: Path) -> tuple[list[str], dict[str, NDArray[np.float64]]]:
    """The columns and the numbers of every name."""
    header, *lines = list(csv.reader(path.read_text().splitlines()))
    return header[2:], {line[0]: np.array(line[2:], float) for line in lines}


def columns(kind: str, count: int) -> list[str]:
    return [f"{kind}_{index}" for index in range(1, count + 1)]


@pytest.mark.parametrize("kind", DESCRIBE)
def test_a_descriptor_is_that_of_the_gray_picture_at_128_pixels(
    emoprune: Runner, small: Path, in_folder: Path, kind: str
) -> None:
    emoprune.done("features", small, "t.csv", "--kind", kind)
    names, rows = read(in_folder / "t.csv")
    name = list(rows)[17]
    with Image.open(small / name) as photo:
        gray = photo.convert("RGB").convert("L").resize((128, 128), Image.Resampling.BILINEAR)
    expected = DESCRIBE[kind](np.asarray(gray))
    assert names == columns(kind, len(expected))
    np.testing.assert_allclose(rows[name], expected, rtol=1e-6, atol=1e-9)


def test_kinds_stand_side_by_side_in_the_order_given(emoprune: Runner, small: Path, in_folder: Path) -> None:
    summary = emoprune.done(
        "features", small, "t.csv", "--kind", "phog,deep,pixels,lpq", "--size", "32x40", *DEEP
    ).record
    names, rows = read(in_folder / "t.csv")
    assert names == [
        *columns("phog", 680), *columns("deep", 512), *columns("pixels", 3 * 32 * 40), *columns("lpq", 256)
    ]  # fmt: skip
    assert (summary["kind"], summary["features"]) == ("phog,deep,pixels,lpq", len(names))
    for kind in ("phog", "lpq"):
        emoprune.done("features", small, f"{kind}.csv", "--kind", kind, "--size", "32x40")
        alone = read(in_folder / f"{kind}.csv")[1]
        place = [index for index, name in enumerate(names) if name.startswith(kind)]
        for name, row in alone.items():
            np.testing.assert_array_equal(rows[name][place], row)


def test_a_16_bit_picture_is_described_as_its_8_bit_twin(emoprune: Runner, in_folder: Path) -> None:
    generator = np.random.default_rng(0)
    (in_folder / "faces" / "happy").mkdir(parents=True)
    pixels = generator.integers(0, 256, (32, 32), dtype=np.uint8)
    Image.fromarray(pixels).save(in_folder / "faces" / "happy" / "a.png")
    Image.fromarray(pixels.astype(np.uint16) * 257).save(in_folder / "faces" / "happy" / "b.png")
    emoprune.done("features", "faces", "t.csv", *BOTH)
    _, rows = read(in_folder / "t.csv")
    deep, shallow = rows.values()
    np.testing.assert_array_equal(deep, shallow)


def test_components_are_few_columns_of_each_kind_fitted_to_the_train_part(
    emoprune: Runner, small: Path, in_folder: Path
) -> None:
    result = emoprune.done("features", small, "t.csv", *BOTH, "--pca", "3", "--split", "70/30")
    names, rows = read(in_folder / "t.csv")
    assert names == [*columns("lpq", 3), *columns("phog", 3)]
    assert "note: PCA is fitted to the train part, 21 of 30 faces; train with the same --split" in result.err
    assert result.record["pca"]["samples"] == 21
    assert set(result.record["pca"]["explained"]) == {"lpq", "phog"}
    # what is fitted to a part has mean 0 there, and components that do not vary together
    rule = SplitRule("70/30", 0, None, "")
    train = np.stack(
        [list(rows.values())[i] for i in partition(open_folder(str(small)).catalog, rule)["train"]]
    )
    np.testing.assert_allclose(train.mean(axis=0), 0, atol=1e-6)
    for block in (train[:, :3], train[:, 3:]):
        covariance = np.cov(block.T)
        np.testing.assert_allclose(covariance, np.diag(np.diag(covariance)), rtol=0, atol=1e-8)


@pytest.mark.parametrize("options", [(), ("--group-by", "^film[0-9]"), ("--seed", "3")])
def test_train_learns_on_the_part_that_components_were_fitted_to(
    emoprune: Runner, small: Path, in_folder: Path, options: tuple[str, ...]
) -> None:
    emoprune.done("features", small, "t.csv", *BOTH, "--pca", "2", *options)
    argv = ("train", "t.csv", "m.st", "--arch", "mlp", "--epochs", "0", "--scale", "standard", *options)
    emoprune.done(*argv)
    layer = read_scaling(in_folder / "m.st")
    # its scaling is fitted to the training part too: the means of components there are 0
    np.testing.assert_allclose(layer, 0, atol=1e-6)


def read_scaling(path: Path) -> NDArray[np.float32]:
    """What the first layer of a checkpoint takes off each feature."""
    from safetensors.numpy import load_file

    shift: NDArray[np.float32] = load_file(path)["net.scaling.shift"]
    return shift


def test_a_changed_test_picture_leaves_the_rows_of_the_train_part_as_they_were(
    emoprune: Runner, small: Path, in_folder: Path
) -> None:
    shutil.copytree(small, in_folder / "faces")
    emoprune.done("features", "faces", "before.csv", *BOTH, "--pca", "4")
    catalog = open_folder("faces").catalog
    parts = partition(catalog, SplitRule("80/20", 0, None, catalog.fingerprint))
    changed = catalog.names[parts["test"][0]]
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)).save(
        in_folder / "faces" / changed
    )
    emoprune.done("features", "faces", "after.csv", *BOTH, "--pca", "4")
    before, after = read(in_folder / "before.csv")[1], read(in_folder / "after.csv")[1]
    assert {name for name in before if (before[name] != after[name]).any()} == {changed}


def test_folders_that_are_parts_say_what_components_are_fitted_to(
    emoprune: Runner, faces_here: FacesHere, in_folder: Path
) -> None:
    counts = {
        f"{part}/{name}": each for part, each in (("train", 4), ("test", 2)) for name in ("happy", "sad")
    }
    faces_here("faces", counts)
    result = emoprune.done("features", "faces", "t.csv", *BOTH, "--pca", "2")
    assert "fitted to the train part, 8 of 12 faces\n" in result.err
    _, rows = read(in_folder / "t.csv")
    train = np.stack([row for name, row in rows.items() if name.startswith("train/")])
    np.testing.assert_allclose(train.mean(axis=0), 0, atol=1e-6)
    emoprune.check_refused(
        "features", "faces", "u.csv", *BOTH, "--pca", "2", "--split", "80/20", code=2, says=("--split",)
    )


def test_the_same_command_writes_the_same_bytes(emoprune: Runner, small: Path, in_folder: Path) -> None:
    for name in ("a.csv", "b.csv"):
        emoprune.done("features", small, name, *BOTH, "--pca", "5")
    assert (in_folder / "a.csv").read_bytes() == (in_folder / "b.csv").read_bytes()


def test_components_of_real_faces_can_be_trained_on(
    emoprune: Runner, shared_data: Path, in_folder: Path
) -> None:
    for name in ("happy", "sad"):
        photos = sorted((shared_data / "data" / "fer2013" / "val" / name).iterdir())[:15]
        (in_folder / "faces" / name).mkdir(parents=True)
        for photo in photos:
            shutil.copy(photo, in_folder / "faces" / name)
    emoprune.done("features", "faces", "t.csv", "--kind", "lpq,phog", "--pca", "5")
    summary = emoprune.done("train", "t.csv", "m.st", "--arch", "mlp", "--epochs", "3").record
    assert summary["layers"] == {"classifier.hidden1": 20}


@pytest.mark.parametrize(
    ("argv", "code", "says"),
    [
        (["--kind", "lpq,hog"], 2, ("'hog'", "phog")),
        (["--kind", "lpq,"], 2, ("''", "pixels")),
        (["--kind", "lpq,phog,lpq"], 2, ("lpq is there twice",)),
        (["--kind", "lpq", "--arch", "resnet18"], 2, ("--arch", "--kind deep")),
        (["--kind", "lpq", "--weights", "none"], 2, ("--weights", "--kind deep")),
        (["--kind", "lpq,phog", "--mean", "0"], 2, ("--mean", "--kind deep")),
        (["--kind", "lpq", "--size", "6"], 1, ("faces: ", "6x6", "--size")),
        (["--kind", "lpq", "--size", "big"], 2, ("--size big",)),
        (["--kind", "lpq", "--split", "80/20"], 2, ("--split", "--pca")),
        (["--kind", "lpq", "--group-by", "^film[0-9]"], 2, ("--group-by", "--pca")),
        (["--kind", "lpq", "--seed", "1"], 2, ("--seed", "--pca")),
        (["--kind", "lpq", "--pca", "0"], 2, ("--pca",)),
        (["--kind", "lpq", "--pca", "24"], 2, ("faces: --pca 24", "24 training samples")),
        (["--kind", "pixels", "--size", "2", "--gray", "--pca", "5"], 2, ("--pca 5", "pixels", "(4)")),
        (["--kind", "lpq", "--pca", "2", "--split", "half"], 2, ("--split half",)),
        (["--kind", "lpq", "--pca", "2", "--group-by", "^no"], 1, ("faces: ", "--group-by ^no")),
    ],
)
def test_what_cannot_be_done_is_refused(
    emoprune: Runner, small: Path, in_folder: Path, argv: list[str], code: int, says: tuple[str, ...]
) -> None:
    (in_folder / "faces").symlink_to(small)
    emoprune.check_refused("features", "faces", "t.csv", *argv, code=code, says=says)


def test_pictures_that_are_all_alike_have_no_components(emoprune: Runner, in_folder: Path) -> None:
    for name in ("happy", "sad"):
        (in_folder / "faces" / name).mkdir(parents=True)
        for index in range(5):
            Image.new("L", (16, 16), 20 * index).save(in_folder / "faces" / name / f"{index}.png")
    emoprune.done("features", "faces", "t.csv", "--kind", "lpq,phog")
    for row in read(in_folder / "t.csv")[1].values():
        assert row.tolist() == [0.0] * 255 + [1.0] + [0.0] * 680
    emoprune.check_refused(
        "features", "faces", "u.csv", "--kind", "lpq", "--pca", "1", code=2, says=("0 directions", "lpq")
    )


def test_every_kind_of_the_registry_has_its_function() -> None:
    assert DESCRIBE.keys() == DESCRIPTORS.keys()
    assert READ.keys() == OF_A_NETWORK.keys()
    assert KINDS.keys() == {"pixels", *DESCRIBE, *READ}
