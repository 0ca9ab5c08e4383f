"""Lists of pictures, written as other programs write them."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest

from emoprune.data.datasets import open_data
from emoprune.data.formats import image_lists
from emoprune.data.formats.image_folders import Folder
from emoprune.data.formats.parts import declared_parts
from emoprune.errors import BadData

NAMES = ("happy/a 1.jpg", "happy/b.png", "sad/c.jpg")
LABELS = ("happy", "happy", "sad")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for name in NAMES:
        (tmp_path / "faces" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "faces" / name).write_text(name)
    return tmp_path / "faces"


def opened(place: Path, text: str) -> Folder:
    place.write_text(text)
    found = open_data(place)
    assert isinstance(found, Folder)
    return found


@pytest.mark.parametrize(
    ("suffix", "head", "line"),
    [
        (".csv", "path,label\n", "{path},{label}"),
        (".CSV", "Image Name;Emotion\n", "{path};{label}"),
        (".csv", "label,valence,file\n", "{label},0.5,{path}"),
        (".csv", "", "{path},{label}"),
        (".csv", ",filename,class\n", "0,{path},{label}"),
        (".txt", "", "{path} {label}"),
        (".txt", "image label\n", "{path}   {label}"),
        (".tsv", "", "{label}\t{path}"),
        (".lst", "path|expression\n", "{path}|{label}"),
    ],
)
def test_read_takes_the_usual_ways_to_write_a_list(pictures: Path, suffix: str, head: str, line: str) -> None:
    lines = [line.format(path=name, label=label) for name, label in zip(NAMES, LABELS, strict=True)]
    found = opened(pictures / f"list{suffix}", head + "\n".join(lines) + "\n")
    assert found.catalog.names == NAMES
    assert found.catalog.classes == ("happy", "sad")
    assert found.catalog.labels == (0, 0, 1)
    assert [path.read_text() for path in found.paths] == list(NAMES)


def test_read_takes_absolute_paths_and_those_of_windows(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    absolute = "".join(f"{pictures / name},{label}\n" for name, label in zip(NAMES, LABELS, strict=True))
    windows = "".join(f"{name},{label}\n" for name, label in zip(NAMES, LABELS, strict=True)).replace(
        "/", "\\"
    )
    for found in (
        opened(tmp_path / "elsewhere" / "list.csv", f"path,label\n{absolute}"),
        opened(pictures / "list.csv", f"path,label\n{windows}"),
    ):
        assert found.catalog.names == NAMES
        assert all(path.is_file() for path in found.paths)


@pytest.mark.parametrize(
    "line", ["{path} {label}", "{label}  {path}", "Train {path} {label}", "{path} {label} 3"]
)
@pytest.mark.parametrize("folder", ["all my/faces 2", "train"])
def test_joined_gives_paths_their_spaces_where_every_line_has_some(
    tmp_path: Path, line: str, folder: str
) -> None:
    names = [f"{folder}/a {number}.jpg" for number in range(3)]
    (tmp_path / folder).mkdir(parents=True)
    for name in names:
        (tmp_path / name).touch()
    rows = [(number, line.format(path=name, label="sad").split()) for number, name in enumerate(names)]
    wanted = [
        [word.replace("*", " ") for word in line.format(path=name.replace(" ", "*"), label="sad").split()]
        for name in names
    ]
    assert [row for _, row in image_lists.joined(str(tmp_path / "list.txt"), rows)] == wanted


def test_joined_leaves_short_lines_and_names_a_missing_picture_whole(pictures: Path) -> None:
    rows = [(1, ["path", "label"]), (3, []), (4, ["gone", "a.jpg", "sad"]), (5, ["gone.jpg", "sad"])]
    found = image_lists.joined(str(pictures / "list.txt"), rows)
    assert found == [(1, ["path", "label"]), (3, []), (4, ["gone a.jpg", "sad"]), (5, ["gone.jpg", "sad"])]
    assert image_lists.joined("list.txt", [(1, ["no", "picture"])]) == [(1, ["no", "picture"])]


def test_read_of_a_list_gives_what_a_folder_gives(pictures: Path) -> None:
    folder = open_data(pictures)
    text = "".join(f"{name},{label}\n" for name, label in zip(NAMES, LABELS, strict=True))
    assert opened(pictures / "list.csv", text).catalog.fingerprint == folder.catalog.fingerprint


def test_read_names_classes_by_numbers_and_tells_it(pictures: Path, told: pytest.LogCaptureFixture) -> None:
    found = opened(pictures / "list.txt", f"{NAMES[0]} 2\n{NAMES[1]} 2.0\n{NAMES[2]} 10\n")
    assert found.catalog.classes == ("10", "2")
    (note,) = told.messages
    assert note.endswith("list.txt: classes are named by their numbers 2, 10; write words to name them")


def test_read_takes_parts_from_a_column_or_from_paths(pictures: Path, told: pytest.LogCaptureFixture) -> None:
    by_column = opened(
        pictures / "list.csv",
        f"path,label,split\n{NAMES[0]},a,Train\n{NAMES[1]},b,valid\n{NAMES[2]},a,Train\n",
    )
    assert declared_parts(by_column.catalog.names) == {"train": (0, 2), "val": (1,)}
    assert told.messages == [f"{pictures}/list.csv: reads Train as train, valid as val"]
    for part in ("Train", "test"):
        (pictures / part).mkdir()
        (pictures / part / "a.jpg").touch()
    by_path = opened(pictures / "list.csv", "Train/a.jpg,happy\ntest/a.jpg,sad\n")
    assert declared_parts(by_path.catalog.names) == {"train": (0,), "test": (1,)}


def test_read_tells_columns_without_use_and_repeated_pictures(
    pictures: Path, told: pytest.LogCaptureFixture
) -> None:
    opened(pictures / "list.csv", f"path,label,valence,age\n{NAMES[0]},a,1,2\n{NAMES[0]},a,1,2\n")
    assert [message.partition(": ")[2] for message in told.messages] == [
        "does not use 2 columns: valence, age",
        "holds 1 picture more than once",
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "path,label\nx/a.jpg,sad\nsad/c.jpg,sad\nx/b.jpg,sad\n",
            "2 of its 3 pictures are not there, x/a.jpg",
        ),
        ("path,label\nsad/c.jpg,\n", "line 2 has no label"),
        (
            "path,valence\nsad/c.jpg,1\n",
            r"has no label column \(its columns are path, valence\)",
        ),
        ("sad/c.jpg\n", "has no label column, and no titles"),
        ("sad/c.jpg,sad,7\n", "has no titles, and 2 of its columns may be the label; write titles"),
        ("path,label,split\nsad/c.jpg,sad,some\n", "line 2: 'some' is not train, val or test"),
        ("path,label\n", "lists no pictures"),
        ("path,label\nsad/c.jpg,sad,1\n", "line 2 has 3 cells, not 2"),
        ("sad,sad\n", "its first line is sad, sad: not titles; give a folder, or a table headed name,label"),
    ],
)
def test_read_names_what_is_wrong_with_a_list(pictures: Path, text: str, says: str) -> None:
    with pytest.raises(BadData, match=says) as caught:
        opened(pictures / "list.csv", text)
    assert caught.value.place == str(pictures / "list.csv")


def test_read_never_waits_for_a_pipe_in_a_list(pictures: Path) -> None:
    os.mkfifo(pictures / "pipe.jpg")
    with pytest.raises(BadData, match="not a plain file") as caught:
        opened(pictures / "list.csv", "pipe.jpg,sad\n")
    assert caught.value.place == str(pictures / "pipe.jpg")


def test_read_keeps_a_cell_with_a_delimiter_in_quotes(pictures: Path) -> None:
    (pictures / "a, b.jpg").touch()
    with (pictures / "list.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("path", "label"), ("a, b.jpg", "sad")])
    assert open_data(pictures / "list.csv").catalog.names == ("a, b.jpg",)
