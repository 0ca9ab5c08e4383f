"""What an ONNX file does with pictures before its network sees them: gray, size, mean and deviation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto
from onnx.helper import make_node, make_tensor_value_info
from onnx.numpy_helper import from_array

from emoprune.data.types import Preprocess
from emoprune.errors import UsageFault
from emoprune.io.onnx_files import IMAGES, OUTPUT, PROBABILITIES, opset_of

NEEDS_OPSET = 18
"""The first whose Resize averages over all source pixels."""
GRAY_WEIGHTS, GRAY_HALF, GRAY_ONE = (19595, 38470, 7471), 2**15, 2**16
"""Luma of ITU-R 601 as Pillow has it: red, green and blue in parts of 65,536, rounded to the nearest."""


def take_pictures(model: ModelProto, preprocess: Preprocess) -> None:
    """Let a file that takes network input take pictures instead, and give probabilities beside logits.

    They are "images" (n, height, width, 3), RGB bytes of any size, all of a batch of one. What follows is
    what `data.image_dataset.to_array` and `to_input` do: gray by whole numbers, then the size, where a pixel
    may be rounded to the next of the 255 levels. Raises UsageFault below opset 18.
    """
    opset = opset_of(model)
    if opset < NEEDS_OPSET:
        raise UsageFault(
            f"`opset={opset}` cannot resize pictures as training does", f"give `opset={NEEDS_OPSET}`"
        )
    graph = model.graph
    steps = _Steps()
    network_input = f"{IMAGES}/normalized"
    for node in graph.node:
        node.input[:] = [network_input if name == IMAGES else name for name in node.input]
    found = IMAGES
    if preprocess.color == "gray":
        found = _gray(steps, found)
    # as rows of pixels: onnxruntime moves a transposition through a resizing that names its axes, and fails
    found = steps.add(
        "Resize",
        *(found, "", "", steps.constant("size", preprocess.size, np.int64)),
        **{"mode": "linear", "antialias": 1, "exclude_outside": 1, "axes": [1, 2]},
        coordinate_transformation_mode="half_pixel",
    )
    found = steps.add("Transpose", found, perm=[0, 3, 1, 2])
    found = steps.add("Cast", found, to=TensorProto.FLOAT)
    if preprocess.color == "gray" and preprocess.channels > 1:
        found = steps.add("Concat", *[found] * preprocess.channels, axis=1)
    found = steps.add("Div", found, steps.constant("levels", [255], np.float32))
    for operation, values in (("Sub", preprocess.mean), ("Div", preprocess.std)):
        per_channel = np.array(values, np.float32)[:, None, None]
        found = steps.add(operation, found, steps.constant(operation.lower(), per_channel, np.float32))
    steps.nodes[-1].output[0] = network_input
    nodes = [*steps.nodes, *graph.node]
    nodes.append(make_node("Softmax", [OUTPUT], [PROBABILITIES], axis=-1, name=PROBABILITIES))
    del graph.node[:], graph.input[:]
    graph.node.extend(nodes)
    graph.initializer.extend(steps.constants)
    graph.input.append(make_tensor_value_info(IMAGES, TensorProto.UINT8, ["batch", "height", "width", 3]))
    classes = graph.output[0].type.tensor_type.shape.dim[1].dim_value
    graph.output.append(make_tensor_value_info(PROBABILITIES, TensorProto.FLOAT, ["batch", classes]))


def _gray(steps: _Steps, pictures: str) -> str:
    """One channel of bytes in place of three, by whole numbers as Pillow counts."""
    found = steps.add("Cast", pictures, to=TensorProto.INT32)
    found = steps.add("Mul", found, steps.constant("luma", GRAY_WEIGHTS, np.int32))
    found = steps.add("ReduceSum", found, steps.constant("channels", [3], np.int64), keepdims=1)
    found = steps.add("Add", found, steps.constant("half", [GRAY_HALF], np.int32))
    found = steps.add("Div", found, steps.constant("one", [GRAY_ONE], np.int32))
    return steps.add("Cast", found, to=TensorProto.UINT8)


class _Steps:
    """Nodes one after the other, with names that no network has."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []

    def add(self, operation: str, *inputs: str, **attributes: Any) -> str:
        """Add a node; the name of its output."""
        name = f"{IMAGES}/{len(self.nodes)}_{operation.lower()}"
        self.nodes.append(make_node(operation, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, name: str, values: Sequence[float] | np.ndarray[Any, Any], kind: type[Any]) -> str:
        """Add a constant; its name."""
        full = f"{IMAGES}/{name}"
        self.constants.append(from_array(np.array(values, kind), full))
        return full
