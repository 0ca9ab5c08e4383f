"""The groups of what is scored: of the split of the model, or asked for."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from emoprune.data.datasets import open_data
from emoprune.data.types import Catalog, SplitRule
from emoprune.errors import BadData, UsageFault
from emoprune.evaluation.evaluate import evaluate
from emoprune.evaluation.grouping import sample_groups
from emoprune.evaluation.model import ChosenPart
from emoprune.evaluation.types import Metrics
from tests.support.training import CONV1, trained

NAMES = ("x/ann_1.jpg", "x/ann_2.jpg", "y/bob_1.jpg", "y/cid_1.jpg")
CATALOG = Catalog("faces", NAMES, (0, 0, 1, 1), ("x", "y"), "f")
FILMS = "^[^_]+"


def part(*places: int, own: bool = True) -> ChosenPart:
    indices = torch.tensor(places)
    return ChosenPart("test", indices, CATALOG, indices, own)


def rule(group_by: str | None = None, together: tuple[tuple[int, ...], ...] = ()) -> SplitRule:
    return SplitRule("80/20", 0, group_by, "f", together)


def test_sample_groups_are_those_of_the_split_or_those_that_are_asked_for(
    told: pytest.LogCaptureFixture,
) -> None:
    assert sample_groups(part(3, 0, 1), rule(FILMS), None) == ("cid", "ann", "ann")
    assert sample_groups(part(3, 0, 1), rule(FILMS), r"\d") == ("1", "1", "2")
    assert sample_groups(part(0, 1, 2, own=False), rule(), FILMS) == ("ann", "ann", "bob")
    assert sample_groups(part(0, 1), rule(), None) is None
    assert told.messages == []


def test_sample_groups_join_near_duplicates_of_the_own_data() -> None:
    tied = rule(FILMS, ((1, 2),))
    assert sample_groups(part(0, 2, 3), tied, None) == ("ann", "ann", "cid")
    assert sample_groups(part(0, 2, 3, own=False), tied, FILMS) == ("ann", "bob", "cid")


def test_sample_groups_of_other_data_are_not_guessed(told: pytest.LogCaptureFixture) -> None:
    assert sample_groups(part(0, 1, own=False), rule(FILMS), None) is None
    assert told.messages == [
        "faces: intervals take its samples for independent; `group_by` says which are not"
    ]


def test_sample_groups_refuse_what_training_refuses() -> None:
    with pytest.raises(BadData, match=r"faces: x/ann_1\.jpg does not match `group_by=z`, as do 3 others"):
        sample_groups(part(0, 1), rule(), "z")
    with pytest.raises(UsageFault, match="not a regular expression"):
        sample_groups(part(0, 1), rule(), "(")


def test_sample_groups_refuse_one_group_that_is_asked_for(told: pytest.LogCaptureFixture) -> None:
    for chosen, pattern in ((part(0, 1, 2, 3), "_"), (part(0, 1), FILMS)):
        with pytest.raises(
            BadData, match="faces: groups made by `group_by`: 1, fewer than the 2 of an interval"
        ):
            sample_groups(chosen, rule(), pattern)
    # of the split nobody asked for it here
    assert sample_groups(part(0, 1), rule(FILMS), None) == ("ann", "ann")
    assert told.messages == ["faces: its test part is one group, which gives scores no intervals by group"]


def test_sample_groups_warn_of_a_pattern_that_keeps_nothing_together(told: pytest.LogCaptureFixture) -> None:
    assert sample_groups(part(0, 1), rule(), ".*") == ("ann_1.jpg", "ann_2.jpg")
    (said,) = told.messages
    assert "4 groups of one sample each" in said


def test_evaluate_takes_groups_from_the_split_of_the_model(
    faces: Path, tmp_path: Path, told: pytest.LogCaptureFixture
) -> None:
    grouped = trained(faces, **CONV1, group_by=FILMS, split="40/60")
    found = evaluate(grouped, open_data(faces))
    assert isinstance(found, Metrics)
    assert found.intervals is not None
    assert (found.intervals.over, found.intervals.count) == ("groups", 3)
    assert "accuracy" in found.intervals.of
    other = shutil.copytree(faces / "happy", tmp_path / "other" / "happy").parent
    told.clear()
    alone = evaluate(grouped, open_data(other), part="all")
    assert isinstance(alone, Metrics)
    assert alone.intervals is not None
    assert alone.intervals.over == "samples"
    assert any(text.startswith(f"{other}: intervals take its samples") for text in told.messages)
