"""Near-duplicates: kept on one side by `split_by`, warned of where another split separates them."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest
from PIL import Image

from emoprune.data import near_duplicates
from emoprune.data.datasets import open_data
from emoprune.data.formats.image_folders import open_folder
from emoprune.data.splits import partition
from emoprune.data.types import SplitRule
from emoprune.io.pictures.images import read_photo
from emoprune.io.pictures.perceptual_hash import perceptual_hash
from emoprune.networks import checkpoint
from tests.conftest import draw_faces
from tests.support.command_line import CLASSES, SMALL, Runner
from tests.support.records import fer2013_csv, noise_pixels
from tests.support.searching import lines

BY_DUPLICATES = ("--split-by", "duplicates")
COPIES = 6
WARNED = "warning: near-duplicates on both sides of the split: "
FOUND = f"near-duplicates among 36 pictures: {COPIES} groups of {2 * COPIES} pictures, the largest of 2"


@pytest.fixture
def copied(in_folder: Path) -> Path:
    """Three classes of ten drawn faces each, and of the first two of each a smaller copy elsewhere."""
    folder = draw_faces(in_folder / "faces", CLASSES, 10, side=32)
    for index, label in enumerate(CLASSES):
        for photo in sorted((folder / label).glob("film*"))[:2]:
            copy = folder / CLASSES[index - 1] / f"copy_{photo.name}"
            read_photo(photo).resize((24, 24)).save(copy, quality=85)
    return folder


def add_hashes(folder: Path) -> None:
    """The manifest that crop leaves, as far as hashes go."""
    rows = (
        f"{path.relative_to(folder).as_posix()},{perceptual_hash(read_photo(path))}"
        for path in folder.rglob("*.jpg")
    )
    (folder / "crops.csv").write_text("\n".join(["output,phash", *rows]) + "\n")


def names_by_part(folder: Path, rule: SplitRule) -> dict[str, set[str]]:
    catalog = open_folder(str(folder)).catalog
    parts = partition(catalog, rule)
    return {part: {catalog.names[index] for index in indices} for part, indices in parts.items()}


def originals(names: set[str]) -> set[str]:
    """What is copied, by its file's name."""
    return {name.rsplit("/", 1)[1].removeprefix("copy_") for name in names}


def separated(parts: dict[str, set[str]]) -> set[str]:
    """The pictures of which a copy is on another side."""
    copies = {name.split("copy_")[1] for names in parts.values() for name in names if "copy_" in name}
    sides = [originals(names) & copies for names in parts.values()]
    return set.union(*(a & b for a in sides for b in sides if a is not b))


@pytest.mark.parametrize("known", [True, False], ids=["hashes of crop", "hashes of its own"])
def test_split_by_duplicates_keeps_copies_on_one_side(emoprune: Runner, copied: Path, known: bool) -> None:
    if known:
        add_hashes(copied)
    for seed in range(3):
        result = emoprune.done(
            *("train", "faces", "m.st", *SMALL, *BY_DUPLICATES, "--seed", seed, "--epochs", 0, "--force")
        )
        assert f"note: {FOUND}" in result.err
        assert WARNED not in result.err
        assert not separated(names_by_part(copied, checkpoint.read("m.st").split))


def test_kept_together_takes_hashes_from_the_manifest(
    emoprune: Runner, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_hashes(copied)
    asked: list[Image.Image] = []

    def hashed(images: Iterable[Image.Image]) -> list[str]:
        now = list(images)
        asked.extend(now)
        return list(map(perceptual_hash, now))

    monkeypatch.setattr(near_duplicates, "perceptual_hashes", hashed)
    emoprune.done("train", "faces", "m.st", *SMALL, *BY_DUPLICATES, "--epochs", 0)
    assert not asked
    manifest = copied / "crops.csv"
    manifest.write_text("\n".join(manifest.read_text().splitlines()[:-3]) + "\n")
    emoprune.done("train", "faces", "n.st", *SMALL, *BY_DUPLICATES, "--epochs", 0)
    assert len(asked) == 3


def test_later_commands_find_the_same_parts_without_hashes(
    emoprune: Runner, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_hashes(copied)
    summary = emoprune.done("train", "faces", "m.st", *SMALL, *BY_DUPLICATES, "--split", "50/20/30").record
    (copied / "crops.csv").unlink()
    monkeypatch.setattr(near_duplicates, "perceptual_hashes", None)
    for part, size in summary["parts"].items():
        assert emoprune.done("eval", "m.st", "faces", "--split", part).record["n"] == size
    emoprune.done("train", "faces", "on.st", "--from", "m.st", "--epochs", 1)
    emoprune.done("export", "m.st", "m.onnx")
    assert checkpoint.read("on.st").split == checkpoint.read("m.st").split
    scores = [emoprune.done("eval", model, "faces").record["confusion"] for model in ("m.st", "m.onnx")]
    assert scores[0] == scores[1]


def test_films_and_copies_stay_together(emoprune: Runner, copied: Path) -> None:
    emoprune.done(
        *("train", "faces", "m.st", *SMALL, "--epochs", 0, "--split", "50/50"),
        *("--group-by", "(film[0-9])_", *BY_DUPLICATES),
    )
    parts = names_by_part(copied, checkpoint.read("m.st").split)
    assert not separated(parts)
    films = [{name.split("film")[1][0] for name in names} for names in parts.values()]
    assert not films[0] & films[1]


def test_a_random_split_that_separates_copies_is_warned_of(emoprune: Runner, copied: Path) -> None:
    argv = ("train", "faces", "m.st", *SMALL, "--epochs", 0, "--force")
    assert WARNED not in emoprune.done(*argv).err
    add_hashes(copied)
    (warning,) = (line for line in emoprune.done(*argv).err.splitlines() if line.startswith(WARNED))
    count = len(separated(names_by_part(copied, checkpoint.read("m.st").split)))
    assert count > 1
    found = re.fullmatch(
        f"{WARNED}{count} groups of {2 * count} pictures, the largest of 2, such as "
        r"(\S+) \((\w+)\) and (\S+) \((\w+)\); keep them together with --split-by duplicates",
        warning,
    )
    assert found
    assert len(originals({found[1], found[3]})) == 1
    assert {found[2], found[4]} == {"train", "test"}


def test_folders_with_common_copies_are_warned_of(emoprune: Runner, in_folder: Path) -> None:
    folder = in_folder / "faces"
    for part in ("train", "test"):
        draw_faces(folder / part, CLASSES, 4, side=32)
    for photo in (folder / "test").rglob("*.jpg"):
        # drawn alike in both parts
        read_photo(photo).rotate(90).save(photo)
    add_hashes(folder)
    argv = ("train", "faces", "m.st", *SMALL, "--force")
    assert WARNED not in emoprune.done(*argv).err
    one = next((folder / "train" / "angry").iterdir())
    read_photo(one).save(folder / "test" / "happy" / "copy.jpg", quality=80)
    add_hashes(folder)
    said = emoprune.done(*argv).err
    assert f"{WARNED}1 group of 2 pictures, such as test/happy/copy.jpg (test) and" in said
    assert "; keep one side of each" in said


@pytest.mark.parametrize("text", ["", "output,phash\nangry/a.jpg", "a\0b", "source,output\na,b\n"])
def test_an_unusable_manifest_stops_nothing(emoprune: Runner, copied: Path, text: str) -> None:
    (copied / "crops.csv").write_text(text)
    assert WARNED not in emoprune.done("train", "faces", "m.st", *SMALL, "--epochs", 0).err


def test_components_and_a_network_on_them_learn_on_the_same_part(
    emoprune: Runner, copied: Path, in_folder: Path
) -> None:
    argv = ("features", "faces", "t.csv", "--kind", "lpq", "--pca", 2, *BY_DUPLICATES)
    result = emoprune.done(*argv)
    assert "names in the table begin with their part" in result.err
    emoprune.done("train", "faces", "m.st", *SMALL, *BY_DUPLICATES, "--epochs", 0)
    expected = names_by_part(copied, checkpoint.read("m.st").split)
    rows = (in_folder / "t.csv").read_text().splitlines()[1:]
    names = {row.split(",")[0] for row in rows}
    assert names == {f"{part}/{name}" for part, found in expected.items() for name in found}
    parts = emoprune.done("train", "t.csv", "n.st", "--arch", "mlp", "--epochs", 0).record["parts"]
    assert parts == {part: len(found) for part, found in expected.items()}
    assert result.record["pca"]["samples"] == parts["train"]


def test_every_trial_of_a_search_has_the_split_that_its_command_has(
    emoprune: Runner, copied: Path, in_folder: Path
) -> None:
    fixed = ("--set", "arch=conv1", "--set", "size=16", "--set", "epochs=1", "--set", "hidden=4")
    argv = ("search", "faces", *fixed, "--space", "lr=0.01,0.1", "--trials", 2, "-o", "t.json")
    result = emoprune(*argv, *BY_DUPLICATES, "--keep-best", "best.st")
    assert result.code == 0
    assert result.err.count(FOUND) == 1
    assert len(lines(in_folder / "t.json")) == 2
    command = result.err.splitlines()[-1].split()
    assert command[command.index("--split-by") + 1] == "duplicates"
    rule = checkpoint.read("best.st").split
    assert not separated(names_by_part(copied, rule))
    (model,) = (word for word in command if word.endswith(".st"))
    emoprune.done(*command[1:], "--force")
    assert checkpoint.read(model).split == rule


def test_split_by_duplicates_refuses_what_it_cannot_split(
    emoprune: Runner, copied: Path, table: Path, in_folder: Path
) -> None:
    train = ("train", "faces", "m.st", *SMALL)
    emoprune.check_refused(*train, "--split-by", "films", code=2, says=("films", "duplicates"))
    (in_folder / "t.csv").symlink_to(table)
    says = ("t.csv is a feature table", "--group-by")
    emoprune.check_refused("train", "t.csv", "m.st", "--arch", "mlp", *BY_DUPLICATES, code=2, says=says)
    says = ("--split-by", "--pca")
    emoprune.check_refused("features", "faces", "f.csv", *BY_DUPLICATES, code=2, says=says)
    rows = [(emotion, "Training") for emotion in (0, 1, 0, 1)]
    (in_folder / "fer.csv").write_bytes(fer2013_csv(noise_pixels(4), rows))
    draw_faces(in_folder / "parts" / "train", CLASSES, 2, side=32)
    for data in ("parts", "fer.csv"):
        says = (f"{data}: is already split into train", "--split-by")
        emoprune.check_refused("train", data, "m.st", *SMALL, *BY_DUPLICATES, code=2, says=says)


def test_split_by_duplicates_refuses_copies_of_one_picture(emoprune: Runner, in_folder: Path) -> None:
    for label in ("angry", "happy"):
        (in_folder / "faces" / label).mkdir(parents=True)
        for index in range(4):
            Image.new("RGB", (16, 16)).save(in_folder / "faces" / label / f"{index}.png")
    says = ("faces: groups made by --split-by: 1, fewer than the 2 parts",)
    emoprune.check_refused("train", "faces", "m.st", *SMALL, *BY_DUPLICATES, says=says)


def test_a_checkpoint_names_the_groups_it_was_split_by(emoprune: Runner, copied: Path) -> None:
    raw = emoprune.done("train", "faces", "-", *SMALL, "--epochs", 0, *BY_DUPLICATES).raw
    start = raw.index(b'{"__metadata__"')
    header = json.loads(raw[start : start + int.from_bytes(raw[:8], "little")])
    together = json.loads(header["__metadata__"]["emoprune"])["split"]["together"]
    catalog = open_folder(str(copied)).catalog
    assert len(together) == COPIES
    assert all(len(originals({catalog.names[index] for index in group})) == 1 for group in together)


def test_hashes_of_a_part_are_those_of_its_names_in_the_whole(in_folder: Path, copied: Path) -> None:
    parts = in_folder / "parted"
    for part in ("train", "test"):
        copied_tree = parts / part
        shutil.copytree(copied, copied_tree)
    add_hashes(parts)
    data = open_data("parted:train")
    groups = near_duplicates.kept_together(data)
    (parts / "crops.csv").unlink()
    assert groups == near_duplicates.kept_together(open_data("parted:train"))
    assert len(groups) == COPIES
