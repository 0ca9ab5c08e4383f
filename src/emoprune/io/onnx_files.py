"""ONNX files written from a network of torch."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping

import onnx
import torch
from onnx import ModelProto
from torch import Tensor, nn

from emoprune.errors import BadCheckpoint, UsageFault
from emoprune.version import __version__

IMAGES, OUTPUT, PROBABILITIES = "images", "logits", "probabilities"
"""Names of inputs and outputs."""
EXPORTED_OPSET = 18
"""The lowest opset that torch's exporter writes; lower ones are made of it."""

MOST_BYTES = 2**31 - 2**24
"""Of the weights: a protobuf message ends at 2 GiB."""


def export(
    net: nn.Module, example: Tensor, metadata: Mapping[str, str], *, opset: int, description: str = ""
) -> bytes:
    """`net` as one ONNX file of that opset: `traced`, then `finished`."""
    return finished(traced(net, example, opset=opset), metadata, opset=opset, description=description)


def traced(net: nn.Module, example: Tensor, *, opset: int) -> ModelProto:
    """`net` as a graph with a free batch dimension, to be `finished`.

    `example` is a batch of at least 2 samples; the input is called "images" or "features", the output
    "logits" (n, classes). Raises BadCheckpoint for a network that is too large for one file.
    """
    size = sum(tensor.nbytes for tensor in net.state_dict().values())
    if size > MOST_BYTES:
        raise BadCheckpoint(f"its {size / 2**30:.1f} GiB do not fit in one ONNX file", "prune it first")
    model = _traced(net, example, max(opset, EXPORTED_OPSET))
    if opset < EXPORTED_OPSET:
        _lower(model, opset)
    _anonymize(model)
    return model


def opset_of(model: ModelProto) -> int:
    """The version of the standard operators that a graph has."""
    version: int = next(entry.version for entry in model.opset_import if not entry.domain)
    return version


def finished(model: ModelProto, metadata: Mapping[str, str], *, opset: int, description: str = "") -> bytes:
    """A graph as one file of that opset, checked, with `metadata` in its properties.

    It has the lowest IR version that its opset allows. Raises UsageFault where the opset lacks what the
    network needs.
    """
    versions = {entry.domain: entry.version for entry in model.opset_import}
    try:
        if versions != {"": opset}:
            raise onnx.checker.ValidationError(f"torch writes it in opset {versions.get('')}")
        model.ir_version = onnx.helper.find_min_ir_version_for(model.opset_import)
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        fact = f"`opset={opset}` cannot express this network ({first_line(error)})"
        raise UsageFault(fact, f"give `opset={EXPORTED_OPSET}`") from error
    model.producer_name, model.producer_version, model.doc_string = "emoprune", __version__, description
    onnx.helper.set_model_props(model, dict(metadata))
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _traced(net: nn.Module, example: Tensor, opset: int) -> ModelProto:
    # the exporter has messages of its own
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(action="ignore"):
            program = torch.onnx.export(
                net,
                (example,),
                dynamo=True,
                input_names=[IMAGES if example.ndim == 4 else "features"],
                output_names=[OUTPUT],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                opset_version=opset,
                verbose=False,
            )
    finally:
        logger.setLevel(level)
    assert program is not None
    return program.model_proto


REDUCTIONS = frozenset(("ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2"))
NEWER_ATTRIBUTES = {
    "Reshape": ("allowzero", 14),
    "Split": ("num_outputs", 18),
    **dict.fromkeys(REDUCTIONS, ("noop_with_empty_axes", 18)),
}
"""Attributes that say what older opsets do anyway, and the opset that brought each."""


def _lower(model: ModelProto, opset: int) -> None:
    """Write operators as `opset` has them, where that takes no other operator; the checker finds the rest."""
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        newer, since = NEWER_ATTRIBUTES.get(node.op_type, ("", 0))
        for attribute in [entry for entry in node.attribute if entry.name == newer and opset < since]:
            node.attribute.remove(attribute)
        if node.op_type in REDUCTIONS and len(node.input) == 2 and node.input[1] in constants:
            axes = onnx.numpy_helper.to_array(constants[node.input.pop()])
            node.attribute.append(onnx.helper.make_attribute("axes", axes.tolist()))
    used = {name for node in graph.node for name in node.input}
    for index in reversed(range(len(graph.initializer))):
        if graph.initializer[index].name not in used:
            del graph.initializer[index]
    del model.opset_import[:]
    model.opset_import.append(onnx.helper.make_opsetid("", opset))


def _anonymize(model: ModelProto) -> None:
    """Remove what the exporter notes of this machine: source files and stack traces at every node."""
    graph = model.graph
    parts = (graph.node, graph.value_info, graph.input, graph.output, graph.initializer)
    for part in (model, graph, *(entry for entries in parts for entry in entries)):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")


def first_line(error: Exception) -> str:
    """What an error of onnx or onnxruntime says, without its details."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
