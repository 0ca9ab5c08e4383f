import csv
import io
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emoprune.errors import BadData, EmopruneError, InvalidRecord
from emoprune.faces import manifest
from emoprune.faces.types import Box, CropRow
from tests.support.records import TEXTS

# thousandths of a pixel are what the file keeps
PIXELS = st.integers(-10_000_000, 10_000_000).map(lambda value: value / 1000)
SIDES = st.integers(1, 10_000_000).map(lambda value: value / 1000)


def read_rows(path: str | Path) -> list[CropRow]:
    return manifest.rows_of(Path(path).read_bytes(), str(path))


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    x, y = draw(PIXELS), draw(PIXELS)
    return Box(x, y, x + draw(SIDES), y + draw(SIDES))


POINTS = st.lists(st.tuples(PIXELS, PIXELS), min_size=5, max_size=5).map(tuple)
ROWS = st.builds(
    CropRow,
    TEXTS,
    TEXTS.map(lambda text: f"happy/_{manifest.UNSAFE.sub('', text.replace('/', ''))}.jpg"),
    st.sampled_from([status for status in manifest.STATUSES if status not in manifest.FAILED]),
    st.none() | boxes(),
    st.none() | st.integers(0, 10**6).map(lambda value: value / 10**6),
    st.just(()) | POINTS,
    st.sampled_from([0, 90, 180, 270]),
    TEXTS,
    TEXTS,
    TEXTS,
    st.sampled_from(["", "a" * 64]),
)


def flat(row: CropRow) -> list[float]:
    numbers = [value for point in row.landmarks for value in point]
    if row.box is not None:
        numbers += [row.box.x1, row.box.y1, row.box.x2, row.box.y2]
    return numbers + ([] if row.probability is None else [row.probability])


@given(st.lists(ROWS, max_size=5))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_manifest_survives_writing_and_reading(tmp_path: Path, rows: list[CropRow]) -> None:
    (tmp_path / "crops.csv").write_bytes(manifest.to_bytes(rows))
    again = read_rows(tmp_path / "crops.csv")
    assert len(again) == len(rows)
    for one, other in zip(rows, again, strict=True):
        assert (one.source, one.output, one.status, one.reason) == (
            other.source,
            other.output,
            other.status,
            other.reason,
        )
        assert flat(other) == pytest.approx(flat(one), abs=6e-4)
    assert manifest.to_bytes(again) == manifest.to_bytes(rows)


def test_the_manifest_has_the_columns_of_the_contract() -> None:
    row = CropRow("a/b.jpg", "a/b.jpg", "face", Box(1, 2, 3, 4.5), 0.99, ((5, 6),) * 5)
    (cells,) = csv.DictReader(io.StringIO(manifest.to_bytes([row]).decode()))
    assert list(cells)[:9] == [
        *("source", "output", "status", "x1", "y1", "x2", "y2", "probability", "left_eye_x"),
    ]
    assert list(cells)[-1] == "reason"
    assert [float(cells[name]) for name in ("x1", "y1", "x2", "y2")] == [1, 2, 3, 4.5]
    assert float(cells["mouth_right_y"]) == 6


def test_a_source_that_is_not_utf8_survives(tmp_path: Path) -> None:
    row = CropRow(os.fsdecode(b"gl\xfccklich.jpg"), "", "no-face", reason="no face found")
    (tmp_path / "failures.csv").write_bytes(manifest.to_bytes([row]))
    assert read_rows(tmp_path / "failures.csv") == [row]


FAILURES = manifest.to_bytes(
    [CropRow(f"{name}.jpg", "", "no-face", reason="no face found") for name in "abc"]
)


def filled(folder: Path, *cells: tuple[str, str, str, str]) -> str:
    """failures.csv as a spreadsheet leaves it after someone typed into its box columns."""
    rows = list(csv.DictReader(io.StringIO(FAILURES.decode())))
    for row, values in zip(rows, cells, strict=False):
        row.update(zip(manifest.BOX, values, strict=True))
    stream = io.StringIO()
    writer = csv.DictWriter(stream, manifest.COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    path = folder / "failures.csv"
    path.write_bytes(stream.getvalue().encode("utf-8-sig"))
    return str(path)


def test_read_boxes_reads_boxes_by_hand_and_skips_empty_rows(tmp_path: Path) -> None:
    path = filled(tmp_path, ("10", " 20 ", "30.5", "4e1"), ("", "", "", ""), ("-5", "0", "1", "2"))
    assert manifest.read_boxes(path) == {"a.jpg": Box(10, 20, 30.5, 40), "c.jpg": Box(-5, 0, 1, 2)}


def test_read_boxes_finds_none_in_a_file_as_crop_wrote_it(tmp_path: Path) -> None:
    assert manifest.read_boxes(filled(tmp_path)) == {}


@pytest.mark.parametrize(
    ("cells", "fact"),
    [
        (("10", "20", "30", ""), "10,20,30, is not a box"),
        (("10", "20", "30", "wide"), "10,20,30,wide is not a box"),
        (("10", "20", "30", "nan"), "is not a box"),
        (("10", "20", "inf", "40"), "is not a box"),
        (("10,5,1", "20", "30", "40"), "is not a box"),
        (("30", "20", "10", "40"), "has no area"),
        (("10", "20", "10", "40"), "has no area"),
    ],
)
def test_read_boxes_names_the_line_of_a_bad_box(
    tmp_path: Path, cells: tuple[str, str, str, str], fact: str
) -> None:
    path = filled(tmp_path, ("1", "2", "3", "4"), cells)
    with pytest.raises((BadData, InvalidRecord), match=rf"line 3: .*{fact}") as caught:
        manifest.read_boxes(path)
    assert caught.value.place == path


@pytest.mark.parametrize("text", ["", "source,x1,y1,x2\na,1,2,3\n", "name;x1;y1;x2;y2\n", "\x89PNG"])
def test_read_boxes_refuses_a_file_without_the_columns(tmp_path: Path, text: str) -> None:
    (tmp_path / "boxes.csv").write_text(text)
    with pytest.raises(BadData, match="has no column") as caught:
        manifest.read_boxes(str(tmp_path / "boxes.csv"))
    assert caught.value.place == str(tmp_path / "boxes.csv")


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ('"source";"x1";"y1";"x2";"y2"\n"a,1;b.jpg";10,5;2;30;4\n', "utf-8-sig"),
        ("Source\t x1\ty1\tx2\ty2\na,1;b.jpg\t10,5\t2\t30\t4\n", "utf-16"),
        ('y1,x1,source , y2,x2\n2,10.5,"a,1;b.jpg",4,30\n', "utf-8"),
    ],
)
def test_read_boxes_reads_spreadsheets_of_any_country(tmp_path: Path, text: str, encoding: str) -> None:
    (tmp_path / "boxes.csv").write_bytes(text.encode(encoding))
    assert manifest.read_boxes(str(tmp_path / "boxes.csv")) == {"a,1;b.jpg": Box(10.5, 2, 30, 4)}


def test_read_boxes_refuses_a_second_box_for_a_photo(tmp_path: Path) -> None:
    (tmp_path / "boxes.csv").write_text("source,x1,y1,x2,y2\na.jpg,1,2,3,4\na.jpg,5,6,7,8\n")
    with pytest.raises(BadData, match=r"line 3: a second box for a\.jpg"):
        manifest.read_boxes(str(tmp_path / "boxes.csv"))


def test_read_boxes_needs_only_its_own_columns(tmp_path: Path) -> None:
    (tmp_path / "boxes.csv").write_text("y2,x2,y1,x1,source\n4,3,2,1,a.jpg\n")
    assert manifest.read_boxes(str(tmp_path / "boxes.csv")) == {"a.jpg": Box(1, 2, 3, 4)}


@pytest.mark.parametrize(
    ("name", "value"), [("x1", "left"), ("x2", ""), ("x2", "0"), ("probability", "sure"), ("nose_y", "")]
)
def test_rows_of_names_the_line_of_a_damaged_row(tmp_path: Path, name: str, value: str) -> None:
    row = CropRow("a.jpg", "a.jpg", "face", Box(1, 2, 3, 4), 0.9, ((5, 6),) * 5)
    (cells,) = csv.DictReader(io.StringIO(manifest.to_bytes([row]).decode()))
    stream = io.StringIO()
    writer = csv.DictWriter(stream, manifest.COLUMNS)
    writer.writeheader()
    writer.writerow({**cells, name: value})
    path = tmp_path / "crops.csv"
    path.write_text(stream.getvalue())
    with pytest.raises(EmopruneError, match="line 2") as caught:
        read_rows(path)
    assert caught.value.place == str(path)


def test_a_quote_that_never_ends_is_a_fault_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "crops.csv"
    path.write_bytes(FAILURES + b'"' + b"x" * 200_000)
    for read in (read_rows, manifest.read_boxes):
        with pytest.raises(BadData) as caught:
            read(str(path))
        assert caught.value.place == str(path)


@pytest.mark.parametrize(
    "output",
    [
        *(
            "/etc/passwd.jpg",
            "../elsewhere.jpg",
            "happy/../../elsewhere.jpg",
            "happy/./a.jpg",
            "happy//a.jpg",
        ),
        *("", "diary.txt", ".crop/a.jpg", "contact-sheet.jpg", "Contact-Sheet.JPG", "Contact-Sheet.jpg"),
        *("happy\\a.jpg", "happy/\ta.jpg", "happy/\x7fa.jpg", f"{'n' * 252}.jpg", f"{'n/' * 2000}a.jpg"),
    ],
)
def test_rows_of_refuses_what_cannot_be_a_face_of_the_folder(output: str) -> None:
    data = manifest.to_bytes([CropRow("a.jpg", output, "face")])
    with pytest.raises(BadData, match="line 2 is damaged"):
        manifest.rows_of(data, "crops.csv")


@pytest.mark.parametrize(
    "cells",
    [
        {"status": "no-face", "output": "a.jpg"},
        {"turned": "45"},
        {"x1": "-inf", "y1": "0", "x2": "1", "y2": "1"},
        {"probability": "nan"},
        {"output_sha256": "A" * 64},
        {"reason": "zero \0"},
        {"source": "\ud800.jpg"},
    ],
)
def test_from_cells_refuses_values_that_crop_does_not_write(cells: dict[str, str]) -> None:
    good = {"source": "a.png", "output": "a.jpg", "status": "face"}
    manifest.from_cells(good)
    with pytest.raises((ValueError, InvalidRecord)):
        manifest.from_cells(good | cells)


@pytest.mark.parametrize(
    "second",
    [
        CropRow("a.png", "", "no-face", sha256="1"),
        CropRow("a.png", "b.jpg", "box", sha256="1"),
        CropRow("a.png", "b.jpg", "face", sha256="2"),
        CropRow("b.png", "A.jpg", "face", sha256="1"),
    ],
)
def test_by_source_refuses_rows_that_contradict_each_other(second: CropRow) -> None:
    first = CropRow("a.png", "a.jpg", "face", sha256="1")
    pair = [first, CropRow("a.png", "a_2.jpg", "face", sha256="1")]
    assert manifest.by_source(pair) == {"a.png": pair}
    with pytest.raises(InvalidRecord, match=r"two rows for (a\.png|A\.jpg)"):
        manifest.by_source([first, second])


def test_a_manifest_without_hashes_of_the_faces_is_read() -> None:
    row = CropRow("a.png", "a.jpg", "face", Box(1, 2, 3, 4), 0.9, phash="0" * 16, sha256="1", reason="why")
    (cells,) = csv.DictReader(io.StringIO(manifest.to_bytes([row]).decode()))
    del cells["output_sha256"]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, cells)
    writer.writeheader()
    writer.writerow(cells)
    assert manifest.rows_of(stream.getvalue().encode(), "crops.csv") == [row]


def test_a_manifest_far_larger_than_any_is_refused_and_has_no_hashes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest, "MOST_BYTES", 100)
    (tmp_path / "crops.csv").write_bytes(b"x" * 101)
    with pytest.raises(BadData, match="is larger than"):
        manifest.read_boxes(str(tmp_path / "crops.csv"))
    assert manifest.read_hashes(tmp_path) == {}


GOOD = "0123456789abcdef"


def hashes_of(folder: Path, text: str | bytes) -> dict[str, str]:
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
    (folder / manifest.MANIFEST).write_bytes(data)
    return manifest.read_hashes(folder)


def test_read_hashes_reads_columns_in_any_order(tmp_path: Path) -> None:
    text = f"source,phash,status,output\na.png,{GOOD},face,happy/a.jpg\nb.png,,no-face,\n"
    assert hashes_of(tmp_path, text) == {"happy/a.jpg": GOOD}


def test_read_hashes_keeps_names_that_are_not_utf8(tmp_path: Path) -> None:
    name = "happy/\udcff.jpg"
    assert hashes_of(tmp_path, f"output,phash\n{name},{GOOD}\n") == {name: GOOD}


@pytest.mark.parametrize("cell", ["", "0123", f"{GOOD}0", GOOD.upper(), f" {GOOD}", "0123456789abcdeg", "-1"])
def test_read_hashes_leaves_out_damaged_cells(tmp_path: Path, cell: str) -> None:
    text = f"output,phash\nhappy/a.jpg,{cell}\nhappy/b.jpg,{GOOD}\nhappy/c.jpg\n"
    assert hashes_of(tmp_path, text) == {"happy/b.jpg": GOOD}


@pytest.mark.parametrize(
    "text", ["", "source,output\na,b\n", f"source,phash\na,{GOOD}\n", b"a\0b", 'phash,"output']
)
def test_read_hashes_of_a_manifest_without_hashes_is_empty(tmp_path: Path, text: str | bytes) -> None:
    assert hashes_of(tmp_path, text) == {}


def test_read_hashes_without_a_manifest_is_empty(tmp_path: Path) -> None:
    assert manifest.read_hashes(tmp_path) == {}
    (tmp_path / manifest.MANIFEST).mkdir()
    assert manifest.read_hashes(tmp_path) == {}
    (tmp_path / manifest.MANIFEST).rmdir()
    os.mkfifo(tmp_path / manifest.MANIFEST)
    assert manifest.read_hashes(tmp_path) == {}
