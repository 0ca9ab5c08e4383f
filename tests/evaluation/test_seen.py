"""Samples that a network knows from its training: which they are, and what is said of them."""

from __future__ import annotations

import pytest
import torch

from emoprune.data.types import Catalog, SplitRule
from emoprune.evaluation.model import ChosenPart
from emoprune.evaluation.seen import content_keys, seen_samples, tell_seen

NAMES = tuple(f"{part}/{index}" for part in ("train", "val", "test") for index in range(2))
CATALOG = Catalog("faces", NAMES, (0, 1) * 3, ("x", "y"), "f", tuple(f"{index:x}" * 64 for index in range(6)))
RULE = SplitRule("folders", 0, None, "f")
EVERY = torch.arange(6)


def chosen(indices: torch.Tensor = EVERY, name: str = "all", *, own: bool = False) -> ChosenPart:
    return ChosenPart(name, indices, CATALOG, indices, own)


def test_content_keys_are_one_each_or_unknown() -> None:
    keys = content_keys(CATALOG)
    assert keys is not None
    assert keys.tolist() == [int(f"{index:x}" * 16, 16) for index in range(6)]
    assert content_keys(Catalog("faces", NAMES, (0, 1) * 3, ("x", "y"), "f")) is None


def test_seen_samples_are_those_of_the_same_content() -> None:
    keys = content_keys(CATALOG)
    assert keys is not None
    found = seen_samples(keys[[1, 5]], RULE, CATALOG, chosen(EVERY[3:]))
    assert found is not None
    assert found.tolist() == [False, False, True]


def test_seen_samples_without_keys_are_of_the_parts_that_are_learned_from() -> None:
    found = seen_samples(None, RULE, CATALOG, chosen(own=True))
    assert found is not None
    assert found.tolist() == [True] * 4 + [False] * 2
    assert seen_samples(None, RULE, CATALOG, chosen()) is None


OWN = "are in its train or val part, or copies of those"
SEEN = torch.tensor([True, True, False, False, False, False])


@pytest.mark.parametrize(
    ("seen", "correct", "part", "says"),
    [
        (SEEN, EVERY < 3, chosen(), ["d: 2 of 6 samples were trained on; accuracy on the other 4: 25.0%"]),
        (SEEN, None, chosen(name="test", own=True), ["d: 2 of 6 samples were trained on"]),
        (SEEN | True, EVERY < 3, chosen(), ["d: 6 of 6 samples were trained on"]),
        (
            SEEN,
            None,
            chosen(own=True),
            ["d: 2 of 6 samples are in its train or val part, or copies of those"],
        ),
        (SEEN, None, chosen(name="val", own=True), []),
        (SEEN & False, None, chosen(), []),
        (None, None, chosen(), ["m does not say what it was trained on: samples of d may be among it"]),
        (None, None, chosen(name="train"), []),
    ],
)
def test_tell_seen_counts_them_and_scores_the_others(
    told: pytest.LogCaptureFixture,
    seen: torch.Tensor | None,
    correct: torch.Tensor | None,
    part: ChosenPart,
    says: list[str],
) -> None:
    tell_seen(seen, correct, part, data="d", model="m")
    assert told.messages == says
