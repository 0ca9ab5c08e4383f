"""ONNX files: written from a network of torch, run by onnxruntime, compared."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterable, Mapping

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import ModelProto
from torch import Tensor, nn

from emoprune.errors import BadCheckpoint

OUTPUT = "logits"
OPSET = 18
COPY_AGAIN = "copy or export it again"


def export(net: nn.Module, example: Tensor, metadata: Mapping[str, str]) -> bytes:
    """`net` as one ONNX file with a free batch dimension and `metadata` in its properties.

    `example` is a batch of at least 2 samples; the input is called "images" or "features", the output
    "logits" (n, classes).
    """
    name = "images" if example.ndim == 4 else "features"
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
                input_names=[name],
                output_names=[OUTPUT],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                opset_version=OPSET,
                verbose=False,
            )
    finally:
        logger.setLevel(level)
    assert program is not None
    model: ModelProto = program.model_proto
    onnx.helper.set_model_props(model, dict(metadata))
    # the exporter notes source files of this machine at every node
    for node in model.graph.node:
        del node.metadata_props[:]
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


class Engine:
    """An ONNX file that onnxruntime runs on the CPU; BadCheckpoint for other bytes."""

    def __init__(self, data: bytes) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            # onnxruntime's errors share no base class but Exception; other errors are bugs of ours
            if not type(error).__module__.startswith("onnxruntime"):
                raise
            fact = str(error).splitlines()[0]
            raise BadCheckpoint(f"not an ONNX file ({fact})", COPY_AGAIN) from error
        self._input = self._session.get_inputs()[0].name

    @property
    def metadata(self) -> dict[str, str]:
        """The properties that the file was exported with."""
        entries: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        return entries

    def logits(self, batch: Tensor) -> Tensor:
        """Logits (n, classes) of a batch of network inputs."""
        (values,) = self._session.run([OUTPUT], {self._input: np.ascontiguousarray(batch.cpu().numpy())})
        return torch.from_numpy(values)


def largest_difference(engine: Engine, net: nn.Module, batches: Iterable[Tensor]) -> float:
    """Largest absolute difference of any logit between the engine and the network over `batches`.

    NaN anywhere counts as infinite.
    """
    worst = 0.0
    for batch in batches:
        with torch.inference_mode():
            difference = float((net(batch) - engine.logits(batch)).abs().max())
        worst = max(worst, math.inf if math.isnan(difference) else difference)
    return worst
