"""How far an exported file is from the network that it was made of."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from emoprune import events
from emoprune.data.image_dataset import Photos
from emoprune.data.loader import READING_BATCH
from emoprune.evaluation.confidence import by_key
from emoprune.evaluation.model import Subset
from emoprune.io.onnx_engine import Engine
from emoprune.networks.losses import predict


@dataclass(frozen=True)
class Agreement:
    """How far an engine's logits are from a network's, over `samples` samples.

    `difference` is the largest of any logit, in units of the largest logit of its sample or, below 1, of 1:
    probabilities do not notice less. It is that of the sample with the index `worst`, and `absolute` before
    it was divided. `changed` counts the samples whose largest logit is another one.
    """

    samples: int = 0
    difference: float = 0.0
    absolute: float = 0.0
    worst: int = 0
    changed: int = 0


TIE = 1e-4
"""Two probabilities this near are one: which of them is larger says nothing."""


@dataclass(frozen=True)
class PictureAgreement:
    """How far an engine's probabilities for pictures are from those of our own pipeline.

    `difference` is the largest of any probability, that of the picture with the index `worst`. `changed`
    counts pictures whose most probable class is another one, though no two are within TIE.
    """

    samples: int = 0
    difference: float = 0.0
    worst: int = 0
    changed: int = 0


def compare_pictures(engine: Engine, net: nn.Module, part: Subset) -> PictureAgreement:
    """How far an engine that takes pictures is from the network on a part of a data set of pictures.

    The engine gets each picture as it is, the network what our own pipeline makes of it.
    """
    logits = torch.cat([*predict(net, events.tracked(part.inputs(), "agree, network", len(part), steps=len))])
    expected = logits.softmax(1)
    with events.progress("agree, file", len(part)) as advance:
        found = torch.cat([*_of_pictures(engine, part, expected.shape[1], advance)])
    differences = (found - expected).abs().amax(1).nan_to_num(nan=math.inf)
    first, second = expected.topk(2, 1).values.T
    changed = (found.argmax(1) != expected.argmax(1)) & (first - second > TIE)
    worst = int(differences.argmax())
    return PictureAgreement(len(part), float(differences[worst]), worst, int(changed.sum()))


def _of_pictures(engine: Engine, part: Subset, outputs: int, advance: events.Advance) -> Iterator[Tensor]:
    """Probabilities of the pictures of a part in order; those of one size are given together."""
    samples = part.samples
    assert isinstance(samples, Photos)
    for chunk in part.indices.split(READING_BATCH):
        pictures = [torch.from_numpy(np.array(samples.picture(index))) for index in chunk.tolist()]
        found = torch.empty(len(pictures), outputs)
        for places in by_key((picture.shape, place) for place, picture in enumerate(pictures)).values():
            batch = torch.stack([pictures[place] for place in places])
            found[places] = engine.probabilities(batch, outputs)
            advance(len(places))
        yield found


def compare(
    engine: Engine,
    net: nn.Module,
    batches: Iterable[Tensor],
    prepare: Callable[[Tensor], Tensor] = lambda batch: batch,
) -> Agreement:
    """How far the engine is from the network over all samples; NaN anywhere counts as infinite.

    The engine gets what `prepare` makes of a batch of network input.
    """
    rows = []
    for batch in batches:
        with torch.inference_mode():
            expected = net(batch)
            found = engine.logits(prepare(batch), expected.shape[1])
        absolute = (expected - found).abs().amax(1)
        relative = absolute / expected.abs().amax(1).clamp(min=1)
        changed = expected.argmax(1) != found.argmax(1)
        rows.append(torch.stack((relative, absolute, changed)).nan_to_num(nan=math.inf))
    if not rows:
        return Agreement()
    relative, absolute, changed = torch.cat(rows, 1).double()
    worst = int(relative.argmax())
    return Agreement(len(relative), float(relative[worst]), float(absolute[worst]), worst, int(changed.sum()))
