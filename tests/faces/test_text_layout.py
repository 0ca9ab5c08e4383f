"""Captions: one line, no wider than their picture, and no boxes where a font has no letter."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ImageFont

from emoprune.faces.text_layout import caption, font_of, lines, printable, shortened

FONT = font_of(11)


@pytest.mark.parametrize(
    "name", ["angry/a.jpg", "Übung/naïve façade.png", "Жук/Портрет №3.jpg", "γελώ/βδ.tif", "gülüş/yağ.webp"]
)
def test_names_that_the_font_has_stay_as_they_are(name: str) -> None:
    assert caption(name, 7, FONT, 1000) == name


def test_a_decomposed_accent_is_its_letter() -> None:
    assert caption("cafe\u0301.jpg", 7, FONT, 1000) == "caf\u00e9.jpg"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("图片/家庭_0012.jpg", "#7 …/…_0012.jpg"),
        ("तस्वीर.jpg", "#7 ….jpg"),
        ("עברית/7.jpg", "#7 …/7.jpg"),
        ("a\nb\tc.jpg", "#7 a…b…c.jpg"),
        ("caf\udce9.jpg", "#7 caf….jpg"),
        ("a\u202egpj.exe", "#7 a…gpj.exe"),
    ],
)
def test_what_the_font_lacks_is_an_ellipsis_and_the_name_is_numbered(name: str, shown: str) -> None:
    assert caption(name, 7, FONT, 1000) == shown


@settings(deadline=None, max_examples=60)
@given(st.text(min_size=1, max_size=60), st.integers(1, 99999), st.integers(20, 200))
def test_no_caption_is_wider_than_asked_for(name: str, number: int, width: int) -> None:
    assert FONT.getlength(caption(name, number, FONT, width)) <= width


def test_a_long_name_keeps_its_beginning_and_its_end_and_as_much_as_fits() -> None:
    name = "happy/a very long folder name/IMG_20190412_153312.jpg"
    shown = shortened(name, FONT, 120)
    head, tail = shown.split("…")
    assert name.startswith(head)
    assert name.endswith(tail)
    assert len(tail) == math.ceil(2 * (len(head) + len(tail)) / 3)
    assert FONT.getlength(shown) <= 120
    kept = len(head) + len(tail) + 1
    more = math.ceil(2 * kept / 3)
    assert FONT.getlength(name[: kept - more] + "…" + name[-more:]) > 120


def test_a_very_long_name_is_written_like_a_long_one() -> None:
    for name in ("a" * 200, "a" * 50_000, "é" * 50_000):
        assert caption(f"{name}_12.jpg", 1, FONT, 80) == caption(f"{name[:200]}_12.jpg", 1, FONT, 80)
    assert lines("word " * 20_000, FONT, 110, most=2)[1].endswith("word")


def test_a_sentence_breaks_between_words_and_its_last_line_is_cut() -> None:
    text = "a damaged image (image file is truncated)"
    found = lines(text, FONT, 110, most=9)
    assert " ".join(found) == text
    assert all(FONT.getlength(line) <= 110 for line in found)
    cut = lines(text, FONT, 110, most=2)
    assert cut[0] == found[0]
    assert len(cut) == 2
    assert cut[1].endswith("cated)")
    assert "…" in cut[1]


def test_what_is_written_is_written_again_as_it_is() -> None:
    for text in ("图片 a", "plain", "", "…"):
        assert printable(printable(text, FONT), FONT) == printable(text, FONT)


@pytest.mark.parametrize("letter", "aÉßşłЖωҐ№…·")
def test_it_has_the_letters_of_the_european_alphabets(letter: str) -> None:
    font = font_of(16)
    assert bytes(font.getmask(letter)) != bytes(font.getmask("\uffff"))


def test_letters_are_as_high_as_asked_for() -> None:
    heights = [font_of(height).getbbox("M")[3] - font_of(height).getbbox("M")[1] for height in (10, 20, 40)]
    assert heights == sorted(heights)
    assert heights[2] == pytest.approx(4 * heights[0], abs=3)


def test_no_library_of_the_machine_shapes_them() -> None:
    assert font_of(12).layout_engine == ImageFont.Layout.BASIC
