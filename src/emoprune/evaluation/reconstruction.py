"""How well a network that reconstructs its input does so."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from emoprune import events
from emoprune.errors import BadCheckpoint
from emoprune.evaluation.model import Model
from emoprune.networks.losses import squared_errors

SCHEMA = "emoprune.reconstruction/1"


def measure(place: str, opened: Model, inputs: Iterator[Tensor], count: int) -> dict[str, Any]:
    """Mean squared error, as the network scales its input, over all outputs and of each."""
    if opened.net is None:
        raise BadCheckpoint("does not tell how it scales its input", "evaluate its checkpoint", place=place)
    errors = squared_errors(opened.net, events.tracked(inputs, "eval", count, steps=len))
    each = torch.cat(list(errors)).double().mean(0)
    return {
        "n": count,
        "loss": float(each.mean()),
        "per_output": dict(zip(opened.card.classes, each.tolist(), strict=True)),
        **dataclasses.asdict(opened.cost),
        "bytes": opened.bytes,
        "units": opened.units,
    }
