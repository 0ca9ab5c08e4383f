"""Foreign text for people: on one line, short, and nothing in it that a terminal obeys."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emoprune.io.visible_text import BEGINS, ENDS, isolated, visible, without_isolates


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        *(
            ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
            ("a\nb\r\tc\x00", r"a\nb\r\tc\x00"),
            ("\x7f", r"\x7f"),
        ),
        *(("\x7f\x80\x9b2J\x85", r"\x7f\x80\x9b2J\x85"), ("\u202egnp.exe\u2066", r"\u202egnp.exe\u2066")),
        *(("a\u2028b\u2029", r"a\u2028b\u2029"), ("caf\udce9 \ud800", r"caf\udce9 \ud800")),
        *(("表情 é 👩‍👩‍👧 שלום", None), (r"a\x1b", None), (" a  b ", None), ("", None)),
    ],
)
def test_visible_escapes_what_moves_a_cursor_breaks_a_line_or_turns_the_writing_round(
    text: str, shown: str | None
) -> None:
    assert visible(text) == (text if shown is None else shown)


@given(st.text(st.characters()))
def test_visible_leaves_one_line_of_characters_that_can_be_written(text: str) -> None:
    shown = visible(text, most=None)
    assert not {unicodedata.category(letter) for letter in shown} & {"Cc", "Cs", "Zl", "Zp"}
    assert len(shown.splitlines()) <= 1
    assert shown.encode("utf-8") == shown.encode("utf-8", "surrogatepass")
    assert visible(shown, most=None) == shown


def test_visible_cuts_the_middle_of_a_long_text() -> None:
    text = "begins " + "x" * 1000 + " ends"
    assert len(visible(text)) == 200
    assert visible(text, most=11) == "begin… ends"
    assert visible(text, most=None) == text
    assert visible("x" * 200) == "x" * 200


def test_isolated_names_cannot_end_their_isolation() -> None:
    name = f"{ENDS}\u05d0{BEGINS}"
    assert isolated(name) == f"{BEGINS}\\u2069\u05d0\\u2068{ENDS}"
    assert without_isolates(f"a {isolated('b')} c") == "a b c"


@pytest.mark.parametrize("name", ["pruned, macs 0.5", "a; b", "see: this", "e.g. this"])
def test_isolated_quotes_a_name_that_looks_like_more_of_the_sentence(name: str) -> None:
    assert without_isolates(f"of {isolated(name)}") == f"of “{name}”"
    assert without_isolates(isolated("runs/a.st")) == "runs/a.st"
