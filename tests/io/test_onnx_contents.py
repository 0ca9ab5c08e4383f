"""What ONNX files hold, against files made by onnx's own helper."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from emoprune.errors import BadCheckpoint
from emoprune.io.onnx_contents import contents, metadata_of, parsed, with_shapes


def made(
    *nodes: NodeProto, constants: dict[str, tuple[int, ...]], x: Sequence[str | int], y: Sequence[str | int]
) -> ModelProto:
    """A file that maps x to y, which onnx's checker takes; constants are ones of these shapes."""
    kind = TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", kind, x)],
        [helper.make_tensor_value_info("y", kind, y)],
        [numpy_helper.from_array(np.ones(shape, np.float32), name) for name, shape in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


@pytest.mark.parametrize(
    ("node", "weight", "x", "y", "macs"),
    [
        (helper.make_node("Conv", ["x", "w"], ["y"]), (4, 3, 3, 3), (3, 9, 7), (4, 7, 5), 4 * 27 * 35),
        (
            helper.make_node("Conv", ["x", "w"], ["y"], group=3, strides=[2, 2]),
            (3, 1, 3, 3),
            (3, 9, 7),
            (3, 4, 3),
            3 * 9 * 12,
        ),
        (helper.make_node("ConvTranspose", ["x", "w"], ["y"]), (3, 4, 3, 3), (3, 9, 7), (4, 11, 9), 108 * 63),
        (helper.make_node("Gemm", ["x", "w"], ["y"], transB=1), (5, 6), (6,), (5,), 30),
        (helper.make_node("MatMul", ["x", "w"], ["y"]), (6, 5), (7, 6), (7, 5), 210),
    ],
)
def test_contents_counts_what_a_node_multiplies(
    node: NodeProto, weight: tuple[int, ...], x: tuple[int, ...], y: tuple[int, ...], macs: int
) -> None:
    (layer,) = contents(made(node, constants={"w": weight}, x=("n", *x), y=("n", *y))).layers
    assert (layer.operator, layer.shape, layer.macs) == (node.op_type, weight, macs)
    assert layer.parameters == np.prod(weight)


def test_contents_counts_a_weight_that_two_nodes_use_once() -> None:
    nodes = (helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("MatMul", ["h", "w"], ["y"]))
    found = contents(made(*nodes, constants={"w": (3, 3)}, x=("n", 3), y=("n", 3)))
    assert [(layer.parameters, layer.macs) for layer in found.layers] == [(9, 9), (0, 9)]
    assert found.weight_bytes == 36
    assert found.operators == {"MatMul": 2}


def test_contents_does_not_know_macs_of_free_maps() -> None:
    node = helper.make_node("Einsum", ["x"], ["h"], equation="ab->ab")
    model = made(
        node, helper.make_node("MatMul", ["h", "w"], ["y"]), constants={"w": (3, 3)}, x=("n", 3), y=("n", 3)
    )
    model.graph.node[0].domain = "others"
    model.opset_import.append(helper.make_opsetid("others", 2))
    found = contents(model)
    assert [layer.macs for layer in found.layers] == [None]
    assert found.opsets == {"": 18, "others": 2}


def test_contents_says_that_weights_are_in_other_files() -> None:
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    model = made(node, constants={"w": (3, 3)}, x=("n", 3), y=("n", 3))
    assert not contents(model).external
    onnx.external_data_helper.set_external_data(model.graph.initializer[0], "/etc/passwd")
    assert contents(model).external


def test_parsed_refuses_what_is_not_onnx() -> None:
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    data = made(node, constants={"w": (3, 3)}, x=("n", 3), y=("n", 3)).SerializeToString()
    assert metadata_of(parsed(data)) == {}
    for bad in (b"", b"text", data[:-9], b"PK\x03\x04"):
        with pytest.raises(BadCheckpoint):
            parsed(bad)


def test_with_shapes_refuses_a_graph_that_contradicts_itself() -> None:
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    model = made(node, constants={"w": (3, 3)}, x=("n", 3), y=("n", 3))
    model.graph.node[0].domain = "else.where"
    with pytest.raises(BadCheckpoint, match="contradicts itself"):
        with_shapes(model)
