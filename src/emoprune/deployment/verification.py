"""Whether an exported file computes what its checkpoint computes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from emoprune import events
from emoprune.data.datasets import Data, open_data
from emoprune.data.formats.image_folders import open_unlabeled
from emoprune.data.image_dataset import to_input, to_pictures
from emoprune.data.splits import partition
from emoprune.data.types import Samples
from emoprune.deployment.agreement import Agreement, PictureAgreement, compare, compare_pictures
from emoprune.deployment.config import ExportConfig
from emoprune.errors import ToleranceExceeded
from emoprune.evaluation.model import Subset, samples
from emoprune.evaluation.training_data import has_no_class, training_data_of
from emoprune.io.onnx_engine import Engine
from emoprune.networks.losses import task_of
from emoprune.networks.table_networks import Scaling
from emoprune.networks.types import Checkpoint

REAL_SAMPLES = 64
RANDOM_BATCHES = (1, 2, 5)
MISSING_FRACTION = 0.1
LARGEST_CHANGE = 0.05
"""Of a probability by resizing in the file, which rounds a few pixels to the next of 255 levels."""


class Verified(NamedTuple):
    """How far a file is from its network, on random batches, on real samples, and on pictures as they are.

    `changed` counts the samples of batches that got another class.
    """

    random: Agreement
    real: Agreement
    pictures: PictureAgreement
    changed: int


def verify(
    engine: Engine,
    net: nn.Module,
    checkpoint: Checkpoint,
    data: Data | str | None,
    config: ExportConfig,
    *,
    place: str,
) -> Verified:
    """Compare a file with the network: on random batches, and on samples of `data` or of the training data.

    One that takes pictures gets each as it is, all of `data` or those of the val part. Raises
    ToleranceExceeded if a logit differs by more than the tolerance, or a probability by more than
    LARGEST_CHANGE.
    """
    some, every = _real(checkpoint, data)
    if engine.takes_pictures:
        prepare = partial(to_pictures, preprocess=checkpoint.preprocess)
        on_random = compare(engine, net, _random_pictures(checkpoint, config.seed), prepare)
        on_real = compare(engine, net, some.inputs() if some else (), prepare)
    else:
        on_random = compare(engine, net, _random_batches(checkpoint, net, config.seed))
        on_real = compare(engine, net, some.inputs() if some else ())
    for kind, found in (("random", on_random), ("real", on_real)):
        if found.difference > config.tolerance:
            raise ToleranceExceeded(*_excess(found, kind, config.tolerance), place=place)
    changed = on_random.changed + on_real.changed if task_of(checkpoint.spec.arch) == "classify" else 0
    if changed:
        events.note(f"{events.counted(changed, 'sample')} with a tie of two classes got the other one")
    on_pictures = PictureAgreement()
    if engine.takes_pictures and every:
        on_pictures = compare_pictures(engine, net, every)
        _check_pictures(on_pictures, place)
    return Verified(on_random, on_real, on_pictures, changed)


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

    The latter are the val part of what the network was trained on, or else its training part; of other `data`
    all. None, and a note, without data.
    """
    if data is None:
        training = training_data_of(checkpoint, limit=REAL_SAMPLES)
        if isinstance(training, str):
            events.note(f"checked on random batches only: {training}; give `data` for real ones")
            return None, None
        found, every = training.train.samples, training.judges.indices
    else:
        opened = _opened(checkpoint, data)
        found = samples(opened, checkpoint.preprocess, checkpoint.spec.input)
        every = torch.arange(len(found.labels))
        if opened.catalog.fingerprint == checkpoint.split.fingerprint:
            parts = partition(opened.catalog, checkpoint.split)
            every = torch.tensor(parts.get("val", parts["train"]))
    count = len(found.labels)
    some = torch.arange(0, count, max(1, count // REAL_SAMPLES))[:REAL_SAMPLES]
    return _subset(checkpoint, found, some), _subset(checkpoint, found, every)


def _opened(checkpoint: Checkpoint, data: Data | str) -> Data:
    """The data set at a path; of pictures without labels too."""
    if not isinstance(data, str):
        return data
    unlabeled = checkpoint.preprocess.kind == "image" and has_no_class(checkpoint, data)
    return open_unlabeled(data) if unlabeled else open_data(data)


def _subset(checkpoint: Checkpoint, found: Samples, indices: Tensor) -> Subset:
    return Subset(found, indices, checkpoint.preprocess, torch.device("cpu"))
