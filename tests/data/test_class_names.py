import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emoprune.data.class_names import SAME, SPELLINGS, places, respelled


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
