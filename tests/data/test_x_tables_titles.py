"""Labels and titles of feature tables that people have written."""

from __future__ import annotations

from pathlib import Path

import pytest

from emoprune.data import feature_tables
from emoprune.errors import BadData


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name,label,x\na,,1\n", "line 2 has no label"),
        ("name,label,x\na,happy,1\nb, NaN,1\n", "line 3 has no label"),
        ("name,label,x, \na,happy,1,2\n", "column 4 has no title"),
    ],
)
def test_what_has_no_label_or_no_title_is_named(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(BadData, match=says):
        feature_tables.read(str(tmp_path / "t.csv"))


def test_spaces_around_a_label_make_no_other_class(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("name,label,x\na,happy,1\nb, happy ,2\nc,sad,3\n")
    catalogue = feature_tables.read(str(tmp_path / "t.csv")).catalogue
    assert (catalogue.classes, catalogue.labels) == (("happy", "sad"), (0, 0, 1))
