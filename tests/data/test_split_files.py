"""Files of name,part: read, written, and what is refused of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emoprune.choices import PARTS
from emoprune.data import split_files
from emoprune.data.split_files import packed, unpacked
from emoprune.data.types import Catalog
from emoprune.errors import BadData, EmopruneError, InvalidRecord

NAMES = ("happy/a.jpg", "happy/b, c.jpg", "sad/d.jpg", "sad/e.jpg")
CATALOG = Catalog("faces", NAMES, (0, 0, 1, 1), ("happy", "sad"), "f")


def written(folder: Path, *lines: str) -> str:
    (folder / "s.csv").write_text("\n".join(lines) + "\n")
    return str(folder / "s.csv")


def test_to_bytes_are_read_again(tmp_path: Path) -> None:
    parts = {"train": (0, 3), "test": (1, 2)}
    data = split_files.to_bytes(CATALOG, parts)
    assert data.decode().splitlines()[:3] == ["name,part", "happy/a.jpg,train", '"happy/b, c.jpg",test']
    (tmp_path / "s.csv").write_bytes(data)
    assert split_files.read(str(tmp_path / "s.csv"), CATALOG) == parts


def test_read_takes_other_columns_delimiters_and_spellings(tmp_path: Path) -> None:
    lines = (
        "sad/e.jpg;1;Training",
        "happy/a.jpg;2;TRAIN",
        "sad/d.jpg;3;dev",
        "happy/b, c.jpg;4; PrivateTest ",
    )
    file = written(tmp_path, "\ufeffName;age;Part", *lines, ";;")
    assert split_files.read(file, CATALOG) == {"train": (0, 3), "val": (2,), "test": (1,)}


ALL = ("name,part", "happy/a.jpg,train", '"happy/b, c.jpg",test', "sad/d.jpg,train", "sad/e.jpg,test")


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (
            (*ALL, "x.jpg,val", "y.jpg,val"),
            "names 2 names that are not in faces, x.jpg the first; remove",
        ),
        ((*ALL, "x.jpg,val"), "names 1 name that is not in faces, x.jpg the first"),
        (ALL[:3], "lacks 2 of the 4 samples of faces, sad/d.jpg the first; give a CSV titled name,part"),
        (
            (*ALL, ALL[3], ALL[1]),
            "names 2 samples more than once, sad/d.jpg the first; keep",
        ),
        ((*ALL[:4], "sad/e.jpg,held out"), "line 5: 'held out' is not train, val or test"),
        ((*ALL[:4], "sad/e.jpg"), "line 5 has 1 cells, not 2"),
        (ALL[1:], "its first line is happy/a.jpg, train, not name,part"),
        (("",), "its first line is empty, not name,part"),
        (("name,part,part", *ALL[1:]), "its first line is name, part, part, not name,part"),
        ([line.replace("train", "val") for line in ALL], "has no train part"),
        (("name,part", '"happy/a.jpg,train'), "not a CSV table"),
        (("a\0b",), "not a CSV table"),
        (("\x89PNG\r\n\x1a\n",), "s.csv: "),
    ],
)
def test_read_refuses_in_one_line(tmp_path: Path, lines: tuple[str, ...], says: str) -> None:
    file = written(tmp_path, *lines)
    with pytest.raises(EmopruneError) as caught:
        split_files.read(file, CATALOG)
    assert says in str(caught.value)
    assert str(caught.value).startswith(f"{file}: ")
    assert "\n" not in str(caught.value)


def test_samples_of_one_name_have_no_split_file(tmp_path: Path) -> None:
    twice = Catalog("t.csv", ("a", "b", "b"), (0, 1, 0), ("x", "y"), "f")
    file = written(tmp_path, "name,part", "a,train", "b,test")
    for refused in (
        lambda: split_files.read(file, twice),
        lambda: split_files.to_bytes(twice, {"train": (0, 1, 2)}),
    ):
        with pytest.raises(BadData, match=r"t\.csv: holds 1 name more than once, b the first"):
            refused()


@given(st.lists(st.sampled_from(PARTS), min_size=1, max_size=60))
def test_packed_is_unpacked_again_and_short(letters: list[str]) -> None:
    parts = {part: tuple(i for i, each in enumerate(letters) if each == part) for part in PARTS}
    text = packed(parts)
    assert unpacked(text, len(letters)) == {part: indices for part, indices in parts.items() if indices}
    assert len(text) <= len(letters)


def test_packed_counts_runs() -> None:
    assert packed({"train": (0, 1, 2, 5), "val": (3,), "test": (4,)}) == "t3vet"


@pytest.mark.parametrize("text", ["t3", "t5", "t2ve2", "t999999999", "t999999999" * 1000])
def test_unpacked_refuses_other_counts_at_once(text: str) -> None:
    with pytest.raises(InvalidRecord, match="not of the 4 samples"):
        unpacked(text, 4)
