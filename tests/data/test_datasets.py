"""What is at a path: a folder, a list, pixels or a table, told by its content."""

import io
import shutil
from pathlib import Path

import pytest
import torch

from emoprune.data.config import SplitConfig
from emoprune.data.datasets import open_data
from emoprune.data.formats import feature_tables
from emoprune.data.formats.fer2013 import Pixels
from emoprune.data.formats.image_folders import Folder
from emoprune.data.types import Catalog, Table
from emoprune.errors import BadData
from emoprune.io import files
from tests.support.records import fer2013_csv, lay, noise_pixels


@pytest.fixture
def usual(tmp_path: Path) -> Path:
    return lay(tmp_path / "faces", ("happy/b.jpg", "angry/c.jpg"))


def test_open_data_tells_folders_from_tables(usual: Path, tmp_path: Path) -> None:
    catalog = Catalog("here", ("a", "b"), (0, 1), ("x", "y"), "0")
    table = Table(catalog, ("f",), torch.tensor([[1.0], [2.0]]))
    for suffix in (".csv", ".st"):
        (tmp_path / f"table{suffix}").write_bytes(feature_tables.to_bytes(table, suffix=suffix))
        assert isinstance(open_data(str(tmp_path / f"table{suffix}")), Table)
    assert isinstance(open_data(str(usual)), Folder)
    (tmp_path / "notes.txt").write_text("buy more milk\n")
    with pytest.raises(BadData, match="its first line is buy, more, milk: not titles; give a folder"):
        open_data(str(tmp_path / "notes.txt"))
    with pytest.raises(BadData, match="no such folder or file") as caught:
        open_data(str(tmp_path / "none"))
    assert caught.value.place == str(tmp_path / "none")


def test_open_data_knows_a_csv_of_pixels_by_its_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = fer2013_csv(noise_pixels(2), [(0, "Training"), (1, "PublicTest")])
    (tmp_path / "any.csv").write_bytes(data)
    found = open_data(str(tmp_path / "any.csv"))
    assert isinstance(found, Pixels)
    assert found.catalog.place == str(tmp_path / "any.csv")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
    piped = open_data("-")
    assert piped.catalog.place == "standard input"
    assert piped.catalog.fingerprint == found.catalog.fingerprint


def test_open_data_takes_pixels(tmp_path: Path) -> None:
    (tmp_path / "pixels.csv").write_bytes(fer2013_csv(noise_pixels(1), [(0, "Training")]))
    assert isinstance(open_data(str(tmp_path / "pixels.csv")), Pixels)


def test_open_data_takes_a_table_whose_first_title_has_line_breaks(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('"\nname\n",label,x\na,happy,1\nb,sad,2\n')
    table = open_data(str(tmp_path / "t.csv"))
    assert isinstance(table, Table)
    assert (table.catalog.names, table.columns) == (("a", "b"), ("x",))
    (tmp_path / "t.csv").write_text('"name,label,x\na,happy,1\nb,sad,2\n')
    with pytest.raises(BadData, match="not a CSV table"):
        open_data(str(tmp_path / "t.csv"))


def test_open_data_reads_no_more_of_a_pipe_than_memory_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "SMALL", 2**20)
    monkeypatch.setattr(files, "available_bytes", lambda: 2**21)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"name,label,x\n" + b"a,happy,1\n" * 2**19)))
    with pytest.raises(BadData, match=r"standard input: is larger than .* or than the free memory"):
        open_data("-")


def test_open_data_names_line_ends_that_it_does_not_read(tmp_path: Path) -> None:
    (tmp_path / "mac.csv").write_bytes(b"name,label,x\ra,happy,1\r")
    with pytest.raises(BadData, match="carriage returns alone; save it with line feeds"):
        open_data(tmp_path / "mac.csv")


def test_open_data_names_a_missing_table(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="no such folder or file") as caught:
        open_data(str(tmp_path / "none.csv"))
    assert caught.value.place == str(tmp_path / "none.csv")


@pytest.mark.parametrize("name", ["usual", "pixels.csv", "table.csv"])
def test_open_data_remembers_the_split_request(usual: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "pixels.csv").write_bytes(fer2013_csv(noise_pixels(1), [(0, "Training")]))
    (tmp_path / "table.csv").write_text("name,label,x\na,b,1\n")
    path = usual if name == "usual" else tmp_path / name
    found = open_data(path, split="75/10/15", group_by="^[^_]+", split_by="duplicates")
    assert found.split == SplitConfig(split="75/10/15", group_by="^[^_]+", split_by="duplicates")
    assert open_data(str(path)).split == SplitConfig()
    assert open_data(str(path)).catalog == found.catalog


@pytest.fixture
def parted(tmp_path: Path) -> Path:
    """Pictures in three parts; one class of train is not in val."""
    names = ("train/angry/a.jpg", "train/happy/b.jpg", "train/sad/c.jpg", "test/happy/f.jpg")
    return lay(tmp_path / "parted", (*names, "Valid/happy/d.jpg", "Valid/angry/e.jpg"))


def test_open_data_takes_one_part_as_what_the_folder_of_it_is(parted: Path) -> None:
    found, alone = open_data(f"{parted}/:val"), open_data(parted / "Valid")
    assert isinstance(found, Folder)
    assert isinstance(alone, Folder)
    assert (found.catalog.names, found.paths) == (alone.catalog.names, alone.paths)
    assert found.catalog.names == ("angry/e.jpg", "happy/d.jpg")
    assert found.catalog.classes == ("angry", "happy")
    assert found.catalog.fingerprint == alone.catalog.fingerprint
    assert found.catalog.contents == alone.catalog.contents
    assert found.catalog.place == f"{parted}/:val"
    assert found.part is not None
    whole = found.part.whole
    assert whole == open_data(f"{parted}/").catalog
    assert [whole.names[index] for index in found.part.indices] == ["Valid/angry/e.jpg", "Valid/happy/d.jpg"]
    # spelled as the folder is, too
    assert open_data(f"{parted}:Valid").catalog.fingerprint == alone.catalog.fingerprint


def test_open_data_takes_one_part_of_pixels_and_of_tables(tmp_path: Path) -> None:
    rows = [(0, "Training"), (1, "PublicTest"), (1, "Training"), (0, "PublicTest")]
    (tmp_path / "fer.csv").write_bytes(fer2013_csv(noise_pixels(4), rows))
    pixels, whole = open_data(f"{tmp_path}/fer.csv:val"), open_data(tmp_path / "fer.csv")
    assert isinstance(pixels, Pixels)
    assert isinstance(whole, Pixels)
    assert pixels.catalog.names == ("00001", "00003")
    assert (pixels.values == whole.values[[1, 3]]).all()
    (tmp_path / "t.csv").write_text("name,label,x\ntrain/a,happy,1\ntest/b,sad,2\ntrain/c,sad,3\n")
    (tmp_path / "u.csv").write_text("name,label,x\na,happy,1\nc,sad,3\n")
    table, alone = open_data(f"{tmp_path}/t.csv:train"), open_data(tmp_path / "u.csv")
    assert isinstance(table, Table)
    assert table.values.tolist() == [[1], [3]]
    assert table.catalog.fingerprint == alone.catalog.fingerprint
    assert (table.catalog.names, table.catalog.contents) == (alone.catalog.names, alone.catalog.contents)
    (tmp_path / "list.csv").write_text("path,label,split\na.jpg,happy,train\nb.jpg,sad,dev\n")
    lay(tmp_path, ("a.jpg", "b.jpg"))
    assert open_data(f"{tmp_path}/list.csv:val").catalog.names == ("b.jpg",)


def test_open_data_prefers_a_path_that_is_there_as_written(parted: Path, tmp_path: Path) -> None:
    lay(tmp_path / "parted:val", ("happy/x.jpg", "sad/y.jpg"))
    found = open_data(tmp_path / "parted:val")
    assert (found.catalog.names, found.part) == (("happy/x.jpg", "sad/y.jpg"), None)


def test_open_data_names_the_parts_where_one_is_not_there(parted: Path, usual: Path, tmp_path: Path) -> None:
    shutil.rmtree(parted / "test")
    for asked in ("test", "vall", ""):
        with pytest.raises(BadData) as caught:
            open_data(f"{parted}:{asked}")
        parts = f"its parts are {parted}:train, {parted}:val"
        assert str(caught.value) == f"{parted}: has no part {asked or repr('')}; {parts}"
    with pytest.raises(BadData, match="faces: is not split into parts, and val is asked for; leave out :val"):
        open_data(f"{usual}:val")
    with pytest.raises(BadData, match="none:val: no such folder or file"):
        open_data(tmp_path / "none:val")
