"""What is at a path: a folder, a list, pixels or a table, told by its content."""

import io
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
