"""Models and samples as commands load them, and how each kind of broken file is refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import safetensors.torch
import torch

from emoprune.data.datasets import open_data
from emoprune.data.loader import batches
from emoprune.data.splits import partition
from emoprune.data.types import Catalog, Preprocess, SplitRule, Table
from emoprune.errors import BadData, EmopruneError
from emoprune.evaluation import model as loading
from emoprune.evaluation.model import labels_for, outputs, samples
from emoprune.io.safetensors_files import METADATA_KEY
from emoprune.networks import checkpoint
from tests.support.command_line import Runner
from tests.support.feature_tables import draw_table

CPU = torch.device("cpu")


def rewritten(
    data: bytes,
    tensors: Callable[[dict[str, torch.Tensor]], object] = lambda _: None,
    card: Callable[[dict[str, Any]], object] = lambda _: None,
) -> bytes:
    """A checkpoint with tensors or metadata changed in place."""
    held = safetensors.torch.load(data)
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    metadata = json.loads(header["__metadata__"]["emoprune"])
    tensors(held)
    card(metadata)
    return safetensors.torch.save(held, {"emoprune": json.dumps(metadata)})


def widen(held: dict[str, torch.Tensor]) -> None:
    held["net.features.0.weight"] = torch.zeros(17, 1, 5, 5)


def widen_hidden(held: dict[str, torch.Tensor]) -> None:
    held["net.classifier.hidden1.weight"] = torch.zeros(30, 1600)


def halve(held: dict[str, torch.Tensor]) -> None:
    held["net.features.0.bias"] = held["net.features.0.bias"].half()


def drop(held: dict[str, torch.Tensor]) -> None:
    del held["net.features.0.bias"]


def add(held: dict[str, torch.Tensor]) -> None:
    held["net.more.weight"] = torch.zeros(2)


def add_foreign(held: dict[str, torch.Tensor]) -> None:
    held["more"] = torch.zeros(2)


def forget(held: dict[str, torch.Tensor]) -> None:
    del held["stats.classifier.hidden1.covariance"]


def hostile(metadata: dict[str, Any]) -> None:
    metadata["spec"]["hidden"] = [2**40]


BROKEN: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda data: b"", "empty"),
    "truncated": (lambda data: data[:-10], "truncated"),
    "truncated header": (lambda data: data[:100], "truncated"),
    "text": (lambda data: b"this is a text of someone", "not a safetensors file"),
    "pickle": (lambda data: b"\x80\x02}q\x00." * 20, "not a safetensors file"),
    "foreign": (lambda data: safetensors.torch.save({"w": torch.zeros(3)}), "not of emoprune"),
    "a tensor of another shape": (lambda data: rewritten(data, widen), "features.0.weight"),
    "a hidden layer of another shape": (lambda data: rewritten(data, widen_hidden), "classifier.hidden1"),
    "a tensor of another type": (lambda data: rewritten(data, halve), "features.0.bias"),
    "a tensor less": (lambda data: rewritten(data, drop), "features.0.bias"),
    "a tensor more": (lambda data: rewritten(data, add), "more.weight"),
    "a foreign tensor": (lambda data: rewritten(data, add_foreign), "neither"),
    "no statistics": (lambda data: rewritten(data, forget), "stats.classifier.hidden1.covariance"),
    "another schema": (
        lambda data: rewritten(data, card=lambda m: m.update(schema="emoprune.checkpoint/9")),
        "emoprune.checkpoint/9",
    ),
    "no spec": (lambda data: rewritten(data, card=lambda m: m.pop("spec")), "spec"),
    "an unknown architecture": (
        lambda data: rewritten(data, card=lambda m: m["spec"].update(arch="conv9")),
        "conv9",
    ),
    "a class more": (lambda data: rewritten(data, card=lambda m: m["classes"].append("sad")), "class"),
    "a gigantic spec": (lambda data: rewritten(data, card=hostile), "; "),
}


@pytest.mark.parametrize("damage", BROKEN)
def test_a_broken_checkpoint_is_refused_by_every_reader(
    emoprune: Runner, model: Path, faces: Path, in_folder: Path, damage: str
) -> None:
    change, says = BROKEN[damage]
    (in_folder / "m.st").write_bytes(change(model.read_bytes()))
    for argv in (["prune", "m.st"], ["eval", "m.st", str(faces)], ["export", "m.st", "m.onnx"]):
        emoprune.check_refused(*argv, says=("m.st: ", says))


@pytest.mark.parametrize("damage", ["empty", "truncated", "text", "foreign", "another schema", "no spec"])
def test_angles_refuse_a_broken_checkpoint_too(
    emoprune: Runner, model: Path, in_folder: Path, damage: str
) -> None:
    change, says = BROKEN[damage]
    (in_folder / "m.st").write_bytes(change(model.read_bytes()))
    emoprune.check_refused("angles", "m.st", says=("m.st: ", says))
    emoprune.check_refused("angles", "-", stdin=change(model.read_bytes()), says=("standard input: ", says))


def test_a_checkpoint_that_is_not_there_is_named(emoprune: Runner, faces: Path) -> None:
    for argv in (
        ["angles", "no.st"],
        ["prune", "no.st"],
        ["export", "no.st", "o.onnx"],
        ["eval", "no.st", faces],
    ):
        emoprune.check_refused(*argv, says=("no.st: no such file",))
    emoprune.check_refused("angles", ".", says=(".: is a folder",))


def test_an_onnx_file_of_someone_else_is_refused(
    emoprune: Runner, onnx_model: Path, faces: Path, in_folder: Path
) -> None:
    data = onnx_model.read_bytes()
    foreign = onnx.load_from_string(data)
    del foreign.metadata_props[:]
    for content, says in {
        b"": "the file is empty",
        data[: len(data) // 2]: "ONNX",
        b"text of someone": "ONNX",
        foreign.SerializeToString(): "not of emoprune",
    }.items():
        (in_folder / "m.onnx").write_bytes(content)
        emoprune.check_refused("eval", "m.onnx", faces, says=("m.onnx: ", says))


def with_metadata(data: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    """An ONNX file with its card changed in place."""
    loaded = onnx.load_from_string(data)
    (entry,) = (entry for entry in loaded.metadata_props if entry.key == METADATA_KEY)
    card = json.loads(entry.value)
    change(card)
    entry.value = json.dumps(card)
    content: bytes = loaded.SerializeToString()
    return content


CHANGED: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "another width": (lambda card: card["preprocess"].update(size=[24, 25]), "preprocessing"),
    "another size": (
        lambda card: (card["preprocess"].update(size=[30, 30]), card["spec"].update(input=[1, 30, 30])),
        r"its images are .* \[1, 24, 24\], not \[1, 30, 30\]",
    ),
    "a class more": (
        lambda card: (card["classes"].append("bored"), card["spec"].update(classes=4)),
        r"its logits are .* \[3\], not \[4\]",
    ),
    "a class twice": (lambda card: card["classes"].__setitem__(0, "happy"), "name of its own"),
    "an unknown architecture": (lambda card: card["spec"].update(arch="conv9"), "'conv9'"),
    "costs of no number": (lambda card: card.update(cost={}), "cost"),
}


@pytest.mark.parametrize("name", CHANGED)
def test_load_refuses_an_onnx_file_that_contradicts_its_metadata(
    onnx_model: Path, tmp_path: Path, name: str
) -> None:
    change, says = CHANGED[name]
    (tmp_path / "m.onnx").write_bytes(with_metadata(onnx_model.read_bytes(), change))
    with pytest.raises(EmopruneError, match=says) as caught:
        loading.load(str(tmp_path / "m.onnx"), CPU)
    assert caught.value.place == str(tmp_path / "m.onnx")


def test_load_refuses_flipped_bytes_in_the_text_of_an_onnx_file(onnx_model: Path, tmp_path: Path) -> None:
    data = onnx_model.read_bytes()
    start = data.index(b'{"checkpoint"')
    for place in range(start, len(data), 41):
        broken = bytearray(data)
        broken[place] ^= 0x80
        (tmp_path / "m.onnx").write_bytes(broken)
        with pytest.raises(EmopruneError) as caught:
            loading.load(str(tmp_path / "m.onnx"), CPU)
        assert "\n" not in str(caught.value)


def test_load_knows_onnx_files_and_checkpoints_by_their_content(
    model: Path, onnx_model: Path, tmp_path: Path
) -> None:
    for source, is_onnx in ((model, False), (onnx_model, True)):
        for name in ("m.onnx", "m.st", "m"):
            (tmp_path / name).write_bytes(source.read_bytes())
            assert (loading.load(str(tmp_path / name), CPU).net is None) == is_onnx


def test_load_describes_the_file(model: Path) -> None:
    opened = loading.load(str(model), CPU)
    data = model.read_bytes()
    assert (opened.bytes, opened.fingerprint) == (len(data), hashlib.sha256(data).hexdigest())
    assert opened.units == checkpoint.read(str(model)).units == 16 + 24


def test_load_gives_onnx_and_checkpoint_the_same_logits(model: Path, onnx_model: Path, faces: Path) -> None:
    data = open_data(str(faces))
    both = []
    for path in (model, onnx_model):
        opened = loading.load(str(path), CPU)
        found = loading.samples(data, opened.card.preprocess, opened.card.spec.input)
        inputs = batches(found, torch.arange(len(data.catalog.names)), opened.card.preprocess, CPU)
        both.append(torch.cat(list(opened.logits(inputs))).numpy())
    np.testing.assert_allclose(both[0], both[1], rtol=0, atol=1e-4)


def test_chosen_part_follows_the_rule(model: Path, faces: Path) -> None:
    data, rule = open_data(str(faces)), checkpoint.read(str(model)).split
    expected = partition(data.catalog, rule)
    for asked, name in ((None, "test"), ("train", "train"), ("test", "test")):
        found = loading.chosen_part(data, rule, asked)  # type: ignore[arg-type]  # from a tuple
        assert (found.name, tuple(found.indices.tolist())) == (name, expected[name])
        assert (found.own, found.is_test) == (True, name == "test")
    found = loading.chosen_part(data, rule, "all")
    assert (found.name, found.indices.tolist(), found.is_test) == ("all", list(range(60)), False)


def tabled(labels: tuple[int, ...], classes: tuple[str, ...]) -> Table:
    names = tuple(f"s{index}" for index in range(len(labels)))
    return Table(Catalog("t.csv", names, labels, classes, "f"), ("x",), torch.zeros(len(labels), 1))


def test_labels_for_are_indices_into_the_models_classes() -> None:
    table = tabled((0, 1, 1, 0), ("happy", "sad"))
    assert loading.labels_for(table, ("angry", "happy", "neutral", "sad")).tolist() == [1, 3, 3, 1]
    assert loading.labels_for(table, ("SAD", "Happy", "happy")).tolist() == [2, 0, 0, 2]
    with pytest.raises(BadData, match=r"t\.csv: class sad is not one of the model's \(angry, happy\)"):
        loading.labels_for(table, ("angry", "happy"))


def test_labels_for_match_other_spellings_and_tell_it(told: pytest.LogCaptureFixture) -> None:
    table = tabled((0, 1, 1, 0), ("Happiness", "SAD"))
    assert loading.labels_for(table, ("angry", "happy", "sad")).tolist() == [1, 2, 2, 1]
    wanted = "t.csv: classes of the model are matched by name, happy as Happiness, sad as SAD"
    assert told.messages == [wanted]


def test_chosen_part_refuses_other_data_except_for_all() -> None:
    rule = SplitRule("50/50", 0, None, "g")
    table = tabled((0, 1, 0, 1), ("happy", "sad"))
    with pytest.raises(BadData, match=r"t\.csv: .*fingerprint.*part=all"):
        loading.chosen_part(table, rule, None)
    assert loading.chosen_part(table, rule, "all").indices.tolist() == [0, 1, 2, 3]


WITH_LABEL = Preprocess(kind="table", label=True)


@pytest.fixture
def drawn(tmp_path: Path) -> Table:
    """A table of four columns and three classes."""
    found = open_data(str(draw_table(tmp_path / "t.csv", columns=4, samples=12)))
    assert isinstance(found, Table)
    return found


def test_outputs_are_classes_or_columns_and_label(drawn: Table, small: Path) -> None:
    assert outputs(drawn, "reconstruct") == ("x0", "x1", "x2", "x3", "label")
    assert outputs(drawn, "classify") == ("a", "b", "c")
    assert outputs(open_data(str(small)), "classify") == ("angry", "happy", "surprise")


def test_samples_append_the_label_as_last_column(drawn: Table) -> None:
    found = samples(drawn, WITH_LABEL, (5,))
    rows = found.batch(torch.tensor([0, 4, 11]))
    assert torch.equal(rows[:, :4], drawn.values[[0, 4, 11]])
    assert rows[:, 4].tolist() == [0, 1, 2]
    assert rows.dtype == torch.float32


def test_samples_take_given_labels(drawn: Table) -> None:
    given = torch.full((12,), 7)
    found = samples(drawn, WITH_LABEL, (5,), given)
    assert found.batch(torch.arange(12))[:, 4].tolist() == [7] * 12
    assert torch.equal(found.labels, given)


def test_samples_do_not_change_a_row_without_label(drawn: Table) -> None:
    found = samples(drawn, Preprocess(kind="table"), (4,))
    assert torch.equal(found.batch(torch.arange(12)), drawn.values)


@pytest.mark.parametrize(("preprocess", "width", "takes"), [(WITH_LABEL, 4, 3), (WITH_LABEL, 6, 5)])
def test_samples_count_features_without_the_label(
    drawn: Table, preprocess: Preprocess, width: int, takes: int
) -> None:
    with pytest.raises(BadData, match=f"has 4 features, and the network takes {takes}"):
        samples(drawn, preprocess, (width,))


def test_labels_for_take_classes_in_any_order(drawn: Table) -> None:
    own = torch.tensor(drawn.catalog.labels)
    assert torch.equal(labels_for(drawn, ("a", "b", "c")), own)
    # the model may know more, in any order
    turned = labels_for(drawn, ("c", "x", "b", "a"))
    assert torch.equal(turned, torch.tensor([3, 2, 0])[own])


def test_labels_for_a_reconstruction_are_those_of_the_data(drawn: Table) -> None:
    found = labels_for(drawn, outputs(drawn, "reconstruct"), "reconstruct")
    assert found.tolist() == list(drawn.catalog.labels)
    with pytest.raises(BadData, match=r"other columns than the network reconstructs \(x1, x0, label\)"):
        labels_for(drawn, ("x1", "x0", "label"), "reconstruct")
    with pytest.raises(BadData, match="class a is not one of the model's"):
        labels_for(drawn, outputs(drawn, "reconstruct"), "classify")
