"""What a file is: compared with safetensors' and onnx's own readers, and with what made the file."""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors import safe_open
from torch import Tensor, nn

import emoprune as ep
from emoprune.data.datasets import open_data
from emoprune.data.splits import partition
from emoprune.deployment.inspect import SCHEMA, License, inspect
from emoprune.errors import BadCheckpoint, EmopruneError
from emoprune.networks import checkpoint as checkpoints
from tests.support.command_line import clean_environment, opened
from tests.support.records import card_of_file, checkpoint, with_card

OLD = Path(__file__).parents[1] / "networks"


def multiplied(net: nn.Module, shape: tuple[int, ...]) -> dict[str, int]:
    """Multiply-accumulates by layer, counted by hooks: each number that is made takes a row of the weight."""
    found = dict[str, int]()

    def hook(name: str) -> Callable[[nn.Module, object, Tensor], None]:
        def count(layer: nn.Module, _: object, made: Tensor) -> None:
            weight = layer.weight
            assert isinstance(weight, Tensor)
            found[name] = made.numel() * weight[0].numel()

        return count

    for name, layer in net.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(hook(name))
    with torch.inference_mode():
        net(torch.zeros(1, *shape))
    return found


@pytest.mark.parametrize("name", ["conv2", "table", "resnet18"])
def test_sizes_are_those_of_the_tensors_in_the_file(zoo: Callable[[str], Path], name: str) -> None:
    path = zoo(name)
    checkpoint, net = opened(path)
    found = inspect(path)
    with safe_open(path, "np") as file:
        shapes = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118  # no dict
        numbers = {key: file.get_tensor(key) for key in shapes if key.startswith("net.")}
    for each in found.sizes:
        assert each.shape == shapes[f"net.{each.layer}.weight"]
    assert found.parameters == sum(each.numel() for each in net.parameters())
    assert found.parameters == sum(each.parameters for each in found.sizes)
    learned = [numbers[f"net.{key}"] for key, _ in net.named_parameters()]
    assert found.nonzero_parameters == sum(np.count_nonzero(each) for each in learned)
    assert found.weight_bytes == sum(each.nbytes for each in numbers.values())
    assert found.file_bytes == path.stat().st_size
    expected = multiplied(net, checkpoint.spec.input)
    assert {each.layer: each.macs for each in found.sizes if each.macs} == expected
    assert found.macs == sum(expected.values())
    assert math.isclose(sum(each.share or 0 for each in found.sizes), 1)


@pytest.mark.parametrize("name", ["conv2", "table", "resnet18"])
def test_names_tell_parameters_from_buffers_as_the_network_does(
    zoo: Callable[[str], Path], name: str
) -> None:
    built, named = inspect(zoo(name)), inspect(zoo(name), macs=False)
    assert (named.parameters, named.nonzero_parameters) == (built.parameters, built.nonzero_parameters)
    assert {each.layer: each.kind for each in named.sizes} == {each.layer: each.kind for each in built.sizes}
    assert named.macs is None
    assert {each.macs for each in named.sizes} == {None}


def test_a_checkpoint_or_onnx_file_is_read_without_torch(model: Path, onnx_model: Path) -> None:
    code = """
import sys, emoprune as ep
st, onnx = ep.inspect(sys.argv[1], macs=False), ep.inspect(sys.argv[2])
assert st.ours and onnx.ours and onnx.macs
assert "torch" not in sys.modules
"""
    command = [sys.executable, "-c", code, str(model), str(onnx_model)]
    subprocess.run(command, env=clean_environment(), check=True)


def test_widths_before_are_those_of_the_first_network(zoo: Callable[[str], Path]) -> None:
    path = zoo("resnet18")
    whole = checkpoints.read(str(path.with_name("resnet18.whole.st")))
    small = checkpoints.read(str(path))
    found = inspect(path, macs=False)
    assert [each.layer for each in found.layers] == [layer.name for layer in small.layers]
    assert {each.layer: each.units for each in found.layers} == {
        name: entry.units for name, entry in small.statistics.items()
    }
    assert {each.layer: each.units_before for each in found.layers} == {
        name: entry.units for name, entry in whole.statistics.items()
    }
    assert found.units == small.units


def test_widths_before_reach_back_over_several_prunings(model: Path, tmp_path: Path) -> None:
    once = ep.prune(ep.load(model), method="reconstruct", amount=0.3, data="none")
    twice = ep.prune(once, method="reconstruct", amount=0.3, data="none", layer="classifier*")
    twice.save(tmp_path / "twice.st")
    found, whole = inspect(tmp_path / "twice.st", macs=False), ep.load(model)
    assert sum(each.units_before or 0 for each in found.layers) == whole.units > twice.units
    assert [entry.command for entry in found.lineage] == ["train", "prune", "prune"]
    assert found.lineage == ep.load(tmp_path / "twice.st").history


def test_without_statistics_the_widths_are_those_of_the_network(model: Path, tmp_path: Path) -> None:
    bare = ep.prune(ep.load(model), method="reconstruct", amount=0.3, data="none", statistics=False)
    bare.save(tmp_path / "bare.st")
    found = inspect(tmp_path / "bare.st")
    assert found.statistics is not None
    assert (found.statistics.layers, found.statistics.bytes) == (0, 0)
    outcome = bare.history[-1].metrics
    assert [dataclasses.asdict(each) for each in found.layers] == [
        {**dataclasses.asdict(was), "units": each["after"], "units_before": each["before"]}
        for was, each in zip(inspect(model, macs=False).layers, outcome["layers"], strict=True)
    ]
    assert inspect(tmp_path / "bare.st", macs=False).layers == ()


def test_statistics_are_counted(model: Path) -> None:
    found, entry = inspect(model, macs=False).statistics, checkpoints.read(str(model))
    assert found is not None
    assert found.layers == len(entry.layers)
    assert {found.patterns} == {each.count for each in entry.statistics.values()}


def test_split_counts_are_those_of_the_data(model: Path, faces: Path) -> None:
    parts = partition(open_data(faces).catalog, checkpoints.read(str(model)).split)
    found = inspect(model, macs=False)
    assert found.split_counts == {name: len(indices) for name, indices in parts.items()}
    assert found.trained == len(parts["train"]) + len(parts.get("val", ()))


def test_split_counts_of_a_split_file_need_no_history(tmp_path: Path) -> None:
    original = checkpoint()
    rule = dataclasses.replace(original.split, shares="file", assigned="t12v3e4t")
    dataclasses.replace(original, split=rule, history=()).save(tmp_path / "made.st")
    assert inspect(tmp_path / "made.st", macs=False).split_counts == {"train": 13, "val": 3, "test": 4}


def test_looks_are_counted_by_file_training_and_data(model: Path, onnx_model: Path, faces: Path) -> None:
    before = inspect(model, macs=False).looks
    assert before is not None
    assert (before.file, before.training, before.data, before.networks) == (0, 0, 0, 0)
    ep.evaluate(model, faces)
    ep.evaluate(onnx_model, faces)
    ep.evaluate(onnx_model, faces)
    for path, own in ((model, 1), (onnx_model, 2)):
        found = inspect(path, macs=False).looks
        assert found is not None
        assert (found.file, found.training, found.data, found.networks) == (own, 3, 3, 2)


def test_licenses_stay_with_what_comes_of_a_training(small: Path, tmp_path: Path) -> None:
    licenses: dict[str, Any] = {"data_license": "CC BY 4.0", "weights_license": "Apache-2.0"}
    made = ep.train(small, arch="conv1", size="16", gray=True, hidden=(6,), epochs=1, **licenses)
    pruned = ep.prune(made, method="reconstruct", amount=0.2, data="none")
    ep.export(pruned, tmp_path / "model.onnx")
    pruned.save(tmp_path / "model.st")
    expected = (License("data", str(small.name), "CC BY 4.0"), License("weights", "none", "Apache-2.0"))
    assert inspect(tmp_path / "model.st", macs=False).licenses == expected
    assert inspect(tmp_path / "model.onnx").licenses == expected


def test_an_onnx_file_of_ours_tells_what_its_checkpoint_does(model: Path, onnx_model: Path) -> None:
    one, other = inspect(model), inspect(onnx_model)
    for name in ("parameters", "nonzero_parameters", "macs", "units", "task", "licenses"):
        assert getattr(one, name) == getattr(other, name), name
    assert one.card is not None
    assert other.card is not None
    for name in ("classes", "preprocess", "split"):
        assert getattr(one.card, name) == getattr(other.card, name)
    assert [each.macs for each in one.sizes] == [each.macs for each in other.sizes]
    assert [each.parameters for each in one.sizes] == [each.parameters for each in other.sizes]
    assert [entry.command for entry in other.lineage] == ["train"]
    assert other.checkpoint == one.sha256
    read = onnx.load(onnx_model)
    assert other.onnx is not None
    assert other.onnx.opsets == {entry.domain: entry.version for entry in read.opset_import}
    assert [each.name for each in other.onnx.inputs] == ["images"]
    assert other.onnx.inputs[0].shape[1:] == one.card.spec.input
    assert other.onnx.producer == f"emoprune {ep.__version__}"


def foreign() -> onnx.ModelProto:
    """A convolution whose weight is whole numbers, as quantized files have it, and a product of matrices."""
    random = np.random.default_rng(0)
    weight = numpy_helper.from_array(random.integers(-9, 9, (4, 3, 3, 3), dtype=np.int8), "w")
    constants = [
        weight,
        numpy_helper.from_array(np.array(0.1, np.float32), "scale"),
        numpy_helper.from_array(random.random((4, 5), dtype=np.float32), "m"),
    ]
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "scale"], ["real"]),
        helper.make_node("Conv", ["x", "real"], ["conv"]),
        helper.make_node("Relu", ["conv"], ["relu"]),
        helper.make_node("GlobalAveragePool", ["relu"], ["pool"]),
        helper.make_node("Flatten", ["pool"], ["flat"]),
        helper.make_node("MatMul", ["flat", "m"], ["mul"]),
        helper.make_node("Relu", ["mul"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 9, 7])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 5])],
        constants,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(made, full_check=True)
    return made


def test_an_onnx_file_of_others_tells_what_it_holds(tmp_path: Path) -> None:
    onnx.save(foreign(), tmp_path / "other.onnx")
    found = inspect(tmp_path / "other.onnx")
    assert (found.ours, found.card, found.file_schema) == (False, None, None)
    assert found.onnx is not None
    assert found.onnx.operators["Relu"] == 2
    assert (found.onnx.inputs[0].name, found.onnx.inputs[0].shape) == ("x", ("n", 3, 9, 7))
    assert (found.onnx.outputs[0].name, found.onnx.outputs[0].type) == ("y", "float32")
    assert [(each.kind, each.shape, each.parameters, each.macs) for each in found.sizes] == [
        ("Conv", (4, 3, 3, 3), 108, 108 * 7 * 5),
        ("MatMul", (4, 5), 20, 20),
    ]
    assert (found.parameters, found.macs) == (128, 108 * 35 + 20)
    assert found.weight_bytes == 108 + 4 + 80
    assert found.onnx.numbers == {"int8": 108, "float32": 21}


def test_an_onnx_file_that_contradicts_itself_is_told_without_macs(
    tmp_path: Path, told: pytest.LogCaptureFixture
) -> None:
    made = foreign()
    made.graph.node[2].domain = "else.where"
    (tmp_path / "other.onnx").write_bytes(made.SerializeToString())
    found = inspect(tmp_path / "other.onnx")
    assert found.macs is None
    assert "multiply-accumulates are not counted" in told.text


@pytest.mark.parametrize("schema", ["schema_1", "schema_2"])
def test_checkpoints_of_older_schemas_open(schema: str) -> None:
    found = inspect(OLD / schema / "pruned.st")
    assert [(each.layer, each.units_before, each.units) for each in found.layers] == [
        ("features.0", 3, 3),
        ("classifier.hidden1", 6, 3),
    ]
    assert found.file_schema == f"emoprune.checkpoint/{schema[-1]}"
    assert [entry.command for entry in found.lineage] == ["train", "prune", "prune"]
    # as the second pruning tells
    last = found.lineage[-1].metrics
    assert (found.parameters, found.macs) == (last["parameters"]["after"], last["macs"]["after"])
    assert found.nonzero_parameters == last["nonzero_parameters"]["after"]
    assert found.masked > 0


def test_a_network_of_the_users_own_is_counted_once_it_is_named(
    small: Path, tmp_path: Path, told: pytest.LogCaptureFixture
) -> None:
    arch = "tests.support.own_networks:small"
    ep.train(small, arch=arch, size="16", epochs=0).save(tmp_path / "own.st")
    unnamed = inspect(tmp_path / "own.st")
    assert unnamed.macs is None
    assert arch in told.text
    named = inspect(tmp_path / "own.st", arch=arch)
    net = ep.load(tmp_path / "own.st", arch=arch).module()
    assert named.parameters == sum(each.numel() for each in net.parameters())
    assert {each.layer: each.macs for each in named.sizes if each.macs} == multiplied(net, (3, 16, 16))


def test_the_record_is_json_and_holds_no_part_of_samples(model: Path, onnx_model: Path) -> None:
    for path in (model, onnx_model):
        record = json.loads(json.dumps(inspect(path, macs=False).to_record(), allow_nan=False))
        assert record["schema"] == SCHEMA
        assert record["classes"] == ["angry", "happy", "surprise"]
        assert "assigned" not in record["split"]
        assert "function" not in record["spec"]


def damaged(data: bytes, kind: str) -> bytes:
    card = card_of_file(data)
    return {
        "truncated": data[: len(data) // 2],
        "header": data[:60],
        "empty": b"",
        "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
        "not json": with_card(data, "{"),
        "spec": with_card(data, {**card, "spec": {**card["spec"], "hidden": [23]}}),
        "schema": with_card(data, {**card, "schema": "emoprune.features/1"}),
        "no statistics": with_card(
            data, {**card, "layers": [{**card["layers"][0], "name": "features.9"}, *card["layers"][1:]]}
        ),
    }[kind]


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("truncated", "truncated after"),
        ("header", "truncated in its header"),
        ("empty", "the file is empty"),
        ("pointer", "a Git LFS pointer.*git lfs pull"),
        ("not json", "metadata is not JSON"),
        ("spec", "its spec says"),
        ("schema", "its schema is 'emoprune.features/1'"),
        ("no statistics", r"lacks tensor stats\.features\.9"),
    ],
)
def test_damaged_files_are_refused_as_other_commands_do(
    model: Path, tmp_path: Path, kind: str, says: str
) -> None:
    path = tmp_path / "bad.st"
    path.write_bytes(damaged(model.read_bytes(), kind))
    with pytest.raises(EmopruneError, match=says) as caught:
        inspect(path)
    assert caught.value.place == str(path)


def test_a_damaged_onnx_file_is_refused(onnx_model: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(onnx_model.read_bytes()[:-500])
    with pytest.raises(BadCheckpoint, match="not an ONNX file"):
        inspect(tmp_path / "bad.onnx")


def test_a_ledger_that_cannot_be_read_is_a_note(
    model: Path, state: Path, told: pytest.LogCaptureFixture
) -> None:
    (state / "emoprune" / "test-looks.jsonl").mkdir(parents=True)
    assert inspect(model, macs=False).looks is None
    assert "looks at test parts are not known" in told.text
