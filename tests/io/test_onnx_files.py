import json
import math
import os
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from emoprune.errors import BadCheckpoint
from emoprune.io.onnx_files import Engine, export, largest_difference
from emoprune.networks import build
from emoprune.networks.table_networks import fitted_scaling
from emoprune.networks.types import Spec

METADATA = json.dumps({"schema": "x", "classes": ["glücklich", "traurig"]}, ensure_ascii=False)


def conv_net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()),
        *(nn.Linear(16, 5), nn.Sigmoid(), nn.Dropout(0.5), nn.Linear(5, 2)),
    ).eval()


def pictures(n: int) -> Tensor:
    return torch.randn(n, 3, 9, 7, generator=torch.Generator().manual_seed(n))


@pytest.fixture(scope="module")
def net() -> nn.Module:
    return conv_net()


@pytest.fixture(scope="module")
def exported(net: nn.Module) -> bytes:
    return export(net, pictures(2), {"emoprune": METADATA})


@pytest.fixture(scope="module")
def dense() -> tuple[nn.Module, bytes]:
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3)).eval()
    return net, export(net, torch.zeros(2, 6), {})


@pytest.mark.parametrize("n", [1, 2, 5])
def test_engine_computes_what_torch_computes_at_any_batch_size(
    net: nn.Module, exported: bytes, n: int
) -> None:
    session = onnxruntime.InferenceSession(exported, providers=["CPUExecutionProvider"])
    (found,) = session.run(["logits"], {"images": pictures(n).numpy()})
    with torch.inference_mode():
        expected = net(pictures(n)).numpy()
    assert found.shape == (n, 2)
    assert np.abs(found - expected).max() < 1e-5
    assert np.array_equal(Engine(exported).logits(pictures(n)).numpy(), found)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_export_names_the_input_of_a_table_features(dense: tuple[nn.Module, bytes], n: int) -> None:
    net, data = dense
    rows = torch.randn(n, 6, generator=torch.Generator().manual_seed(n))
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    assert [entry.name for entry in session.get_inputs()] == ["features"]
    with torch.inference_mode():
        assert np.abs(session.run(["logits"], {"features": rows.numpy()})[0] - net(rows).numpy()).max() < 1e-5


def test_engine_fills_missing_values_as_torch_does() -> None:
    net = build.build(Spec("mlp", 3, (4,), (5,))).eval()
    generator = torch.Generator().manual_seed(0)
    rows = torch.rand(20, 4, generator=generator)
    rows[torch.rand(20, 4, generator=generator) < 0.4] = torch.nan
    rows[0] = torch.tensor([1.0, 2.0, 3.0, 4.0])
    scaling = fitted_scaling(rows, "standard", columns="abcd")
    net.get_submodule("scaling").load_state_dict(scaling.state_dict())
    engine = Engine(export(net, rows[:2], {}))
    with torch.inference_mode():
        expected = net(rows)
    assert bool(expected.isfinite().all())
    torch.testing.assert_close(engine.logits(rows), expected, rtol=0, atol=1e-5)


def test_export_makes_one_file_with_a_free_batch_dimension(exported: bytes, in_folder: Path) -> None:
    (in_folder / "model.onnx").write_bytes(exported)
    loaded = onnx.load(in_folder / "model.onnx", load_external_data=False)
    onnx.checker.check_model(loaded, full_check=True)
    assert all(entry.data_location == onnx.TensorProto.DEFAULT for entry in loaded.graph.initializer)
    assert [path.name for path in in_folder.iterdir()] == ["model.onnx"]
    for value in (*loaded.graph.input, *loaded.graph.output):
        batch, *rest = value.type.tensor_type.shape.dim
        assert batch.dim_param
        assert all(side.dim_value > 0 for side in rest)
    assert [value.name for value in loaded.graph.input] == ["images"]
    assert [value.name for value in loaded.graph.output] == ["logits"]


def test_export_writes_metadata_that_onnx_reads(exported: bytes) -> None:
    loaded = onnx.load_from_string(exported)
    assert {entry.key: entry.value for entry in loaded.metadata_props} == {"emoprune": METADATA}
    assert Engine(exported).metadata == {"emoprune": METADATA}


def test_export_gives_the_same_bytes_for_the_same_network(exported: bytes) -> None:
    assert export(conv_net(), pictures(2), {"emoprune": METADATA}) == exported


def test_export_writes_nothing_of_this_machine(exported: bytes) -> None:
    for trace in (os.getcwd(), os.path.dirname(torch.__file__), "site-packages", ".py"):
        assert trace.encode() not in exported


def test_export_prints_nothing(dense: tuple[nn.Module, bytes], capfd: pytest.CaptureFixture[str]) -> None:
    export(dense[0], torch.zeros(2, 6), {})
    assert capfd.readouterr() == ("", "")


def test_export_does_not_change_the_network(net: nn.Module, exported: bytes) -> None:
    assert exported
    fresh = conv_net().state_dict()
    assert all(torch.equal(value, fresh[name]) for name, value in net.state_dict().items())
    assert not net.training


def foreign() -> bytes:
    """A good ONNX file that another program made."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "graph",
        [helper.make_tensor_value_info("x", kind, [None, 2])],
        [helper.make_tensor_value_info("y", kind, [None, 2])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    data: bytes = model.SerializeToString()
    return data


def test_engine_has_no_metadata_for_a_foreign_file() -> None:
    assert "emoprune" not in Engine(foreign()).metadata


def test_engine_refuses_other_bytes(exported: bytes) -> None:
    model = onnx.ModelProto().SerializeToString()
    for data in (
        b"",
        b"hello world",
        b"\0" * 1000,
        b"PK\3\4" + b"\0" * 60,
        exported[: len(exported) // 2],
        model,
    ):
        with pytest.raises(BadCheckpoint, match="not an ONNX file") as caught:
            Engine(data)
        assert "\n" not in str(caught.value)


@given(st.binary(max_size=60))
@settings(max_examples=60, deadline=None)
def test_engine_refuses_random_bytes(data: bytes) -> None:
    with pytest.raises(BadCheckpoint):
        Engine(data)


def test_engine_refuses_weights_in_another_file(exported: bytes, in_folder: Path) -> None:
    loaded = onnx.load_from_string(exported)
    onnx.save_model(
        loaded, "model.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0
    )
    data = (in_folder / "model.onnx").read_bytes()
    (in_folder / "weights.bin").unlink()
    with pytest.raises(BadCheckpoint):
        Engine(data)


def test_engine_takes_batches_that_are_not_contiguous(net: nn.Module, exported: bytes) -> None:
    turned = pictures(2).permute(0, 1, 3, 2).contiguous().permute(0, 1, 3, 2)
    assert torch.equal(Engine(exported).logits(turned), Engine(exported).logits(pictures(2)))


def test_largest_difference_is_over_all_batches_and_logits(net: nn.Module, exported: bytes) -> None:
    engine = Engine(exported)
    other = conv_net()
    with torch.no_grad():
        other[-1].bias += torch.tensor([0.25, -0.5])  # type: ignore[index]  # a sequence of layers
    batches = [pictures(1), pictures(3)]
    assert largest_difference(engine, net, iter(batches)) < 1e-5
    assert largest_difference(engine, other, iter(batches)) == pytest.approx(0.5, abs=1e-5)
    assert largest_difference(engine, net, iter([])) == 0.0


def test_largest_difference_is_infinite_for_nan(net: nn.Module, exported: bytes) -> None:
    broken = pictures(3)
    broken[1, 0, 0, 0] = math.nan
    engine = Engine(exported)
    assert largest_difference(engine, net, iter([pictures(1), broken, pictures(2)])) == math.inf
