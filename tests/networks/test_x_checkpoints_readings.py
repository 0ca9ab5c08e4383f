"""Hostile and damaged files whose moments and masks are none."""

from __future__ import annotations

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from emoprune.errors import BadCheckpoint, EmopruneError
from emoprune.networks import checkpoint as checkpoints
from tests.support.records import checkpoint, header_of, moments, outcome, same

MASK = torch.tensor([[True, False, True, True], [False, True, True, True]])
ORIGINAL = checkpoint(moments={"last": moments(4)}, masks={"last.weight": MASK})
DATA = checkpoints.to_bytes(ORIGINAL)
PARTS = ("count", "mean", "covariance")


def with_tensors(**changes: Tensor | None) -> bytes:
    """The file with other tensors, whose names have two underscores for a dot; None takes one away."""
    held = safetensors.torch.load(DATA)
    for name, value in changes.items():
        held.pop(name.replace("__", "."), None)
        if value is not None:
            held[name.replace("__", ".")] = value
    return safetensors.torch.save(held, header_of(DATA)["__metadata__"])


def test_the_file_is_good_as_it_is() -> None:
    assert same(checkpoints.from_bytes(with_tensors()), ORIGINAL)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("count", torch.tensor(0)),
        ("count", torch.tensor(-1)),
        ("count", torch.tensor(7.0)),
        ("count", torch.tensor([7, 7])),
        ("count", torch.zeros(0, dtype=torch.int64)),
        ("mean", torch.zeros(3, dtype=torch.float64)),
        ("mean", torch.zeros(4, 1, dtype=torch.float64)),
        ("mean", torch.zeros(4, dtype=torch.int64)),
        ("mean", torch.zeros(4, dtype=torch.complex64)),
        ("mean", torch.tensor(0.5)),
        ("mean", torch.full((4,), float("nan"))),
        ("covariance", torch.zeros(4, 3)),
        ("covariance", torch.zeros(16)),
        ("covariance", torch.zeros(1, 4, 4)),
        ("covariance", torch.zeros(4, 4, dtype=torch.int32)),
        ("covariance", torch.zeros(4, 4, dtype=torch.bool)),
        ("covariance", torch.full((4, 4), float("inf"))),
        ("covariance", torch.tensor(1.0)),
    ],
    ids=lambda value: f"{tuple(value.shape)} {value.dtype}" if isinstance(value, Tensor) else value,
)
def test_moments_that_are_none_are_refused(part: str, value: Tensor) -> None:
    with pytest.raises(EmopruneError) as refusal:
        checkpoints.from_bytes(with_tensors(**{f"reads__last__{part}": value}))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("part", PARTS)
def test_moments_have_to_be_whole(part: str) -> None:
    with pytest.raises(BadCheckpoint, match=f"reads.last.{part}"):
        checkpoints.from_bytes(with_tensors(**{f"reads__last__{part}": None}))


@pytest.mark.parametrize("name", ["reads__last__more", "reads__last", "reads__", "reads__x__mean", "mask"])
def test_a_stray_tensor_is_refused(name: str) -> None:
    with pytest.raises(EmopruneError):
        checkpoints.from_bytes(with_tensors(**{name: torch.zeros(4)}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mask__nowhere__weight", torch.ones(2, 4, dtype=torch.bool)),
        ("mask__", torch.ones(2, 4, dtype=torch.bool)),
        ("mask__last__weight", torch.ones(4, 2, dtype=torch.bool)),
        ("mask__last__weight", torch.ones(8, dtype=torch.bool)),
        ("mask__last__weight", torch.tensor(True)),
        ("mask__last__weight", torch.ones(2, 4)),
        ("mask__last__weight", torch.full((2, 4), float("nan"))),
        ("mask__last__weight", torch.full((2, 4), 2, dtype=torch.uint8)),
        ("mask__last__weight", torch.ones(2, 4, dtype=torch.int64)),
    ],
    ids=lambda value: f"{tuple(value.shape)} {value.dtype}" if isinstance(value, Tensor) else value,
)
def test_masks_that_are_none_are_refused(name: str, value: Tensor) -> None:
    with pytest.raises(EmopruneError) as refusal:
        checkpoints.from_bytes(with_tensors(**{name: value}))
    assert "\n" not in str(refusal.value)


@given(st.dictionaries(st.integers(0, len(DATA) - 1), st.integers(0, 255), min_size=1, max_size=3))
@settings(max_examples=150, deadline=None)
def test_flipped_bytes_give_a_checkpoint_or_an_error_of_ours(flips: dict[int, int]) -> None:
    data = bytearray(DATA)
    for place, value in flips.items():
        data[place] = value
    found = outcome(EmopruneError, lambda: checkpoints.from_bytes(bytes(data)))
    if not isinstance(found, EmopruneError):
        for name, mask in found.masks.items():
            assert mask.dtype == torch.bool
            assert mask.shape == found.tensors[name].shape
