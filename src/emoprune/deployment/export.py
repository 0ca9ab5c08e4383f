"""ONNX files of trained networks, checked to compute the same before they are written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from emoprune import events
from emoprune.choices import ExportInput
from emoprune.data.datasets import Data, open_data
from emoprune.data.image_dataset import to_input, to_pictures
from emoprune.data.types import Samples
from emoprune.deployment.agreement import Agreement, PictureAgreement, compare, compare_pictures
from emoprune.deployment.config import ExportConfig
from emoprune.deployment.picture_input import take_pictures
from emoprune.errors import ToleranceExceeded, UsageFault
from emoprune.evaluation.model import Subset, samples
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
LARGEST_CHANGE = 0.05
"""Of a probability by resizing in the file, which rounds a few pixels to the next of 255 levels."""


@dataclass(frozen=True)
class ExportSummary:
    """What was exported (schema emoprune.export/3).

    `difference_random` and `difference_real` are the largest differences of a logit from that of the
    checkpoint, on random batches and on `real_samples` real ones (None without any), in units of the largest
    logit of its sample or, below 1, of 1. `changed_classes` counts samples whose largest logit is another.
    Of a file that takes pictures, `difference_pictures` is the largest difference of a probability on as many
    `pictures`, each given as it is, and `changed_pictures` counts those with another most probable class, but
    for ties.
    """

    output: str | None
    input_type: ExportInput
    bytes: int
    input_bytes: int
    opset: int
    tolerance: float
    difference_random: float
    difference_real: float | None
    changed_classes: int
    real_samples: int
    pictures: int
    difference_pictures: float | None
    changed_pictures: int
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
    One that takes pictures runs on all of `data` as well, by default on the val part. Raises
    ToleranceExceeded, and writes nothing, if a logit differs by more than the tolerance or a probability by
    more than LARGEST_CHANGE, UsageFault where the opset lacks what the network needs, or it takes tables.
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
    metadata = onnx_metadata.to_json(
        checkpoint,
        cost=cost,
        units=profiling.hidden_units(checkpoint),
        fingerprint=hashlib.sha256(source).hexdigest(),
        takes_pictures=takes_pictures,
    )
    exported = onnx_files.export(
        net,
        torch.zeros(2, *checkpoint.spec.input),
        {METADATA_KEY: metadata, "classes": json.dumps(checkpoint.classes)},
        opset=config.opset,
        description=_description(checkpoint),
        extend=partial(take_pictures, preprocess=checkpoint.preprocess) if takes_pictures else None,
    )
    engine = Engine(exported)
    some, every = _real(checkpoint, data)
    if takes_pictures:
        prepare = partial(to_pictures, preprocess=checkpoint.preprocess)
        on_random = compare(engine, net, _random_pictures(checkpoint, config.seed), prepare)
        on_real = compare(engine, net, some.inputs() if some else (), prepare)
    else:
        on_random = compare(engine, net, _random_batches(checkpoint, net, config.seed))
        on_real = compare(engine, net, some.inputs() if some else ())
    for kind, found in (("random", on_random), ("real", on_real)):
        if found.difference > config.tolerance:
            raise ToleranceExceeded(*_excess(found, kind, config.tolerance), place=output or "")
    changed = on_random.changed + on_real.changed if task_of(checkpoint.spec.arch) == "classify" else 0
    if changed:
        events.note(f"{events.counted(changed, 'sample')} with a tie of two classes got the other one")
    on_pictures = PictureAgreement()
    if takes_pictures and every:
        on_pictures = compare_pictures(engine, net, every)
        _check_pictures(on_pictures, output or "")
    if output is not None:
        files.write_bytes(output, exported, force=force)
    return ExportSummary(
        output=output,
        input_type=config.input,
        bytes=len(exported),
        input_bytes=len(source),
        opset=config.opset,
        tolerance=config.tolerance,
        difference_random=on_random.difference,
        difference_real=on_real.difference if on_real.samples else None,
        changed_classes=changed,
        real_samples=on_real.samples,
        pictures=on_pictures.samples,
        difference_pictures=on_pictures.difference if on_pictures.samples else None,
        changed_pictures=on_pictures.changed,
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


def _check_pictures(found: PictureAgreement, place: str) -> None:
    """Raise ToleranceExceeded for probabilities of other pictures than ours; note a class that changes."""
    if found.difference > LARGEST_CHANGE:
        where = f"picture {found.worst + 1:,} of {found.samples:,}"
        fact = f"its probabilities differ by {found.difference:.3g}, more than {LARGEST_CHANGE:g} ({where})"
        raise ToleranceExceeded(f"{fact}; nothing written", "leave out `input=uint8`", place=place)
    if found.changed:
        pictures = events.counted(found.changed, "picture")
        events.note(f"{pictures} of {found.samples:,} get another class: a file rounds resized pictures")


def _random_pictures(checkpoint: Checkpoint, seed: int) -> Iterator[Tensor]:
    """Network input made of pictures of noise."""
    generator = torch.Generator().manual_seed(seed)
    preprocess = checkpoint.preprocess
    channels = 1 if preprocess.color == "gray" else preprocess.channels
    for count in RANDOM_BATCHES:
        noise = torch.randint(0, 256, (count, channels, *preprocess.size), generator=generator)
        yield to_input(noise.byte().expand(-1, preprocess.channels, -1, -1), preprocess)


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


def _real(checkpoint: Checkpoint, data: Data | str | None) -> tuple[Subset | None, Subset | None]:
    """Up to REAL_SAMPLES samples, spread evenly, and all that tell how pictures are taken.

    The latter are the val part of the training data, or else its training part; of `data` all. None, and a
    note, without data.
    """
    if data is None:
        training = training_data_of(checkpoint, limit=REAL_SAMPLES)
        if isinstance(training, str):
            events.note(f"checked on random batches only: {training}; give `data` for real ones")
            return None, None
        found, every = training.train.samples, training.judges
    else:
        opened = open_data(data) if isinstance(data, str) else data
        found = samples(opened, checkpoint.preprocess, checkpoint.spec.input)
        every = _subset(checkpoint, found, torch.arange(len(found.labels)))
    count = len(found.labels)
    return _subset(
        checkpoint, found, torch.arange(0, count, max(1, count // REAL_SAMPLES))[:REAL_SAMPLES]
    ), every


def _subset(checkpoint: Checkpoint, found: Samples, indices: Tensor) -> Subset:
    return Subset(found, indices, checkpoint.preprocess, torch.device("cpu"))
