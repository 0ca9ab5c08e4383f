"""Kinds of tensors in files, and the plain numbers that a network takes from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import torch
from torch import Tensor

from emoprune import events
from emoprune.errors import BadCheckpoint

SAVE_STATE_DICT = "save its state_dict() alone with torch.save"


def form(tensor: Tensor) -> str:
    """Shape and kind of numbers, for messages: "7x512 float32"."""
    sides = "x".join(str(side) for side in tensor.shape) or "a number"
    return f"{sides} {str(tensor.dtype).removeprefix('torch.')}"


def require_real(name: str, tensor: Tensor, own: Tensor) -> None:
    """Raise BadCheckpoint for a tensor from which finite numbers of the kind of `own` cannot be taken."""
    if tensor.is_meta:
        raise BadCheckpoint(f"tensor {name} has no numbers, it was on the meta device", SAVE_STATE_DICT)
    real = tensor.is_floating_point() or tensor.is_quantized
    if tensor.is_complex() or (own.is_floating_point() and not real):
        fact = f"has tensor {name} as {form(tensor)}, not {form(own)}"
        raise BadCheckpoint(fact, "convert it to float32")
    # float64 numbers may be infinite as float32
    if not bool(dense(tensor).to(own.dtype).isfinite().all()):
        raise BadCheckpoint(f"tensor {name} has numbers that are not finite", "give other weights")


def dense(tensor: Tensor) -> Tensor:
    """Every number of a tensor at its place."""
    if tensor.is_quantized:
        return tensor.dequantize()
    return tensor if tensor.layout == torch.strided else tensor.to_dense()


def note_conversions(tensors: Iterable[Tensor], *, place: str) -> None:
    """Note how many tensors of the file at `place` become float32 from another kind."""
    kinds = Counter(filter(None, map(_kind, tensors)))
    for kind, count in kinds.items():
        events.note(f"{place}: {events.counted(count, f'{kind} tensor')} converted to float32")


def _kind(tensor: Tensor) -> str | None:
    """What sets a tensor apart from float32 numbers and from counts; None where nothing does."""
    if tensor.is_quantized or tensor.layout != torch.strided:
        return "quantized" if tensor.is_quantized else "sparse"
    plain = not tensor.is_floating_point() or tensor.dtype == torch.float32
    return None if plain else str(tensor.dtype).removeprefix("torch.")
