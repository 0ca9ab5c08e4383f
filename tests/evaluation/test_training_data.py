"""The images that pruning calibrates on, where it reads any: which, how many, and what they decide."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch

import emoprune as ep
from emoprune.choices import MethodName
from emoprune.cli.main import main
from emoprune.data.formats import image_folders
from emoprune.errors import BadCheckpoint, BadData, EmopruneError
from emoprune.evaluation.training_data import (
    CalibrationData,
    calibration_data,
    matching_layers,
    training_data_of,
)
from emoprune.networks import checkpoint as checkpoints
from emoprune.networks.types import Checkpoint, HistoryEntry
from emoprune.pruning.angles import survey_layers
from emoprune.pruning.methods import METHODS
from emoprune.pruning.prune import PrunePlan
from emoprune.pruning.types import AnglesConfig, Change
from tests.conftest import draw_faces
from tests.support.checkpoints import (
    OF_WEIGHTS,
    Zoo,
    changed,
    check_agrees,
    check_refused,
    check_works,
    planned,
    pruned,
    read,
    same_tensors,
    scores_of,
    units,
)
from tests.support.command_line import Runner
from tests.support.records import card_of_file, lay, with_card
from tests.support.training import CONV1, trained

RECONSTRUCT: dict[str, Any] = {"method": "reconstruct", "amount": 0.3}


def images_of(plan: PrunePlan) -> int:
    """How many images a pruning reads."""
    return int(plan.settings["images"])


def trained_on(data: bytes, place: object) -> Checkpoint:
    """A checkpoint that says it was trained on what is at `place`."""
    card = card_of_file(data)
    card["history"][0]["parameters"]["data"] = place
    return checkpoints.from_bytes(with_card(data, card))


@pytest.fixture
def moved(zoo: Zoo, small: Path, in_folder: Path) -> Checkpoint:
    """A network with batch norm whose training data is the folder `moved`, to be changed."""
    shutil.copytree(small, in_folder / "moved")
    return trained_on(zoo("shufflenet_v2_x0_5").read_bytes(), "moved")


@pytest.fixture(scope="session")
def judged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A well-trained model, and its data, whose val part is of the same pictures as its train part."""
    folder = tmp_path_factory.mktemp("judged")
    for part, each in (("train", 12), ("val", 8), ("test", 3)):
        draw_faces(folder / "faces" / part, ("angry", "happy", "surprise"), each, side=32)
    options = ("--size", "16", "--gray", "--hidden", "12", "--epochs", "100", "--lr", "0.005")
    assert main(["train", str(folder / "faces"), str(folder / "m.st"), "--arch", "conv1", *options]) == 0
    return folder / "m.st", folder / "faces"


@pytest.mark.parametrize(
    ("method", "amount", "most"),
    [
        *((method, "max_drop", 30) for method in METHODS),
        ("reconstruct", "max_loss_increase", 0.1),
        ("distinct", "max_drop", 0),
    ],
)
def test_prune_loses_no_more_on_the_val_part_than_allowed(
    judged: tuple[Path, Path], method: MethodName, amount: str, most: float
) -> None:
    before, data = read(judged[0]), judged[1]
    result = pruned(before, method=method, **{amount: most})
    check_agrees(result.outcome, before, result.checkpoint)
    old, new = (scores_of(each, data, "val") for each in (before, result.checkpoint))
    drop = 100 * (old.accuracy - new.accuracy)
    assert old.accuracy > 0.9
    assert (drop if amount == "max_drop" else new.log_loss - old.log_loss) <= most + 1e-6
    if most:
        assert new.nonzero_parameters < old.nonzero_parameters


@pytest.mark.parametrize("method", ["distinct", "reconstruct", "magnitude"])
def test_plan_that_may_lose_everything_keeps_least(judged: tuple[Path, Path], method: MethodName) -> None:
    outcome = planned(judged[0], method=method, max_drop=100).outcome()
    assert (outcome.units.after or 0) <= 4
    assert (outcome.nonzero_parameters.after or 0) < 0.02 * (outcome.nonzero_parameters.before or 0)


@pytest.mark.parametrize(("amount", "most"), [("max_drop", 4), ("max_loss_increase", 0.02)])
def test_prune_evaluates_on_the_train_part_where_there_is_no_val_part(
    model: Path, faces: Path, amount: str, most: float
) -> None:
    result = pruned(model, method="importance", round_to=4, **{amount: most})
    assert all(layer.after % 4 == 0 for layer in result.outcome.layers)
    old, new = (scores_of(each, faces, "train") for each in (read(model), result.checkpoint))
    accuracy, loss, on = result.outcome.accuracy, result.outcome.loss, result.outcome.evaluated_on
    assert accuracy is not None
    assert loss is not None
    assert on is not None
    assert (accuracy.before, accuracy.after) == pytest.approx((old.accuracy, new.accuracy))
    assert (loss.before, loss.after) == pytest.approx((old.log_loss, new.log_loss), rel=1e-4)
    assert (on.part, on.images) == ("train", old.n)
    drop = 100 * (old.accuracy - new.accuracy)
    assert (drop if amount == "max_drop" else new.log_loss - old.log_loss) <= most + 1e-6


def test_an_amount_that_has_to_be_measured_needs_images(moved: Checkpoint, small: Path) -> None:
    check_refused(moved, "`data=none`", max_drop=1, data="none")
    shutil.rmtree("moved")
    check_refused(moved, "images", "give `data`", max_drop=1)
    planned(moved, max_drop=100, data=str(small), method="random")


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("conv2", RECONSTRUCT),
        ("table", RECONSTRUCT),
        ("shufflenet_v2_x0_5", {**RECONSTRUCT, "merge": "sum"}),
        ("shufflenet_v2_x0_5", {**RECONSTRUCT, "data": "none"}),
        # only the classifier reads it, and that has no batch norm
        ("shufflenet_v2_x0_5", {**RECONSTRUCT, "layer": "conv5.0"}),
        *(("shufflenet_v2_x0_5", {"method": method, "amount": 0.3}) for method in OF_WEIGHTS),
    ],
)
def test_no_image_is_read_where_no_batch_norm_is_recalibrated(
    zoo: Zoo,
    name: str,
    settings: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    told: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: object) -> None:
        raise AssertionError

    original = read(zoo(name))
    monkeypatch.setattr("emoprune.evaluation.training_data.open_data", fail)
    assert pruned(original, **settings).checkpoint.history[-1].parameters["images"] == 0
    assert "training data is not here" not in told.text


def test_with_a_frozen_backbone_no_image_is_read(emoprune: Runner, small: Path) -> None:
    options = ("--arch", "shufflenet_v2_x0_5", "--size", "32", "--weights", "none", "--hidden", "8")
    emoprune.done("train", small, "m.st", *options, "--freeze", "backbone", "--epochs", "1")
    assert images_of(planned(Path("m.st"), layer="fc.*")) == 0


def test_the_training_data_recalibrates_batch_norm_where_it_still_is(
    moved: Checkpoint, told: pytest.LogCaptureFixture
) -> None:
    plan = planned(moved, **RECONSTRUCT)
    assert (images_of(plan), told.messages) == (24, [])
    one, other = pruned(moved, **RECONSTRUCT), pruned(moved, **RECONSTRUCT, data="none")
    assert one.checkpoint.spec == other.checkpoint.spec
    assert not same_tensors(one.checkpoint, other.checkpoint)
    assert images_of(planned(moved, **RECONSTRUCT, samples=7)) == 7


def test_training_data_is_found_from_the_current_folder_and_beside_the_checkpoint(
    zoo: Zoo, small: Path, in_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = zoo("shufflenet_v2_x0_5").read_bytes()
    card = card_of_file(data)
    assert card["history"][0]["parameters"]["data"] == "faces", "of an absolute path"
    (in_folder / "models").mkdir()
    (in_folder / "elsewhere").mkdir()
    path = in_folder / "models" / "m.st"
    path.write_bytes(data)

    def found() -> CalibrationData | str:
        return training_data_of(read(path), limit=10)

    assert found() == "the training data (faces) is not here"
    shutil.copytree(small, in_folder / "faces")
    assert isinstance(found(), CalibrationData)
    monkeypatch.chdir("elsewhere")
    assert isinstance(found(), str)
    shutil.copytree(small, in_folder / "models" / "faces")
    assert isinstance(found(), CalibrationData)
    # other data of the same name in the current folder does not hide it
    shutil.copytree(small / "happy", in_folder / "elsewhere" / "faces" / "happy")
    assert isinstance(found(), CalibrationData)
    shutil.rmtree(in_folder / "models" / "faces" / "happy")
    assert "is not what it was" in str(found())


def test_training_data_at_a_relative_path_is_found_from_either_folder(
    zoo: Zoo, small: Path, in_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = card_of_file(zoo("shufflenet_v2_x0_5").read_bytes())
    card["history"][0]["parameters"]["data"] = "../data/faces"
    shutil.copytree(small, in_folder / "data" / "faces")
    for name in ("here", "there"):
        (in_folder / name).mkdir()
    path = in_folder / "here" / "m.st"
    path.write_bytes(with_card(zoo("shufflenet_v2_x0_5").read_bytes(), card))
    assert isinstance(training_data_of(read(path), limit=10), CalibrationData)
    monkeypatch.chdir("there")
    path = path.rename("m.st").absolute()
    assert isinstance(training_data_of(read("m.st"), limit=10), CalibrationData)


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
def test_training_data_that_has_changed_is_not_read_and_a_note_says_so(
    moved: Checkpoint, change: str, told: pytest.LogCaptureFixture
) -> None:
    CHANGES[change](Path("moved"))
    assert images_of(planned(moved, **RECONSTRUCT)) == 0
    # copies of pictures are told as well
    note = told.messages[-1]
    assert "`data`" in note
    if change == "a picture more":
        one, other = pruned(moved, **RECONSTRUCT), pruned(moved, **RECONSTRUCT, data="drawn")
        assert same_tensors(one.checkpoint, other.checkpoint)


@pytest.mark.parametrize("place", ["x" * 5000, "a\0b", "/dev/null"])
def test_a_place_that_a_stranger_wrote_is_not_read(zoo: Zoo, place: object) -> None:
    found = trained_on(zoo("shufflenet_v2_x0_5").read_bytes(), place)
    assert images_of(planned(found, **RECONSTRUCT)) == 0


def test_a_folder_of_other_classes_that_a_stranger_names_is_not_read(
    zoo: Zoo, small: Path, in_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = zoo("shufflenet_v2_x0_5").read_bytes()
    lay(in_folder / "home", ("alice/private.jpg", "bob/private.jpg"))
    shutil.copytree(small, in_folder / "sets" / "train")
    listed = Mock(side_effect=AssertionError)
    monkeypatch.setattr(image_folders, "list_files", listed)
    for place in ("home", "..", "/"):
        assert isinstance(training_data_of(trained_on(data, place), limit=10), str)
    # parts are looked into
    with pytest.raises(AssertionError):
        training_data_of(trained_on(data, "sets"), limit=10)


def test_other_data_is_all_read_and_gives_the_statistics(
    zoo: Zoo, faces: Path, told: pytest.LogCaptureFixture
) -> None:
    result = pruned(zoo("conv2"), **RECONSTRUCT, data=str(faces))
    assert "is not what the model was trained on" in told.text
    assert result.checkpoint.history[-1].parameters["images"] == 60
    check_agrees(result.outcome, read(zoo("conv2")), result.checkpoint)
    assert {entry.count for entry in result.checkpoint.statistics.values()} == {60}
    few = pruned(zoo("conv2"), **RECONSTRUCT, data=str(faces), samples=13).checkpoint
    assert {entry.count for entry in few.statistics.values()} == {13}


def test_images_are_counted_once_whatever_reads_them(zoo: Zoo, small: Path) -> None:
    for settings, images, refitted in (
        ({"merge": "sum", "data": str(small)}, 24, 0),
        ({"merge": "sum", "data": str(small), "samples": 5}, 5, 0),
        ({"merge": "sum"}, 0, 0),
        ({"data": str(small), "samples": 7}, 7, 7),
    ):
        plan = planned(zoo("conv2"), **RECONSTRUCT, **settings)
        assert (images_of(plan), plan.settings["refitted_on"]) == (images, refitted)
    assert images_of(planned(zoo("conv2"), method="random", max_drop=100)) == 24


def test_pictures_without_labels_serve_but_for_judging(
    moved: Checkpoint, small: Path, told: pytest.LogCaptureFixture
) -> None:
    shutil.rmtree("moved")
    Path("loose").mkdir()
    for index, path in enumerate(sorted(small.rglob("*.jpg"))):
        shutil.copy(path, Path("loose") / f"{index}.jpg")
    plan = planned(moved, **RECONSTRUCT, data="loose")
    assert (images_of(plan), plan.settings["refitted_on"], plan.settings["drawn"]) == (30, 30, False)
    assert "loose: 30 pictures without labels, for no folder in it is a class of the model" in told.text
    check_refused(moved, "labels", "`data`", max_drop=1, data="loose")
    # one that it knows says that the others are meant to be
    shutil.copytree(small / "happy", Path("loose") / "happy")
    check_refused(moved, "in no class folder", error=BadData, **RECONSTRUCT, data="loose")


def test_drawn_faces_serve_where_the_training_data_is_gone(
    moved: Checkpoint, monkeypatch: pytest.MonkeyPatch, told: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("emoprune.evaluation.drawn_data.COUNT", 40)
    shutil.rmtree("moved")
    plan = planned(moved, **RECONSTRUCT)
    assert (images_of(plan), plan.settings["refitted_on"], plan.settings["drawn"]) == (0, 40, True)
    assert plan.settings["data_fingerprint"] is None
    reason = "the training data (moved) is not here; give `data`"
    assert f"layers are refitted on 40 drawn faces: {reason}" in told.text
    one, same, other = (pruned(moved, **RECONSTRUCT, data=data) for data in (None, "drawn", "none"))
    assert same_tensors(one.checkpoint, same.checkpoint)
    assert not same_tensors(one.checkpoint, other.checkpoint)
    assert planned(moved, **RECONSTRUCT, data="drawn", samples=9).refitted_on == 9
    assert ep.plan(moved, **RECONSTRUCT, data="drawn").settings["drawn"]


def test_drawn_faces_neither_judge_nor_fill_tables(zoo: Zoo, moved: Checkpoint) -> None:
    check_refused(moved, "`data=drawn`", max_drop=1, data="drawn")
    check_refused(read(zoo("table")), "feature table", **RECONSTRUCT, data="drawn")


def test_the_models_own_data_gives_the_statistics_that_it_has(zoo: Zoo, small: Path) -> None:
    # the units of the other layers stay
    settings = {**RECONSTRUCT, "layer": "classifier.hidden1", "data": str(small)}
    before, after = read(zoo("conv2")), pruned(zoo("conv2"), **settings).checkpoint
    assert before.statistics.keys() == after.statistics.keys()
    assert {entry.count for entry in after.statistics.values()} == {24}
    for name in ("features.0", "features.3"):
        torch.testing.assert_close(after.statistics[name].covariance, before.statistics[name].covariance)
    for name, moments in before.moments.items():
        torch.testing.assert_close(after.moments[name].mean, moments.mean, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(after.moments[name].covariance, moments.covariance, rtol=1e-4, atol=1e-6)


def test_images_make_layers_without_statistics_prunable_and_the_file_keeps_what_it_had(
    zoo: Zoo, small: Path, told: pytest.LogCaptureFixture
) -> None:
    whole, names = read(zoo("conv2")), ["features.0", "features.3", "classifier.hidden1"]
    head = {"layers": whole.layers[2:], "statistics": {names[2]: whole.statistics[names[2]]}, "moments": {}}
    model = changed(whole, **head)
    assert [each.layer for each in planned(model, **RECONSTRUCT).removals] == names[2:]
    result = pruned(model, **RECONSTRUCT, data=str(small))
    assert [layer.layer for layer in result.outcome.layers] == names
    assert result.outcome.units == Change(60, 42)
    assert units(result.checkpoint).keys() == set(names[2:])
    assert not result.checkpoint.moments
    said = "statistics of 2 layers and 2 layer inputs are left out, as the original has none of them"
    assert f"{said}; prune it further with `data`" in told.text
    check_works(result.checkpoint, small)
    surveys = survey_layers(model, AnglesConfig(data=str(small)))
    assert [(name, survey.units) for name, survey in surveys.items()] == [
        *zip(names, (16, 32, 12), strict=True)
    ]


def test_a_network_without_a_measured_layer_says_what_measures_them(emoprune: Runner, small: Path) -> None:
    options = ("--arch", "squeezenet1_1", "--size", "32", "--weights", "none", "--epochs", "0")
    emoprune.done("train", small, "m.st", *options, "--no-statistics")
    for argv in (("angles", "m.st"), ("prune", "m.st")):
        emoprune.check_refused(*argv, says=("m.st: ", "--data"))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (shutil.rmtree, ("moved: no such folder",)),
        (leave, ("moved: ", "no pictures")),
        (CHANGES["a class more"], ("zany", "angry, happy, surprise")),
        (lambda folder: (folder / "happy" / "x.jpg").write_bytes(b"no picture"), ("x.jpg",)),
    ],
)
def test_data_that_was_asked_for_has_to_be_good(
    moved: Checkpoint, zoo: Zoo, change: Callable[[Path], object], says: tuple[str, ...]
) -> None:
    change(Path("moved"))
    check_refused(zoo("conv2"), *says, error=EmopruneError, data="moved")
    with pytest.raises(EmopruneError) as caught:
        survey_layers(read(zoo("conv2")), AnglesConfig(data="moved"))
    assert all(word in str(caught.value) for word in says)


def test_a_network_refuses_data_of_the_other_kind(zoo: Zoo, table: Path, small: Path) -> None:
    for name, data, says in (("conv2", table, "feature table"), ("table", small, "folder of photos")):
        check_refused(zoo(name), says, error=EmopruneError, data=str(data))
        with pytest.raises(EmopruneError, match=says):
            survey_layers(read(zoo(name)), AnglesConfig(data=str(data)))
    assert images_of(planned(zoo("table"), data=str(table))) == 48


@pytest.mark.parametrize("parameters", [{}, {"method": "of tomorrow"}, {"method": ["magnitude"], "data": {}}])
def test_a_history_of_another_version_stops_nothing(zoo: Zoo, parameters: dict[str, object]) -> None:
    entry = HistoryEntry("prune", parameters, {}, {})
    assert survey_layers(changed(read(zoo("conv2")), history=(entry,)), AnglesConfig())


def test_layers_match_by_glob_in_network_order(table_model: Path) -> None:
    checkpoint = checkpoints.read(str(table_model))
    both = ["classifier.hidden1", "classifier.hidden2"]
    for glob, names in {"*": both, "*1": both[:1], "classifier.hidden[2]": both[1:]}.items():
        found = matching_layers(checkpoint, glob)
        assert [layer.name for layer in found] == names
    with pytest.raises(BadCheckpoint, match=r"`layer=CLASS\*`.*hidden1, classifier\.hidden2"):
        matching_layers(checkpoint, "CLASS*")


@pytest.fixture
def parted(faces_here: Callable[..., Path]) -> Path:
    """Faces in parts; whole.st was trained on all of them, part.st on train/ alone."""
    each = {"train": 6, "val": 5, "test": 4}
    counts = {f"{part}/{label}": each[part] for part in each for label in ("happy", "sad")}

    folder = faces_here("faces", counts)
    trained("faces", **CONV1).save("whole.st")
    trained("faces/:train", **CONV1).save("part.st")
    return folder


def test_a_part_calibrates_alone(parted: Path, told: pytest.LogCaptureFixture) -> None:
    whole = read("whole.st")
    told.clear()
    found = calibration_data(whole, f"{parted}/:train", limit=100)
    assert (len(found.train), found.val, found.own) == (12, None, True)
    assert not any("not what the model was trained on" in text for text in told.messages)
    with pytest.raises(EmopruneError, match="is the test part, which is kept for eval"):
        calibration_data(whole, f"{parted}:test", limit=100)
    other = calibration_data(read("part.st"), f"{parted}:val", limit=100)
    assert (len(other.train), other.own) == (10, False)


def test_a_part_that_was_trained_on_is_found_again(parted: Path) -> None:
    found = training_data_of(read("part.st"), limit=100)
    assert isinstance(found, CalibrationData)
    assert (found.own, len(found.train)) == (True, 10)
    shutil.rmtree(parted / "train" / "sad")
    says = "faces/:train is not what it was when the model was trained"
    assert training_data_of(read("part.st"), limit=100) == says
