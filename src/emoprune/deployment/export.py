"""ONNX files of trained networks, checked to compute the same before they are written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from emoprune import events
from emoprune.data.datasets import Data, open_data
from emoprune.data.loader import batches
from emoprune.errors import ToleranceExceeded, UsageFault
from emoprune.evaluation.model import samples
from emoprune.evaluation.training_data import training_data_of
from emoprune.io import files, onnx_files
from emoprune.io.safetensors_files import METADATA_KEY
from emoprune.networks import build, profiling
from emoprune.networks.checkpoint import card_json, to_bytes
from emoprune.networks.types import Checkpoint

REAL_SAMPLES = 64
RANDOM_BATCHES = (1, 2, 5)
MISSING_FRACTION = 0.1


@dataclass(frozen=True)
class ExportSummary:
    """What was exported (schema emoprune.export/1).

    `difference_random` and `difference_real` are the largest differences of any logit from those of the
    checkpoint, on random batches and on `real_samples` real ones (None without any).
    """

    output: str | None
    bytes: int
    input_bytes: int
    tolerance: float
    difference_random: float
    difference_real: float | None
    real_samples: int
    parameters: int
    macs: int


def export(
    checkpoint: Checkpoint,
    path: str | Path | None,
    *,
    data: Data | str | None = None,
    tolerance: float = 1e-4,
    seed: int = 0,
    force: bool = False,
) -> ExportSummary:
    """Write a network as an ONNX file with a free batch size; without a `path` only check it.

    The file runs in onnxruntime on random batches and on samples of `data`, by default of the training data.
    Raises ToleranceExceeded, and writes nothing, if any logit differs by more than `tolerance`.
    """
    output = None if path is None else str(path)
    if output not in (None, files.STANDARD) and not output.endswith(".onnx"):
        raise UsageFault("does not end in .onnx", "eval knows such files by their name", place=output)
    net = build.restore(checkpoint.spec, checkpoint.tensors)
    if output is not None:
        files.check_output(output, force=force)
    cost = profiling.cost(net, checkpoint.spec.input)
    card = card_json(checkpoint, cost=cost, units=profiling.hidden_units(checkpoint))
    exported = onnx_files.export(net, torch.zeros(2, *checkpoint.spec.input), {METADATA_KEY: card})
    engine = onnx_files.Engine(exported)
    on_random = onnx_files.largest_difference(engine, net, _random_batches(checkpoint, seed))
    real = _real_batches(checkpoint, data)
    on_real = onnx_files.largest_difference(engine, net, real) if real else None
    worst = max(on_random, on_real or 0.0)
    if worst > tolerance:
        fact = f"logits differ by up to {worst:.3g}, more than {tolerance:g}; nothing written"
        remedy = "give a larger `tolerance` if that is close enough"
        raise ToleranceExceeded(fact, remedy, place=output or "")
    if output is not None:
        files.write_bytes(output, exported, force=force)
    return ExportSummary(
        output=output,
        bytes=len(exported),
        input_bytes=len(to_bytes(checkpoint)),
        tolerance=tolerance,
        difference_random=on_random,
        difference_real=on_real,
        real_samples=sum(map(len, real)),
        parameters=cost.parameters,
        macs=cost.macs,
    )


def _random_batches(checkpoint: Checkpoint, seed: int) -> Iterator[Tensor]:
    """Noise; with missing values where the network fills them."""
    generator = torch.Generator().manual_seed(seed)
    for count in RANDOM_BATCHES:
        batch = torch.randn(count, *checkpoint.spec.input, generator=generator)
        if checkpoint.preprocess.fills:
            batch[torch.rand(batch.shape, generator=generator) < MISSING_FRACTION] = torch.nan
        yield batch


def _real_batches(checkpoint: Checkpoint, data: Data | str | None) -> list[Tensor]:
    """Up to 64 samples, spread evenly; none, and a note, without data."""
    if data is None:
        training = training_data_of(checkpoint, limit=REAL_SAMPLES)
        if isinstance(training, str):
            events.note(f"checked on random batches only: {training}; give `data` for real ones")
            return []
        found = training.train.samples
    else:
        opened = open_data(data) if isinstance(data, str) else data
        found = samples(opened, checkpoint.preprocess, checkpoint.spec.input)
    count = len(found.labels)
    indices = torch.arange(0, count, max(1, count // REAL_SAMPLES))[:REAL_SAMPLES]
    return list(batches(found, indices, checkpoint.preprocess, torch.device("cpu")))
