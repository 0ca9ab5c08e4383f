import getpass
import json
import os
import re
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from emoprune.errors import BadCheckpoint, UsageFault
from emoprune.io import onnx_files
from emoprune.io.onnx_files import export
from emoprune.version import __version__
from tests.support.onnx_networks import conv_net, exported_by, pictures

METADATA = json.dumps({"schema": "x", "classes": ["glücklich", "traurig"]}, ensure_ascii=False)


@pytest.fixture(scope="module")
def net() -> nn.Module:
    return conv_net()


@pytest.fixture(scope="module")
def exported(net: nn.Module) -> bytes:
    return exported_by(net, pictures(2), metadata=METADATA)


def outputs(data: bytes, **inputs: torch.Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    (found,) = session.run(["logits"], {name: value.numpy() for name, value in inputs.items()})
    return np.asarray(found)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_export_computes_what_torch_computes_at_any_batch_size(
    net: nn.Module, exported: bytes, n: int
) -> None:
    found = outputs(exported, images=pictures(n))
    with torch.inference_mode():
        expected = net(pictures(n)).numpy()
    assert found.shape == (n, 2)
    assert np.abs(found - expected).max() < 1e-5


# the oldest and newest, both sides of what torch writes, and where operators changed
@pytest.mark.parametrize(("opset", "ir"), [(11, 6), (13, 7), (17, 8), (18, 8), (19, 9), (21, 10), (23, 11)])
def test_export_writes_any_opset_in_the_lowest_ir_version_that_has_it(
    opset: int, ir: int, capfd: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), Mean(), Halves(), nn.Linear(4, 2)).eval()
    data = exported_by(net, pictures(2), opset=opset)
    model = onnx.load_from_string(data)
    assert (model.ir_version, [(each.domain, each.version) for each in model.opset_import]) == (
        ir,
        [("", opset)],
    )
    onnx.checker.check_model(model, full_check=True)
    with torch.inference_mode():
        np.testing.assert_allclose(outputs(data, images=pictures(3)), net(pictures(3)).numpy(), atol=1e-5)
    names = {name for node in model.graph.node for name in node.input}
    assert {tensor.name for tensor in model.graph.initializer} <= names
    assert capfd.readouterr() == ("", "")


class Mean(nn.Module):
    """Reduces: its axes became an input in opset 18."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3))


class Halves(nn.Module):
    """Splits: the number of its outputs became an attribute in opset 18."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first, second = x.chunk(2, 1)
        return torch.cat((second, first), 1)


def test_export_names_what_an_opset_lacks() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4)).eval()
    assert exported_by(net, torch.zeros(2, 4), opset=17)
    with pytest.raises(UsageFault, match=r"`opset=16` cannot express.*LayerNormalization.*`opset=18`$"):
        exported_by(net, torch.zeros(2, 4), opset=16)


def test_export_refuses_a_network_that_one_file_cannot_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_files, "MOST_BYTES", 500)
    with pytest.raises(BadCheckpoint, match="do not fit in one ONNX file"):
        exported_by(conv_net(), pictures(2))


def test_export_names_the_input_of_a_table_features() -> None:
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3)).eval()
    rows = torch.randn(5, 6)
    with torch.inference_mode():
        found = outputs(exported_by(net, torch.zeros(2, 6)), features=rows)
        np.testing.assert_allclose(found, net(rows).numpy(), atol=1e-5)


def test_export_makes_one_file_with_a_free_batch_dimension(exported: bytes, in_folder: Path) -> None:
    (in_folder / "model.onnx").write_bytes(exported)
    loaded = onnx.load(in_folder / "model.onnx", load_external_data=False)
    assert all(entry.data_location == onnx.TensorProto.DEFAULT for entry in loaded.graph.initializer)
    assert [path.name for path in in_folder.iterdir()] == ["model.onnx"]
    for value in (*loaded.graph.input, *loaded.graph.output):
        batch, *rest = value.type.tensor_type.shape.dim
        assert batch.dim_param
        assert all(side.dim_value > 0 for side in rest)
    assert [value.name for value in loaded.graph.input] == ["images"]
    assert [value.name for value in loaded.graph.output] == ["logits"]


def test_export_writes_what_the_file_is() -> None:
    data = export(conv_net(), pictures(2), {"emoprune": METADATA}, opset=18, description="two classes")
    loaded = onnx.load_from_string(data)
    assert {entry.key: entry.value for entry in loaded.metadata_props} == {"emoprune": METADATA}
    assert (loaded.producer_name, loaded.producer_version) == ("emoprune", __version__)
    assert loaded.doc_string == "two classes"


def test_export_gives_the_same_bytes_for_the_same_network(exported: bytes) -> None:
    assert exported_by(conv_net(), pictures(2), metadata=METADATA) == exported


def test_export_writes_nothing_of_this_machine(exported: bytes) -> None:
    for trace in (os.getcwd(), os.path.dirname(torch.__file__), "site-packages", ".py", "torch"):
        assert trace.encode() not in exported
    assert not re.search(rf"/home|/tmp|/usr|\b{re.escape(getpass.getuser())}\b".encode(), exported)


def test_export_does_not_change_the_network(net: nn.Module, exported: bytes) -> None:
    assert exported
    fresh = conv_net().state_dict()
    assert all(torch.equal(value, fresh[name]) for name, value in net.state_dict().items())
    assert not net.training
