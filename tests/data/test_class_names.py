from __future__ import annotations

import os
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emoprune.data.class_names import SAME, SPELLINGS, class_key, one_spelling, places, respelled
from emoprune.errors import BadData

COMPOSED, DECOMPOSED = "colère", unicodedata.normalize("NFD", "colère")


def test_class_key_is_the_same_for_spellings_of_one_name() -> None:
    assert len({class_key(name) for name in (COMPOSED, DECOMPOSED, "Colère ", DECOMPOSED.upper())}) == 1
    assert class_key("colere") != class_key(COMPOSED)


def test_one_spelling_takes_the_most_frequent_one_composed(told: pytest.LogCaptureFixture) -> None:
    labels = [DECOMPOSED, DECOMPOSED, COMPOSED, "Angry", "angry", "Angry", "sad"]
    found = one_spelling("faces", labels)
    assert [found[label] for label in labels] == [COMPOSED] * 3 + ["Angry"] * 3 + ["sad"]
    assert told.messages == [
        r"faces: 'Angry', 'angry' are one class, Angry",
        rf"faces: 'cole\u0300re', 'col\xe8re' are one class, {COMPOSED}",
    ]


def test_one_spelling_tells_nothing_of_names_that_are_alone(told: pytest.LogCaptureFixture) -> None:
    assert one_spelling("faces", [DECOMPOSED, "sad "]) == {DECOMPOSED: COMPOSED, "sad ": "sad"}
    assert not told.messages


def test_one_spelling_refuses_a_name_that_is_not_utf8() -> None:
    with pytest.raises(BadData, match=r"class 'gl\\udcfccklich' is not UTF-8; rename it") as caught:
        one_spelling("faces", ["sad", os.fsdecode(b"gl\xfccklich")])
    assert caught.value.place == "faces"


@pytest.mark.parametrize(
    ("wanted", "known", "found"),
    [
        (("a", "b"), ("b", "a", "c"), (1, 0)),
        (("a", "x"), ("b", "a"), (1, None)),
        (("Happy", "FEAR"), ("fear", "happy"), (1, 0)),
        (("happy", "sad", "angry"), ("Anger", "Happiness", "SADNESS"), (1, 2, 0)),
        (("col\u00e8re",), ("COLE\u0300RE",), (0,)),
        # the same text comes first, and another spelling only where it can mean one class
        (("happy", "joy"), ("joy", "happiness"), (1, 0)),
        (("Happy", "happy"), ("HAPPY",), (None, None)),
        (("happy",), ("Happy", "HAPPY"), (None,)),
        (("a",), ("a", "a"), (None,)),
        ((), ("a",), ()),
    ],
)
def test_places_finds_classes_by_name(
    wanted: tuple[str, ...], known: tuple[str, ...], found: tuple[int | None, ...]
) -> None:
    assert places(wanted, known) == found


@given(st.lists(st.text(), unique_by=lambda name: unicodedata.normalize("NFC", name.strip()).casefold()))
def test_places_of_names_in_another_order_undo_it(names: list[str]) -> None:
    known = names[::-1]
    assert [known[place] for place in places(names, known) if place is not None] == names


def test_respelled_tells_what_is_matched_under_another_text() -> None:
    assert respelled(("happy", "sad", "x"), ("sad", "Happiness")) == "Happiness as happy"


def test_no_spelling_is_of_two_expressions() -> None:
    assert len(SAME) == sum(map(len, SPELLINGS.values()))
    assert not SAME.keys() & SPELLINGS.keys()
