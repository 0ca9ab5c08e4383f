"""Corners of training: outputs that collide, data of another kind, options that do not apply."""

from __future__ import annotations

from pathlib import Path

import pytest

from emoprune.networks import checkpoint
from tests.conftest import draw_faces
from tests.support.command_line import SMALL, Runner
from tests.support.feature_tables import draw_table

MLP = ("--arch", "mlp", "--epochs", "1")


@pytest.mark.parametrize("force", [(), ("--force",)])
def test_the_first_state_and_the_model_cannot_be_one_file(
    emoprune: Runner, table: Path, force: tuple[str, ...]
) -> None:
    for place, again in (("m.st", "m.st"), ("m.st", "./m.st"), ("-", "-")):
        emoprune.check_refused(
            "train", table, place, *MLP, "--save-init", again, *force, code=2, says=("two files at once",)
        )


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--curve", "c.json", "--epochs", "0"), "--curve needs epochs"),
        (("--curve", "c.json", "--label", " "), "an empty label"),
        (("--label", "whole"), "give --curve FILE"),
    ],
)
def test_a_curve_that_could_not_be_written_is_refused_before_anything_is_done(
    emoprune: Runner, table: Path, options: tuple[str, ...], says: str
) -> None:
    emoprune.check_refused(
        "train", table, "m.st", *MLP, "--save-init", "init.st", *options, code=2, says=(says,)
    )


def test_a_first_state_is_not_left_behind_by_data_that_is_refused(
    emoprune: Runner, model: Path, in_folder: Path
) -> None:
    draw_faces(in_folder / "more", ("angry", "fear"), 6)
    emoprune.check_refused(
        "train", "more", "on.st", "--from", model, "--save-init", "init.st", says=("class fear",)
    )


@pytest.mark.parametrize("count", ["1", "2", "3", "4"])
def test_a_machine_refuses_few_samples_or_fits_them(emoprune: Runner, in_folder: Path, count: str) -> None:
    draw_table(in_folder / "t.csv", classes="abcdefg")
    result = emoprune("train", "t.csv", "svm.st", "--arch", "svm", "--overfit", count)
    assert result.code in (0, 1, 2), result.err


@pytest.mark.parametrize("options", [("--hidden", "5"), ("--weights", "w.st"), ("--dropout", "0.5")])
def test_a_machine_refuses_what_it_would_not_use(
    emoprune: Runner, table: Path, options: tuple[str, ...]
) -> None:
    emoprune.check_refused(
        "train", table, "svm.st", "--arch", "svm", *options, code=2, says=("svm", options[0])
    )


def test_an_onnx_file_that_is_not_evaluated_is_named(emoprune: Runner, in_folder: Path) -> None:
    draw_table(in_folder / "t.csv")
    emoprune.done("train", "t.csv", "ae.st", "--arch", "autoencoder", "--epochs", "1")
    emoprune.done("export", "ae.st", "ae.onnx")
    emoprune.check_refused("eval", "ae.onnx", "t.csv", says=("ae.onnx: ",))


def test_a_machine_is_not_told_to_be_measured(emoprune: Runner, table: Path) -> None:
    emoprune.done("train", table, "svm.st", "--arch", "svm")
    assert "--data" not in emoprune.check_refused("angles", "svm.st", "--data", table, says=("svm.st: ",))


@pytest.mark.parametrize("arch", ["autoencoder", "svm"])
def test_a_sanity_check_is_for_networks_that_learn_to_classify(
    emoprune: Runner, table: Path, arch: str
) -> None:
    options = ("--arch", arch, "--overfit", "5")
    emoprune.check_refused("train", table, "m.st", *options, code=2, says=("--overfit",))


def test_latency_is_measured_of_a_network_that_reconstructs(emoprune: Runner, table: Path) -> None:
    emoprune.done("train", table, "ae.st", "--arch", "autoencoder", "--epochs", "1")
    record = emoprune.done("eval", "ae.st", table, "--latency").record
    assert record["latency_ms"] > 0


def test_data_that_is_split_needs_no_split_of_a_preset(emoprune: Runner, in_folder: Path) -> None:
    for part, count in (("train", 5), ("test", 2)):
        draw_faces(in_folder / "faces" / part, ("angry", "happy"), count, side=32)
    options = ("--preset", "jain2020-conv1", "--size", "16", "--epochs", "1")
    assert emoprune.done("train", "faces", "m.st", *options).record["parts"] == {"train": 10, "test": 4}


def test_images_are_those_of_the_last_training(emoprune: Runner, model: Path, small: Path) -> None:
    emoprune.done("train", small, "on.st", "--from", model, "--epochs", "1")
    options = ("--method", "reconstruct", "--max-drop", "100", "-o", "less.st")
    record = emoprune.done("prune", "on.st", *options).record
    assert record["images"] == 24
    assert emoprune.done("export", "on.st", "on.onnx").record["real_samples"] == 30


def test_a_preset_tells_nothing_of_a_network_that_is_given(
    emoprune: Runner, model: Path, faces: Path
) -> None:
    options = ("--preset", "wright2019-cnn", "--epochs", "1")
    err = emoprune.done("train", faces, "on.st", "--from", model, *options).err
    assert "--lr-decay 1e-05" in err
    assert "--arch" not in err


def test_the_scale_of_an_earlier_training_is_recorded(emoprune: Runner, table: Path) -> None:
    emoprune.done("train", table, "m.st", *MLP, "--scale", "none")
    emoprune.done("train", table, "on.st", "--from", "m.st", "--epochs", "1")
    assert checkpoint.read("on.st").history[-1].parameters["scale"] != "minmax"


def test_a_split_said_again_is_the_same_split(emoprune: Runner, small: Path) -> None:
    emoprune.done("train", small, "m.st", *SMALL, "--group-by", "^[^_]+")
    result = emoprune.done(
        "train", small, "on.st", "--from", "m.st", "--epochs", "1", "--split", "80/20", "--group-by", "^[^_]+"
    )
    assert checkpoint.read("on.st").split == checkpoint.read("m.st").split
    assert "not that of the earlier" not in result.err


def test_an_option_of_a_machine_is_refused_for_a_network(emoprune: Runner, table: Path) -> None:
    emoprune.check_refused("train", table, "m.st", *MLP, "--penalty", "3", code=2, says=("--penalty",))
