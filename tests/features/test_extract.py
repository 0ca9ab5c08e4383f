"""Features of several kinds side by side, and principal components of the training part."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from emoprune.data.datasets import open_data
from emoprune.data.formats.image_folders import open_folder
from emoprune.data.splits import partition
from emoprune.data.types import SplitRule
from emoprune.errors import EmopruneError
from emoprune.features.config import FeaturesConfig
from emoprune.features.extract import DESCRIBE, READ, Features, extract
from emoprune.features.registry import DESCRIPTORS, KINDS, OF_A_NETWORK
from tests.support.command_line import Runner

FacesHere = Callable[..., Path]
BOTH = ("lpq", "phog")


def features(
    faces: object, *kinds: str, split: str | None = None, group_by: str | None = None, **settings: Any
) -> Features:
    data = open_data(str(faces), split=split, group_by=group_by)
    return extract(data, FeaturesConfig(kinds=kinds, **settings), device="cpu")


def by_name(found: Features) -> dict[str, NDArray[np.float32]]:
    return dict(zip(found.table.catalog.names, found.table.values.numpy(), strict=True))


def columns(kind: str, count: int) -> list[str]:
    return [f"{kind}_{index}" for index in range(1, count + 1)]


def test_every_kind_of_the_registry_has_its_function() -> None:
    assert DESCRIBE.keys() == DESCRIPTORS.keys()
    assert READ.keys() == OF_A_NETWORK.keys()
    assert KINDS.keys() == {"pixels", *DESCRIBE, *READ}


@pytest.mark.parametrize("kind", DESCRIBE)
def test_a_descriptor_is_that_of_the_gray_picture_at_128_pixels(small: Path, kind: str) -> None:
    found = features(small, kind)
    name, row = list(by_name(found).items())[17]
    with Image.open(small / name) as photo:
        gray = photo.convert("RGB").convert("L").resize((128, 128), Image.Resampling.BILINEAR)
    expected = DESCRIBE[kind](np.asarray(gray))
    assert list(found.table.columns) == columns(kind, len(expected))
    np.testing.assert_allclose(row, expected, rtol=1e-6, atol=1e-9)


def test_kinds_stand_side_by_side_in_the_order_given(small: Path) -> None:
    kinds = ("phog", "deep", "pixels", "lpq")
    table = features(small, *kinds, size="32x40", arch="squeezenet1_1", weights="none").table
    assert list(table.columns) == [
        *columns("phog", 680), *columns("deep", 512), *columns("pixels", 3 * 32 * 40), *columns("lpq", 256)
    ]  # fmt: skip
    for kind in BOTH:
        place = [index for index, name in enumerate(table.columns) if name.startswith(kind)]
        assert torch.equal(features(small, kind, size="32x40").table.values, table.values[:, place])


def test_a_16_bit_picture_is_described_as_its_8_bit_twin(in_folder: Path) -> None:
    (in_folder / "faces" / "happy").mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)
    Image.fromarray(pixels).save(in_folder / "faces" / "happy" / "a.png")
    Image.fromarray(pixels.astype(np.uint16) * 257).save(in_folder / "faces" / "happy" / "b.png")
    deep, shallow = features("faces", *BOTH, size="32").table.values
    assert torch.equal(deep, shallow)


def test_components_are_few_columns_of_each_kind_fitted_to_the_train_part(
    small: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        found = features(small, *BOTH, size="32", pca=3, split="70/30")
    assert list(found.table.columns) == [*columns("lpq", 3), *columns("phog", 3)]
    assert "PCA is fitted to the train part, 21 of 30 faces; train with the same `split`" in caplog.text
    assert found.pca
    assert (found.pca.samples, set(found.pca.explained)) == (21, set(BOTH))
    # what is fitted to a part has mean 0 there, and components that do not vary together
    parts = partition(open_folder(str(small)).catalog, SplitRule("70/30", 0, None, ""))
    train = found.table.values[list(parts["train"])].double().numpy()
    np.testing.assert_allclose(train.mean(axis=0), 0, atol=1e-6)
    for block in (train[:, :3], train[:, 3:]):
        covariance = np.cov(block.T)
        np.testing.assert_allclose(covariance, np.diag(np.diag(covariance)), rtol=0, atol=1e-8)


@pytest.mark.parametrize("options", [(), ("--group-by", "^film[0-9]"), ("--seed", "3")])
def test_train_learns_on_the_part_that_components_were_fitted_to(
    emoprune: Runner, small: Path, in_folder: Path, options: tuple[str, ...]
) -> None:
    from safetensors.numpy import load_file

    emoprune.done("features", small, "t.csv", "--kind", "lpq,phog", "--size", "32", "--pca", "2", *options)
    argv = ("train", "t.csv", "m.st", "--arch", "mlp", "--epochs", "0", "--scale", "standard", *options)
    emoprune.done(*argv)
    # its scaling is fitted to the training part too: the means of components there are 0
    np.testing.assert_allclose(load_file(in_folder / "m.st")["net.scaling.shift"], 0, atol=1e-6)


def test_a_changed_test_picture_changes_no_other_row(small: Path, in_folder: Path) -> None:
    shutil.copytree(small, in_folder / "faces")
    before = by_name(features("faces", *BOTH, size="32", pca=4))
    catalog = open_folder("faces").catalog
    parts = partition(catalog, SplitRule("80/20", 0, None, catalog.fingerprint))
    changed = catalog.names[parts["test"][0]]
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)).save(
        in_folder / "faces" / changed
    )
    after = by_name(features("faces", *BOTH, size="32", pca=4))
    assert {name for name in before if (before[name] != after[name]).any()} == {changed}


def test_components_are_fitted_to_the_folder_train(
    faces_here: FacesHere, caplog: pytest.LogCaptureFixture
) -> None:
    counts = {
        f"{part}/{name}": each for part, each in (("train", 4), ("test", 2)) for name in ("happy", "sad")
    }
    faces_here("faces", counts)
    with caplog.at_level("INFO"):
        found = features("faces", *BOTH, size="32", pca=2)
    assert "fitted to the train part, 8 of 12 faces\n" in caplog.text
    train = np.stack([row for name, row in by_name(found).items() if name.startswith("train/")])
    np.testing.assert_allclose(train.mean(axis=0), 0, atol=1e-6)
    with pytest.raises(EmopruneError, match="already split into"):
        features("faces", *BOTH, size="32", pca=2, split="80/20")


def test_the_same_faces_give_the_same_components(small: Path) -> None:
    one, two = (features(small, *BOTH, size="32", pca=5).table.values for _ in range(2))
    assert torch.equal(one, two)


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
    ("kind", "settings", "says"),
    [
        ("hog", {}, r"`kinds=hog` is unknown; .*phog"),
        ("lpq", {"arch": "resnet18"}, "`arch`.* are for `kinds=deep`"),
        ("lpq", {"weights": "none"}, "`weights`.* are for `kinds=deep`"),
        ("lpq", {"mean": "0"}, "`mean`.* are for `kinds=deep`"),
        ("lpq", {"size": "6"}, "small: .*6x6.*`size`"),
        ("lpq", {"size": "big"}, "size.big"),
        ("lpq", {"split": "80/20"}, "`split`.* are for `pca`"),
        ("lpq", {"group_by": "^film[0-9]"}, "`group_by`.* are for `pca`"),
        ("lpq", {"seed": 1}, "`seed` are for `pca`"),
        ("lpq", {"pca": 0}, "`pca=0` is out of range"),
        ("lpq", {"pca": 24}, "small: `pca=24` .* 24 training samples"),
        ("pixels", {"size": "2", "gray": True, "pca": 5}, r"`pca=5` .*pixels.*\(4\)"),
        ("lpq", {"pca": 2, "split": "half"}, "split.half"),
        ("lpq", {"pca": 2, "group_by": "^no"}, r"small: .*group.by.\^no"),
    ],
)
def test_settings_that_cannot_be_met_are_refused(
    small: Path, in_folder: Path, kind: str, settings: dict[str, Any], says: str
) -> None:
    (in_folder / "small").symlink_to(small)
    with pytest.raises(EmopruneError, match=says):
        features("small", kind, **settings)


def test_features_of_a_table_are_refused(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("name,label,x\na,b,1\n")
    with pytest.raises(EmopruneError, match=r"table\.csv: is a feature table, not pictures"):
        features(tmp_path / "table.csv", "pixels")


def test_pictures_that_are_all_alike_have_no_components(in_folder: Path) -> None:
    for name in ("happy", "sad"):
        (in_folder / "faces" / name).mkdir(parents=True)
        for index in range(5):
            Image.new("L", (16, 16), 20 * index).save(in_folder / "faces" / name / f"{index}.png")
    for row in features("faces", *BOTH).table.values:
        assert row.tolist() == [0.0] * 255 + [1.0] + [0.0] * 680
    with pytest.raises(EmopruneError, match="0 directions that lpq has"):
        features("faces", "lpq", pca=1)


def test_extract_of_a_part_is_that_part_of_the_whole(faces_here: FacesHere) -> None:
    counts = {f"{part}/{label}": 3 for part in ("train", "test") for label in ("happy", "sad")}
    folder = faces_here("faces", counts)
    whole, part = by_name(features(folder, "lpq")), by_name(features(f"{folder}:test", "lpq"))
    assert part.keys() == {name.removeprefix("test/") for name in whole if name.startswith("test/")}
    for name, row in part.items():
        np.testing.assert_array_equal(row, whole[f"test/{name}"])
    with pytest.raises(EmopruneError, match="is the test part, which is kept for eval"):
        features(f"{folder}:test", "lpq", pca=1)
