"""The published sheet, recognized by its shape and read as a table of ours, from .csv as from .xlsx."""

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from emoprune.data.formats import sfew
from emoprune.data.groups import groups
from emoprune.data.types import Table
from emoprune.errors import BadData
from tests.support.feature_tables import read_table
from tests.support.records import Rows, workbook

LPQ = "First 2 Principal Components of Local Phase Quantization (LPQ) features\nagain (LPQ)"
PHOG = "First 2 Principal Components of Pyramid of Histogram of Gradients (PHOG) features"
HEADER = ("", "label", LPQ, "", PHOG, "")
SAMPLES = (
    ("FilmA_0001_01.mat", 1, 0.25, -1e-5, 3, 4),
    ("FilmA_0001_02.mat", 3, "NaN", 0.5, "nan", 1),
    ("FilmB_0002_01.mat", 7, 1, 2, 3, None),
    ("FilmC_0002_01.mat", 4, 1, 2, 3, 4),
)


def as_csv(rows: Rows) -> bytes:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\r\n").writerows(rows)
    return b"\xef\xbb\xbf" + stream.getvalue().encode()


WRITERS: dict[str, Callable[[Rows], bytes]] = {".csv": as_csv, ".xlsx": workbook}
both = pytest.mark.parametrize("suffix", WRITERS)


def read(folder: Path, suffix: str, rows: Rows) -> Table:
    path = folder / f"anything{suffix}"
    path.write_bytes(WRITERS[suffix](rows))
    return read_table(path)


@both
def test_as_table_reads_the_spreadsheet(tmp_path: Path, suffix: str) -> None:
    table = read(tmp_path, suffix, [HEADER, *SAMPLES])
    assert table.columns == ("lpq_1", "lpq_2", "phog_1", "phog_2")
    catalog = table.catalog
    assert catalog.names == ("FilmA_0001_01", "FilmA_0001_02", "FilmB_0002_01", "FilmC_0002_01")
    assert [catalog.classes[label] for label in catalog.labels] == ["angry", "fear", "surprise", "happy"]
    assert catalog.classes == ("angry", "fear", "happy", "surprise")
    nan = float("nan")
    expected = torch.tensor([[0.25, -1e-5, 3, 4], [nan, 0.5, nan, 1], [1, 2, 3, nan], [1, 2, 3, 4]])
    assert torch.equal(table.values.nan_to_num(99), expected.nan_to_num(99))


def test_names_group_by_film_before_the_first_underscore(tmp_path: Path) -> None:
    names = read(tmp_path, ".csv", [HEADER, *SAMPLES]).catalog.names
    assert groups(names, "^[^_]+") == ["FilmA", "FilmA", "FilmB", "FilmC"]


def test_as_table_maps_labels_to_expressions(tmp_path: Path) -> None:
    rows = [("x.mat", label, 1, 2, 3, 4) for label in range(1, 8)]
    catalog = read(tmp_path, ".csv", [HEADER, *rows]).catalog
    assert catalog.classes == ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
    assert catalog.labels == tuple(range(7))


def test_csv_and_xlsx_have_the_same_fingerprint(tmp_path: Path) -> None:
    prints = {read(tmp_path, suffix, [HEADER, *SAMPLES]).catalog.fingerprint for suffix in WRITERS}
    assert len(prints) == 1


@both
def test_is_one_refuses_our_own_layout(tmp_path: Path, suffix: str) -> None:
    table = read(tmp_path, suffix, [("Name", "Label", "x", "y"), ("a.mat", 1, 1, 2), ("b", 9, 3, None)])
    assert (table.columns, table.catalog.classes) == (("x", "y"), ("1", "9"))
    assert table.catalog.names == ("a.mat", "b")


@both
def test_is_one_knows_the_spreadsheet_with_a_name_column(tmp_path: Path, suffix: str) -> None:
    assert read(tmp_path, suffix, [("name", *HEADER[1:]), *SAMPLES]).columns[0] == "lpq_1"


@both
def test_as_table_numbers_columns_by_title(tmp_path: Path, suffix: str) -> None:
    header = ("file", "Label", "Gabor: mean (3x3)", "", "phog", "gabor-mean 3X3")
    columns = read(tmp_path, suffix, [header, *SAMPLES]).columns
    assert columns == ("gabor_mean_3x3_1", "gabor_mean_3x3_2", "phog_1", "gabor_mean_3x3_3")


@both
def test_blank_rows_are_ignored(tmp_path: Path, suffix: str) -> None:
    blank = ("",) * 6
    table = read(tmp_path, suffix, [HEADER, SAMPLES[0], blank, *SAMPLES[1:], blank])
    assert len(table.catalog.names) == 4


@both
def test_as_table_takes_labels_with_a_decimal_point(tmp_path: Path, suffix: str) -> None:
    assert read(tmp_path, suffix, [HEADER, ("a", "3.0", 1, 2, 3, 4)]).catalog.classes == ("fear",)


@both
def test_as_table_keeps_rows_of_one_name(tmp_path: Path, suffix: str) -> None:
    assert read(tmp_path, suffix, [HEADER, SAMPLES[0], SAMPLES[0]]).catalog.names == ("FilmA_0001_01",) * 2


def changed(row: int, column: int, value: object) -> Rows:
    rows: list[list[object]] = [list(cells) for cells in (HEADER, *SAMPLES)]
    rows[row][column] = value
    return rows


FAULTS: dict[str, tuple[Rows, str]] = {
    "an empty sheet": ([], "has no rows"),
    "a header alone": ([HEADER], "no rows"),
    "no label column": ([("", *HEADER[2:]), *((row[0], *row[2:]) for row in SAMPLES)], "first line"),
    "no features": ([("", "label"), ("a", 1)], "first line"),
    "text": (changed(3, 3, "high"), "line .*: lpq_2 is 'high', not a number"),
    "an infinity": (changed(3, 4, "inf"), "line .*: phog_1 is 'inf', not a number"),
    "a label of 0": (changed(1, 1, 0), "line .*: label is '0', not a whole number from 1 to 7"),
    "a label of 8": (changed(2, 1, 8), "line .*: label is '8', not a whole number"),
    "a label between": (changed(2, 1, 2.5), "line .*: label is '2.5', not a whole number"),
    "a label in words": (changed(2, 1, "happy"), "label is 'happy'.*head the first column name"),
    "no label": (changed(2, 1, None), "line .*: label is '', not a whole number"),
    "a column without values": (
        [HEADER, *((*row[:3], None, *row[4:]) for row in SAMPLES)],
        "column lpq_2 has no values",
    ),
    "a title without a word": (changed(0, 2, "---"), "column 3 has the title '---', which names no feature"),
    "no title": (changed(0, 2, ""), "column 3 has no title"),
    "a longer row": ([HEADER, SAMPLES[0], (*SAMPLES[3], 5), SAMPLES[1]], "line .* has 7 cells, not 6"),
}


@both
@pytest.mark.parametrize("fault", FAULTS)
def test_as_table_names_the_wrong_line_and_column(tmp_path: Path, suffix: str, fault: str) -> None:
    rows, fact = FAULTS[fault]
    with pytest.raises(BadData, match=fact) as caught:
        read(tmp_path, suffix, rows)
    assert caught.value.place == str(tmp_path / f"anything{suffix}")
    assert "\n" not in str(caught.value)


def test_a_shorter_row_of_csv_is_ragged(tmp_path: Path) -> None:
    # the header's title takes two lines
    with pytest.raises(BadData, match="line 4 has 4 cells, not 6"):
        read(tmp_path, ".csv", [HEADER, SAMPLES[0], SAMPLES[1][:4]])


def test_lines_of_a_workbook_are_its_rows(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="line 4: lpq_2"):
        read(tmp_path, ".xlsx", changed(3, 3, "high"))


def test_is_one_is_false_for_our_own_tables() -> None:
    rows = [(1, ["name", "label", "x", "y"]), (2, ["a", "1", "0", "0"])]
    assert not sfew.is_one(rows)
    assert not sfew.is_one([(1, ["name", "label", "x", ""]), (2, ["a", "happy", "0", "0"])])


@pytest.mark.parametrize(("suffix", "rows", "missing"), [(".csv", 674, 0), (".xlsx", 675, 5)])
def test_the_real_spreadsheet_is_read(shared_data: Path, suffix: str, rows: int, missing: int) -> None:
    table = read_table(shared_data / "data" / "sfew" / f"SFEW{suffix}")
    assert table.values.shape == (rows, 10)
    assert table.columns == tuple(f"{kind}_{index}" for kind in ("lpq", "phog") for index in range(1, 6))
    assert table.catalog.names[0] == "Airheads_000519240_00000005"
    assert len(table.catalog.classes) == 7
    assert int(table.values.isnan().sum()) == missing
    torch.testing.assert_close(float(table.values[0, 1]), 0.0034698, rtol=1e-6, atol=0)
