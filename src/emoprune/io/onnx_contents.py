"""What an ONNX file holds, read without running it and without torch."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto

from emoprune import events
from emoprune.errors import BadCheckpoint, first_line
from emoprune.io.file_kinds import check_kind

COPY_AGAIN, EXPORT_AGAIN = "copy or export it again", "export its checkpoint again"

MOST_SIDES = 64
"""Of a shape in a constant."""

PASSES_ON = frozenset(("DequantizeLinear", "Cast", "Transpose", "Identity", "Reshape"))
"""Operators that only give a weight to the one that uses it."""

COUNTED = frozenset(("Conv", "ConvTranspose", "Gemm", "MatMul"))
"""Operators of multiply-accumulates; `macs` of others are 0."""

WHOLE = frozenset((TensorProto.INT64, TensorProto.BOOL, TensorProto.STRING))
"""Types of constants that are shapes and flags, not weights; quantized biases are int32."""


@dataclass(frozen=True)
class OnnxValue:
    """An input or output: its name, the type of its numbers, its sides; of those that are free the names."""

    name: str
    type: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True)
class OnnxLayer:
    """A node that has weights, or multiplies: `shape` is that of its largest weight.

    `macs` for one sample are None where the shapes do not follow from the file.
    """

    name: str
    operator: str
    shape: tuple[int, ...]
    parameters: int
    macs: int | None


@dataclass(frozen=True)
class OnnxContents:
    """What an ONNX file holds. `opsets` are versions by domain, "" that of ONNX itself.

    `operators` are counted, the most frequent first, and so are the `numbers` of its weights by type.
    `weight_bytes` are those in the file; `external` says whether there are more in other files.
    """

    opsets: Mapping[str, int]
    ir_version: int
    producer: str
    description: str
    inputs: tuple[OnnxValue, ...]
    outputs: tuple[OnnxValue, ...]
    operators: Mapping[str, int]
    layers: tuple[OnnxLayer, ...]
    numbers: Mapping[str, int]
    weight_bytes: int
    external: bool


def parsed(data: bytes) -> ModelProto:
    """The model in the bytes of an ONNX file; BadCheckpoint for other bytes."""
    check_kind(data, "an ONNX file", remedy=COPY_AGAIN, takes={"an ONNX file"}, fault=BadCheckpoint)
    try:
        model = onnx.load_model_from_string(data)
    except DecodeError as error:
        raise BadCheckpoint(f"not an ONNX file ({first_line(error)})", COPY_AGAIN) from error
    if not model.graph.output:
        raise BadCheckpoint("not an ONNX file (it has no output)", COPY_AGAIN)
    return model


def metadata_of(model: ModelProto) -> dict[str, str]:
    """The properties that a file was exported with; BadCheckpoint for those that are not text."""
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    # protobuf gives bytes for what is not UTF-8
    if not all(isinstance(text, str) for text in chain(*metadata.items())):
        raise BadCheckpoint("its metadata is not text", COPY_AGAIN)
    return metadata


def with_shapes(model: ModelProto) -> GraphProto:
    """The graph with the shapes for one sample that follow from the file, without its weights.

    Raises BadCheckpoint where they contradict one another, or a name is not text.
    """
    try:
        return _with_shapes(model)
    except UnicodeDecodeError:
        raise BadCheckpoint("has a name that is not text", COPY_AGAIN) from None


def _with_shapes(model: ModelProto) -> GraphProto:
    shapes = ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    shapes.graph.MergeFrom(
        GraphProto(node=model.graph.node, input=model.graph.input, output=model.graph.output)
    )
    for tensor in model.graph.initializer:
        # small ones may be shapes; weights need not be copied
        small = math.prod(tensor.dims) <= MOST_SIDES
        bare = TensorProto(name=tensor.name, dims=tensor.dims, data_type=tensor.data_type)
        shapes.graph.initializer.append(tensor if small else bare)
    for value in shapes.graph.input:
        for side in value.type.tensor_type.shape.dim:
            if not side.HasField("dim_value"):
                side.dim_value = 1
    try:
        return onnx.shape_inference.infer_shapes(shapes, data_prop=True).graph
    except (onnx.shape_inference.InferenceError, RuntimeError) as error:
        raise BadCheckpoint(f"its graph contradicts itself ({first_line(error)})", EXPORT_AGAIN) from error


def contents(model: ModelProto) -> OnnxContents:
    """What a model of `parsed` holds; where its graph contradicts itself, without multiply-accumulates."""
    graph = model.graph
    constants = {tensor.name: tensor for tensor in _constants(graph)}
    weights = [tensor for tensor in constants.values() if tensor.data_type not in WHOLE]
    return OnnxContents(
        opsets={_text(entry.domain): entry.version for entry in model.opset_import},
        ir_version=model.ir_version,
        producer=f"{_text(model.producer_name)} {_text(model.producer_version)}".strip(),
        description=_text(model.doc_string),
        # older files list their weights among the inputs
        inputs=tuple(_value(entry) for entry in graph.input if entry.name not in constants),
        outputs=tuple(map(_value, graph.output)),
        operators=dict(Counter(_text(node.op_type) for node in graph.node).most_common()),
        layers=tuple(_layers(model, constants)),
        numbers=_numbers(weights),
        weight_bytes=sum(map(_bytes, weights)),
        external=any(tensor.data_location == TensorProto.EXTERNAL for tensor in constants.values()),
    )


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "backslashreplace")


def _value(entry: ValueInfoProto) -> OnnxValue:
    tensor = entry.type.tensor_type
    sides = (
        side.dim_value if side.HasField("dim_value") else _text(side.dim_param) or "?"
        for side in tensor.shape.dim
    )
    return OnnxValue(_text(entry.name), _type(tensor.elem_type), tuple(sides))


def _type(number: int) -> str:
    kinds = TensorProto.DataType
    kind = kinds.Name(number).lower() if number in kinds.values() else "unknown"
    return {"float": "float32", "double": "float64"}.get(kind, kind)


def _numbers(weights: Iterable[TensorProto]) -> dict[str, int]:
    found = Counter[str]()
    for tensor in weights:
        found[_type(tensor.data_type)] += _count(tensor)
    return dict(found.most_common())


def _constants(graph: GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        for entry in node.attribute if node.op_type == "Constant" and node.output else ():
            if entry.HasField("t"):
                named = TensorProto()
                named.CopyFrom(entry.t)
                named.name = node.output[0]
                yield named


def _bytes(tensor: TensorProto) -> int:
    try:
        kind = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
    except KeyError:
        return 0
    return _count(tensor) * np.dtype(kind).itemsize


def _count(tensor: TensorProto) -> int:
    return math.prod(max(side, 0) for side in tensor.dims)


def _layers(model: ModelProto, constants: Mapping[str, TensorProto]) -> Iterator[OnnxLayer]:
    """Nodes with weights or multiply-accumulates, each weight with the first that uses it."""
    shapes = _shapes(model)
    origin: dict[str, str] = {name: name for name in constants}
    taken: set[str] = set()
    for node in model.graph.node:
        if node.op_type in PASSES_ON and node.input and node.input[0] in origin:
            origin |= dict.fromkeys(node.output, origin[node.input[0]])
            continue
        own = [constants[origin[name]] for name in node.input if name in origin]
        weights = [tensor for tensor in own if tensor.data_type not in WHOLE and tensor.dims]
        count = sum(_count(tensor) for tensor in weights if tensor.name not in taken)
        taken |= {tensor.name for tensor in weights}
        macs = _macs(node, shapes) if node.op_type in COUNTED else 0
        if count or macs or macs is None:
            largest = max(weights, key=_count) if weights else None
            name = largest.name.rpartition(".")[0] if largest else ""
            yield OnnxLayer(
                name=_text(name or node.name or node.op_type),
                operator=_text(node.op_type),
                shape=tuple(largest.dims) if largest else (),
                parameters=count,
                macs=macs,
            )


def _shapes(model: ModelProto) -> dict[str, tuple[int, ...]]:
    """The sides of every tensor for one sample, of those whose sides are all known."""
    try:
        graph = with_shapes(model)
    except BadCheckpoint as error:
        events.note(f"multiply-accumulates are not counted: {error.fact}")
        return {}
    found = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        if value.type.tensor_type.HasField("shape"):
            sides = value.type.tensor_type.shape.dim
            if all(side.HasField("dim_value") and side.dim_value > 0 for side in sides):
                found[value.name] = tuple(side.dim_value for side in sides)
    return found


def _macs(node: NodeProto, shapes: Mapping[str, tuple[int, ...]]) -> int | None:
    """Multiply-accumulates of a convolution or a product of matrices; None where a shape is not known."""
    first, second = (shapes.get(name) for name in node.input[:2]) if len(node.input) > 1 else (None, None)
    made = shapes.get(node.output[0]) if node.output else None
    if first is None or second is None or made is None or len(first) < 1 or len(second) < 1:
        return None
    if node.op_type in ("Conv", "ConvTranspose"):
        # a weight meets every position of what it makes; transposed, of what it reads
        return math.prod(second) * math.prod((made if node.op_type == "Conv" else first)[2:])
    transposed = any(entry.name == "transA" and entry.i for entry in node.attribute)
    return math.prod(made) * (first[0] if transposed else first[-1])
