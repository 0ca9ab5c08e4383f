import copy
import json
import math
import re
import struct
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from emoprune.errors import BadCheckpoint, EmopruneError, InvalidRecord
from emoprune.networks import checkpoint as checkpoints
from tests.support.records import (
    card_of_file,
    checkpoint,
    header_of,
    moments,
    outcome,
    raw_safetensors,
    with_card,
)

MASK = torch.tensor([[True, False, True, True], [False, True, True, True]])
DATA = checkpoints.to_bytes(checkpoint(moments={"last": moments(4)}, masks={"last.weight": MASK}))
CARD = card_of_file(DATA)


def stored() -> dict[str, Tensor]:
    return safetensors.torch.load(DATA)


def assembled(tensors: dict[str, Tensor]) -> bytes:
    return safetensors.torch.save(tensors, header_of(DATA)["__metadata__"])


def test_from_bytes_refuses_a_cut_at_any_place() -> None:
    for length in range(len(DATA)):
        with pytest.raises(BadCheckpoint, match=r"empty|truncated|not a safetensors file"):
            checkpoints.from_bytes(DATA[:length])


def test_from_bytes_says_how_much_of_a_cut_file_is_left() -> None:
    with pytest.raises(BadCheckpoint, match=f"truncated after {len(DATA) - 5} of {len(DATA)} bytes"):
        checkpoints.from_bytes(DATA[:-5])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 4096,
        b"not a checkpoint at all",
        b"PK\3\4" + b"\0" * 100,
        DATA + b"x",
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 2**64 - 1) + b"{}",
        raw_safetensors(b"{}"),
        raw_safetensors(b"[]"),
        raw_safetensors(b"{" * 50_000),
        raw_safetensors(b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}"),
        raw_safetensors(b'{"a": null}'),
        raw_safetensors(b'{"a": {"dtype": "F32", "shape": [1]}}', b"1234"),
        raw_safetensors(b'{"a": \xff}'),
        raw_safetensors(b'{"a": ' + b"9" * 5000 + b"}"),
    ],
    ids=lambda data: f"{len(data)} bytes of {data[:12]!r}",
)
def test_from_bytes_refuses_other_bytes(data: bytes) -> None:
    with pytest.raises(BadCheckpoint):
        checkpoints.from_bytes(data)


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [1], "data_offsets": [0, 10**15]},
        {"dtype": "F32", "shape": [1], "data_offsets": [0, 10**30]},
        {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]},
        {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]},
        {"dtype": "F32", "shape": [1], "data_offsets": [0, float("inf")]},
        {"dtype": "F32", "shape": [1], "data_offsets": [0, float("nan")]},
        {"dtype": "F32", "shape": [1], "data_offsets": [0, "4"]},
        {"dtype": "F32", "shape": [1], "data_offsets": 4},
        {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [2**32, 2**32], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]},
        {"dtype": "NONE", "shape": [1], "data_offsets": [0, 4]},
        {"dtype": "F8_E8M0", "shape": [4], "data_offsets": [0, 4]},
        {"dtype": "F4", "shape": [8], "data_offsets": [0, 4]},
        {"dtype": 5, "shape": [1], "data_offsets": [0, 4]},
    ],
    ids=json.dumps,
)
def test_from_bytes_refuses_a_false_header(entry: dict[str, Any]) -> None:
    with pytest.raises(BadCheckpoint):
        checkpoints.from_bytes(raw_safetensors({"a": entry}, b"1234"))


@pytest.mark.parametrize("metadata", [b"", b'"__metadata__":{},', b'"__metadata__":null,'])
def test_from_bytes_refuses_a_foreign_safetensors_file(metadata: bytes) -> None:
    header = b"{" + metadata + b'"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    with pytest.raises(BadCheckpoint, match="not of emoprune"):
        checkpoints.from_bytes(raw_safetensors(header, b"1234"))


@pytest.mark.parametrize(
    "text",
    [
        *("", "not JSON", "{", "null", "[]", "5", '"emoprune.checkpoint/3"', "{}", "[" * 100_000, "1" * 5000),
        *('{"a":1e999}', '{"a":-1e999}', '{"a":NaN}', '{"a":1,"a":1}', '{"a":{"b":1,"b":2}}'),
    ],
    ids=lambda text: text[:12],
)
def test_from_bytes_refuses_metadata_that_is_not_a_card(text: str) -> None:
    with pytest.raises(BadCheckpoint):
        checkpoints.from_bytes(with_card(DATA, text))


@pytest.mark.parametrize("schema", ["emoprune.checkpoint/4", "other", "", None, 1, []])
def test_from_bytes_names_another_schema(schema: object) -> None:
    with pytest.raises(BadCheckpoint, match=r"schema .* emoprune\.checkpoint/3"):
        checkpoints.from_bytes(with_card(DATA, {**CARD, "schema": schema}))


def replaced(path: str, value: object) -> dict[str, Any]:
    card: Any = copy.deepcopy(CARD)
    place, (*parents, last) = card, [int(key) if key.isdigit() else key for key in path.split(".")]
    for key in parents:
        place = place[key]
    place[last] = value
    found: dict[str, Any] = card
    return found


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec", None),
        ("spec", [1]),
        ("spec.arch", 5),
        ("spec.arch", None),
        ("spec.classes", "2"),
        ("spec.classes", 2.0),
        ("spec.classes", True),
        ("spec.input", 3),
        ("spec.input", [3.5]),
        ("spec.input", {"0": 3}),
        ("spec.hidden", [None]),
        ("spec.activation", "cosine"),
        ("spec.activation", ["sigmoid"]),
        ("spec.dropout", "0.5"),
        ("spec.dropout", True),
        ("spec.args", [1]),
        ("spec.function", "os.system"),
        ("spec.function", {"name": "os.system"}),
        ("spec.widths", []),
        ("spec.widths.first", [3]),
        ("spec.widths.first", [3, 4, 5]),
        ("spec.widths.first", [3, "4"]),
        ("classes", "ab"),
        ("classes", ["angry", 5]),
        ("preprocess", "table"),
        ("preprocess.kind", "sound"),
        ("preprocess.size", 24),
        ("split.shares", 80),
        ("split.seed", "7"),
        ("split.group_by", 3),
        ("split.fingerprint", None),
        ("split.together", [[0, "1"]]),
        ("layers", {}),
        ("layers.0", []),
        ("layers.0.name", 1),
        ("layers.0.activation", None),
        ("layers.0.consumers", "last"),
        ("layers.0.consumers", [1]),
        ("history", {}),
        ("history.0", "train"),
        ("training", 2),
        ("training.0.index", 1.5),
        ("training.0.train_loss", "low"),
        ("training.0.val_loss", []),
    ],
)
def test_from_bytes_names_a_field_of_the_wrong_type(path: str, value: object) -> None:
    with pytest.raises(InvalidRecord) as caught:
        checkpoints.from_bytes(with_card(DATA, replaced(path, value)))
    # msgspec does not say which key of a mapping is wrong
    named = re.sub(r"\.(\d+)", r"[\1]", path).replace("widths.first", "widths[...]")
    assert caught.value.fact.startswith(named)


@pytest.mark.parametrize("name", ["spec", "classes", "preprocess", "split"])
def test_from_bytes_names_a_missing_field(name: str) -> None:
    card = {key: value for key, value in CARD.items() if key != name}
    with pytest.raises(InvalidRecord, match=f"lacks {name}"):
        checkpoints.from_bytes(with_card(DATA, card))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec.classes", 3),
        ("spec.classes", 0),
        ("spec.input", []),
        ("spec.input", [0]),
        ("spec.hidden", [0]),
        ("spec.dropout", 1.0),
        ("spec.dropout", 10**400),
        ("classes", ["angry"]),
        ("classes", ["angry", "angry"]),
        ("classes", ["angry", ""]),
        ("spec.arch", "conv9"),
        ("layers", []),
        ("layers", 2 * CARD["layers"]),
        ("layers.0.name", "last"),
        ("layers.0.name", "nowhere"),
        ("layers.0.consumers", ["nowhere"]),
        ("training.0.train_loss", 10**400),
        ("preprocess.crop", {"align": "ears"}),
        ("split.seed", 10**10),
        ("split.shares", "1/" * 10**6),
    ],
    ids=lambda value: str(value)[:24],
)
def test_from_bytes_refuses_contradictory_metadata(path: str, value: object) -> None:
    with pytest.raises(EmopruneError):
        checkpoints.from_bytes(with_card(DATA, replaced(path, value)))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("stats.first.covariance", torch.zeros(length)) for length in (0, 4, 9, 11, 15)),
        ("stats.first.covariance", torch.zeros(4, 4)),
        ("stats.first.covariance", torch.zeros(1, 10)),
        ("stats.first.covariance", torch.zeros(10, dtype=torch.int64)),
        ("stats.first.covariance", torch.zeros(10, dtype=torch.float16)),
        ("stats.first.covariance", torch.full((10,), math.nan)),
        ("stats.first.covariance", torch.full((10,), -1.0)),
        ("stats.first.covariance", torch.tensor(1.0)),
        ("stats.first.mean", torch.zeros(0, dtype=torch.float64)),
        ("stats.first.mean", torch.zeros(5, dtype=torch.float64)),
        ("stats.first.mean", torch.zeros(4, 2, dtype=torch.float64)),
        ("stats.first.mean", torch.full((4,), math.nan)),
        ("stats.first.min", torch.zeros(3, dtype=torch.float64)),
        ("stats.first.max", torch.zeros(0, dtype=torch.float64)),
        ("stats.first.count", torch.tensor(0)),
        ("stats.first.count", torch.tensor(-3)),
        ("stats.first.count", torch.tensor([1, 2])),
        ("stats.first.count", torch.tensor(float("nan"))),
        ("stats.first.count", torch.tensor(1 + 1j)),
        ("stats.first.count", torch.tensor(True)),
        ("stats.first.covariance", torch.full((10,), 1e300, dtype=torch.float64)),
        ("stats.first.max", torch.full((4,), math.inf).to(torch.float8_e5m2)),
        ("stats.first.count", torch.tensor(float("inf"))),
        # one row per unit at least; whether there are too many shows when the network is rebuilt
        ("net.first.weight", torch.zeros(3, 3)),
        ("net.first.weight", torch.tensor(1.0)),
        ("net.last.weight", torch.zeros(4)),
        ("net.last.weight", torch.tensor(1.0)),
        ("stray", torch.zeros(1)),
        ("stats.first.more", torch.zeros(1)),
        *(
            (name, torch.zeros(4))
            for name in ("reads.last.more", "reads.last", "reads.", "reads._mean", "mask")
        ),
        ("reads.last.count", torch.tensor(0)),
        ("reads.last.count", torch.tensor(-1)),
        ("reads.last.count", torch.tensor(7.0)),
        ("reads.last.count", torch.tensor([7, 7])),
        ("reads.last.count", torch.zeros(0, dtype=torch.int64)),
        ("reads.last.mean", torch.zeros(3, dtype=torch.float64)),
        ("reads.last.mean", torch.zeros(4, 1, dtype=torch.float64)),
        ("reads.last.mean", torch.zeros(4, dtype=torch.int64)),
        ("reads.last.mean", torch.zeros(4, dtype=torch.complex64)),
        ("reads.last.mean", torch.tensor(0.5)),
        ("reads.last.mean", torch.full((4,), float("nan"))),
        ("reads.last.covariance", torch.zeros(4, 4)),
        ("reads.last.covariance", torch.zeros(16)),
        ("reads.last.covariance", torch.zeros(1, 10)),
        ("reads.last.covariance", torch.zeros(10, dtype=torch.int32)),
        ("reads.last.covariance", torch.zeros(10, dtype=torch.bool)),
        ("reads.last.covariance", torch.full((10,), float("inf"))),
        ("reads.last.covariance", torch.tensor(1.0)),
        ("sensitivity.nowhere", torch.ones(3)),
        ("sensitivity.", torch.ones(3)),
        ("sensitivity.last.bias", torch.ones(3)),
        ("sensitivity.last", torch.ones(2, 2)),
        ("sensitivity.last", torch.ones(10)),
        ("sensitivity.last", torch.ones(3, dtype=torch.float64)),
        ("sensitivity.last", torch.ones(3, dtype=torch.int64)),
        ("sensitivity.last", torch.full((3,), float("nan"))),
        ("sensitivity.last", torch.tensor(1.0)),
        ("mask.nowhere.weight", torch.ones(2, 4, dtype=torch.bool)),
        ("mask.", torch.ones(2, 4, dtype=torch.bool)),
        ("mask.last.weight", torch.ones(4, 2, dtype=torch.bool)),
        ("mask.last.weight", torch.ones(8, dtype=torch.bool)),
        ("mask.last.weight", torch.tensor(True)),
        ("mask.last.weight", torch.ones(2, 4)),
        ("mask.last.weight", torch.full((2, 4), float("nan"))),
        ("mask.last.weight", torch.full((2, 4), 2, dtype=torch.uint8)),
        ("mask.last.weight", torch.ones(2, 4, dtype=torch.int64)),
    ],
    ids=lambda value: f"{tuple(value.shape)} {value.dtype}" if isinstance(value, Tensor) else value,
)
def test_from_bytes_refuses_wrong_tensors(name: str, value: Tensor) -> None:
    with pytest.raises(EmopruneError) as refusal:
        checkpoints.from_bytes(assembled({**stored(), name: value}))
    assert "\n" not in str(refusal.value)


OLD = (Path(__file__).parent / "schema_2" / "table.st").read_bytes()
LAYER = "stats.classifier.hidden1"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("gram", torch.zeros(5, 4, dtype=torch.float64)),
        ("gram", torch.zeros(15, dtype=torch.float64)),
        ("gram", torch.zeros(5, 5, dtype=torch.int64)),
        ("gram", torch.arange(25.0).reshape(5, 5)),
        ("gram", torch.full((5, 5), math.nan)),
        ("gram", torch.full((5, 5), 1e300, dtype=torch.float64)),
        ("sum", torch.zeros(4, dtype=torch.float64)),
        ("sum", torch.zeros(5, 5, dtype=torch.float64)),
        ("sum", torch.full((5,), 1e200, dtype=torch.float64)),
        ("count", torch.tensor(0)),
        ("mean", torch.zeros(5)),
    ],
    ids=lambda value: f"{tuple(value.shape)} {value.dtype}" if isinstance(value, Tensor) else value,
)
def test_from_bytes_refuses_wrong_sums_of_an_older_schema(name: str, value: Tensor) -> None:
    tensors = {**safetensors.torch.load(OLD), f"{LAYER}.{name}": value}
    with pytest.raises(EmopruneError):
        checkpoints.from_bytes(safetensors.torch.save(tensors, header_of(OLD)["__metadata__"]))


# biases are not among them: a layer may have none, and the network's own shape is compared when it is rebuilt
@pytest.mark.parametrize(
    "name",
    [
        "net.first.weight",
        "net.last.weight",
        *(f"stats.first.{part}" for part in ("count", "mean", "covariance", "min", "max")),
        *(f"reads.last.{part}" for part in ("count", "mean", "covariance")),
    ],
)
def test_from_bytes_refuses_missing_statistics_and_weights(name: str) -> None:
    rest = {key: value for key, value in stored().items() if key != name}
    with pytest.raises(EmopruneError, match=r"first|last"):
        checkpoints.from_bytes(assembled(rest))


def test_from_bytes_refuses_a_million_classes() -> None:
    card = replaced("classes", [str(number) for number in range(10**6)])
    card["spec"]["classes"] = 10**6
    with pytest.raises(InvalidRecord, match="1,000,000 classes, more than 1,000"):
        checkpoints.from_bytes(with_card(DATA, card))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 9\n", "Git LFS.*git lfs pull"),
        (b"<!DOCTYPE html>\n<html></html>", "an HTML page"),
        (b"\x80\x02}q\x00.", "a pickle"),
        (b"PK\x03\x04" + b"\0" * 40 + b"archive/data.pkl", "a PyTorch file"),
    ],
)
def test_from_bytes_names_files_of_other_kinds(data: bytes, says: str) -> None:
    with pytest.raises(BadCheckpoint, match=says):
        checkpoints.from_bytes(data)


@given(st.binary(max_size=200))
@settings(max_examples=150, deadline=None)
def test_from_bytes_refuses_random_bytes(data: bytes) -> None:
    with pytest.raises(BadCheckpoint):
        checkpoints.from_bytes(data)


def check_outcome(data: bytes) -> None:
    found = outcome(EmopruneError, lambda: checkpoints.from_bytes(data))
    if isinstance(found, EmopruneError):
        assert "\n" not in str(found)
    else:
        assert len(found.classes) == found.spec.classes
        for name, mask in found.masks.items():
            assert (mask.dtype, mask.shape) == (torch.bool, found.tensors[name].shape)


@given(st.dictionaries(st.integers(0, len(DATA) - 1), st.integers(0, 255), min_size=1, max_size=4))
@settings(max_examples=300, deadline=None)
def test_from_bytes_of_flipped_bytes_raises_only_our_errors(flips: dict[int, int]) -> None:
    data = bytearray(DATA)
    for place, value in flips.items():
        data[place] = value
    check_outcome(bytes(data))


ROOMS = ("spec", "preprocess", "split")
NODES = ["schema", *ROOMS, "classes", "layers", "history", "training", "extra"]
NODES += [f"{room}.{name}" for room in ROOMS for name in CARD[room]]
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=5,
)


@given(st.sampled_from(NODES), ANYTHING)
@settings(max_examples=200, deadline=None)
def test_from_bytes_of_any_value_anywhere_raises_only_our_errors(path: str, value: object) -> None:
    check_outcome(with_card(DATA, replaced(path, value)))


@pytest.mark.parametrize(
    "keys",
    [
        torch.tensor([1, 1]),
        torch.tensor([2, 1]),
        torch.tensor([[1, 2]]),
        torch.tensor(1),
        torch.tensor([1.0, 2.0]),
        torch.tensor([1, 2], dtype=torch.int32),
    ],
)
def test_from_bytes_refuses_keys_of_samples_that_are_not_in_order(keys: Tensor) -> None:
    with pytest.raises(InvalidRecord, match="keys of its training samples"):
        checkpoints.from_bytes(assembled({**stored(), "trained": keys}))
