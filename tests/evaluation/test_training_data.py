"""Data that pruning calibrates on: which, how many samples, and what they decide."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from emoprune.cli.main import main
from emoprune.errors import BadCheckpoint
from emoprune.evaluation.training_data import matching_layers
from emoprune.networks import checkpoint as checkpoints
from emoprune.pruning.methods import METHODS
from tests.conftest import draw_faces
from tests.support.checkpoints import OF_WEIGHTS, check_agrees, check_works, read, units
from tests.support.command_line import Runner
from tests.support.records import card_of_file, with_card

Zoo = Callable[[str], Path]
GONE = "training data is not here"
RECONSTRUCT = ("--method", "reconstruct", "--amount", "0.3")


def with_data(data: bytes, place: object) -> bytes:
    """A checkpoint that was trained on what is at `place`, if one believes it."""
    card = card_of_file(data)
    card["history"][0]["parameters"]["data"] = place
    return with_card(data, card)


@pytest.fixture
def moved(zoo: Zoo, small: Path, in_folder: Path) -> Path:
    """Its training data, of which a network with batch norm in m.st knows; to be changed."""
    shutil.copytree(small, in_folder / "moved")
    (in_folder / "m.st").write_bytes(with_data(zoo("shufflenet_v2_x0_5").read_bytes(), "moved"))
    return in_folder / "moved"


@pytest.fixture(scope="session")
def judged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A well-trained model, and its data, whose val part is of the same pictures as its train part."""
    folder = tmp_path_factory.mktemp("judged")
    for part, each in (("train", 12), ("val", 8), ("test", 3)):
        draw_faces(folder / "faces" / part, ("angry", "happy", "surprise"), each, side=32)
    options = ("--size", "16", "--gray", "--hidden", "12", "--epochs", "100", "--lr", "0.005")
    assert main(["train", str(folder / "faces"), str(folder / "m.st"), "--arch", "conv1", *options]) == 0
    return folder / "m.st", folder / "faces"


def score(emoprune: Runner, path: str | Path, data: Path, part: str) -> tuple[float, float]:
    record = emoprune.done("eval", path, data, "--split", part).record
    return 100 * record["accuracy"], record["log_loss"]


@pytest.mark.parametrize(
    ("method", "option", "most"),
    [
        *((method, "--max-drop", 30) for method in METHODS),
        ("reconstruct", "--max-loss-increase", 0.1),
        ("distinct", "--max-drop", 0),
    ],
)
def test_judge_loses_no_more_on_the_val_part_than_allowed(
    emoprune: Runner, judged: tuple[Path, Path], method: str, option: str, most: float
) -> None:
    model, data = judged
    record = emoprune.done("prune", model, "--method", method, option, most, "-o", "o.st").record
    check_agrees(record, model, "o.st")
    accuracy, loss = score(emoprune, model, data, "val")
    now, now_loss = score(emoprune, "o.st", data, "val")
    lost = accuracy - now if option == "--max-drop" else now_loss - loss
    assert accuracy > 90
    assert lost <= most + 1e-6
    if most:
        assert record["nonzero_parameters"]["after"] < record["nonzero_parameters"]["before"]


@pytest.mark.parametrize("method", ["distinct", "reconstruct", "magnitude"])
def test_a_budget_of_all_leaves_the_least(emoprune: Runner, judged: tuple[Path, Path], method: str) -> None:
    options = ("--method", method, "--max-drop", "100", "--dry-run")
    record = emoprune.done("prune", judged[0], *options).record
    assert record["units"]["after"] <= 4
    assert record["nonzero_parameters"]["after"] < 0.02 * record["nonzero_parameters"]["before"]


@pytest.mark.parametrize("option", ["--max-drop", "--max-loss-increase"])
def test_judge_takes_the_train_part_without_a_val_part(
    emoprune: Runner, model: Path, faces: Path, option: str
) -> None:
    most = {"--max-drop": 4, "--max-loss-increase": 0.02}[option]
    options = ("--method", "importance", option, most, "--round-to", "4", "-o", "o.st")
    record = emoprune.done("prune", model, *options).record
    assert all(layer["after"] % 4 == 0 for layer in record["layers"])
    accuracy, loss = score(emoprune, model, faces, "train")
    now, now_loss = score(emoprune, "o.st", faces, "train")
    assert record["accuracy"] == pytest.approx({"before": accuracy / 100, "after": now / 100})
    assert record["loss"] == pytest.approx({"before": loss, "after": now_loss}, rel=1e-4)
    assert record["judged_on"]["part"] == "train"
    assert (accuracy - now if option == "--max-drop" else now_loss - loss) <= most + 1e-6


@pytest.mark.parametrize("option", ["--max-drop"])
def test_a_budget_of_accuracy_needs_images(emoprune: Runner, moved: Path, small: Path, option: str) -> None:
    emoprune.check_refused("prune", "m.st", option, "1", "--data", "none", code=2, says=("--data none",))
    shutil.rmtree(moved)
    emoprune.check_refused("prune", "m.st", option, "1", code=2, says=("images", "give --data"))
    emoprune.done("prune", "m.st", option, "100", "--data", small, "--dry-run", "--method", "random")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("conv2", RECONSTRUCT),
        ("table", RECONSTRUCT),
        ("shufflenet_v2_x0_5", (*RECONSTRUCT, "--merge", "sum")),
        ("shufflenet_v2_x0_5", (*RECONSTRUCT, "--data", "none")),
        # only the classifier reads it, and that has no batch norm
        ("shufflenet_v2_x0_5", (*RECONSTRUCT, "--layer", "conv5.0")),
        *(("shufflenet_v2_x0_5", ("--method", method, "--amount", "0.3")) for method in OF_WEIGHTS),
    ],
)
def test_no_image_is_read_where_no_batch_norm_is_recalibrated(
    emoprune: Runner, zoo: Zoo, name: str, options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr("emoprune.evaluation.training_data.open_data", fail)
    result = emoprune.done("prune", zoo(name), *options, "-o", "o.st")
    assert result.record["images"] == 0
    assert GONE not in result.err


def test_no_image_is_read_with_a_frozen_backbone(
    emoprune: Runner, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--arch", "shufflenet_v2_x0_5", "--size", "32", "--weights", "none", "--hidden", "8")
    emoprune.done("train", small, "m.st", *options, "--freeze", "backbone", "--epochs", "1")
    assert emoprune.done("prune", "m.st", "--dry-run").record["images"] == 0


def test_the_training_data_recalibrates_batch_norm(emoprune: Runner, moved: Path) -> None:
    result = emoprune.done("prune", "m.st", *RECONSTRUCT, "-o", "a.st")
    assert (result.record["images"], result.err) == (24, "")
    emoprune.done("prune", "m.st", *RECONSTRUCT, "--data", "none", "-o", "b.st")
    one, other = read("a.st"), read("b.st")
    assert one.spec == other.spec
    assert any(not torch.equal(value, other.tensors[name]) for name, value in one.tensors.items())
    assert emoprune.done("prune", "m.st", *RECONSTRUCT, "--samples", "7", "--dry-run").record["images"] == 7


def leave(folder: Path) -> None:
    """What was the training data is empty now."""
    shutil.rmtree(folder)
    folder.mkdir()


def replace_by_a_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_bytes(b"text")


CHANGES: dict[str, Callable[[Path], object]] = {
    "gone": shutil.rmtree,
    "a picture more": lambda folder: shutil.copy(
        folder / "happy" / "film0_happy000.jpg", folder / "happy" / "x.jpg"
    ),
    "a class more": lambda folder: shutil.copytree(folder / "happy", folder / "zany"),
    "a picture in no class": lambda folder: shutil.copy(
        folder / "happy" / "film0_happy000.jpg", folder / "x.jpg"
    ),
    "a file now": replace_by_a_file,
}


@pytest.mark.parametrize("change", CHANGES)
def test_training_data_of_notes_data_that_has_changed(emoprune: Runner, moved: Path, change: str) -> None:
    CHANGES[change](moved)
    result = emoprune.done("prune", "m.st", *RECONSTRUCT, "-o", "a.st")
    assert result.record["images"] == 0
    (note,) = [line for line in result.err.splitlines() if line.startswith("note: ")]
    assert "--data" in note
    if change == "a picture more":
        emoprune.done("prune", "m.st", *RECONSTRUCT, "--data", "none", "-o", "b.st")
        one, other = read("a.st").tensors, read("b.st").tensors
        assert all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize("place", ["x" * 5000, "a\0b", "/dev/null"])
def test_training_data_of_ignores_an_impossible_path(emoprune: Runner, moved: Path, place: object) -> None:
    data = Path("m.st").read_bytes()
    Path("m.st").write_bytes(with_data(data, place))
    result = emoprune.done("prune", "m.st", *RECONSTRUCT, "--dry-run")
    assert result.record["images"] == 0


def test_calibration_data_counts_all_of_other_data_as_training_part(
    emoprune: Runner, zoo: Zoo, faces: Path
) -> None:
    argv = ("prune", zoo("conv2"), *RECONSTRUCT, "--data", faces)
    result = emoprune.done(*argv, "-o", "o.st")
    assert "is not what the model was trained on" in result.err
    assert result.record["images"] == 60
    check_agrees(result.record, zoo("conv2"), "o.st")
    assert {entry.count for entry in read("o.st").statistics.values()} == {60}
    emoprune.done(*argv, "--samples", "13", "-o", "o.st", "--force")
    assert {entry.count for entry in read("o.st").statistics.values()} == {13}


def test_images_are_counted_for_statistics_refit_and_judgment(
    emoprune: Runner, zoo: Zoo, small: Path
) -> None:
    argv = ("prune", zoo("conv2"), *RECONSTRUCT, "--dry-run")
    for options, images, resolved in (
        (("--merge", "sum", "--data", small), 24, 0),
        (("--merge", "sum", "--data", small, "--samples", "5"), 5, 0),
        (("--merge", "sum"), 0, 0),
        (("--data", small, "--samples", "7"), 7, 7),
    ):
        record = emoprune.done(*argv, *options).record
        assert (record["images"], record["resolved_on"]) == (images, resolved)
    judged = ("prune", zoo("conv2"), "--method", "random", "--max-drop", "100", "--dry-run")
    assert emoprune.done(*judged).record["images"] == 24


def test_with_statistics_of_the_training_data_changes_nothing(
    emoprune: Runner, zoo: Zoo, small: Path
) -> None:
    # the units of the other layers stay
    options = (*RECONSTRUCT, "--layer", "classifier.hidden1", "--data", small)
    result = emoprune.done("prune", zoo("conv2"), *options, "-o", "o.st")
    assert (result.complaints, result.record["images"]) == ([], 24)
    before, after = read(zoo("conv2")), read("o.st")
    assert before.statistics.keys() == after.statistics.keys()
    assert {entry.count for entry in after.statistics.values()} == {24}
    for name in ("features.0", "features.3"):
        torch.testing.assert_close(after.statistics[name].gram, before.statistics[name].gram)
    for name, moments in before.moments.items():
        torch.testing.assert_close(after.moments[name].mean, moments.mean, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(after.moments[name].covariance, moments.covariance, rtol=1e-4, atol=1e-6)


def test_with_statistics_makes_a_frozen_backbone_prunable(emoprune: Runner, small: Path) -> None:
    options = ("--arch", "conv2", "--size", "24", "--gray", "--hidden", "9", "--epochs", "1")
    emoprune.done("train", small, "m.st", *options, "--freeze", "backbone", "--weights", "none")
    assert units("m.st") == {"classifier.hidden1": 9}
    alone = emoprune.done("prune", "m.st", *RECONSTRUCT, "--dry-run").record
    assert [layer["layer"] for layer in alone["layers"]] == ["classifier.hidden1"]
    whole = emoprune.done("prune", "m.st", *RECONSTRUCT, "--data", small, "-o", "o.st").record
    names = ["features.0", "features.3", "classifier.hidden1"]
    assert [layer["layer"] for layer in whole["layers"]] == list(units("o.st")) == names
    assert whole["units"] == {"before": 57, "after": 40}
    check_works(emoprune, "o.st", small)
    listed = emoprune.done("angles", "m.st", "--data", small).lines
    assert [(line["layer"], line["units"]) for line in listed] == [*zip(names, (16, 32, 9), strict=True)]


def test_matching_layers_says_how_to_measure_layers(emoprune: Runner, small: Path) -> None:
    options = ("--arch", "squeezenet1_1", "--size", "32", "--weights", "none", "--epochs", "0")
    emoprune.done("train", small, "m.st", *options, "--freeze", "backbone")
    for argv in (("angles", "m.st"), ("prune", "m.st")):
        emoprune.check_refused(*argv, says=("m.st: ", "--data"))


@pytest.mark.parametrize("command", ["prune", "angles"])
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (shutil.rmtree, ("moved: no such folder",)),
        (leave, ("moved: ", "no pictures")),
        (CHANGES["a class more"], ("zany", "angry, happy, surprise")),
        (lambda folder: (folder / "happy" / "x.jpg").write_bytes(b"no picture"), ("x.jpg",)),
    ],
)
def test_calibration_data_refuses_wrong_data(
    emoprune: Runner,
    zoo: Zoo,
    small: Path,
    command: str,
    change: Callable[[Path], object],
    says: tuple[str, ...],
) -> None:
    change(Path(shutil.copytree(small, "moved")))
    emoprune.check_refused(command, zoo("conv2"), "--data", "moved", says=says)


def test_calibration_data_refuses_data_of_another_kind(
    emoprune: Runner, zoo: Zoo, table: Path, small: Path
) -> None:
    for command in ("prune", "angles"):
        emoprune.check_refused(command, zoo("conv2"), "--data", table, says=("feature table",))
        emoprune.check_refused(command, zoo("table"), "--data", small, says=("folder of photos",))
    assert json.loads(emoprune.done("prune", zoo("table"), "--data", table, "--dry-run").out)["images"] == 48


def test_matching_layers_follow_network_order(table_model: Path) -> None:
    checkpoint = checkpoints.read(str(table_model))
    both = ["classifier.hidden1", "classifier.hidden2"]
    for glob, names in {"*": both, "*1": both[:1], "classifier.hidden[2]": both[1:]}.items():
        found = matching_layers(checkpoint, glob, place="m.st")
        assert [layer.name for layer in found] == names
    with pytest.raises(BadCheckpoint, match=r"m\.st: .*`layer=CLASS\*`.*hidden1, classifier\.hidden2"):
        matching_layers(checkpoint, "CLASS*", place="m.st")
