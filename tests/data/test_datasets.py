import io
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emoprune.data import feature_tables
from emoprune.data.config import SplitConfig
from emoprune.data.datasets import Folder, open_data, open_folder
from emoprune.data.fer2013 import Pixels
from emoprune.data.types import Catalog, Table
from emoprune.errors import BadData
from tests.support.records import fer2013_csv, noise_pixels


def lay(root: Path, names: Iterable[str]) -> Path:
    """Files of their own names as content: what lies in a folder is found, not decoded."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode("utf-8", "surrogateescape"))
    return root


USUAL = ("happy/b.jpg", "happy/a.png", "angry/c.jpg", "angry/d.JPG", "sad/e.webp")


@pytest.fixture
def usual(tmp_path: Path) -> Path:
    return lay(tmp_path / "faces", USUAL)


def test_open_folder_sorts_classes_and_pictures(usual: Path) -> None:
    folder = open_folder(str(usual))
    catalog = folder.catalog
    assert catalog.classes == ("angry", "happy", "sad")
    assert catalog.names == tuple(sorted(USUAL))
    assert catalog.place == str(usual)
    assert folder.paths == tuple(usual / name for name in catalog.names)


@given(
    st.lists(st.tuples(st.sampled_from("abCé1"), st.text("abAB19_- ü", min_size=1, max_size=6)), min_size=1)
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_open_folder_finds_every_picture_once_with_its_class(
    tmp_path_factory: pytest.TempPathFactory, files: list[tuple[str, str]]
) -> None:
    names = {f"class {top}/{stem}.jpg" for top, stem in files}
    catalog = open_folder(str(lay(tmp_path_factory.mktemp("faces"), names))).catalog
    assert set(catalog.names) == names
    assert len(catalog.names) == len(names)
    assert list(catalog.classes) == sorted({name.split("/")[0] for name in names})
    for name, label in zip(catalog.names, catalog.labels, strict=True):
        assert catalog.classes[label] == name.split("/")[0]


def test_open_folder_ignores_hidden_and_other_files(usual: Path) -> None:
    before = open_folder(str(usual)).catalog
    lay(
        usual,
        (
            ".thumbs/x.jpg",
            ".DS_Store",
            "happy/.hidden.jpg",
            "happy/.cache/y.jpg",
            "happy/notes.txt",
            "crops.csv",
            "failures.csv",
        ),
    )
    assert open_folder(str(usual)).catalog == before


def test_open_folder_counts_deeper_folders_to_their_class(usual: Path) -> None:
    lay(usual, ("happy/film1/scene2/z.jpg",))
    catalog = open_folder(str(usual)).catalog
    assert catalog.classes == ("angry", "happy", "sad")
    assert catalog.labels[catalog.names.index("happy/film1/scene2/z.jpg")] == 1


def test_open_folder_ignores_a_folder_named_like_a_picture(usual: Path) -> None:
    lay(usual, ("happy/album.jpg/z.jpg",))
    names = open_folder(str(usual)).catalog.names
    assert set(names) == {*USUAL, "happy/album.jpg/z.jpg"}


def test_open_folder_reads_parts_with_the_same_classes(tmp_path: Path) -> None:
    names = ("train/happy/a.jpg", "train/sad/b.jpg", "val/happy/c.jpg", "test/sad/d.jpg")
    catalog = open_folder(str(lay(tmp_path, names))).catalog
    assert catalog.classes == ("happy", "sad")
    assert dict(zip(catalog.names, catalog.labels, strict=True)) == {
        "train/happy/a.jpg": 0,
        "train/sad/b.jpg": 1,
        "val/happy/c.jpg": 0,
        "test/sad/d.jpg": 1,
    }


def test_open_folder_refuses_parts_beside_classes(usual: Path) -> None:
    lay(usual, ("train/happy/a.jpg",))
    with pytest.raises(BadData, match=r"has train/ beside angry/") as caught:
        open_folder(str(usual))
    assert caught.value.place == str(usual)


@pytest.mark.parametrize("loose", ["loose.jpg", "loose.PNG"])
def test_open_folder_names_a_picture_without_a_class(usual: Path, loose: str) -> None:
    lay(usual, (loose,))
    with pytest.raises(BadData, match=f"{loose} is in no class folder"):
        open_folder(str(usual))


@pytest.mark.parametrize("loose", ["loose.jpg", "train/loose.jpg", "test/loose.jpg"])
def test_open_folder_names_a_picture_without_a_class_in_parts(tmp_path: Path, loose: str) -> None:
    lay(tmp_path, ("train/happy/a.jpg", "test/happy/b.jpg", loose))
    with pytest.raises(BadData, match=r"loose\.jpg is in no class folder"):
        open_folder(str(tmp_path))


def test_open_folder_refuses_pictures_without_class_folders(tmp_path: Path) -> None:
    lay(tmp_path, ("a.jpg", "b.jpg"))
    with pytest.raises(BadData, match=r"a\.jpg is in no class folder; give a folder with one folder"):
        open_folder(str(tmp_path))


@pytest.mark.parametrize("inside", [(), ("none/notes.txt",), ("none/.a.jpg",), ("none/.thumbs/a.jpg",)])
def test_open_folder_names_a_class_without_pictures(usual: Path, inside: tuple[str, ...]) -> None:
    (usual / "none").mkdir()
    lay(usual, inside)
    with pytest.raises(BadData, match="class folder none/ has no pictures"):
        open_folder(str(usual))


@pytest.mark.parametrize("inside", [(), ("notes.txt",), (".hidden/a.jpg",)])
def test_open_folder_refuses_a_folder_without_classes(tmp_path: Path, inside: tuple[str, ...]) -> None:
    with pytest.raises(BadData, match="no pictures in class folders"):
        open_folder(str(lay(tmp_path, inside)))


def test_open_folder_names_a_broken_link(usual: Path) -> None:
    (usual / "sad" / "gone.jpg").symlink_to(usual / "nowhere.jpg")
    with pytest.raises(BadData) as caught:
        open_folder(str(usual))
    assert caught.value.place == str(usual / "sad" / "gone.jpg")


def test_open_folder_reads_the_target_of_a_link(usual: Path, tmp_path: Path) -> None:
    before = open_folder(str(usual)).catalog.fingerprint
    (usual / "sad" / "e.webp").rename(tmp_path / "elsewhere.webp")
    (usual / "sad" / "e.webp").symlink_to(tmp_path / "elsewhere.webp")
    assert open_folder(str(usual)).catalog.fingerprint == before


def test_fingerprint_does_not_depend_on_place_or_time(usual: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(usual, tmp_path / "other" / "place")
    for path in copied.rglob("*.jpg"):
        os.utime(path, (1, 1))
    assert open_folder(str(copied)).catalog.fingerprint == open_folder(str(usual)).catalog.fingerprint


def test_fingerprint_does_not_depend_on_how_the_place_is_written(
    usual: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(usual)
    prints = {open_folder(place).catalog.fingerprint for place in (".", str(usual), f"{usual}/", "../faces")}
    assert len(prints) == 1


def test_fingerprint_changes_with_content_name_class_and_number(usual: Path) -> None:
    seen = [open_folder(str(usual)).catalog.fingerprint]
    (usual / "happy" / "b.jpg").write_bytes(b"other")
    seen.append(open_folder(str(usual)).catalog.fingerprint)
    (usual / "happy" / "b.jpg").rename(usual / "happy" / "bb.jpg")
    seen.append(open_folder(str(usual)).catalog.fingerprint)
    (usual / "happy" / "bb.jpg").rename(usual / "sad" / "bb.jpg")
    seen.append(open_folder(str(usual)).catalog.fingerprint)
    (usual / "sad").rename(usual / "zad")
    seen.append(open_folder(str(usual)).catalog.fingerprint)
    (usual / "angry" / "c.jpg").unlink()
    seen.append(open_folder(str(usual)).catalog.fingerprint)
    assert len(set(seen)) == len(seen)


def test_fingerprint_changes_when_two_pictures_are_exchanged(usual: Path) -> None:
    before = open_folder(str(usual)).catalog.fingerprint
    one, other = usual / "happy" / "a.png", usual / "happy" / "b.jpg"
    left, right = one.read_bytes(), other.read_bytes()
    one.write_bytes(right)
    other.write_bytes(left)
    assert open_folder(str(usual)).catalog.fingerprint != before


def test_open_folder_takes_names_that_are_not_utf8(usual: Path) -> None:
    name = os.fsdecode(b"gl\xfccklich.jpg")
    lay(usual, (f"happy/{name}",))
    assert f"happy/{name}" in open_folder(str(usual)).catalog.names


def test_open_data_tells_folders_from_tables(usual: Path, tmp_path: Path) -> None:
    catalog = Catalog("here", ("a", "b"), (0, 1), ("x", "y"), "0")
    table = Table(catalog, ("f",), torch.tensor([[1.0], [2.0]]))
    for suffix in (".csv", ".st"):
        (tmp_path / f"table{suffix}").write_bytes(feature_tables.to_bytes(table, suffix=suffix))
        assert isinstance(open_data(str(tmp_path / f"table{suffix}")), Table)
    assert isinstance(open_data(str(usual)), Folder)
    (tmp_path / "notes.txt").touch()
    with pytest.raises(BadData, match="neither a folder nor a feature table"):
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


def test_open_data_names_a_missing_table(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="no such file") as caught:
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
