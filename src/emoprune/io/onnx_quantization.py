"""Smaller numbers: ONNX graphs of 8-bit whole numbers or 16-bit floats, by onnxruntime's own tools."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto
from onnx.helper import make_empty_tensor_value_info
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quant_pre_process,
    quantize_static,
)

QUANTIZED = ("Conv", "Gemm", "MatMul")
"""Operators whose weights and inputs become whole numbers."""
NEEDS_OPSET = 13
"""The first with a scale for each channel."""

Batches = Sequence[NDArray[Any]]


def prepared(model: ModelProto) -> ModelProto:
    """A graph with batch norms folded and constants computed, as `to_int8` takes it."""
    with _files(model) as (path, made):
        quant_pre_process(path, made, skip_symbolic_shape=True)
        return _named(_standard(onnx.load(made)))


def to_int8(model: ModelProto, batches: Batches, *, but: Collection[str] = ()) -> ModelProto:
    """A prepared graph with weights and activations of 8 bits, in the standard operators.

    The ranges of activations are those in some `batches` of input. Nodes named in `but` stay float32.
    Activations have no sign, and weights 7 bits: without instructions for 8, products of two bytes overflow.
    """
    with _files(model) as (path, made):
        quantize_static(
            path,
            made,
            _Reader(model.graph.input[0].name, batches),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(QUANTIZED),
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=list(but),
        )
        return _standard(onnx.load(made))


def to_fp16(model: ModelProto) -> ModelProto:
    """A graph with floats of 16 bits; input and output stay as they are."""
    # they take long to import
    from onnxruntime.quantization.onnx_model import ONNXModel
    from onnxruntime.transformers.float16 import convert_float_to_float16

    copied = ModelProto()
    copied.CopyFrom(model)
    with _quiet():
        found = ONNXModel(convert_float_to_float16(copied, keep_io_types=True))
        # it adds what reads the input at the end
        found.topological_sort()
    return _standard(found.model)


def noise_added(whole: ModelProto, quantized: ModelProto, batch: NDArray[Any]) -> dict[str, float]:
    """By the name of each node of a prepared graph that int8 may take: what part of its output is new error.

    That is the squared error of its output in a quantized graph over the squared output, less the same of its
    input: what came in as error is not its own.
    """
    nodes = [node for node in whole.graph.node if node.op_type in QUANTIZED]
    names = list(dict.fromkeys(name for node in nodes for name in (node.input[0], node.output[0])))
    before, after = _values(whole, names, batch), _values(quantized, names, batch)

    def noise(name: str) -> float:
        error = np.square(before[name] - after[name], dtype=np.float64).sum()
        return float(error / max(np.square(before[name], dtype=np.float64).sum(), 1e-30))

    return {node.name: noise(node.output[0]) - noise(node.input[0]) for node in nodes}


def _values(model: ModelProto, names: Sequence[str], batch: NDArray[Any]) -> Mapping[str, NDArray[Any]]:
    """What the graph computes under these names for a batch."""
    copied = ModelProto()
    copied.CopyFrom(model)
    given = copied.graph.input[0].name
    known = {given, *(entry.name for entry in copied.graph.output)}
    copied.graph.output.extend(make_empty_tensor_value_info(name) for name in names if name not in known)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    # as the file says: what is fused has no output
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        copied.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    asked = [name for name in names if name != given]
    return {given: batch, **dict(zip(asked, session.run(asked, {given: batch}), strict=True))}


def _standard(model: ModelProto) -> ModelProto:
    """The graph without the domains that it names and no node needs."""
    needed = {node.domain for node in model.graph.node} | {""}
    kept = [entry for entry in model.opset_import if entry.domain in needed]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    return model


def _named(model: ModelProto) -> ModelProto:
    """The graph with a name for every node, by which `to_int8` leaves some out."""
    for number, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{number}"
    return model


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Gives batches one by one."""

    def __init__(self, name: str, batches: Batches) -> None:
        self._rest: Iterator[Mapping[str, NDArray[Any]]] = iter([{name: batch} for batch in batches])

    def get_next(self) -> Mapping[str, NDArray[Any]] | None:
        """The next, None after the last."""
        return next(self._rest, None)


@contextmanager
def _files(model: ModelProto) -> Iterator[tuple[Path, Path]]:
    """Within, a file with the graph, and where another may be; of graphs in memory these tools fail."""
    with _quiet(), tempfile.TemporaryDirectory(prefix="emoprune-") as folder:
        path = Path(folder, "given.onnx")
        onnx.save(model, path)
        yield path, Path(folder, "made.onnx")


@contextmanager
def _quiet() -> Iterator[None]:
    """Within, onnxruntime's tools say nothing: what they advise is done."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(level)
