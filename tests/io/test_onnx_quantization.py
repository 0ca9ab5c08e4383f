"""Graphs with smaller numbers, run by onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto
from torch import nn

from emoprune.io import onnx_files
from emoprune.io.onnx_quantization import QUANTIZED, noise_added, prepared, to_fp16, to_int8

SIDE = 8


def network() -> nn.Module:
    torch.manual_seed(0)
    made = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, 8, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(8 * (SIDE - 2) ** 2, 4),
    )
    with torch.no_grad():
        for _ in range(20):
            made(torch.randn(16, 3, SIDE, SIDE))
    return made.eval()


def graph(net: nn.Module) -> ModelProto:
    return onnx_files.traced(net, torch.zeros(2, 3, SIDE, SIDE), opset=18)


def batches(count: int = 3) -> list[NDArray[Any]]:
    generator = np.random.default_rng(0)
    return [generator.normal(size=(8, 3, SIDE, SIDE)).astype(np.float32) for _ in range(count)]


def logits(model: ModelProto, batch: NDArray[Any]) -> NDArray[Any]:
    data = onnx_files.finished(model, {}, opset=18)
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    assert [entry.type for entry in (*session.get_inputs(), *session.get_outputs())] == ["tensor(float)"] * 2
    (found,) = session.run(None, {"images": batch})
    return np.asarray(found)


def relative_error(found: NDArray[Any], wanted: NDArray[Any]) -> float:
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


@pytest.fixture(scope="module")
def whole() -> ModelProto:
    return prepared(graph(network()))


def test_prepared_computes_the_same_with_norms_folded_and_every_node_named(whole: ModelProto) -> None:
    batch = batches()[0]
    with torch.inference_mode():
        wanted = network()(torch.from_numpy(batch)).numpy()
    assert np.allclose(logits(whole, batch), wanted, atol=1e-4)
    assert "BatchNormalization" not in {node.op_type for node in whole.graph.node}
    names = [node.name for node in whole.graph.node]
    assert all(names)
    assert len(set(names)) == len(names)


def test_to_int8_has_bytes_for_weights_and_nearly_the_same_logits(whole: ModelProto) -> None:
    found = to_int8(whole, batches())
    other = batches(4)[3]
    assert relative_error(logits(found, other), logits(whole, other)) < 0.15
    kinds = {tensor.name: tensor.data_type for tensor in found.graph.initializer if len(tensor.dims) > 1}
    assert sorted(kinds.values()) == [TensorProto.INT8] * 3
    # 7 bits, so that the sum of two products fits where a processor adds them in 16
    values = [onnx.numpy_helper.to_array(each) for each in found.graph.initializer if each.name in kinds]
    assert max(int(np.abs(each).max()) for each in values) <= 64
    assert {entry.domain for entry in found.opset_import} == {""}


def test_to_int8_leaves_out_the_nodes_that_it_is_told(whole: ModelProto) -> None:
    first = next(node for node in whole.graph.node if node.op_type == "Conv")
    found = to_int8(whole, batches(), but=(first.name,))
    (kept,) = (node for node in found.graph.node if node.name == first.name)
    kinds = {tensor.name: tensor.data_type for tensor in found.graph.initializer}
    assert kinds[kept.input[1]] == TensorProto.FLOAT


def test_to_fp16_is_half_the_size_and_nearly_the_same() -> None:
    model = graph(network())
    found = to_fp16(model)
    batch = batches()[0]
    assert relative_error(logits(found, batch), logits(model, batch)) < 0.005
    sizes = [
        sum(len(onnx.numpy_helper.to_array(each).tobytes()) for each in made.graph.initializer)
        for made in (model, found)
    ]
    assert sizes[1] < 0.6 * sizes[0]


def test_noise_added_is_largest_where_large_weights_leave_small_ones_no_bits() -> None:
    net = network()
    second, last = net.get_submodule("3"), net.get_submodule("6")
    assert isinstance(second, nn.Conv2d)
    assert isinstance(last, nn.Linear)
    assert second.bias is not None
    with torch.no_grad():
        second.weight[1] = second.weight[0]
        second.bias[1] = second.bias[0]
        # two channels that are the same cancel, and logits are of the small weights alone
        by_channel = last.weight.view(4, 8, -1)
        by_channel[:, 0], by_channel[:, 1] = 100, -100
    model = prepared(graph(net))
    noise = noise_added(model, to_int8(model, batches()), batches()[0])
    names = [node.name for node in model.graph.node if node.op_type in QUANTIZED]
    assert set(noise) == set(names)
    assert noise[names[-1]] > 10 * max(noise[name] for name in names[:-1])
