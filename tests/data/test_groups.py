"""Groups of samples that stay on one side of a split."""

from __future__ import annotations

import pytest

from emoprune.data.groups import groups, members, note_groups
from emoprune.data.types import Catalog, SplitRule
from emoprune.errors import BadData, UsageFault

PERSON = "^[^_]+"


def test_groups_are_matches_in_the_file_name() -> None:
    assert groups(["happy/film1_2.jpg", "x_y/film2_1.jpg"], PERSON) == ["film1", "film2"]


def test_groups_are_the_first_parenthesis() -> None:
    assert groups(["a/shot7_ann.jpg", "b/shot8_bob.jpg"], r"_(\w+)\.(jpg)") == ["ann", "bob"]


def test_groups_name_a_file_without_a_match() -> None:
    with pytest.raises(BadData, match="b/two"):
        groups(["a/1one", "b/two"], r"\d")


@pytest.mark.parametrize("pattern", ["(", "[a", "*", "a{99999999999999}"])
def test_groups_refuse_a_wrong_pattern(pattern: str) -> None:
    with pytest.raises(UsageFault, match="not a regular expression"):
        groups(["a"], pattern)


def test_groups_refuse_a_pattern_that_takes_too_long() -> None:
    with pytest.raises(UsageFault, match="takes too long to match"):
        groups([f"{'a' * 60}!"], "(a+)+$")


def of(*names: str) -> Catalog:
    return Catalog("faces", names, (0,) * len(names), ("x",), "f")


def test_groups_count_the_files_without_a_match() -> None:
    with pytest.raises(BadData, match=r"b/two does not match `group_by=\\d`, as do 2 others; widen"):
        groups(["a/1one", "b/two", "b/three", "b/four"], r"\d")


def test_members_join_groups_with_a_common_sample() -> None:
    rule = SplitRule("80/20", 0, PERSON, "f", ((1, 2),))
    assert members(of("a_1", "a_2", "b_1", "c_1"), rule) == {"a": [0, 1, 2], "c": [3]}


def test_note_groups_warns_of_a_pattern_that_keeps_nothing_together(told: pytest.LogCaptureFixture) -> None:
    note_groups(of("a_1", "a_2"), SplitRule("80/20", 0, PERSON, "f"))
    note_groups(of("a_1", "a_2"), SplitRule("80/20", 0, None, "f"))
    assert told.messages == []
    note_groups(of("a_1", "a_2"), SplitRule("80/20", 0, ".*", "f"))
    assert told.messages == [
        "faces: `group_by=.*` makes 2 groups of one sample each and keeps nothing together; match what the "
        "names of a film or a person share, as '^[^_]+'"
    ]
