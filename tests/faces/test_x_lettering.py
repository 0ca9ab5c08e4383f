"""The letters of labelled pictures: the same on every machine, of many alphabets."""

import pytest
from PIL import ImageFont

from emoprune.faces.text_layout import lettering


@pytest.mark.parametrize("letter", "aÉßşłЖωҐ№…·")
def test_it_has_the_letters_of_the_european_alphabets(letter: str) -> None:
    font = lettering(16)
    assert bytes(font.getmask(letter)) != bytes(font.getmask("\uffff"))


def test_letters_are_as_high_as_asked_for() -> None:
    heights = [
        lettering(height).getbbox("M")[3] - lettering(height).getbbox("M")[1] for height in (10, 20, 40)
    ]
    assert heights == sorted(heights)
    assert heights[2] == pytest.approx(4 * heights[0], abs=3)


def test_no_library_of_the_machine_shapes_them() -> None:
    assert lettering(12).layout_engine == ImageFont.Layout.BASIC
