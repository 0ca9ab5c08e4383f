"""Data and settings that a training cannot use, and how it splits its data."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torchvision import models

from emoprune.data.datasets import open_data
from emoprune.errors import BadData, EmopruneError, UsageFault
from emoprune.evaluation.evaluate import evaluate
from emoprune.evaluation.types import Metrics
from emoprune.networks import checkpoint
from emoprune.networks.types import Checkpoint
from emoprune.training.config import train_config
from emoprune.training.setup import check, prepare
from tests.support.feature_tables import draw_table
from tests.support.training import CONV1, refusal, trained

FacesHere = Callable[..., Path]
DEEP: dict[str, Any] = {"arch": "squeezenet1_1", "size": "64", "epochs": 0}


@pytest.mark.parametrize(
    ("counts", "more", "says"),
    [
        ({}, None, ("no pictures",)),
        ({"happy": 4}, "sad/notes.txt", ("sad/", "no pictures")),
        ({"happy": 4}, "loose.jpg", ("loose.jpg",)),
        ({"happy": 6}, None, ("one class only", "happy")),
        ({"train/happy": 4, "train/sad": 4, "test/happy": 2}, None, ("test part", "sad")),
        ({"train/happy": 4, "sad": 4}, None, ("train/", "sad/")),
        ({"test/happy": 3, "test/sad": 3}, None, ("no train",)),
        ({"val/happy": 3, "val/sad": 3, "test/happy": 3, "test/sad": 3}, None, ("no train",)),
    ],
)
def test_a_folder_without_parts_and_classes_is_refused(
    in_folder: Path, faces_here: FacesHere, counts: Mapping[str, int], more: str | None, says: tuple[str, ...]
) -> None:
    (in_folder / "faces").mkdir()
    faces_here("faces", counts)
    if more:
        (in_folder / "faces" / more).parent.mkdir(exist_ok=True)
        (in_folder / "faces" / more).write_text("nothing yet")
    said = refusal("faces", **CONV1)
    assert said.startswith("faces: ")
    assert all(word in said for word in says)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda data: b"just a text", "not an image"),
        (lambda data: data[: len(data) // 2], "damaged"),
        (lambda data: data[:200], "film2_happy002.jpg"),
        (lambda data: b"", "empty"),
    ],
)
def test_a_file_that_is_not_a_whole_picture_is_refused_in_whatever_part_it_falls(
    faces_here: FacesHere, damage: Callable[[bytes], bytes], says: str
) -> None:
    photo = faces_here("faces", {"happy": 5, "sad": 5}) / "happy" / "film2_happy002.jpg"
    photo.write_bytes(damage(photo.read_bytes()))
    for seed in range(4):
        said = refusal("faces", **CONV1, seed=seed, split="50/50")
        assert said.startswith("faces/happy/film2_happy002.jpg: ")
        assert says in said


@pytest.mark.parametrize(
    ("given", "fault", "says"),
    [
        ({"augment": "blur"}, UsageFault, ("blur", "flip")),
        ({"augment": "flip:2"}, UsageFault, ("flip:2",)),
        ({"augment": "flip:much"}, UsageFault, ("flip:much",)),
        ({"augment": "None"}, UsageFault, ("None",)),
        ({"augment": ("none", "flip")}, UsageFault, ("none",)),
        ({"keep": "best"}, UsageFault, ("`keep=best`", "75/10/15")),
        *(({"split": text}, UsageFault, (text,)) for text in ("80", "80-20", "a/b", "0/100", "60/20/10/10")),
        ({"split": "70/20"}, BadData, ("faces: ", "30", "90")),
        ({"split": "29/1"}, BadData, ("faces: ", "3 classes")),
        ({"group_by": "("}, UsageFault, ("group",)),
        ({"group_by": "^person"}, BadData, ("faces: ", "^person")),
        ({"group_by": "^film"}, BadData, ("faces: ", ": 1")),
        ({"size": "0"}, UsageFault, ("0",)),
        ({"size": "4"}, UsageFault, ("4x4", "conv1")),
        ({"size": "24x"}, UsageFault, ("24x",)),
        ({"std": "0"}, UsageFault, ("std",)),
        ({"mean": "0.5,0.5"}, UsageFault, ("mean", "2 numbers")),
        ({"mean": "nan"}, UsageFault, ("nan",)),
        ({"weights": "imagenet"}, UsageFault, ("conv1",)),
        ({"weights": "no.st"}, EmopruneError, ("no.st: no such file",)),
        ({"arch": "mlp", "freeze": "backbone"}, UsageFault, ("mlp", "`freeze`")),
        ({"scale": "standard"}, UsageFault, ("`scale`", "photos")),
        ({"arch": "mlp", "unfreeze_last": 2}, UsageFault, ("mlp has no backbone", "`unfreeze_last`")),
        ({"arch": "mlp", "backbone_lr": 0.1}, UsageFault, ("mlp has no backbone", "`backbone_lr`")),
        ({"unfreeze_every": 2}, UsageFault, ("`unfreeze_last`",)),
        ({"schedule": "one-cycle", "warmup": 1}, UsageFault, ("`warmup`",)),
        ({"warmup": 3}, UsageFault, ("`warmup` is longer than `epochs`",)),
        ({"patience": 2}, UsageFault, ("`patience` needs a validation part",)),
        ({"freeze": "backbone", "cutmix": 1.0}, UsageFault, ("`cutmix`", "`mixup`")),
        ({"arch": "resnet18", "weights": "none", "size": "32", "batch_size": 1}, UsageFault, ("batch norm",)),
        ({"temperature": 2.0}, UsageFault, ("there is none", "`teacher`")),
        ({"penalty": 3}, UsageFault, ("conv1 ignores `penalty`",)),
        ({"overfit": 49}, UsageFault, ("`overfit=49`", "24 samples")),
        ({"channels": (3, 4)}, EmopruneError, ("channels",)),
        ({"arch": "mlp", "channels": 3}, EmopruneError, ("channels",)),
        ({"arch": "resnet18", "weights": "none", "size": "32", "channels": 3}, EmopruneError, ("channels",)),
        ({"arch": "resnet18", "weights": "none", "size": "32", "overfit": 1}, UsageFault, ("batch norm",)),
        ({"optimizer": "sgd", "lr": 1e30, "epochs": 3}, EmopruneError, ("faces: ", "`lr`")),
    ],
)
def test_settings_that_cannot_be_met_are_refused(
    small: Path, in_folder: Path, given: dict[str, Any], fault: type[EmopruneError], says: tuple[str, ...]
) -> None:
    (in_folder / "faces").symlink_to(small)
    with pytest.raises(fault) as caught:
        trained("faces", **{**CONV1, **given})
    assert all(word in str(caught.value) for word in says)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"arch": "conv1"}, "arch=mlp"),
        ({"augment": "flip"}, "`augment`"),
        *(({name: value}, f"`{name}` is of photos") for name, value in (("size", "5"), ("gray", True))),
        *(({name: "0.5"}, f"`{name}` is of photos") for name in ("mean", "std")),
        *(
            ({"arch": "svm", name: value}, f"svm ignores `{name}`")
            for name, value in (("hidden", 5), ("weights", "w.st"), ("dropout", 0.5), ("overfit", 5))
        ),
        ({"arch": "autoencoder", "overfit": 5}, "`overfit`"),
    ],
)
def test_check_refuses_what_a_table_or_its_network_has_no_use_for(
    table: Path, given: dict[str, Any], says: str
) -> None:
    with pytest.raises(UsageFault) as caught:
        check(open_data(str(table)), train_config(**{"arch": "mlp", **given}))
    assert says in str(caught.value).replace("--arch mlp", "arch=mlp")


@pytest.mark.parametrize("given", [{"split": "80/20"}, {"group_by": "^film"}])
def test_a_split_for_data_that_is_split_is_refused(faces_here: FacesHere, given: dict[str, str]) -> None:
    faces_here("faces", {"train/happy": 4, "train/sad": 4, "test/happy": 2, "test/sad": 2})
    assert "train, test" in refusal("faces", **CONV1, **given)
    # but not that of a preset
    found = trained("faces", preset="jain2020-conv1", size="16", epochs=1)
    assert found.split.shares == "folders"


@pytest.mark.parametrize(
    ("name", "says"),
    [("nowhere", "no such folder or file"), ("photo.jpg", "first line"), ("t.csv", "first line")],
)
def test_other_files_are_not_data(in_folder: Path, name: str, says: str) -> None:
    if name != "nowhere":
        (in_folder / name).write_text("something else\n")
    said = refusal(name, arch="mlp")
    assert said.startswith(f"{name}: ")
    assert says in said


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ("a,happy,1\nb,sad,one\n", ("line 3", "x", "'one'")),
        ("a,happy,1\nb,sad,inf\n", ("line 3", "'inf'")),
        ("a,happy,1\nb,sad\n", ("line 3", "2 cells")),
        ("", ("no rows",)),
        ("a,happy,1\nb,happy,2\n", ("one class only",)),
        ("a,happy,1\nb,sad,2\n", ("2",)),
    ],
)
def test_a_table_that_is_damaged_or_too_small_is_refused(
    in_folder: Path, rows: str, says: tuple[str, ...]
) -> None:
    (in_folder / "t.csv").write_text(f"name,label,x\n{rows}")
    said = refusal("t.csv", arch="mlp")
    assert said.startswith("t.csv: ")
    assert all(word in said for word in says)


class Code:
    """What unpickling would have to import."""


def _damaged(name: str, kind: str) -> None:
    tensors = models.squeezenet1_1(weights=None).state_dict()
    if kind == "truncated":
        if name.endswith(".pth"):
            torch.save(tensors, name)
        else:
            safetensors.torch.save_file(tensors, name)
        Path(name).write_bytes(Path(name).read_bytes()[: Path(name).stat().st_size // 2])
    elif kind == "object":
        torch.save({"state_dict": {}, "optimizer": Code()}, name)
    elif kind == "pickle":
        Path(name).write_bytes(pickle.dumps(Code()))
    elif kind == "other":
        torch.save(models.shufflenet_v2_x0_5(weights=None).state_dict(), name)
    else:
        Path(name).write_bytes({"empty": b"", "text": b"text of someone", "zeros": b"\x00" * 64}[kind])


@pytest.mark.parametrize(
    ("name", "kind", "says"),
    [
        *(
            (name, kind, "")
            for name in ("w.pth", "w.safetensors", "w.st")
            for kind in ("empty", "text", "zeros")
        ),
        *((name, "truncated", "") for name in ("w.pth", "w.safetensors")),
        ("w.pth", "object", "state_dict"),
        ("w.pth", "pickle", "pickled"),
        ("w.pth", "other", "same architecture"),
    ],
)
def test_weights_that_are_damaged_or_of_another_network_are_refused(
    small: Path, in_folder: Path, name: str, kind: str, says: str
) -> None:
    _damaged(name, kind)
    said = refusal(small, **DEEP, weights=name)
    assert said.startswith(f"{name}: ")
    assert says in said


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"freeze": "backbone"}, "the frozen backbone has random weights"),
        ({"epochs": 0}, "no weights and no epochs"),
    ],
)
def test_layers_that_stay_random_are_warned_of(
    small: Path, caplog: pytest.LogCaptureFixture, given: dict[str, Any], says: str
) -> None:
    trained(small, **{**CONV1, **given})
    assert any(says in record.message and record.levelname == "WARNING" for record in caplog.records)


FOLDERS = {"angry": "wut", "happy": "freude", "surprise": "staunen"}
SAME_NET: dict[str, Any] = {"arch": "conv1", "size": "24", "gray": True, "hidden": 24, "split": "50/50"}


@pytest.fixture
def german(in_folder: Path, faces: Path) -> str:
    """`faces` under other names, which are in another order."""
    (in_folder / "de").mkdir()
    for name, other in FOLDERS.items():
        (in_folder / "de" / other).symlink_to(faces / name)
    return "de"


def accuracy(made: Checkpoint, data: str | Path) -> float:
    found = evaluate(made, open_data(str(data)), part="all", device="cpu")
    assert isinstance(found, Metrics)
    return found.accuracy


def test_weights_with_names_are_adopted_by_class_or_not_at_all(
    model: Path, faces: Path, german: str, told: pytest.LogCaptureFixture
) -> None:
    whole = accuracy(checkpoint.read(str(model)), faces)
    assert whole > 0.5
    weights: dict[str, Any] = {**SAME_NET, "weights": str(model), "epochs": 0}
    assert accuracy(trained(faces, **weights), faces) == whole
    said = refusal(german, **weights)
    assert said.startswith(
        f"{model}: has no rows for freude, staunen, wut: its classes are angry, happy, surprise; "
    )
    assert "`classes`" in said
    found = trained(german, **weights, classes="wut,freude,staunen")
    assert found.classes == ("freude", "staunen", "wut")
    assert accuracy(found, german) == whole
    assert found.history[0].parameters["classes"] == ("wut", "freude", "staunen")
    told.clear()
    trained(german, **{**weights, "epochs": 1}, freeze="backbone")
    assert any(
        f"{model} has no weights for classifier.output: trained from the start (has no rows" in text
        for text in told.messages
    )


def test_weights_without_names_are_taken_in_the_order_that_is_given_or_told(
    model: Path, faces: Path, in_folder: Path, told: pytest.LogCaptureFixture
) -> None:
    made = checkpoint.read(str(model))
    tensors = dict(made.tensors)
    for kind in ("weight", "bias"):
        tensors[f"classifier.output.{kind}"] = tensors[f"classifier.output.{kind}"][[2, 0, 1]]
    torch.save(tensors, "w.pth")
    weights: dict[str, Any] = {**SAME_NET, "weights": "w.pth", "epochs": 0}
    ordered = trained(faces, **weights, classes=("surprised", "anger", "happiness"))
    assert accuracy(ordered, faces) == accuracy(made, faces)
    assert any("surprised as surprise" in text for text in told.messages)
    assert accuracy(trained(faces, **weights), faces) < 0.5
    assert any("taken as angry, happy, surprise; `classes` gives" in text for text in told.messages)


def test_rows_of_some_classes_are_kept_and_the_others_trained(
    model: Path, in_folder: Path, faces: Path, told: pytest.LogCaptureFixture
) -> None:
    (in_folder / "more").mkdir()
    for name in ("angry", "happy", "surprise"):
        (in_folder / "more" / {"surprise": "fear"}.get(name, name)).symlink_to(faces / name)
    weights: dict[str, Any] = {**SAME_NET, "weights": str(model)}
    assert "no rows for fear" in refusal("more", **weights, epochs=0)
    trained("more", **weights, epochs=1)
    assert any(
        "rows of classifier.output for 2 of 3 classes are kept: angry, happy; others start fresh: fear"
        in text
        for text in told.messages
    )


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"classes": "angry,happy"}, "`classes` names 2 rows, and classifier.output of"),
        ({"classes": "angry,happy,suprise"}, "names suprise, and the data has surprise"),
        ({"classes": "angry,happy,happy"}, "`classes` has happy twice"),
        ({"classes": "angry,,happy"}, "`classes` has an empty name"),
        ({"classes": "angry", "weights": None}, "rows of a classifier in a `weights` file"),
        ({"classes": "angry,happy,surprise", "hidden": 5}, "names the rows of a head"),
    ],
)
def test_classes_that_do_not_fit_the_weights_are_refused(
    model: Path, faces: Path, given: dict[str, Any], says: str
) -> None:
    with pytest.raises(UsageFault) as caught:
        trained(faces, **{**SAME_NET, "weights": str(model), "epochs": 0, **given})
    assert says in str(caught.value)


def test_a_table_keeps_the_scaling_of_weights_that_bring_one(table_model: Path, table: Path) -> None:
    given: dict[str, Any] = {"arch": "mlp", "hidden": (12, 8), "weights": str(table_model), "epochs": 0}
    theirs = checkpoint.read(str(table_model)).tensors
    for more, same in (({"seed": 5}, True), ({"seed": 5, "scale": "standard"}, False)):
        found = trained(table, **given, **more).tensors
        assert torch.equal(found["scaling.scale"], theirs["scaling.scale"]) == same
        assert torch.equal(found["classifier.output.weight"], theirs["classifier.output.weight"])


def test_an_autoencoder_is_not_started_from_one_of_other_columns(in_folder: Path) -> None:
    draw_table(in_folder / "t.csv", columns=3)
    given: dict[str, Any] = {"arch": "autoencoder", "hidden": 3, "epochs": 0}
    trained("t.csv", **given).save("a.st")
    assert trained("t.csv", **given, weights="a.st").classes == ("x0", "x1", "x2", "label")
    text = Path("t.csv").read_text()
    Path("other.csv").write_text(text.replace("x0", "y", 1))
    assert refusal("other.csv", **given, weights="a.st").startswith("a.st: reconstructs other columns (x0,")


@pytest.mark.parametrize("classes", ["ab", "abc", "abcdefg"])
def test_an_svm_fits_few_samples_or_refuses_them(in_folder: Path, classes: str) -> None:
    draw_table(in_folder / "t.csv", classes=classes)
    with contextlib.suppress(EmopruneError):
        assert trained("t.csv", arch="svm").training == ()


def test_prepare_fills_in_every_default(table: Path) -> None:
    data = open_data(str(table))
    prepared = prepare(data, train_config(arch="mlp", split="60/20/20"))
    assert (prepared.config.keep, prepared.data_name, prepared.past) == ("best", str(table), None)
    assert {name: len(indices) for name, indices in prepared.parts.items()} == {
        **{"train": 36, "val": 12, "test": 12}
    }
    assert prepare(data, train_config("dhall2011-svm", split="80/20")).config.epochs == 0


def test_data_decide_the_network_where_none_is_named(small: Path, table: Path) -> None:
    for data, arch in ((small, "conv2"), (table, "mlp")):
        found = prepare(open_data(str(data)), train_config(epochs=0))
        assert (found.start.spec.arch, found.config.arch, found.settings["arch"]) == (arch, arch, arch)
        named = prepare(open_data(str(data)), train_config(arch="mlp", epochs=0))
        assert named.start.spec.arch == "mlp"
    assert "conv2 needs images, not a feature table" in refusal(table, arch="conv2")


def test_a_part_is_trained_on_alone_and_the_test_part_never(faces_here: FacesHere) -> None:
    faces_here("faces", {f"{part}/{label}": 6 for part in ("train", "test") for label in ("happy", "sad")})
    found = trained("faces/:train", **CONV1, split="50/50")
    assert found.split.shares == "50/50"
    assert found.split.fingerprint == open_data("faces/train").catalog.fingerprint
    assert found.history[0].parameters["data"] == "faces/:train"
    assert refusal("faces:test", **CONV1) == (
        "faces:test: is the test part, which is kept for eval; give faces:train, or another part"
    )
    assert "kept for eval" in refusal("faces:train", **CONV1, split="test")


def test_a_split_file_replaces_the_split_of_a_preset(faces_here: FacesHere, in_folder: Path) -> None:
    faces = open_data(faces_here("faces", {"happy": 6, "sad": 6}))
    parts = [("train", "val", "test")[index % 3] for index in range(12)]
    lines = [f"{name},{part}" for name, part in zip(faces.catalog.names, parts, strict=True)]
    (in_folder / "s.csv").write_text("\n".join(["name,part", *lines]))
    config = train_config("jain2020-conv1", split_file="s.csv", size="16")
    prepared = prepare(faces, config)
    assert {name: part.tolist() for name, part in prepared.parts.items()} == {
        name: [index for index in range(12) if parts[index] == name] for name in ("train", "val", "test")
    }
    assert "`split` and `split_file` both say" in refusal("faces", **CONV1, split="80/20", split_file="s.csv")


def test_a_teacher_of_a_feature_table_is_refused(table: Path, model: Path) -> None:
    with pytest.raises(UsageFault, match="a teacher needs pictures"):
        trained(table, arch="mlp", teacher=model)


def test_batch_norms_that_are_frozen_learn_from_one_sample(small: Path) -> None:
    given: dict[str, Any] = {"arch": "resnet18", "weights": "none", "size": "32", "epochs": 1}
    found = trained(small, **given, batch_size=1, freeze_bn=True, overfit=4, statistics=False)
    assert len(found.training) == 1


def test_batch_norms_are_adapted_only_where_there_are_some(table: Path, small: Path) -> None:
    assert "conv1 has no batch norms" in refusal(small, **CONV1, adapt_bn=True)
    with pytest.raises(UsageFault, match="mlp has no batch norms"):
        trained(table, arch="mlp", adapt_bn=True)
    given: dict[str, Any] = {"arch": "resnet18", "weights": "none", "size": "32", "freeze_bn": True}
    with pytest.raises(UsageFault, match="cannot learn from one sample"):
        trained(small, **given, overfit=1, adapt_bn=True)
