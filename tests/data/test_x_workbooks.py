"""Workbooks become the rows that a CSV of them would have."""

import io
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emoprune.data import feature_tables
from emoprune.errors import BadData
from tests.support.records import workbook


def repacked(data: bytes, **files: bytes | None) -> bytes:
    """A zip with some files replaced, or left out where they are None; `_` stands for a slash or a dot."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(stream, "w") as new:
        for name in old.namelist():
            content = files.get(name.replace("/", "_").replace(".", "_"), old.read(name))
            if content is not None:
                new.writestr(name, content)
    return stream.getvalue()


def test_rows_are_text_under_their_numbers() -> None:
    found = feature_tables.parse(workbook([["name", "label", "x"], ["a", 1, 0.5], ["b", "NaN", -1e-9]]))
    assert found == [(1, ["name", "label", "x"]), (2, ["a", "1", "0.5"]), (3, ["b", "NaN", "-1e-09"])]


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=4))
def test_numbers_come_through_to_the_last_bit_of_float32(values: list[float]) -> None:
    ((_, row),) = feature_tables.parse(workbook([["a", *values]]))
    assert [np.float32(cell) for cell in row[1:]] == values


def test_only_the_first_cell_of_a_merged_one_has_text() -> None:
    rows = (("", "label", "title", "", ""), ("a", 1, 1, 2, 3))
    assert feature_tables.parse(workbook(rows, merged="C1:E1"))[0] == (1, ["", "label", "title", "", ""])


def test_rows_that_end_early_are_filled_up_to_the_length_of_most() -> None:
    found = feature_tables.parse(workbook([["", "label", "t"], ["a", 1, 1, 2], ["b", 1, 1, 2], ["c", 2, 1]]))
    assert [row for _, row in found] == [
        ["", "label", "t", ""],
        ["a", "1", "1", "2"],
        ["b", "1", "1", "2"],
        ["c", "2", "1", ""],
    ]


def test_a_stray_cell_makes_no_column() -> None:
    found = feature_tables.parse(
        workbook([["n", "label", "t"], ["a", 1, 1], ["b", 1, 1, None, "x"], ["c", 2, 1]])
    )
    assert [len(row) for _, row in found] == [3, 3, 5, 3]


def test_an_empty_sheet_has_no_rows_with_text() -> None:
    assert not any(any(row) for _, row in feature_tables.parse(workbook([])))


def test_what_a_file_says_of_its_own_size_loses_no_rows() -> None:
    data = workbook([["n", "label", "t"], ["a", 1, 1], ["b", 1, 1]])
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        sheet = archive.read("xl/worksheets/sheet1.xml")
    assert b'<dimension ref="A1:C3"' in sheet
    smaller = repacked(data, xl_worksheets_sheet1_xml=sheet.replace(b'"A1:C3"', b'"A1:B2"'))
    assert feature_tables.parse(smaller) == feature_tables.parse(data)


WHOLE = workbook([["name", "label", "x"], ["a", 1, 0.5]])


@pytest.mark.parametrize("data", [b"", b"name,label,x\na,b,1\n", b"PK\x03\x04", WHOLE[:-30]])
def test_what_is_no_zip_is_no_workbook(data: bytes) -> None:
    with pytest.raises(BadData, match=r"not an \.xlsx workbook"):
        feature_tables.parse(data)


@pytest.mark.parametrize(
    "data",
    [
        repacked(WHOLE, xl_workbook_xml=None),
        repacked(WHOLE, xl_worksheets_sheet1_xml=b"<worksheet"),
        repacked(WHOLE, xl_worksheets_sheet1_xml=b"\xff\xfe\x00"),
        repacked(WHOLE, _Content_Types__xml=None, **{"[Content_Types]_xml": None}),
    ],
)
def test_a_zip_of_something_else_is_a_damaged_workbook(data: bytes) -> None:
    with pytest.raises(BadData, match=r"damaged .xlsx workbook; save it again"):
        feature_tables.parse(data)


def test_a_workbook_without_a_sheet_is_told() -> None:
    with zipfile.ZipFile(io.BytesIO(WHOLE)) as archive:
        book = archive.read("xl/workbook.xml")
    start, end = book.index(b"<sheets>"), book.index(b"</sheets>")
    with pytest.raises(BadData, match="a workbook without a sheet"):
        feature_tables.parse(repacked(WHOLE, xl_workbook_xml=book[: start + 8] + book[end:]))


def test_a_workbook_that_would_fill_the_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_tables, "LARGEST", 1000)
    with pytest.raises(BadData, match="more than is safe to read"):
        feature_tables.parse(WHOLE)
