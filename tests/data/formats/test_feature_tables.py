"""Labels and titles of feature tables that people have written."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emoprune.data.class_names import class_key
from emoprune.data.formats import feature_tables
from emoprune.data.types import Catalog, Table
from emoprune.errors import BadData, EmopruneError, InvalidRecord
from emoprune.networks import checkpoint as checkpoints
from tests.support.feature_tables import read_table
from tests.support.records import TEXTS, checkpoint, header_of, raw_safetensors, with_header, workbook

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


def table(
    rows: list[list[float]],
    *,
    names: tuple[str, ...] | None = None,
    labels: tuple[str, ...] | None = None,
    columns: tuple[str, ...] | None = None,
) -> Table:
    names = names or tuple(f"face{index}.jpg" for index in range(len(rows)))
    labels = labels or tuple("ab"[index % 2] for index in range(len(rows)))
    classes = tuple(sorted(set(labels)))
    catalog = Catalog("here", names, tuple(map(classes.index, labels)), classes, "0" * 64)
    columns = columns or tuple(f"f{index}" for index in range(len(rows[0])))
    return Table(catalog, columns, torch.tensor(rows, dtype=torch.float32))


@st.composite
def any_table(draw: st.DrawFn) -> Table:
    samples, features = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    row = st.lists(FLOATS, min_size=features, max_size=features)
    names = st.lists(TEXTS, min_size=samples, max_size=samples).map(tuple)
    titles = TEXTS.filter(str.strip)
    columns = draw(st.lists(titles, min_size=features, max_size=features).map(tuple))
    # other spellings of a class are not kept
    words = TEXTS.map(class_key).filter(lambda text: text not in ("", "nan"))
    return table(
        draw(st.lists(row, min_size=samples, max_size=samples)),
        names=draw(names),
        labels=draw(st.lists(words, min_size=samples, max_size=samples).map(tuple)),
        columns=columns,
    )


def read_back(folder: Path, original: Table, suffix: str) -> Table:
    path = folder / f"table{suffix}"
    path.write_bytes(feature_tables.to_bytes(original, suffix=suffix))
    return read_table(path)


@pytest.mark.parametrize("suffix", [".csv", ".st"])
@given(original=any_table())
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_from_bytes_reads_back_every_bit(tmp_path: Path, suffix: str, original: Table) -> None:
    again = read_back(tmp_path, original, suffix)
    catalog = again.catalog
    assert catalog.names == original.catalog.names
    assert catalog.classes == original.catalog.classes
    assert catalog.labels == original.catalog.labels
    assert again.columns == original.columns
    assert again.values.dtype == torch.float32
    assert torch.equal(again.values.view(torch.int32), original.values.view(torch.int32))
    assert catalog.place == str(tmp_path / f"table{suffix}")


def test_to_bytes_keeps_every_digit_of_float32(tmp_path: Path) -> None:
    edge = np.finfo(np.float32)
    values = [
        0.1,
        1 / 3,
        float(edge.tiny),
        float(edge.max),
        -float(edge.max),
        1 + float(edge.eps),
        1e-45,
        -0.0,
    ]
    original = table([values])
    again = read_back(tmp_path, original, ".csv")
    assert torch.equal(again.values.view(torch.int32), original.values.view(torch.int32))


def test_csv_and_safetensors_have_the_same_fingerprint(tmp_path: Path) -> None:
    original = table([[0.1, 2.0], [3.5, -4.0]])
    prints = [read_back(tmp_path, original, suffix).catalog.fingerprint for suffix in (".csv", ".st")]
    assert prints[0] == prints[1]


def test_to_bytes_writes_plain_csv() -> None:
    original = table([[1.5, 2.0]], names=('odd, "name"\n.jpg',), labels=("a",))
    rows = list(
        csv.DictReader(io.StringIO(feature_tables.to_bytes(original, suffix=".csv").decode(), newline=""))
    )
    assert rows == [{"name": 'odd, "name"\n.jpg', "label": "a", "f0": "1.5", "f1": "2"}]


@pytest.mark.parametrize("suffix", [".csv", ".st"])
def test_to_bytes_gives_the_same_bytes_for_the_same_table(suffix: str) -> None:
    original = table([[1.0, 2.0], [3.0, 4.0]])
    assert feature_tables.to_bytes(original, suffix=suffix) == feature_tables.to_bytes(
        original, suffix=suffix
    )


def test_fingerprint_changes_with_the_table(tmp_path: Path) -> None:
    different = (
        table([[1.0, 2.0, 3.0, 4.0]], names=("a",), labels=("b",), columns=("c", "d", "e", "f")),
        table([[1.0, 2.0], [3.0, 4.0]], names=("a", "b"), labels=("c", "d"), columns=("e", "f")),
        table([[1.0, 2.0, 3.0, 5.0]], names=("a",), labels=("b",), columns=("c", "d", "e", "f")),
        table([[1.0, 2.0, 3.0, 4.0]], names=("x",), labels=("b",), columns=("c", "d", "e", "f")),
        table([[1.0, 2.0, 3.0, 4.0]], names=("a",), labels=("x",), columns=("c", "d", "e", "f")),
    )
    prints = {read_back(tmp_path, entry, ".csv").catalog.fingerprint for entry in different}
    assert len(prints) == len(different)


@pytest.mark.parametrize("suffix", [".csv", ".st"])
def test_from_bytes_keeps_names_that_are_not_utf8(tmp_path: Path, suffix: str) -> None:
    name = os.fsdecode(b"gl\xfccklich.jpg")
    again = read_back(tmp_path, table([[1.0]], names=(name,)), suffix)
    assert again.catalog.names == (name,)


def test_from_bytes_keeps_duplicate_rows_in_order(tmp_path: Path) -> None:
    again = read_back(tmp_path, table([[1.0], [1.0], [2.0]], names=("same", "same", "same")), ".csv")
    assert again.catalog.names == ("same",) * 3
    assert again.values[:, 0].tolist() == [1.0, 1.0, 2.0]


def from_csv(folder: Path, text: str | bytes) -> Table:
    path = folder / "table.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_table(path)


@pytest.mark.parametrize(
    "text",
    [
        "name,label,x\na.jpg,happy,1\n",
        "name,label,x\r\na.jpg,happy,1.0\r\n",
        "\ufeffname,label,x\na.jpg,happy,1e0",
        'Name,LABEL,x\n"a.jpg",happy, 1\n',
    ],
)
def test_from_bytes_reads_csv_from_spreadsheets(tmp_path: Path, text: str) -> None:
    found = from_csv(tmp_path, text)
    assert (found.catalog.names, found.catalog.classes) == (("a.jpg",), ("happy",))
    assert found.values.tolist() == [[1.0]]


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("", "the file is empty"),
        ("\n", "the file is empty"),
        ("x,y,z\n1,2,3\n", "its first line is x, y, z: not titles"),
        ("name,x,z\nb,1,2\n", r"has no label column \(its columns are name, x, z\)"),
        ("name,label,x\n", "no rows"),
        ("name,label,x\na,b,1\nc,d\n", "line 3 has 2 cells, not 3"),
        ("name,label,x\na,b,1,2\n", "line 2 has 4 cells, not 3"),
        ("name,label,x\na,b,1\nc,d,high\n", "line 3: x is 'high', not a number"),
        ("name,label,x,y\na,b,,missing\n", "line 2: y is 'missing', not a number"),
        ("name,label,x,y\na,b,NaN,inf\n", "line 2: y is 'inf', not a number"),
        ("name,label,x\na,b,-inf\n", "line 2: x is '-inf', not a number"),
        ("name,label,x\na,b,1e39\n", "line 2: x is '1e39'"),
        ('name,label,x\n"a,b,1\n', "not a CSV table"),
        (b"name,label,x\n\xff\xfe\x00,b,1\n", "not a CSV table"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "a picture, not a table or a list of pictures"),
    ],
)
def test_from_bytes_names_the_wrong_line_of_a_csv(tmp_path: Path, text: str | bytes, fact: str) -> None:
    with pytest.raises(BadData, match=fact) as caught:
        from_csv(tmp_path, text)
    assert caught.value.place == str(tmp_path / "table.csv")
    assert "\n" not in str(caught.value)


def test_from_bytes_counts_lines_like_an_editor(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="line 4: x is 'high'"):
        from_csv(tmp_path, 'name,label,x\n"two\nlines",b,1\nc,d,high\n')


def test_from_bytes_refuses_a_huge_cell(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="not a CSV table"):
        from_csv(tmp_path, f"name,label,x\n{'a' * 200_000},b,1\n")


@given(st.lists(st.lists(FLOATS | st.just(math.nan), min_size=2, max_size=2), min_size=1, max_size=5))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_missing_values_are_written_and_read_as_nan(tmp_path: Path, rows: list[list[float]]) -> None:
    original = table(rows)
    found = read_back(tmp_path, original, ".csv")
    assert torch.equal(found.values.isnan(), original.values.isnan())
    assert torch.equal(found.values.nan_to_num(1), original.values.nan_to_num(1))


def test_fingerprint_does_not_depend_on_how_missing_values_are_written(tmp_path: Path) -> None:
    texts = [f"name,label,x,y\na,b,{cell},1\nc,d,2,3\n" for cell in ("", "nan", "NaN", " ")]
    assert len({from_csv(tmp_path, text).catalog.fingerprint for text in texts}) == 1


def test_read_takes_csv_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    data = feature_tables.to_bytes(table([[1.0, 2.0]]), suffix=".csv")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert read_table("-").catalog.place == "standard input"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    with pytest.raises(BadData, match=r"^standard input: "):
        read_table("-")


GOOD = feature_tables.to_bytes(table([[1.0, 2.0], [3.0, 4.0]]), suffix=".st")


def changed(**fields: Any) -> bytes:
    header = header_of(GOOD)
    card = {**json.loads(header["__metadata__"]["emoprune"]), **fields}
    return with_header(GOOD, {**header, "__metadata__": {"emoprune": json.dumps(card)}})


def with_values(values: torch.Tensor) -> bytes:
    return safetensors.torch.save({"features": values}, header_of(GOOD)["__metadata__"])


BROKEN = {
    "empty": b"",
    "text": b"name,label,x\na,b,1\n",
    "cut": GOOD[:-3],
    "a checkpoint": checkpoints.to_bytes(checkpoint()),
    "of someone else": safetensors.torch.save({"features": torch.ones(2, 2)}),
    "no metadata": raw_safetensors(b'{"__metadata__":null}'),
    "not JSON": with_header(GOOD, {**header_of(GOOD), "__metadata__": {"emoprune": "{"}}),
    "a long number": with_header(GOOD, {**header_of(GOOD), "__metadata__": {"emoprune": "1" * 5000}}),
    "other schema": changed(schema="emoprune.features/2"),
    "more tensors": safetensors.torch.save(
        {"features": torch.ones(2, 2), "more": torch.ones(1)}, header_of(GOOD)["__metadata__"]
    ),
    "names missing": changed(names=None),
    "names no list": changed(names="ab"),
    "a name too few": changed(names=["a"]),
    "a label too few": changed(labels=["a"]),
    "a label no text": changed(labels=["a", 1]),
    "a column too few": changed(columns=["f0"]),
    "surrogates": changed(names=["\ud800", "b"]),
    "no rows": safetensors.torch.save(
        {"features": torch.ones(0, 2)},
        {
            "emoprune": json.dumps(
                {"schema": feature_tables.SCHEMA, "names": [], "labels": [], "columns": ["a", "b"]}
            )
        },
    ),
    "no columns": safetensors.torch.save(
        {"features": torch.ones(1, 0)},
        {
            "emoprune": json.dumps(
                {"schema": feature_tables.SCHEMA, "names": ["a"], "labels": ["b"], "columns": []}
            )
        },
    ),
    "flat": with_values(torch.ones(4)),
    "nan": with_values(torch.tensor([[1.0, float("nan")], [1.0, 1.0]])),
    "beyond float32": with_values(torch.tensor([[1.0, 1e300], [1.0, 1.0]], dtype=torch.float64)),
}


@pytest.mark.parametrize("name", BROKEN)
def test_read_refuses_other_safetensors_files_by_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / "table.st"
    path.write_bytes(BROKEN[name])
    with pytest.raises((BadData, InvalidRecord)) as caught:
        read_table(path)
    assert caught.value.place == str(path)
    assert "\n" not in str(caught.value)


@given(st.binary(max_size=100))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_from_bytes_refuses_random_bytes(tmp_path: Path, data: bytes) -> None:
    for suffix in (".csv", ".st", ".xlsx"):
        path = tmp_path / f"table{suffix}"
        path.write_bytes(data)
        with pytest.raises(EmopruneError):
            read_table(path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name,label,x\na,,1\n", "line 2 has no label"),
        ("name,label,x\na,happy,1\nb, NaN,1\n", "line 3 has no label"),
        ("name,label,x, \na,happy,1,2\n", "column 4 has no title"),
    ],
)
def test_from_bytes_names_a_missing_label_or_title(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(BadData, match=says):
        read_table(tmp_path / "t.csv")


def test_from_bytes_ignores_spaces_around_a_label(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("name,label,x\na,happy,1\nb, happy ,2\nc,sad,3\n")
    catalog = read_table(tmp_path / "t.csv").catalog
    assert (catalog.classes, catalog.labels) == (("happy", "sad"), (0, 0, 1))


def repacked(data: bytes, **files: bytes | None) -> bytes:
    """A zip with some files replaced, or left out where they are None; `_` stands for a slash or a dot."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(stream, "w") as new:
        for name in old.namelist():
            content = files.get(name.replace("/", "_").replace(".", "_"), old.read(name))
            if content is not None:
                new.writestr(name, content)
    return stream.getvalue()


def test_parse_returns_rows_of_text_with_line_numbers() -> None:
    found = feature_tables.parse(workbook([["name", "label", "x"], ["a", 1, 0.5], ["b", "NaN", -1e-9]]))
    assert found == [(1, ["name", "label", "x"]), (2, ["a", "1", "0.5"]), (3, ["b", "NaN", "-1e-09"])]


def test_parse_leaves_out_empty_rows() -> None:
    rows: list[list[object]] = [[None], ["name", "label", "x"], [None, None], ["a", 1, 0.5]]
    assert feature_tables.parse(workbook(rows)) == [(2, ["name", "label", "x"]), (4, ["a", "1", "0.5"])]


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=4))
def test_parse_keeps_every_bit_of_float32(values: list[float]) -> None:
    ((_, row),) = feature_tables.parse(workbook([["a", *values]]))
    assert [np.float32(cell) for cell in row[1:]] == values


def test_parse_fills_only_the_first_of_merged_cells() -> None:
    rows = (("", "label", "title", "", ""), ("a", 1, 1, 2, 3))
    assert feature_tables.parse(workbook(rows, merged="C1:E1"))[0] == (1, ["", "label", "title", "", ""])


def test_parse_pads_rows_to_the_usual_length() -> None:
    found = feature_tables.parse(workbook([["", "label", "t"], ["a", 1, 1, 2], ["b", 1, 1, 2], ["c", 2, 1]]))
    assert [row for _, row in found] == [
        ["", "label", "t", ""],
        ["a", "1", "1", "2"],
        ["b", "1", "1", "2"],
        ["c", "2", "1", ""],
    ]


def test_parse_ignores_the_length_of_a_stray_cell() -> None:
    found = feature_tables.parse(
        workbook([["n", "label", "t"], ["a", 1, 1], ["b", 1, 1, None, "x"], ["c", 2, 1]])
    )
    assert [len(row) for _, row in found] == [3, 3, 5, 3]


def test_parse_of_an_empty_sheet_has_no_text() -> None:
    assert not any(any(row) for _, row in feature_tables.parse(workbook([])))


def test_parse_tells_the_sheets_that_it_does_not_read(told: pytest.LogCaptureFixture) -> None:
    book = openpyxl.load_workbook(io.BytesIO(workbook([["name", "label", "x"], ["a", 1, 0.5]])))
    book.create_sheet("test").append(["name", "label", "x"])
    stream = io.BytesIO()
    book.save(stream)
    assert len(feature_tables.parse(stream.getvalue(), place="t.xlsx")) == 2
    assert told.messages == ["t.xlsx: reads its first sheet, Sheet, and not test"]


@pytest.mark.parametrize(
    ("labels", "classes"), [(("3", "3.0", "2."), ("2", "3")), (("3.0", "a", "3"), ("3", "3.0", "a"))]
)
def test_from_rows_takes_numbers_with_and_without_a_point_for_one_class(
    labels: tuple[str, ...], classes: tuple[str, ...]
) -> None:
    rows = [(1, ["name", "label", "x"]), *((n, [f"a{n}", label, f"{n}"]) for n, label in enumerate(labels))]
    assert feature_tables.from_rows("t.csv", rows).catalog.classes == classes


def test_parse_ignores_the_size_in_the_file() -> None:
    data = workbook([["n", "label", "t"], ["a", 1, 1], ["b", 1, 1]])
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        sheet = archive.read("xl/worksheets/sheet1.xml")
    assert b'<dimension ref="A1:C3"' in sheet
    smaller = repacked(data, xl_worksheets_sheet1_xml=sheet.replace(b'"A1:C3"', b'"A1:B2"'))
    assert feature_tables.parse(smaller) == feature_tables.parse(data)


WHOLE = workbook([["name", "label", "x"], ["a", 1, 0.5]])


# a workbook holds the time at which it was made, which would differ between processes as an id
@pytest.mark.parametrize(
    "data",
    [b"", b"name,label,x\na,b,1\n", b"PK\x03\x04", WHOLE[:-30]],
    ids=["empty", "text", "first four bytes", "cut off"],
)
def test_parse_refuses_bytes_that_are_not_a_zip(data: bytes) -> None:
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
    ids=["no workbook", "sheet cut off", "sheet not text", "no content types"],
)
def test_parse_refuses_a_zip_of_something_else(data: bytes) -> None:
    with pytest.raises(BadData, match=r"damaged .xlsx workbook; save it again"):
        feature_tables.parse(data)


def test_parse_refuses_a_workbook_without_a_sheet() -> None:
    with zipfile.ZipFile(io.BytesIO(WHOLE)) as archive:
        book = archive.read("xl/workbook.xml")
    start, end = book.index(b"<sheets>"), book.index(b"</sheets>")
    with pytest.raises(BadData, match="a workbook without a sheet"):
        feature_tables.parse(repacked(WHOLE, xl_workbook_xml=book[: start + 8] + book[end:]))


def test_parse_refuses_a_workbook_that_would_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_tables, "LARGEST", 1000)
    with pytest.raises(BadData, match="more than is safe to read"):
        feature_tables.parse(WHOLE)


WIDE = "".join(f'<row r="{line}"><c r="XFD{line}"><v>1</v></c></row>' for line in range(3, 9))


@pytest.mark.parametrize(
    ("far", "fact"),
    [
        ('<row r="99999999999"><c r="A9"><v>1</v></c></row>', "a cell below row 1,048,576"),
        ('<row r="5000000"><c r="A5000000"><v>1</v></c></row>', "a cell below row 1,048,576"),
        ('<row r="3"><c r="ZZZ3"><v>1</v></c></row>', "a cell in column 18,278"),
        (
            "".join(f'<row r="{n}"><c r="XFD{n}"><v>1</v></c></row>' for n in range(3, 9)),
            "more than 50,000 cells",
        ),
    ],
)
def test_parse_refuses_a_cell_far_out(monkeypatch: pytest.MonkeyPatch, far: str, fact: str) -> None:
    monkeypatch.setattr(feature_tables, "MOST_CELLS", 50_000)
    with zipfile.ZipFile(io.BytesIO(WHOLE)) as archive:
        sheet = archive.read("xl/worksheets/sheet1.xml")
    sheet = sheet.replace(b"</sheetData>", far.encode() + b"</sheetData>")
    with pytest.raises(BadData, match=fact):
        feature_tables.parse(repacked(WHOLE, xl_worksheets_sheet1_xml=sheet))


def test_parse_refuses_a_workbook_that_unpacks_to_many_times_its_size() -> None:
    sheet = io.BytesIO()
    with zipfile.ZipFile(sheet, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", b"<row/>" * 2**22)
    with pytest.raises(BadData, match="a workbook of 24 MB unpacked, more than is safe to read"):
        feature_tables.parse(sheet.getvalue())


def test_tables_may_have_another_order_an_index_and_other_delimiters(tmp_path: Path) -> None:
    usual = from_csv(tmp_path, "name,label,x,y\na,b,1,2\n")
    for text in (
        ",name,label,x,y\n0,a,b,1,2\n",
        "Unnamed: 0;label;x;name;y\n0;b;1;a;2\n",
        "label\tname\tx\ty\nb\ta\t1\t2\n",
        "name|label|x|y\na|b|1|2\n",
    ):
        found = from_csv(tmp_path, text)
        assert (found.catalog, found.columns) == (usual.catalog, usual.columns)
        assert torch.equal(found.values, usual.values)
