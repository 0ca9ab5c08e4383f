"""Smaller files of a network, as long as they answer as well: layers that lose too much stay as they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import ModelProto

from emoprune import events
from emoprune.choices import Quantize
from emoprune.data.datasets import Data
from emoprune.data.image_dataset import to_pictures
from emoprune.deployment.config import ExportConfig
from emoprune.deployment.types import QuantizeSummary
from emoprune.errors import ToleranceExceeded, UsageFault
from emoprune.evaluation.confidence import median_estimate
from emoprune.evaluation.training_data import CalibrationData, calibration_data, training_data_of
from emoprune.io import onnx_files, onnx_quantization
from emoprune.io.onnx_engine import Engine
from emoprune.io.onnx_quantization import NEEDS_OPSET, QUANTIZED
from emoprune.io.onnx_timing import clock
from emoprune.networks.costs.profiling import turns_ms
from emoprune.networks.losses import task_of
from emoprune.networks.types import Checkpoint

CALIBRATED_ON = 256
"""Training images that say which values activations take."""
MOST_KEPT = 0.5
"""Of the layers that can be quantized: beyond it a file is hardly smaller."""


@dataclass(frozen=True)
class Quantized:
    """A smaller graph, with the layers `kept` in float32.

    `accuracy` and `accuracy_before` are on `judged` images, None without labels; then `drop` counts answers
    that differ, else lost accuracy, in points.
    """

    model: ModelProto
    kept: tuple[str, ...]
    judged: int
    accuracy: float | None
    accuracy_before: float | None
    drop: float


def quantize(
    graph: ModelProto,
    whole: bytes,
    finished: Callable[[ModelProto], bytes],
    checkpoint: Checkpoint,
    data: Data | str | None,
    config: ExportConfig,
) -> tuple[bytes, QuantizeSummary]:
    """The `finished` file of a graph with smaller numbers, and how it does beside the `whole` one in float32.

    Images are those of `data`, by default of the training data. Raises ToleranceExceeded where it loses more
    than `max_drop` points, or is neither smaller nor faster, and UsageFault where there are no images, or
    where the opset lacks what int8 needs.
    """
    found = smaller_graph(graph, config.quantize, _calibration(checkpoint, data), max_drop=config.max_drop)
    made = finished(found.model)
    return made, _summary(found, whole, made, checkpoint)


def _calibration(checkpoint: Checkpoint, data: Data | str | None) -> CalibrationData:
    """The images that say which values activations take; UsageFault where there are none, or no answers."""
    if task_of(checkpoint.spec.arch) != "classify":
        raise UsageFault("`quantize` compares classes, and the network has none", "leave it out")
    if data is not None:
        return calibration_data(checkpoint, data, limit=CALIBRATED_ON)
    found = training_data_of(checkpoint, limit=CALIBRATED_ON)
    if isinstance(found, str):
        raise UsageFault(f"`quantize` measures on images, and {found}", "give `data`")
    return found


def _summary(found: Quantized, whole: bytes, made: bytes, checkpoint: Checkpoint) -> QuantizeSummary:
    """What became smaller, and what faster; ToleranceExceeded where it is neither."""
    before, after = Engine(whole, threads=1), Engine(made, threads=1)
    sample = torch.full((1, *checkpoint.spec.input), 0.5)
    if before.takes_pictures:
        sample = to_pictures(sample, checkpoint.preprocess)
    turns = turns_ms(before.task(sample), after.task(sample), clock(1))
    speed = median_estimate(first / second for first, second in turns)
    if len(made) >= len(whole) and (speed.high or 0) <= 1:
        fact = f"neither smaller ({len(made):,} bytes of {len(whole):,}) nor faster ({speed.mean:.2f} times)"
        raise ToleranceExceeded(f"quantized it is {fact}; nothing written", "leave out `quantize`")
    return QuantizeSummary(
        kept_float=found.kept,
        whole_bytes=len(whole),
        smaller=len(whole) / len(made),
        faster=speed.mean,
        faster_low=speed.low or speed.mean,
        faster_high=speed.high or speed.mean,
        judged=found.judged,
        accuracy=found.accuracy,
        whole_accuracy=found.accuracy_before,
        drop=found.drop,
    )


def smaller_graph(model: ModelProto, kind: Quantize, data: CalibrationData, *, max_drop: float) -> Quantized:
    """The smaller graph that loses at most `max_drop` points on the part of `data` that judges.

    First all layers are quantized, then all but the one that adds the most error, but 2, 4 and so on. Raises
    ToleranceExceeded where not even half of them may be, UsageFault below the opset that int8 needs.
    """
    if kind == "fp16":
        small = onnx_quantization.to_fp16(model)
        return _checked(_judged(small, (), data, _answers(model, data)), kind, max_drop)
    opset = onnx_files.opset_of(model)
    if opset < NEEDS_OPSET:
        raise UsageFault(f"`opset={opset}` has no scale for each channel", f"give `opset={NEEDS_OPSET}`")
    whole = onnx_quantization.prepared(model)
    layers = [node.name for node in whole.graph.node if node.op_type in QUANTIZED]
    if not layers:
        raise UsageFault("`quantize=int8` finds no layer to quantize", "leave it out")
    batches = [batch.numpy() for batch in data.train_batches("calibrate")]
    first = onnx_quantization.to_int8(whole, batches)
    before = _answers(model, data)
    found = _judged(first, (), data, before)
    if found.drop <= max_drop:
        return found
    noise = onnx_quantization.noise_added(whole, first, batches[0])
    worst = sorted(layers, key=noise.__getitem__, reverse=True)
    for kept in _doubling(int(len(layers) * MOST_KEPT)):
        but = tuple(worst[:kept])
        found = _judged(onnx_quantization.to_int8(whole, batches, but=but), but, data, before)
        if found.drop <= max_drop:
            break
    return _checked(found, kind, max_drop)


def _doubling(most: int) -> list[int]:
    """1, 2, 4 and so on, and the most."""
    found = [2**power for power in range(max(most, 1).bit_length()) if 2**power < most]
    return [*found, most] if most else []


def _checked(found: Quantized, kind: Quantize, max_drop: float) -> Quantized:
    if found.drop <= max_drop:
        return found
    cost = f"costs {found.drop:.1f} points of accuracy"
    if found.accuracy is None:
        cost = f"changes {found.drop:.1f}% of the answers"
    kept = f", with {events.counted(len(found.kept), 'layer')} in float32" if found.kept else ""
    raise ToleranceExceeded(
        f"`quantize={kind}` {cost} on {found.judged:,} images{kept}; nothing written",
        f"give a `max_drop` above {max_drop:g}, or leave it out",
    )


def _judged(
    small: ModelProto, kept: tuple[str, ...], data: CalibrationData, before: NDArray[np.int64]
) -> Quantized:
    """How a smaller graph answers beside the answers `before`."""
    answers = _answers(small, data)
    labels = data.judges.labels.numpy()
    changed = 100 * float((answers != before).mean())
    if not data.labeled:
        return Quantized(small, kept, len(labels), None, None, changed)
    right, was = (float((each == labels).mean()) for each in (answers, before))
    return Quantized(small, kept, len(labels), right, was, 100 * (was - right))


def _answers(model: ModelProto, data: CalibrationData) -> NDArray[np.int64]:
    """The class of every image that judges."""
    engine = Engine(model.SerializeToString())
    part = data.judges
    outputs = model.graph.output[0].type.tensor_type.shape.dim[1].dim_value
    inputs = events.tracked(part.inputs(), "judge", len(part), steps=len)
    found: Sequence[Any] = [engine.logits(batch, outputs).argmax(1).numpy() for batch in inputs]
    return np.concatenate(found)
