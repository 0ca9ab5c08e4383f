"""More classes for a trained network: its output layer keeps the rows that it has, and gets new ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from emoprune.networks import build
from emoprune.networks.heads import output_name
from emoprune.networks.types import Checkpoint
from emoprune.networks.weights.head_rows import OutputLayer, taken_rows
from emoprune.networks.weights.pretrained import Weights


def grown(checkpoint: Checkpoint, new: Sequence[str], *, seed: int) -> Checkpoint:
    """The checkpoint with the classes `new` behind its own, drawn from `seed` as a new network is.

    It stays as narrow and as sparse as it was. The sensitivity of the output layer, which is not known of the
    new rows, is left out.
    """
    classes, spec = (*checkpoint.classes, *new), checkpoint.spec
    output = output_name(build.blueprint(spec))
    widths = dict(spec.widths)
    if output in widths:
        widths[output] = (widths[output][0], len(classes))
    spec = replace(spec, classes=len(classes), widths=widths)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        fresh = OutputLayer.of(output, build.build(spec).state_dict())
    old = OutputLayer.of(output, checkpoint.tensors)
    weights = Weights(checkpoint.place, checkpoint.tensors, checkpoint.classes)
    taken = taken_rows(fresh, [old], weights, classes=classes)
    return replace(
        checkpoint,
        spec=spec,
        classes=classes,
        tensors={**checkpoint.tensors, **taken.tensors},
        masks={
            name: torch.cat((mask, mask.new_ones(len(new), *mask.shape[1:])))
            if name in taken.tensors
            else mask
            for name, mask in checkpoint.masks.items()
        },
        sensitivities={name: each for name, each in checkpoint.sensitivities.items() if name != output},
    )
