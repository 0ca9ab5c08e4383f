import re
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from torch import nn

from emoprune.errors import BadCheckpoint
from emoprune.io import onnx_engine
from emoprune.io.onnx_engine import Engine
from emoprune.networks import build
from emoprune.networks.table_networks import fitted_scaling
from emoprune.networks.types import Spec
from tests.support.onnx_networks import conv_net, exported_by, pictures
from tests.support.records import outcome


@pytest.fixture(scope="module")
def net() -> nn.Module:
    return conv_net()


@pytest.fixture(scope="module")
def exported(net: nn.Module) -> bytes:
    return exported_by(net, pictures(2))


def constant(name: str, value: object, kind: type = np.int64) -> TensorProto:
    return numpy_helper.from_array(np.asarray(value, kind), name)


def graph(*nodes: NodeProto, constants: tuple[TensorProto, ...] = (), out: str = "logits") -> ModelProto:
    """A file that maps x (n, 2) to logits (n, 2), as another program may write it."""
    kind = TensorProto.FLOAT
    made = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", kind, ["n", 2])],
        [helper.make_tensor_value_info(out, kind, ["n", 2])],
        constants,
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def node(kind: str, inputs: str, output: str = "logits", **attributes: Any) -> NodeProto:
    return helper.make_node(kind, inputs.split(), [output], **attributes)


def relu() -> ModelProto:
    return graph(node("Relu", "x"))


def endless() -> ModelProto:
    """A loop whose condition is always true."""
    body = helper.make_graph(
        [node("Identity", "going", "goes_on"), node("Identity", "before", "after")],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("before", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("goes_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("after", TensorProto.FLOAT, None),
        ],
    )
    forever = constant("forever", True, np.bool_)
    return graph(helper.make_node("Loop", ["", "forever", "x"], ["logits"], body=body), constants=(forever,))


def unfolding() -> ModelProto:
    """Functions that each call the next one twice: a few lines that become any number of nodes."""
    domain = "local"
    model = graph(helper.make_node("f0", ["x"], ["logits"], domain=domain))
    imports = [helper.make_opsetid("", 18), helper.make_opsetid(domain, 1)]
    for level in range(40):
        last = level == 39
        inner = {"op_type": "Identity"} if last else {"op_type": f"f{level + 1}", "domain": domain}
        calls = [helper.make_node(inputs=[a], outputs=[b], **inner) for a, b in ("am", "mz")]
        model.functions.append(helper.make_function(domain, f"f{level}", ["a"], ["z"], calls, imports))
    del model.opset_import[:]
    model.opset_import.extend(imports)
    return model


def elsewhere(where: str) -> ModelProto:
    """Weights in another file, named in one of the places where a graph may have them."""
    weights = constant("w", [1, 2], np.float32)
    onnx.external_data_helper.set_external_data(weights, "/etc/passwd", 0, 8)
    weights.ClearField("raw_data")
    if where == "a constant":
        return graph(node("Constant", "", "w", value=weights), node("Add", "x w"))
    if where == "a sparse one":
        sparse = helper.make_sparse_tensor(weights, constant("", [0, 1]), [2])
        return graph(node("Constant", "", "w", sparse_value=sparse), node("Add", "x w"))
    return graph(node("Add", "x w"), constants=(weights,))


def gigantic(shape: list[int]) -> ModelProto:
    ones = constant("one", [1], np.float32)
    nodes = (node("ConstantOfShape", "shape", "many", value=ones), node("ReduceSum", "many", "sum"))
    return graph(*nodes, node("Add", "x sum"), constants=(constant("shape", shape),))


HOSTILE: dict[str, tuple[Callable[[], ModelProto], str]] = {
    "an endless loop": (endless, r"control flow \(Loop\)"),
    "functions that unfold": (unfolding, r"function of its own \(f0\)"),
    "weights elsewhere": (lambda: elsewhere("an initializer"), "another file.*as one file"),
    "a constant elsewhere": (lambda: elsewhere("a constant"), "another file"),
    "a sparse constant elsewhere": (lambda: elsewhere("a sparse one"), "another file"),
    "a tensor of terabytes": (lambda: gigantic([10**6, 10**6]), r"1000000x1000000 numbers \(many\)"),
    "a shape that overflows": (lambda: gigantic([2**62, 2**62]), "numbers|contradict"),
    "an operator of its own": (
        lambda: graph(helper.make_node("Trick", ["x"], ["logits"], domain="else.where")),
        "contradicts itself.*Trick",
    ),
    "shapes that contradict": (
        lambda: graph(node("Add", "x w"), constants=(constant("w", [[1] * 5] * 3, np.float32),)),
        "contradict|Incompatible",
    ),
    "an input that nobody gives": (lambda: graph(node("Relu", "y")), "contradict|cannot be loaded"),
    "nothing": (lambda: ModelProto(ir_version=8), "not an ONNX file"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_engine_refuses_what_export_never_writes(name: str) -> None:
    make, says = HOSTILE[name]
    with pytest.raises(BadCheckpoint, match=says) as caught:
        Engine(make().SerializeToString())
    assert "\n" not in str(caught.value)


def test_logits_ends_in_one_line_where_memory_is_too_short() -> None:
    # the size follows from the batch alone, so that nothing can know it before
    steps = (
        node("ReduceSum", "x", "sum", keepdims=0),
        node("Mul", "sum factor", "product"),
        node("Cast", "product", "length", to=TensorProto.INT64),
        node("Reshape", "length row", "shape"),
        node("ConstantOfShape", "shape", "many"),
        node("ReduceSum", "many", "total", keepdims=0),
        node("Add", "x total"),
    )
    constants = (constant("factor", 2.0**40, np.float32), constant("row", [1]))
    engine = Engine(graph(*steps, constants=constants).SerializeToString())
    with pytest.raises(BadCheckpoint, match="cannot be run by onnxruntime") as caught:
        engine.logits(torch.ones(1, 2) * 64, 2)
    assert "\n" not in str(caught.value)


def test_engine_refuses_other_bytes(exported: bytes) -> None:
    for data in (b"hello world", b"\0" * 1000, b"PK\3\4" + b"\0" * 60, exported[: len(exported) // 2]):
        with pytest.raises(BadCheckpoint, match="not an ONNX file") as caught:
            Engine(data)
        assert "\n" not in str(caught.value)
    with pytest.raises(BadCheckpoint, match="empty"):
        Engine(b"")


@given(st.binary(max_size=60))
@settings(max_examples=60, deadline=None)
def test_engine_refuses_random_bytes(data: bytes) -> None:
    with pytest.raises(BadCheckpoint):
        Engine(data)


@given(st.integers(0, 10**6), st.integers(0, 255))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_engine_of_a_flipped_byte_raises_only_our_errors(
    capfd: pytest.CaptureFixture[str], place: int, value: int
) -> None:
    data = bytearray(SMALL)
    data[place % len(data)] = value

    def use() -> None:
        engine = Engine(bytes(data))
        engine.check_interface((2,), 2)
        engine.logits(torch.ones(3, 2), 2)

    assert "\n" not in str(outcome(BadCheckpoint, use))
    assert capfd.readouterr() == ("", "")


SMALL = exported_by(nn.Sequential(nn.Linear(2, 2)).eval(), torch.zeros(2, 2), metadata="{}")


def test_engine_reads_the_metadata_of_any_file(exported: bytes) -> None:
    assert "emoprune" not in Engine(relu().SerializeToString()).metadata
    assert Engine(SMALL).metadata == {"emoprune": "{}"}


def test_check_interface_passes_what_maps_samples_to_logits(exported: bytes) -> None:
    Engine(exported).check_interface((3, 9, 7), 2)
    second = relu()
    second.graph.output.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, ["n", 2]))
    second.graph.node.append(node("Abs", "x", "more"))
    engine = Engine(second.SerializeToString())
    engine.check_interface((2,), 2)
    assert engine.logits(torch.tensor([[-1.0, 2.0]]), 2).tolist() == [[0.0, 2.0]]


def with_second_input(model: ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2]))
    model.graph.node[0].CopyFrom(node("Add", "x y"))


def with_fixed_batch(model: ModelProto) -> None:
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1


def with_whole_numbers(model: ModelProto) -> None:
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = TensorProto.INT64
    model.graph.node[0].op_type = "Identity"


def with_another_output(model: ModelProto) -> None:
    model.graph.node[0].output[0] = model.graph.output[0].name = "scores"


@pytest.mark.parametrize(
    ("change", "shape", "outputs", "says"),
    [
        (with_another_output, (2,), 2, "x, scores as inputs and outputs"),
        (with_second_input, (2,), 2, "x, y, logits as inputs and outputs"),
        (with_fixed_batch, (2,), 2, "1 samples at a time"),
        (with_whole_numbers, (2,), 2, "its x are tensor.int64."),
        (lambda model: None, (3,), 2, r"its x are .* \[2\], not \[3\]"),
        (lambda model: None, (1, 2, 1), 2, "its x are"),
        (lambda model: None, (2,), 7, r"its logits are .* \[2\], not \[7\]"),
    ],
)
def test_check_interface_names_what_does_not_fit(
    change: Callable[[ModelProto], object], shape: tuple[int, ...], outputs: int, says: str
) -> None:
    model = relu()
    change(model)
    with pytest.raises(BadCheckpoint, match=says):
        Engine(model.SerializeToString()).check_interface(shape, outputs)


def test_logits_takes_and_gives_other_precisions() -> None:
    for kind in (TensorProto.FLOAT16, TensorProto.DOUBLE):
        model = relu()
        for value in (*model.graph.input, *model.graph.output):
            value.type.tensor_type.elem_type = kind
        engine = Engine(model.SerializeToString())
        engine.check_interface((2,), 2)
        found = engine.logits(torch.tensor([[-1.0, 0.5]]), 2)
        assert (found.dtype, found.tolist()) == (torch.float32, [[0.0, 0.5]])


@pytest.mark.parametrize(
    ("last", "shape"), [(node("ReduceSum", "x"), [1, 1]), (node("Concat", "x x", axis=1), [3, 4])]
)
def test_logits_of_another_shape_than_the_file_says_are_refused(last: NodeProto, shape: list[int]) -> None:
    engine = Engine(graph(last).SerializeToString())
    with pytest.raises(BadCheckpoint, match=re.escape(f"shape {shape} for 3 samples")):
        engine.logits(torch.ones(3, 2), 2)


def test_logits_ends_a_run_that_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    # minutes of steps, each of which waits for the one before
    steps = [node("MatMul", f"m{index} m{index}", f"m{index + 1}") for index in range(5000)]
    first = (node("ReduceSum", "x", "sum", keepdims=0), node("Mul", "sum wide", "m0"))
    last = (node("ReduceSum", "m5000", "total", keepdims=0), node("Add", "x total"))
    wide = constant("wide", np.full((1000, 1000), 1e-3), np.float32)
    engine = Engine(graph(*first, *steps, *last, constants=(wide,)).SerializeToString())
    monkeypatch.setattr(onnx_engine, "LONGEST_S", 0.1)
    with pytest.raises(BadCheckpoint, match=r"takes over 0\.1 s for 1 sample;"):
        engine.logits(torch.full((1, 2), 0.5), 2)


def test_logits_takes_batches_that_are_not_contiguous(exported: bytes) -> None:
    turned = pictures(2).permute(0, 1, 3, 2).contiguous().permute(0, 1, 3, 2)
    assert torch.equal(*(Engine(exported).logits(batch, 2) for batch in (turned, pictures(2))))


def test_logits_fills_missing_values_as_torch_does() -> None:
    net = build.build(Spec("mlp", 3, (4,), (5,))).eval()
    generator = torch.Generator().manual_seed(0)
    rows = torch.rand(20, 4, generator=generator)
    rows[torch.rand(20, 4, generator=generator) < 0.4] = torch.nan
    rows[0] = torch.tensor([1.0, 2.0, 3.0, 4.0])
    scaling = fitted_scaling(rows, "standard", columns="abcd")
    net.get_submodule("scaling").load_state_dict(scaling.state_dict())
    engine = Engine(exported_by(net, rows[:2]))
    with torch.inference_mode():
        expected = net(rows)
    assert bool(expected.isfinite().all())
    torch.testing.assert_close(engine.logits(rows, 3), expected, rtol=0, atol=1e-5)
