"""emoprune eval: figures that scikit-learn agrees with, on the part that the model was not trained on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn import metrics

from emoprune.data.datasets import open_data
from emoprune.data.loader import batches
from emoprune.data.splits import partition
from emoprune.evaluation.model import samples
from tests.support.command_line import SMALL, Runner, opened

FacesHere = Callable[..., Path]
KEYS = {
    *("schema", "model", "data", "split", "n", "classes", "accuracy", "accuracy_interval", "macro_f1"),
    *("per_class", "confusion", "log_loss", "calibration_error", "parameters", "nonzero_parameters"),
    *("macs", "bytes"),
}


def logits_and_labels(model: Path, faces: Path, part: str | None) -> tuple[torch.Tensor, list[int]]:
    """What the network says of one part, or of all, computed apart from the command."""
    checkpoint, net = opened(Path(model))
    data = open_data(str(faces))
    every = tuple(range(len(data.catalog.names)))
    indices = partition(data.catalog, checkpoint.split)[part] if part else every
    inputs = batches(
        samples(data, checkpoint.preprocess, checkpoint.spec.input),
        torch.tensor(indices),
        checkpoint.preprocess,
        torch.device("cpu"),
    )
    with torch.inference_mode():
        logits = torch.cat([net(batch) for batch in inputs])
    return logits, [data.catalog.labels[index] for index in indices]


@pytest.mark.parametrize("part", ["test", "train", "all"])
def test_every_figure_is_that_of_scikit_learn(emoprune: Runner, model: Path, faces: Path, part: str) -> None:
    record = emoprune.done("eval", model, faces, "--split", part).record
    assert record.keys() >= KEYS
    logits, labels = logits_and_labels(model, faces, None if part == "all" else part)
    probabilities = logits.double().softmax(1).numpy()
    predicted = probabilities.argmax(1)
    assert (record["schema"], record["split"], record["n"]) == ("emoprune.metrics/1", part, len(labels))
    assert record["confusion"] == metrics.confusion_matrix(labels, predicted).tolist()
    assert record["accuracy"] == pytest.approx(metrics.accuracy_score(labels, predicted))
    assert record["accuracy_interval"][0] <= record["accuracy"] <= record["accuracy_interval"][1]
    assert record["macro_f1"] == pytest.approx(
        metrics.f1_score(labels, predicted, average="macro", zero_division=0)
    )
    assert record["log_loss"] == pytest.approx(metrics.log_loss(labels, probabilities), rel=1e-5)
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        labels, predicted, zero_division=np.nan
    )
    for index, name in enumerate(record["classes"]):
        score = record["per_class"][name]
        assert score["support"] == support[index]
        assert score["recall"] == pytest.approx(recall[index])
        assert score["f1"] == pytest.approx(f1[index])
        if np.isnan(precision[index]):
            assert score["precision"] is None
        else:
            assert score["precision"] == pytest.approx(precision[index])


def test_the_file_is_what_is_counted(emoprune: Runner, model: Path, faces: Path) -> None:
    record = emoprune.done("eval", model, faces).record
    data = model.read_bytes()
    assert record["bytes"] == len(data)
    assert record["model_fingerprint"] == hashlib.sha256(data).hexdigest()
    # conv1 of 24x24 gray: 16 kernels of 5x5 at 20x20 places, 1600 features, 24 units, 3 classes
    assert record["parameters"] == 16 * 26 + 1601 * 24 + 25 * 3
    assert record["macs"] == 16 * 25 * 400 + 1600 * 24 + 24 * 3
    assert record["units"] == 16 + 24


def test_test_is_the_default_part(emoprune: Runner, model: Path, faces: Path) -> None:
    assert (
        emoprune.done("eval", model, faces).raw == emoprune.done("eval", model, faces, "--split", "test").raw
    )


def test_val_is_the_default_where_there_is_no_test(emoprune: Runner, faces_here: FacesHere) -> None:
    faces_here("faces", {"train/happy": 4, "train/sad": 4, "val/happy": 2, "val/sad": 3})
    emoprune.done("train", "faces", "m.st", *SMALL)
    assert {key: emoprune.done("eval", "m.st", "faces").record[key] for key in ("split", "n")} == {
        **{"split": "val", "n": 5}
    }
    emoprune.check_refused(
        "eval", "m.st", "faces", "--split", "test", says=("faces: ", "no test part", "train/val")
    )


def test_a_copy_of_the_data_elsewhere_is_the_same_data(
    emoprune: Runner, model: Path, faces: Path, in_folder: Path
) -> None:
    for photo in faces.rglob("*.jpg"):
        copy = in_folder / "copy" / photo.relative_to(faces)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(photo.read_bytes())
    moved = emoprune.done("eval", model, "copy").record
    assert {**moved, "data": str(faces)} == emoprune.done("eval", model, faces).record


def test_other_data_is_refused_unless_all_of_it_is_wanted(emoprune: Runner, model: Path, small: Path) -> None:
    emoprune.check_refused("eval", model, small, says=(f"{small}: ", "--split all"))
    emoprune.check_refused("eval", model, small, "--split", "train", says=("fingerprint",))
    record = emoprune.done("eval", model, small, "--split", "all").record
    assert (record["split"], record["n"]) == ("all", 30)


def test_fewer_classes_keep_their_places(emoprune: Runner, model: Path, faces_here: FacesHere) -> None:
    faces_here("faces", {"surprise": 4, "angry": 2})
    record = emoprune.done("eval", model, "faces", "--split", "all").record
    assert record["classes"] == ["angry", "happy", "surprise"]
    assert [sum(row) for row in record["confusion"]] == [2, 0, 4]
    assert record["per_class"]["happy"]["recall"] is None


def test_an_unknown_class_is_named(emoprune: Runner, model: Path, faces_here: FacesHere) -> None:
    faces_here("faces", {"happy": 2, "sad": 2})
    emoprune.check_refused(
        "eval", model, "faces", "--split", "all", says=("faces: ", "sad", "angry, happy, surprise")
    )


def test_a_table_is_not_for_a_network_of_photos(emoprune: Runner, model: Path, table: Path) -> None:
    for part in ((), ("--split", "all")):
        emoprune.check_refused("eval", model, table, *part, says=(f"{table}: ",))
    emoprune.check_refused("eval", model, table, "--split", "all", says=("takes photos",))


def test_photos_are_not_for_a_network_of_tables(emoprune: Runner, table_model: Path, faces: Path) -> None:
    emoprune.check_refused(
        "eval", table_model, faces, "--split", "all", says=(f"{faces}: ", "emoprune features")
    )


def test_a_table_of_another_width_is_refused(emoprune: Runner, table_model: Path, in_folder: Path) -> None:
    (in_folder / "t.csv").write_text("name,label,x,y\na,happy,1,2\nb,angry,3,4\n")
    emoprune.check_refused("eval", table_model, "t.csv", "--split", "all", says=("t.csv: ", "64", "2"))


def test_onnx_has_the_figures_of_its_checkpoint(
    emoprune: Runner, model: Path, onnx_model: Path, faces: Path
) -> None:
    exported, original = (emoprune.done("eval", path, faces).record for path in (onnx_model, model))
    for key in KEYS - {"model", "bytes", "log_loss", "calibration_error"}:
        assert exported[key] == original[key], key
    assert exported["log_loss"] == pytest.approx(original["log_loss"], abs=1e-5)
    assert exported["bytes"] == onnx_model.stat().st_size


def test_a_checkpoint_can_come_from_stdin(emoprune: Runner, model: Path, faces: Path) -> None:
    piped = emoprune.done("eval", "-", faces, stdin=model.read_bytes()).record
    assert {**piped, "model": str(model)} == emoprune.done("eval", model, faces).record


def test_latency_is_measured_when_asked(emoprune: Runner, model: Path, onnx_model: Path, faces: Path) -> None:
    assert emoprune.done("eval", model, faces).record["latency_ms"] is None
    for path in (model, onnx_model):
        assert emoprune.done("eval", path, faces, "--latency").record["latency_ms"] > 0


def test_outputs_concatenate_into_lines(emoprune: Runner, model: Path, faces: Path) -> None:
    both = emoprune.done("eval", model, faces).raw + emoprune.done("eval", model, faces, "--json").raw
    assert [json.loads(line)["n"] for line in both.splitlines()] == [12, 12]


@pytest.mark.skipif(torch.cuda.is_available(), reason="for machines without CUDA")
@pytest.mark.parametrize("command", ["eval", "train", "crop", "features"])
def test_a_device_that_is_not_there_is_told(emoprune: Runner, model: Path, faces: Path, command: str) -> None:
    places = {"eval": (model, faces), "features": (faces, "out.csv")}.get(command, (faces, "out"))
    emoprune.check_refused(command, *places, "--device", "cuda", says=("--device cuda: ", "--device cpu"))
    emoprune.check_refused(command, *places, "--device", "tpu", code=2, says=("--device",))


def test_a_label_and_settings_are_kept(emoprune: Runner, model: Path, faces: Path) -> None:
    plain = emoprune.done("eval", model, faces).record
    argv = ("--label", "whole, random split", "--set", "hidden=200", "--set", "pruned=0.5", "--set", "a=b=1")
    more = ("--set", "empty=", "--set", "big=1e3", "--set", "below=-.5", "--set", "date=2020-01")
    record = emoprune.done("eval", model, faces, *argv, *more).record
    settings = {"hidden": 200, "pruned": 0.5, "a": "b=1", "empty": "", "big": 1000.0, "below": -0.5}
    assert record == {
        **plain,
        **{"label": "whole, random split", "settings": {**settings, "date": "2020-01"}},
    }
    assert isinstance(record["settings"]["hidden"], int)
    assert (plain["label"], plain["settings"]) == (None, {})


@pytest.mark.parametrize(
    ("option", "says"),
    [
        (("--set", "hidden"), "--set hidden has no value; give KEY=VALUE"),
        (("--set", "a=1", "--set", "a=2"), "--set a is given twice"),
        (("--set", "=1"), "setting ''"),
        (("--set", "a=1e400"), "setting 'a'"),
        (("--set", f"a={2**53}"), "setting 'a'"),
        (("--label", " "), "empty label"),
    ],
)
def test_a_label_or_setting_that_says_nothing_is_the_command_lines_fault(
    emoprune: Runner, model: Path, faces: Path, option: tuple[str, ...], says: str
) -> None:
    emoprune.check_refused("eval", model, faces, *option, code=2, says=(says,))
