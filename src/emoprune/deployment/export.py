"""ONNX files of trained networks, checked to compute the same before they are written."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from emoprune import events
from emoprune.data.datasets import Data, open_data
from emoprune.data.loader import batches
from emoprune.deployment.agreement import Agreement, compare
from emoprune.deployment.config import ExportConfig
from emoprune.errors import ToleranceExceeded, UsageFault
from emoprune.evaluation.model import samples
from emoprune.evaluation.training_data import training_data_of
from emoprune.io import files, onnx_files
from emoprune.io.onnx_engine import Engine
from emoprune.io.safetensors_files import METADATA_KEY
from emoprune.io.visible_text import visible
from emoprune.networks import build, onnx_metadata
from emoprune.networks.checkpoint import own_bytes
from emoprune.networks.costs import profiling
from emoprune.networks.losses import task_of
from emoprune.networks.table_networks import Scaling
from emoprune.networks.types import Checkpoint

REAL_SAMPLES = 64
RANDOM_BATCHES = (1, 2, 5)
MISSING_FRACTION = 0.1


@dataclass(frozen=True)
class ExportSummary:
    """What was exported (schema emoprune.export/2).

    `difference_random` and `difference_real` are the largest differences of a logit from that of the
    checkpoint, on random batches and on `real_samples` real ones (None without any), in units of the largest
    logit of its sample or, below 1, of 1. `changed_classes` counts samples whose largest logit is another.
    """

    output: str | None
    bytes: int
    input_bytes: int
    opset: int
    tolerance: float
    difference_random: float
    difference_real: float | None
    changed_classes: int
    real_samples: int
    parameters: int
    macs: int


def export(
    checkpoint: Checkpoint,
    path: str | Path | None,
    config: ExportConfig | None = None,
    *,
    data: Data | str | None = None,
    force: bool = False,
) -> ExportSummary:
    """Write a network as an ONNX file with a free batch size; without a `path` only check it.

    The file runs in onnxruntime on random batches and on samples of `data`, by default of the training data.
    Raises ToleranceExceeded, and writes nothing, if a logit differs by more than the tolerance, UsageFault
    where the opset lacks what the network needs.
    """
    config = config or ExportConfig()
    output = None if path is None else str(path)
    if output not in (None, files.STANDARD) and not output.endswith(".onnx"):
        raise UsageFault("does not end in .onnx", "programs know such files by their name", place=output)
    net = build.restore(checkpoint.spec, checkpoint.tensors)
    if output is not None:
        files.check_output(output, force=force)
    cost = profiling.cost(net, checkpoint.spec.input)
    source = own_bytes(checkpoint)
    metadata = onnx_metadata.to_json(
        checkpoint,
        cost=cost,
        units=profiling.hidden_units(checkpoint),
        fingerprint=hashlib.sha256(source).hexdigest(),
    )
    exported = onnx_files.export(
        net,
        torch.zeros(2, *checkpoint.spec.input),
        {METADATA_KEY: metadata},
        opset=config.opset,
        description=_description(checkpoint),
    )
    engine = Engine(exported)
    on_random = compare(engine, net, _random_batches(checkpoint, net, config.seed))
    on_real = compare(engine, net, _real_batches(checkpoint, data))
    for kind, found in (("random", on_random), ("real", on_real)):
        if found.difference > config.tolerance:
            raise ToleranceExceeded(*_excess(found, kind, config.tolerance), place=output or "")
    changed = on_random.changed + on_real.changed if task_of(checkpoint.spec.arch) == "classify" else 0
    if changed:
        events.note(f"{events.counted(changed, 'sample')} with a tie of two classes got the other one")
    if output is not None:
        files.write_bytes(output, exported, force=force)
    return ExportSummary(
        output=output,
        bytes=len(exported),
        input_bytes=len(source),
        opset=config.opset,
        tolerance=config.tolerance,
        difference_random=on_random.difference,
        difference_real=on_real.difference if on_real.samples else None,
        changed_classes=changed,
        real_samples=on_real.samples,
        parameters=cost.parameters,
        macs=cost.macs,
    )


def _description(checkpoint: Checkpoint) -> str:
    task = {"classify": "Classifies", "reconstruct": "Reconstructs"}[task_of(checkpoint.spec.arch)]
    reads = "a feature table" if checkpoint.preprocess.kind == "table" else "pictures of faces"
    return f"{checkpoint.spec.arch}. {task} {reads}. Outputs: {', '.join(map(visible, checkpoint.classes))}."


def _excess(found: Agreement, kind: str, tolerance: float) -> tuple[str, str]:
    where = f"{kind} sample {found.worst + 1} of {found.samples}"
    fact = (
        f"its logits differ by {found.difference:.3g} of their size, more than {tolerance:g} "
        f"({where}: by {found.absolute:.3g}); nothing written"
    )
    return fact, "give a larger `tolerance` if that is close enough"


def _random_batches(checkpoint: Checkpoint, net: nn.Module, seed: int) -> Iterator[Tensor]:
    """Noise, as far from the mean as training rows are; with missing values where the network fills them."""
    generator = torch.Generator().manual_seed(seed)
    scaling = net.scaling if hasattr(net, "scaling") and isinstance(net.scaling, Scaling) else None
    for count in RANDOM_BATCHES:
        batch = torch.randn(count, *checkpoint.spec.input, generator=generator)
        if scaling is not None:
            batch = batch / scaling.scale + scaling.shift
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
