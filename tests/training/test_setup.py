"""emoprune train on what it cannot use: one line, nothing written."""

from __future__ import annotations

import errno
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torchvision import models

from emoprune.networks import checkpoint
from tests.conftest import draw_faces
from tests.support.command_line import SMALL, Runner
from tests.support.feature_tables import draw_table

FacesHere = Callable[..., Path]
DEEP = ("--arch", "squeezenet1_1", "--size", "64", "--epochs", "0")


def test_an_empty_folder(emoprune: Runner, in_folder: Path) -> None:
    (in_folder / "faces").mkdir()
    emoprune.check_refused("train", "faces", "m.st", says=("faces: ", "no pictures"))


def test_a_class_folder_without_pictures(emoprune: Runner, in_folder: Path, faces_here: FacesHere) -> None:
    faces_here("faces", {"happy": 4})
    (in_folder / "faces" / "sad").mkdir()
    (in_folder / "faces" / "sad" / "notes.txt").write_text("nothing yet")
    emoprune.check_refused("train", "faces", "m.st", says=("faces: ", "sad/", "no pictures"))


def test_pictures_outside_class_folders(emoprune: Runner, in_folder: Path, faces_here: FacesHere) -> None:
    photo = faces_here("faces", {"happy": 4}) / "happy" / "film0_happy000.jpg"
    photo.rename(in_folder / "faces" / "loose.jpg")
    emoprune.check_refused("train", "faces", "m.st", says=("faces: ", "loose.jpg"))


def test_one_class_only(emoprune: Runner, faces_here: FacesHere) -> None:
    faces_here("faces", {"happy": 6})
    emoprune.check_refused("train", "faces", "m.st", says=("faces: ", "one class only", "happy"))


def test_a_class_that_one_part_lacks(emoprune: Runner, faces_here: FacesHere) -> None:
    faces_here("faces", {"train/happy": 4, "train/sad": 4, "test/happy": 2})
    emoprune.check_refused("train", "faces", "m.st", *SMALL, says=("faces: ", "test part", "sad"))


def test_parts_beside_classes(emoprune: Runner, faces_here: FacesHere) -> None:
    faces_here("faces", {"train/happy": 4, "sad": 4})
    emoprune.check_refused("train", "faces", "m.st", says=("faces: ", "train/", "sad/"))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda data: b"just a text", "not an image"),
        (lambda data: data[: len(data) // 2], "damaged"),
        (lambda data: b"", "empty"),
    ],
)
def test_a_file_that_is_no_whole_picture(
    emoprune: Runner, faces_here: FacesHere, damage: Callable[[bytes], bytes], says: str
) -> None:
    photo = faces_here("faces", {"happy": 5, "sad": 5}) / "happy" / "film2_happy002.jpg"
    photo.write_bytes(damage(photo.read_bytes()))
    # it may fall into either part, and only what is read can be found out
    results = [emoprune("train", "faces", f"{seed}.st", *SMALL, "--seed", seed) for seed in range(3)]
    assert 1 in [result.code for result in results]
    for result in results:
        if result.code:
            (line,) = result.complaints
            assert line.startswith("emoprune: faces/happy/film2_happy002.jpg: ")
            assert says in line


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (["--arch", "resnet19"], 2, ("resnet19", "resnet18")),
        (["--augment", "blur"], 2, ("blur", "flip")),
        (["--augment", "flip:2"], 2, ("flip:2",)),
        (["--augment", "flip:much"], 2, ("flip:much",)),
        (["--keep", "best"], 2, ("--keep best", "75/10/15")),
        (["--split", "80"], 2, ("--split 80 ",)),
        (["--split", "80-20"], 2, ("--split 80-20",)),
        (["--split", "a/b"], 2, ("--split a/b",)),
        (["--split", "0/100"], 2, ("--split 0/100",)),
        (["--split", "60/20/10/10"], 2, ("--split 60/20/10/10",)),
        (["--split", "70/20"], 1, ("faces: ", "30", "90")),
        (["--split", "29/1"], 1, ("faces: ", "3 classes")),
        (["--group-by", "("], 2, ("--group-by (",)),
        (["--group-by", "^person"], 1, ("faces: ", "--group-by ^person")),
        (["--group-by", "^film"], 1, ("faces: ", "--group-by: 1")),
        (["--size", "0"], 2, ("--size 0",)),
        (["--size", "4"], 2, ("4x4", "conv1")),
        (["--size", "24x"], 2, ("--size 24x",)),
        (["--std", "0"], 2, ("--std 0",)),
        (["--mean", "0.5,0.5"], 2, ("--mean", "2 numbers")),
        (["--mean", "nan"], 2, ("--mean nan",)),
        (["--weights", "imagenet"], 2, ("conv1",)),
        (["--weights", "no.st"], 1, ("no.st: no such file",)),
        (["--arch", "mlp", "--freeze", "backbone"], 2, ("mlp", "--freeze")),
        (["--scale", "standard"], 2, ("--scale", "photos")),
        (["--epochs", "-1"], 2, ("--epochs",)),
        (["--lr", "-1"], 2, ("--lr",)),
        (["--lr", "nan"], 2, ("--lr",)),
        (["--hidden", "0"], 2, ("--hidden",)),
        (["--dropout", "1"], 2, ("--dropout",)),
        (["--seed", "-1"], 2, ("--seed",)),
        (["--seed", str(2**32)], 2, ("--seed",)),
        (["--optimizer", "sgd", "--lr", "1e30", "--epochs", "3"], 1, ("faces: ", "--lr")),
    ],
)
def test_options_that_cannot_be_met(
    emoprune: Runner, small: Path, in_folder: Path, options: list[str], code: int, says: tuple[str, ...]
) -> None:
    (in_folder / "faces").symlink_to(small)
    emoprune.check_refused("train", "faces", "m.st", *SMALL, *options, code=code, says=says)


def test_a_split_for_data_that_is_split(emoprune: Runner, faces_here: FacesHere) -> None:
    faces_here("faces", {"train/happy": 4, "train/sad": 4, "test/happy": 2, "test/sad": 2})
    for option in (("--split", "80/20"), ("--group-by", "^film")):
        emoprune.check_refused(
            "train", "faces", "m.st", *SMALL, *option, code=2, says=("faces", "train, test")
        )


@pytest.mark.parametrize(
    ("name", "says"),
    [("nowhere", "no such folder or file"), ("photo.jpg", "neither"), ("t.csv", "first line")],
)
def test_data_that_is_none(emoprune: Runner, in_folder: Path, name: str, says: str) -> None:
    if name != "nowhere":
        (in_folder / name).write_text("something else\n")
    emoprune.check_refused("train", name, "m.st", "--arch", "mlp", says=(f"{name}: ", says))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name,label,x\na,happy,1\nb,sad,one\n", ("line 3", "x", "'one'")),
        ("name,label,x\na,happy,1\nb,sad,inf\n", ("line 3", "'inf'")),
        ("name,label,x\na,happy,1\nb,sad\n", ("line 3", "2 cells")),
        ("name,label,x\n", ("no rows",)),
        ("name,label,x\na,happy,1\nb,happy,2\n", ("one class only",)),
        ("name,label,x\na,happy,1\nb,sad,2\n", ("2",)),
    ],
)
def test_a_table_that_is_damaged_or_too_small(
    emoprune: Runner, in_folder: Path, text: str, says: tuple[str, ...]
) -> None:
    (in_folder / "t.csv").write_text(text)
    emoprune.check_refused("train", "t.csv", "m.st", "--arch", "mlp", says=("t.csv: ", *says))
    emoprune.check_refused("train", "-", "m.st", "--arch", "mlp", stdin=text.encode(), says=says)


@pytest.mark.parametrize(
    ("options", "says"),
    [(["--arch", "conv1"], "--arch mlp"), (["--arch", "mlp", "--augment", "flip"], "--augment")],
)
def test_a_table_where_photos_are_needed(
    emoprune: Runner, table: Path, options: list[str], says: str
) -> None:
    emoprune.check_refused("train", table, "m.st", *options, code=2, says=(says,))


class Code:
    """What unpickling would have to import."""


def test_weights_with_pickled_objects_are_refused(emoprune: Runner, small: Path, in_folder: Path) -> None:
    torch.save({"state_dict": {}, "optimizer": Code()}, in_folder / "w.pth")
    emoprune.check_refused(
        "train", small, "m.st", *DEEP, "--weights", "w.pth", says=("w.pth: ", "state_dict")
    )
    (in_folder / "plain.pth").write_bytes(pickle.dumps(Code()))
    emoprune.check_refused(
        "train", small, "m.st", *DEEP, "--weights", "plain.pth", says=("plain.pth: ", "pickled")
    )


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors", "w.st"])
@pytest.mark.parametrize("data", [b"", b"text of someone", b"\x00" * 64])
def test_weights_that_are_none(
    emoprune: Runner, small: Path, in_folder: Path, name: str, data: bytes
) -> None:
    (in_folder / name).write_bytes(data)
    emoprune.check_refused("train", small, "m.st", *DEEP, "--weights", name, says=(f"{name}: ",))


def test_truncated_weights_are_refused(emoprune: Runner, small: Path, in_folder: Path) -> None:
    tensors = models.squeezenet1_1(weights=None).state_dict()
    torch.save(tensors, in_folder / "w.pth")
    safetensors.torch.save_file(tensors, in_folder / "w.safetensors")
    for name in ("w.pth", "w.safetensors"):
        data = (in_folder / name).read_bytes()
        (in_folder / name).write_bytes(data[: len(data) // 2])
        emoprune.check_refused("train", small, "m.st", *DEEP, "--weights", name, says=(f"{name}: ",))


def test_weights_of_another_architecture_are_refused(emoprune: Runner, small: Path, in_folder: Path) -> None:
    torch.save(models.shufflenet_v2_x0_5(weights=None).state_dict(), in_folder / "w.pth")
    emoprune.check_refused(
        "train", small, "m.st", *DEEP, "--weights", "w.pth", says=("w.pth: ", "same architecture")
    )


def test_an_output_that_exists_is_replaced_with_force_alone(
    emoprune: Runner, small: Path, in_folder: Path
) -> None:
    (in_folder / "m.st").write_text("mine")
    emoprune.check_refused("train", small, "m.st", *SMALL, says=("m.st: exists", "--force"))
    emoprune.done("train", small, "m.st", *SMALL, "--force")
    assert (in_folder / "m.st").stat().st_size > 1000


@pytest.mark.parametrize(("output", "says"), [("nowhere/m.st", "mkdir -p nowhere"), (".", "folder")])
def test_an_output_that_cannot_be(emoprune: Runner, small: Path, output: str, says: str) -> None:
    emoprune.check_refused("train", small, output, *SMALL, says=(says,))


def test_a_full_disk_leaves_the_old_file(
    emoprune: Runner, small: Path, in_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (in_folder / "m.st").write_text("old")
    monkeypatch.setattr(os, "fsync", full)
    emoprune.check_refused("train", small, "m.st", *SMALL, "--force", says=("m.st", "No space left"))
    emoprune.check_refused("train", small, "new.st", *SMALL, says=("new.st", "No space left"))


@pytest.mark.parametrize("parts", [("test",), ("val", "test")])
def test_parts_without_a_training_part_are_refused(
    emoprune: Runner, in_folder: Path, parts: tuple[str, ...]
) -> None:
    for part in parts:
        draw_faces(in_folder / "data" / part, ("happy", "sad"), 3)
    emoprune.check_refused("train", "data", "m.st", *SMALL, says=("data: ", "no train"))


def test_a_frozen_backbone_of_random_weights_is_told(emoprune: Runner, small: Path) -> None:
    assert "random weights" in emoprune.done("train", small, "m.st", *SMALL, "--freeze", "backbone").err


def test_layers_that_stay_random_are_told(emoprune: Runner, small: Path) -> None:
    assert "warning: " in emoprune.done("train", small, "m.st", *SMALL[:-2], "--epochs", "0").err


def test_a_broken_picture_is_refused_in_whatever_part_it_falls(
    emoprune: Runner, in_folder: Path, small: Path
) -> None:
    for seed in range(4):
        (in_folder / "data").mkdir()
        for photo in small.glob("*/*.jpg"):
            copy = in_folder / "data" / photo.relative_to(small)
            copy.parent.mkdir(exist_ok=True)
            copy.write_bytes(photo.read_bytes())
        broken = sorted((in_folder / "data").glob("*/*.jpg"))[0]
        broken.write_bytes(broken.read_bytes()[:200])
        says = (str(broken.relative_to(in_folder)),)
        emoprune.check_refused("train", "data", "m.st", *SMALL, "--seed", seed, "--split", "50/50", says=says)
        shutil.rmtree(in_folder / "data")


@pytest.mark.parametrize("option", [("--size", "5"), ("--gray",), ("--mean", "0.5"), ("--std", "0.5")])
def test_a_table_has_no_pictures(emoprune: Runner, in_folder: Path, option: tuple[str, ...]) -> None:
    (in_folder / "t.csv").write_text("name,label,x\n" + "".join(f"{n},{n % 2},{n}\n" for n in range(20)))
    argv = ("train", "t.csv", "m.st", "--arch", "mlp", *option)
    emoprune.check_refused(*argv, code=2, says=(option[0], "a feature table"))


def test_batch_norm_cannot_learn_a_single_sample_by_heart(emoprune: Runner, small: Path) -> None:
    argv = (
        "train",
        small,
        "m.st",
        "--arch",
        "resnet18",
        "--weights",
        "none",
        "--size",
        "32",
        "--epochs",
        "1",
    )
    emoprune.check_refused(*argv, "--overfit", "1", code=2, says=("batch norm", "one sample"))


def test_a_curve_on_standard_output_is_there_alone(emoprune: Runner, small: Path) -> None:
    record = emoprune.done("train", small, "m.st", *SMALL, "--epochs", "1", "--curve", "-").record
    assert record["schema"] == "emoprune.training/1"


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
