from __future__ import annotations

import os
import unicodedata

import pytest

from emoprune.data.class_names import class_key, one_spelling
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
