"""Checkpoints written and read back, of this schema and the older ones."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from emoprune.choices import Center
from emoprune.data.types import Preprocess, SplitRule
from emoprune.errors import BadCheckpoint, OutputFault
from emoprune.io import files
from emoprune.networks import checkpoint as checkpoints
from emoprune.networks.cards import SCHEMA
from emoprune.networks.types import Checkpoint, Epoch, HiddenLayer, HistoryEntry, Spec, UnitStatistics
from emoprune.pruning.angles import angles_deg
from tests.support.layers import sigmoid_layer, statistics_of
from tests.support.records import (
    card_of_file,
    checkpoint,
    header_of,
    moments,
    same,
    sensitivity,
    statistics,
    tensors,
    with_card,
)

WORDS = st.text(max_size=12)
NUMBERS = st.floats(-1e100, 1e100)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | NUMBERS | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)
POSITIVE = st.floats(1e-3, 1e3)
OBJECTS = st.dictionaries(WORDS, JSON_VALUES, max_size=3)
ENTRIES = st.builds(HistoryEntry, WORDS, OBJECTS, OBJECTS, st.dictionaries(WORDS, WORDS, max_size=2))
SHARES = st.sampled_from(("folders", "80/20", "75/10/15", "346/329"))
PREPROCESSES = st.one_of(
    st.builds(lambda fills: Preprocess("table", fills=fills), st.booleans()),
    st.builds(
        lambda side, mean, std: Preprocess("image", (side, side + 1), "rgb", mean, std),
        st.integers(1, 512),
        st.tuples(NUMBERS, NUMBERS, NUMBERS),
        st.tuples(POSITIVE, POSITIVE, POSITIVE),
    ),
    st.builds(
        lambda side, std: Preprocess("image", (side, side), "gray", (0.5,), (std,)),
        st.integers(1, 512),
        POSITIVE,
    ),
)

TOGETHER = st.sampled_from(((), ((0, 2), (1, 3, 8))))


INT64 = st.integers(-(2**63), 2**63 - 1)
KEYS = st.sets(INT64, max_size=5).map(lambda keys: torch.tensor(sorted(keys), dtype=torch.int64))


@st.composite
def any_checkpoint(draw: st.DrawFn) -> Checkpoint:
    units, seed = draw(st.integers(1, 6)), draw(st.integers(0, 2**31))
    classes = tuple(draw(st.lists(WORDS.filter(bool), min_size=1, max_size=4, unique=True)))
    preprocess = draw(PREPROCESSES)
    shape = (3,) if preprocess.kind == "table" else (preprocess.channels, *preprocess.size)
    return checkpoint(
        spec=Spec(
            "mlp",
            len(classes),
            shape,
            (units,),
            draw(st.sampled_from(("sigmoid", "relu", "tanh"))),
            draw(st.floats(0, 0.99)),
            {"first": (3, units)},
        ),
        classes=classes,
        preprocess=preprocess,
        split=draw(
            st.builds(SplitRule, SHARES, st.integers(0, 2**32 - 1), st.none() | WORDS, WORDS, TOGETHER)
        ),
        tensors=tensors(3, units, len(classes), seed=seed),
        layers=(HiddenLayer("first", draw(WORDS), ("last",)),),
        statistics={"first": statistics(units, seed=seed)},
        moments={name: moments(units, seed=seed) for name in draw(st.sets(st.sampled_from(("last", "x.y"))))},
        masks={
            f"{name}.weight": torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < 0.5
            for name, shape in (("first", (units, 3)), ("last", (len(classes), units)))
            if draw(st.booleans())
        },
        trained=draw(st.none() | KEYS),
        history=tuple(draw(st.lists(ENTRIES, max_size=3))),
        training=tuple(
            draw(
                st.lists(
                    st.builds(
                        Epoch,
                        st.integers(0, 999),
                        NUMBERS,
                        NUMBERS,
                        st.none() | NUMBERS,
                        st.none() | NUMBERS,
                    ),
                    max_size=3,
                )
            )
        ),
    )


@given(any_checkpoint())
@settings(max_examples=60, deadline=None)
def test_from_bytes_reads_back_every_bit(original: Checkpoint) -> None:
    data = checkpoints.to_bytes(original, keep_paths=True)
    again = checkpoints.from_bytes(data)
    assert same(original, again)
    assert checkpoints.to_bytes(again, keep_paths=True) == data


def test_to_bytes_does_not_depend_on_order_or_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = checkpoint()
    data = checkpoints.to_bytes(first)
    monkeypatch.setattr(time, "time", lambda: 1e9)
    backwards = checkpoint(
        tensors=dict(reversed(list(first.tensors.items()))),
        history=tuple(
            dataclasses.replace(entry, parameters=dict(reversed(list(entry.parameters.items()))))
            for entry in first.history
        ),
    )
    assert checkpoints.to_bytes(backwards) == data


def test_to_bytes_changes_with_the_checkpoint() -> None:
    data = checkpoints.to_bytes(checkpoint())
    assert checkpoints.to_bytes(checkpoint(classes=("angry", "sad"))) != data
    assert checkpoints.to_bytes(checkpoint(tensors=tensors(3, 4, 2, seed=1))) != data


def test_to_bytes_writes_metadata_as_canonical_json() -> None:
    header = header_of(checkpoints.to_bytes(checkpoint()))
    assert list(header["__metadata__"]) == ["emoprune"]
    text = header["__metadata__"]["emoprune"]
    record = json.loads(text)
    assert record["schema"] == "emoprune.checkpoint/3"
    assert text == json.dumps(record, sort_keys=True, separators=(",", ":"))
    assert record.keys() >= {"spec", "classes", "preprocess", "split", "history", "training"}


def test_to_bytes_names_tensors_as_documented(tmp_path: Path) -> None:
    mask = torch.tensor([[True, False, True, True], [False, True, True, True]])
    more = {"moments": {"last": moments(4)}, "sensitivities": {"last": sensitivity(2)}}
    original = checkpoint(**more, masks={"last.weight": mask})
    path = tmp_path / "model.st"
    files.write_bytes(path, checkpoints.to_bytes(original))
    with safe_open(path, "pt") as file:
        assert set(file.metadata()) == {"emoprune"}
        stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
    nets = {name for name in stored if name.startswith("net.")}
    assert nets == {f"net.{name}" for name in original.tensors}
    assert stored.keys() - nets == {
        *(f"stats.first.{name}" for name in ("count", "mean", "covariance", "min", "max")),
        *(f"reads.last.{name}" for name in ("count", "mean", "covariance")),
        "sensitivity.last",
        "mask.last.weight",
    }
    assert torch.equal(stored["net.first.weight"], original.tensors["first.weight"])
    for name, entry in (
        ("stats.first", original.statistics["first"]),
        ("reads.last", original.moments["last"]),
    ):
        assert int(stored[f"{name}.count"]) == entry.count
        assert torch.equal(stored[f"{name}.mean"], entry.mean)
        upper = [float(entry.covariance[row, column]) for row in range(4) for column in range(row, 4)]
        assert stored[f"{name}.covariance"].tolist() == upper
        assert stored[f"{name}.covariance"].dtype == torch.float32
    assert torch.equal(stored["mask.last.weight"], mask)
    assert stored["mask.last.weight"].dtype == torch.bool


def test_from_bytes_reads_a_checkpoint_without_hidden_layers() -> None:
    original = checkpoint(layers=(), statistics={}, history=(), training=())
    assert same(checkpoints.from_bytes(checkpoints.to_bytes(original)), original)


def test_to_bytes_keeps_the_name_and_arguments_of_a_function_and_not_the_function() -> None:
    spec = Spec("nets:make", 2, (3, 8, 8), args={"width": 8, "deep": [1, None]}, function=len)
    preprocess = Preprocess("image", (8, 8), mean=(0.5,) * 3, std=(0.5,) * 3)
    kept: dict[str, Any] = {"layers": (), "statistics": {}, "tensors": {"a": torch.ones(2)}}
    made = checkpoint(spec=spec, preprocess=preprocess, **kept)
    read = checkpoints.from_bytes(checkpoints.to_bytes(made))
    assert (read.spec.arch, read.spec.args) == ("nets:make", {"width": 8, "deep": [1, None]})
    assert read.spec.function is None
    assert b"function" not in checkpoints.to_bytes(made)
    assert checkpoints.to_bytes(read) == checkpoints.to_bytes(made)


def test_to_bytes_stores_views_as_they_look() -> None:
    whole = torch.arange(24.0).reshape(4, 6)
    parts = {
        **checkpoint().tensors,
        "first.weight": whole[:, ::2],
        "first.bias": whole.T[0],
        "last.weight": whole[1:3, :4],
    }
    again = checkpoints.from_bytes(checkpoints.to_bytes(checkpoint(tensors=parts)))
    assert all(torch.equal(again.tensors[name], value) for name, value in parts.items())


def test_to_bytes_stores_parameters_with_gradients() -> None:
    wanting = {name: value.float().requires_grad_() for name, value in checkpoint().tensors.items()}
    again = checkpoints.from_bytes(checkpoints.to_bytes(checkpoint(tensors=wanting)))
    assert torch.equal(again.tensors["first.bias"], wanting["first.bias"].detach())
    assert not any(value.requires_grad for value in again.tensors.values())


def test_to_bytes_rounds_a_covariance_once() -> None:
    exact = moments(4)
    third = dataclasses.replace(exact, covariance=exact.covariance / 3)
    again = checkpoints.from_bytes(checkpoints.to_bytes(checkpoint(moments={"last": third})))
    kept = again.moments["last"].covariance
    assert kept.dtype == torch.float64
    assert torch.equal(kept, third.covariance.float().double())
    assert torch.equal(again.moments["last"].mean, third.mean)
    assert same(checkpoints.from_bytes(checkpoints.to_bytes(again)), again)


def stored(entry: UnitStatistics) -> tuple[UnitStatistics, torch.dtype]:
    """Statistics that were written and read, and how the file has their covariance."""
    original = checkpoint(statistics={"first": entry}, tensors=tensors(3, entry.units, 2))
    data = checkpoints.to_bytes(original)
    again = checkpoints.from_bytes(data)
    assert checkpoints.to_bytes(again) == data
    return again.statistics["first"], safetensors.torch.load(data)["stats.first.covariance"].dtype


CENTERS: tuple[Center, ...] = ("half", "range", "mean", "none")


@pytest.mark.parametrize("center", CENTERS)
@pytest.mark.parametrize(
    ("degrees", "dtype"),
    [
        *((degrees, torch.float32) for degrees in (0.41, 0.5, 3.0, 90.0, 179.59)),
        *((degrees, torch.float64) for degrees in (0.0, 0.01, 0.4, 179.61, 180.0)),
    ],
)
def test_to_bytes_keeps_every_angle_to_a_thousandth_of_a_degree(
    degrees: float, dtype: torch.dtype, center: Center
) -> None:
    generator = np.random.default_rng(0)
    # orthogonal to one another and to a constant
    basis = np.linalg.qr(np.concatenate([np.ones((50, 1)), generator.normal(size=(50, 2))], 1))[0][:, 1:]
    turned = basis @ [np.cos(np.radians(degrees)), np.sin(np.radians(degrees))]
    for scale, means in (1e-3, (0.0, 0.0)), (1e-3, (0.5, 0.5)), (1.0, (0.7, -90.0)), (300.0, (0.5, 0.0)):
        pair = np.stack([basis[:, 0], 7 * turned], 1) * scale + means
        # a constant unit and a dead one have no angle that float32 could change
        entry = statistics_of(np.concatenate([pair, np.full((50, 1), 0.3), np.zeros((50, 1))], 1))
        found, kept = stored(entry)
        assert kept == dtype
        before, after = (angles_deg(each, center=center)[0, 1] for each in (entry, found))
        assert float(before - after) == pytest.approx(0, abs=1e-3)


@given(st.integers(0, 10_000))
@settings(max_examples=20)
def test_to_bytes_writes_again_what_was_read(seed: int) -> None:
    stored(statistics_of(np.round(sigmoid_layer(seed), 2)))


def test_to_bytes_keeps_in_float64_what_float32_has_no_numbers_for() -> None:
    for scale in (1e-25, 1e25):
        entry = statistics_of(sigmoid_layer(0) * scale)
        found, kept = stored(entry)
        assert kept == torch.float64
        assert torch.equal(found.covariance, entry.covariance)


def test_from_bytes_takes_layer_inputs_with_dots() -> None:
    names = ("features.3.block.0.0", "count", "mean.mean")
    original = checkpoint(moments={name: moments(3) for name in names})
    assert same(checkpoints.from_bytes(checkpoints.to_bytes(original)), original)


def test_from_bytes_keeps_class_names_that_are_not_utf8() -> None:
    name = b"gl\xfccklich".decode("utf-8", "surrogateescape")
    original = checkpoint(classes=("angry", name))
    assert same(checkpoints.from_bytes(checkpoints.to_bytes(original)), original)


PATHS = {
    "/data/lovelace/faces": "faces",
    "/data/lovelace/faces/": "faces",
    "~/faces.csv": "faces.csv",
    r"C:\Users\lovelace\faces": "faces",
    "C:/Users/lovelace/m.st": "m.st",
    r"\\server\lovelace\faces": "faces",
    "/": "",
    "faces": "faces",
    "../data/faces": "../data/faces",
    "imagenet": "imagenet",
    "-": "-",
}


@pytest.mark.parametrize("path", PATHS)
def test_to_bytes_keeps_of_an_absolute_path_its_last_name(path: str) -> None:
    entry = HistoryEntry("train", {"data": path, "deep": [{"weights": path}]}, {"best": path}, {})
    original = checkpoint(history=(entry,))
    data, whole = checkpoints.to_bytes(original), checkpoints.to_bytes(original, keep_paths=True)
    (found,) = checkpoints.from_bytes(data).history
    assert found.parameters == {"data": PATHS[path], "deep": [{"weights": PATHS[path]}]}
    assert found.metrics == {"best": PATHS[path]}
    assert b"lovelace" not in data
    assert checkpoints.from_bytes(whole).history == (entry,)


def test_read_takes_a_file_or_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = checkpoints.to_bytes(checkpoint())
    (tmp_path / "model.st").write_bytes(data)
    assert same(checkpoints.read(str(tmp_path / "model.st")), checkpoint())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert same(checkpoints.read("-"), checkpoint())


def test_read_remembers_the_place_and_to_bytes_does_not(tmp_path: Path) -> None:
    path = tmp_path / "model.st"
    checkpoint().save(path)
    assert checkpoints.read(str(path)).place == str(path)
    assert checkpoints.to_bytes(checkpoints.read(str(path))) == checkpoints.to_bytes(checkpoint())


def test_read_names_the_file_or_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "model.st")
    with pytest.raises(BadCheckpoint, match="no such file") as missing:
        checkpoints.read(path)
    assert missing.value.place == path
    Path(path).write_bytes(checkpoints.to_bytes(checkpoint())[:-1])
    with pytest.raises(BadCheckpoint, match="truncated") as broken:
        checkpoints.read(path)
    assert broken.value.place == path
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    with pytest.raises(BadCheckpoint, match="empty") as piped:
        checkpoints.read("-")
    assert piped.value.place == "standard input"


def test_read_returns_statistics_and_curve_of_a_trained_model(model: Path) -> None:
    found = checkpoints.read(str(model))
    assert checkpoints.to_bytes(found) == model.read_bytes()
    assert found.classes == ("angry", "happy", "surprise")
    assert len(found.training) >= 1
    assert {layer.name for layer in found.layers} == set(found.statistics)
    assert all(entry.count > 0 for entry in found.statistics.values())


OLD = Path(__file__).parent
EXPECTED: dict[str, Any] = json.loads((OLD / "schema_1" / "expected.json").read_text())
"""Of the same networks in both older schemas, by the programs of their time."""


@pytest.mark.parametrize("schema", ["schema_1", "schema_2"])
@pytest.mark.parametrize("name", EXPECTED)
def test_read_takes_checkpoints_of_older_schemas(name: str, schema: str) -> None:
    found, expected = checkpoints.read(str(OLD / schema / f"{name}.st")), EXPECTED[name]
    shape = found.spec.input
    x = torch.linspace(-1, 1, 2 * math.prod(shape)).reshape(2, *shape)
    with torch.inference_mode():
        torch.testing.assert_close(found.module()(x), torch.tensor(expected["logits"]))
    assert {layer: entry.units for layer, entry in found.statistics.items()} == expected["units"]
    for layer, entry in found.statistics.items():
        assert angles_deg(entry, center="half")[0].tolist() == pytest.approx(expected["angles"][layer])
    assert [entry.command for entry in found.history] == expected["commands"]
    assert found.preprocess.color == expected["colour"]
    assert found.classes == tuple(expected["classes"])
    assert sum(int((~mask).sum()) for mask in found.masks.values()) == expected["zeros"]

    data = checkpoints.to_bytes(found)
    assert card_of_file(data)["schema"] == SCHEMA
    again = checkpoints.from_bytes(data)
    assert same(
        dataclasses.replace(again, statistics={}, layers=()),
        dataclasses.replace(found, statistics={}, layers=()),
    )
    assert checkpoints.to_bytes(again) == data


def test_read_takes_checkpoints_from_before_splits_by_duplicates() -> None:
    original = checkpoint()
    data = checkpoints.to_bytes(original)
    card = card_of_file(data)
    del card["split"]["together"]
    assert same(original, checkpoints.from_bytes(with_card(data, card)))


def test_module_has_tensors_of_its_own(model: Path) -> None:
    found = checkpoints.read(str(model))
    net = found.module()
    assert not net.training
    with torch.no_grad():
        next(net.parameters()).zero_()
    assert checkpoints.to_bytes(found) == model.read_bytes()


def test_save_writes_what_read_reads(tmp_path: Path) -> None:
    path = tmp_path / "model.st"
    checkpoint().save(path)
    assert same(checkpoints.read(str(path)), checkpoint())
    with pytest.raises(OutputFault, match="exists"):
        checkpoint().save(path)
    checkpoint(classes=("a", "b")).save(path, force=True)
    assert checkpoints.read(str(path)).classes == ("a", "b")
