"""The metadata of ONNX files, of today and of older versions."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from emoprune.data.image_dataset import to_array, to_input
from emoprune.data.types import Preprocess
from emoprune.errors import BadCheckpoint, EmopruneError, InvalidRecord
from emoprune.faces.types import CropSettings
from emoprune.networks.cards import card_json, card_record, descent
from emoprune.networks.onnx_metadata import from_json, lineage, to_json
from emoprune.networks.types import Checkpoint, Cost, HistoryEntry, Spec
from tests.support.records import checkpoint

COST = Cost(parameters=30, nonzero_parameters=29, macs=20)


def text_of(made: Checkpoint) -> str:
    return to_json(made, cost=COST, units=4, fingerprint="cd" * 32)


def test_from_json_reads_what_to_json_wrote() -> None:
    original = checkpoint()
    found = from_json(text_of(original))
    for name in ("classes", "preprocess", "split"):
        assert getattr(found.card, name) == getattr(original, name)
    assert (found.card.spec.arch, found.card.spec.classes, found.card.spec.input) == ("mlp", 2, (3,))
    assert (found.cost, found.units) == (COST, 4)


def test_to_json_tells_the_lineage_without_a_path() -> None:
    train = {"data": "/data/ada/faces", "epochs": 3, "lr": 0.1, "preset": None, "weights": "imagenet"}
    prune = {"method": "reconstruct", "merge": "lstsq", "amount": {"macs": 0.5}, "images": 7, "data": None}
    history = (
        HistoryEntry("train", train, {"train_loss": 0.5}, {"emoprune": "1.2", "torch": "2"}),
        HistoryEntry("prune", prune, {"layers": [1] * 1000}, {}),
    )
    record = json.loads(text_of(checkpoint(history=history)))
    assert record["lineage"] == [
        {"command": "train", "emoprune": "1.2", "data": "faces", "epochs": 3, "weights": "imagenet"},
        {"command": "prune", "method": "reconstruct", "merge": "lstsq", "amount": {"macs": 0.5}},
    ]
    assert (record["checkpoint"], record["split"]["fingerprint"]) == ("cd" * 32, "ab" * 32)
    assert record["output"]["name"] == "logits"


def test_lineage_reads_what_to_json_tells_of_each_command() -> None:
    train = {"data": "/data/ada/faces", "epochs": 3, "lr": 0.1, "data_license": "CC0"}
    history = (HistoryEntry("train", train, {"train_loss": 0.5}, {"emoprune": "1.2", "torch": "2"}),)
    kept = {"data": "faces", "epochs": 3, "data_license": "CC0"}
    expected = (HistoryEntry("train", kept, {}, {"emoprune": "1.2"}),)
    assert lineage(text_of(checkpoint(history=history))) == expected
    # files of older versions have the whole history
    assert lineage(card_json(checkpoint())) == checkpoint().history


@pytest.mark.parametrize("entry", [5, {"command": 5}, {}, {"command": "train", "emoprune": []}])
def test_lineage_names_what_is_wrong(entry: object) -> None:
    record = json.loads(text_of(checkpoint()))
    with pytest.raises(InvalidRecord, match=r"command|emoprune|lineage"):
        lineage(json.dumps({**record, "lineage": [entry]}))


def test_to_json_says_how_a_picture_becomes_input() -> None:
    preprocess = Preprocess(
        "image", (8, 6), "rgb", (0.4, 0.5, 0.6), (0.2, 0.3, 0.4), crop=CropSettings(margin=0.2, align="eyes")
    )
    spec = Spec("mlp", 2, (3, 8, 6), hidden=(4,))
    record = json.loads(text_of(checkpoint(spec=spec, preprocess=preprocess)))["preprocess"]
    assert (record["crop"]["margin"], record["crop"]["align"], record["crop"]["size"]) == (0.2, "eyes", 224)
    # someone who has only the file follows it by the letter
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 25, 3), dtype=np.uint8))
    assert record["resize"] == "bilinear, antialiased"
    height, width = record["size"]
    pixel = np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR), np.float64)
    assert record["scaling"] == "(pixel / 255 - mean) / std"
    found = (pixel / 255 - record["mean"]) / record["std"]
    assert (record["color"], record["layout"]) == ("rgb", "NCHW")
    expected = to_input(to_array(picture, preprocess)[None], preprocess)
    np.testing.assert_allclose(found.transpose(2, 0, 1)[None], expected.numpy(), atol=1e-6)


@pytest.mark.parametrize("schema", ["emoprune.checkpoint/1", "emoprune.checkpoint/2"])
def test_from_json_reads_files_of_older_versions(schema: str) -> None:
    record = json.loads(card_json(checkpoint())) | {"cost": dataclasses.asdict(COST), "units": 4}
    found = from_json(json.dumps({**record, "schema": schema}))
    assert (found.card.classes, found.cost, found.units) == (("angry", "happy"), COST, 4)


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("schema", "emoprune.onnx/9", r"reads emoprune\.onnx/1"),
        ("spec.arch", "conv9", "unknown architecture 'conv9'"),
        ("spec.classes", 3, "2 class names for 3 outputs"),
        ("spec.input", [4, 4, 4], "preprocessing"),
        ("classes", ["happy", "happy"], "name of its own"),
        ("classes", ["happy", ""], "name of its own"),
        ("cost", None, "cost"),
        ("units", "4", "units"),
        ("preprocess.crop", {"align": "ears"}, "align"),
    ],
)
def test_from_json_names_what_is_wrong(path: str, value: object, says: str) -> None:
    record = json.loads(text_of(checkpoint()))
    *parents, last = path.split(".")
    (record[parents[0]] if parents else record)[last] = value
    with pytest.raises(EmopruneError, match=says) as caught:
        from_json(json.dumps(record))
    assert isinstance(caught.value, BadCheckpoint | InvalidRecord)


def test_a_checkpoint_is_not_read_from_the_metadata_of_an_onnx_file() -> None:
    with pytest.raises(BadCheckpoint, match="schema"):
        card_record(text_of(checkpoint()))


def test_from_json_knows_the_training_that_a_network_comes_from() -> None:
    made = checkpoint()
    assert from_json(text_of(made)).descent == descent(made.history)
    assert from_json(text_of(dataclasses.replace(made, history=()))).descent is None
