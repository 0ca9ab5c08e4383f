"""ONNX files of trained networks, checked to compute the same before they are written."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from onnx import ModelProto

from emoprune.data.datasets import Data
from emoprune.deployment.config import ExportConfig
from emoprune.deployment.picture_input import take_pictures
from emoprune.deployment.types import ExportSummary
from emoprune.deployment.verification import verify
from emoprune.errors import UsageFault
from emoprune.io import files, onnx_files
from emoprune.io.onnx_engine import Engine
from emoprune.io.safetensors_files import METADATA_KEY
from emoprune.io.visible_text import visible
from emoprune.networks import build, onnx_metadata
from emoprune.networks.checkpoint import own_bytes
from emoprune.networks.costs import profiling
from emoprune.networks.losses import task_of
from emoprune.networks.types import Checkpoint, Cost


def export(
    checkpoint: Checkpoint,
    path: str | Path | None,
    config: ExportConfig | None = None,
    *,
    data: Data | str | None = None,
    force: bool = False,
) -> ExportSummary:
    """Write a network as an ONNX file with a free batch size; without a `path` only check it.

    The file runs in onnxruntime on random batches and on samples of `data`, by default of the training data,
    and one that takes pictures on all of `data`, by default on the val part: see `verification.verify`. With
    smaller numbers it has to answer as well on these: see `quantize.quantize`. Raises ToleranceExceeded, and
    writes nothing, where it does not, UsageFault where the opset lacks what the network needs, where a
    network of tables is to take pictures, and where there are no images to quantize by.
    """
    config = config or ExportConfig()
    output = None if path is None else str(path)
    if output not in (None, files.STANDARD) and not output.endswith(".onnx"):
        raise UsageFault("does not end in .onnx", "programs know such files by their name", place=output)
    takes_pictures = config.input == "uint8"
    if takes_pictures and checkpoint.preprocess.kind != "image":
        raise UsageFault("`input=uint8` is of pictures, and the network takes tables", "leave it out")
    net = build.restore(checkpoint.spec, checkpoint.tensors)
    if output is not None:
        files.check_output(output, force=force)
    cost = profiling.cost(net, checkpoint.spec.input)
    source = own_bytes(checkpoint)
    graph = onnx_files.traced(net, torch.zeros(2, *checkpoint.spec.input), opset=config.opset)
    properties = _properties(checkpoint, cost, source, takes_pictures=takes_pictures)

    def finished(model: ModelProto) -> bytes:
        copied = ModelProto()
        copied.CopyFrom(model)
        if takes_pictures:
            take_pictures(copied, checkpoint.preprocess)
        return onnx_files.finished(
            copied, properties, opset=config.opset, description=_description(checkpoint)
        )

    made = finished(graph)
    verified = verify(Engine(made), net, checkpoint, data, config, place=output or "")
    smaller = None
    if config.quantize != "none":
        # onnxruntime's tools take long to import
        from emoprune.deployment.quantize import quantize

        made, smaller = quantize(graph, made, finished, checkpoint, data, config)
    if output is not None:
        files.write_bytes(output, made, force=force)
    return ExportSummary(
        output=output,
        input_type=config.input,
        bytes=len(made),
        input_bytes=len(source),
        opset=config.opset,
        tolerance=config.tolerance,
        difference_random=verified.random.difference,
        difference_real=verified.real.difference if verified.real.samples else None,
        changed_classes=verified.changed,
        real_samples=verified.real.samples,
        pictures=verified.pictures.samples,
        difference_pictures=verified.pictures.difference if verified.pictures.samples else None,
        changed_pictures=verified.pictures.changed,
        parameters=cost.parameters,
        macs=cost.macs,
        quantize=config.quantize,
        quantized=smaller,
    )


def _properties(checkpoint: Checkpoint, cost: Cost, source: bytes, *, takes_pictures: bool) -> dict[str, str]:
    metadata = onnx_metadata.to_json(
        checkpoint,
        cost=cost,
        units=profiling.hidden_units(checkpoint),
        fingerprint=hashlib.sha256(source).hexdigest(),
        takes_pictures=takes_pictures,
    )
    return {METADATA_KEY: metadata, "classes": json.dumps(checkpoint.classes)}


def _description(checkpoint: Checkpoint) -> str:
    task = {"classify": "Classifies", "reconstruct": "Reconstructs"}[task_of(checkpoint.spec.arch)]
    reads = "a feature table" if checkpoint.preprocess.kind == "table" else "pictures of faces"
    return f"{checkpoint.spec.arch}. {task} {reads}. Outputs: {', '.join(map(visible, checkpoint.classes))}."
