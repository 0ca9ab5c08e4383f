"""Pictures from FER-2013's CSV; every pixel here is random noise."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from emoprune.data.datasets import open_data
from emoprune.data.formats import fer2013
from emoprune.data.formats.fer2013 import CLASSES, USAGES, Pixels
from emoprune.data.formats.image_folders import open_folder
from emoprune.data.formats.parts import declared_parts
from emoprune.data.image_dataset import Photos
from emoprune.data.types import Preprocess
from emoprune.errors import BadData
from tests.support.command_line import SMALL, Runner, opened
from tests.support.records import fer2013_csv, noise_pixels

HEADER = b"emotion,pixels,Usage\n"
SIDE = 48


def read(text: bytes) -> Pixels:
    lines = enumerate(io.BytesIO(text), 1)
    number, first = next(lines)
    found = fer2013.columns(fer2013.cells(first, ","), [])
    assert found
    return fer2013.read("fer.csv", chain([(number, first)], lines), ",", found)


ROWS = [(3, "Training"), (0, "PublicTest"), (6, "Training"), (3, "PrivateTest"), (0, "Training")]


def test_read_names_pictures_by_usage_and_row() -> None:
    pixels = noise_pixels(5)
    found = read(fer2013_csv(pixels, ROWS))
    catalog = found.catalog
    assert catalog.names == ("train/00000", "val/00001", "train/00002", "test/00003", "train/00004")
    assert catalog.classes == ("angry", "happy", "neutral")
    assert [catalog.classes[label] for label in catalog.labels] == [CLASSES[e] for e, _ in ROWS]
    assert declared_parts(catalog.names) == {"train": (0, 2, 4), "val": (1,), "test": (3,)}
    assert found.values.dtype == np.uint8
    assert np.array_equal(found.values, pixels)


def test_read_without_usage_declares_no_split() -> None:
    pixels = noise_pixels(5)
    text = fer2013_csv(pixels, ROWS)
    found = read(b"\n".join(line.rpartition(b",")[0] for line in text.splitlines()))
    assert found.catalog.names == ("00000", "00001", "00002", "00003", "00004")
    assert declared_parts(found.catalog.names) is None
    assert found.catalog.labels == read(text).catalog.labels
    assert np.array_equal(found.values, pixels)


def test_read_numbers_emotions_as_published() -> None:
    found = read(fer2013_csv(noise_pixels(7), [(emotion, "Training") for emotion in range(7)]))
    named = [found.catalog.classes[label] for label in found.catalog.labels]
    assert named == ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
    assert found.catalog.classes == tuple(sorted(named))


@given(st.integers(0, 10**6), st.lists(st.sampled_from(list(USAGES)), min_size=1, max_size=4))
@settings(max_examples=20)
def test_read_reads_pixels_as_numpy_does(seed: int, usages: list[str]) -> None:
    text = fer2013_csv(noise_pixels(len(usages), seed), [(1, usage) for usage in usages])
    cells = [line.split(",")[1] for line in text.decode().splitlines()[1:]]
    expected = [np.array(cell.split(), dtype=int).reshape(SIDE, SIDE) for cell in cells]
    assert np.array_equal(read(text).values, np.stack(expected))


@pytest.mark.parametrize(
    "form",
    [
        lambda text: b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n"),
        lambda text: text.replace(b"emotion,pixels,Usage", b"emotion, pixels, usage") + b"\n\n",
        lambda text: text.rstrip(b"\n"),
        lambda text: b"\n".join(
            b",".join([usage, b'"' + pixels + b'"', emotion])
            for emotion, pixels, usage in (line.split(b",") for line in text.splitlines())
        ),
    ],
)
def test_read_takes_other_ways_to_write_the_csv(form: object) -> None:
    text = fer2013_csv(noise_pixels(5), ROWS)
    assert callable(form)
    assert read(form(text)).catalog == read(text).catalog


def test_fingerprint_changes_with_the_pictures() -> None:
    pixels = noise_pixels(5)
    other = pixels.copy()
    other[4, 47, 47] ^= 1
    texts = [
        fer2013_csv(pixels, ROWS),
        fer2013_csv(other, ROWS),
        fer2013_csv(pixels, [(1, "Training"), *ROWS[1:]]),
        fer2013_csv(pixels, [(3, "PrivateTest"), *ROWS[1:]]),
        fer2013_csv(pixels[:4], ROWS[:4]),
    ]
    assert len({read(text).catalog.fingerprint for text in texts}) == len(texts)


@pytest.mark.parametrize(("color", "side", "channels"), [("gray", 48, 1), ("rgb", 48, 3), ("gray", 31, 1)])
def test_pictures_are_the_same_samples_as_those_of_a_folder(
    tmp_path: Path, color: str, side: int, channels: int
) -> None:
    pixels = noise_pixels(5)
    found = read(fer2013_csv(pixels, ROWS))
    for name, label, values in zip(found.catalog.names, found.catalog.labels, pixels, strict=True):
        part, _, number = name.partition("/")
        place = tmp_path / part / found.catalog.classes[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(values).save(place / f"{number}.png")
    folder = open_folder(str(tmp_path))
    preprocess = Preprocess("image", (side, side), color, (0.5,) * channels, (0.5,) * channels)  # type: ignore[arg-type]  # from a tuple
    rows = [int(Path(name).stem) for name in folder.catalog.names]
    from_files = Photos(folder.picture, folder.catalog.labels, preprocess)
    from_csv = Photos(found.picture, found.catalog.labels, preprocess)
    assert torch.equal(from_files.batch(torch.arange(5)), from_csv.batch(torch.tensor(rows)))
    assert torch.equal(from_files.labels, from_csv.labels[rows])
    assert folder.catalog.classes == found.catalog.classes


PLAIN = " ".join(["7"] * SIDE**2)


def row(emotion: object = 0, pixels: str = PLAIN, usage: str = "Training") -> bytes:
    return f"{emotion},{pixels},{usage}\n".encode()


def with_pixel(text: str) -> str:
    return " ".join(["7", "7", text, *["7"] * (SIDE**2 - 3)])


FAULTS: dict[str, tuple[Sequence[bytes], str]] = {
    "a pixel less": ([row(), row(pixels=PLAIN[2:])], "line 3 has 2303 pixels, not 2304"),
    "a pixel more": ([row(pixels=f"{PLAIN} 7")], "line 2 has 2305 pixels, not a square number such as 2304"),
    "no pixels": ([row(pixels="")], "line 2 has 0 pixels"),
    "too bright": ([row(), row(pixels=with_pixel("256"))], "line 3: pixel 3 is '256', not a whole number"),
    "below black": ([row(pixels=with_pixel("-1"))], "line 2: pixel 3 is '-1', not a whole number from 0"),
    "between": ([row(pixels=with_pixel("1.5"))], "line 2: pixel 3 is '1.5', not a whole number"),
    "text": ([row(pixels=with_pixel("bright"))], "line 2: pixel 3 is 'bright', not a whole number"),
    "bytes that are no text": ([b"0,\xff" + row()[3:]], "line 2: pixel 1 is"),
    "a negative emotion": ([row(), row(-1)], "line 3: emotion is '-1', not a number, as others are"),
    "a word among numbers": (
        [row(), row("happy")],
        "line 3: emotion is 'happy', not a number, as others are",
    ),
    "no emotion": ([row("")], "line 2: emotion is '', not a number or a word"),
    "another usage": ([row(usage="extra")], "line 2: 'extra' is not train, val or test"),
    "two usages of one meaning": (
        [row(usage="val"), row(usage="valid")],
        "has val and valid, and both mean val; join them, or name them train, val and test",
    ),
    "a cell less": ([b"0,1 2 3\n"], "line 2 has 2 cells, not 3"),
    "a cell more": ([row()[:-1] + b",1\n"], "line 2 has 4 cells, not 3"),
    "no rows": ([], "has no rows"),
    "blank rows alone": ([b"\n", b"  \n"], "has no rows"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_read_names_the_wrong_line(tmp_path: Path, fault: str) -> None:
    rows, fact = FAULTS[fault]
    path = tmp_path / "fer.csv"
    path.write_bytes(HEADER + b"".join(rows))
    with pytest.raises(BadData, match=fact) as caught:
        open_data(str(path))
    assert caught.value.place == str(path)
    assert "\n" not in str(caught.value)


def test_read_names_a_line_that_ends_before_the_label(tmp_path: Path) -> None:
    (tmp_path / "fer.csv").write_bytes(b"pixels,emotion\n1 2 3 4\n")
    with pytest.raises(BadData, match="line 2 has 1 cells, not 2"):
        open_data(str(tmp_path / "fer.csv"))


def test_read_does_not_load_a_file_without_line_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless(io.RawIOBase):
        taken = 0

        def readline(self, size: int | None = -1) -> bytes:
            assert size is not None
            assert size > 0
            self.taken += size
            return b"7 " * (size // 2)

    endless = Endless()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=endless))
    with pytest.raises(BadData, match="standard input: has no label column"):
        open_data("-")
    assert endless.taken == 2 * fer2013.LONGEST


@pytest.mark.parametrize(
    ("first", "second", "roles"),
    [
        ("emotion,pixels,Usage", "", (0, (1,), 2)),
        ("emotion, Usage, pixels", "", (0, (2,), 1)),
        ("emotion,pixels", "", (0, (1,), None)),
        (",Emotion,Pixels,more", "", (1, (2,), None)),
        ("name,label,pixels", f"a,happy,{PLAIN}", (1, (2,), None)),
        ("name,label,pixels", "a,happy,0.5", None),
        (f"3,{PLAIN}", "", (0, (1,), None)),
        (f"{PLAIN},Training,happy", "", (2, (0,), 1)),
        ("label," + ",".join(f"pixel{number}" for number in range(16)), "", (0, tuple(range(1, 17)), None)),
        ("emotion", "", None),
        ("name,label,x", "a,happy,1", None),
    ],
)
def test_columns_are_known_by_titles_or_by_pixels(
    first: str, second: str, roles: tuple[int, tuple[int, ...], int | None] | None
) -> None:
    found = fer2013.columns(first.split(","), second.split(","))
    assert (found and (found.label, found.picture, found.part)) == roles


def small(emotion: object, shade: int, side: int = 4) -> list[str]:
    return [str(emotion), " ".join([str(shade)] * side**2)]


def written(path: Path, rows: Sequence[Sequence[str]], delimiter: str = ",") -> Pixels:
    with path.open("w", newline="") as stream:
        csv.writer(stream, delimiter=delimiter).writerows(rows)
    found = open_data(path)
    assert isinstance(found, Pixels)
    return found


SMALL_ROWS = [small(0, 10), small(3, 20), small(6, 30)]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize(
    "form",
    [
        lambda rows: [["emotion", "pixels"], *rows],
        lambda rows: [["", "Emotion", "Pixels"], *([str(n), *row] for n, row in enumerate(rows))],
        lambda rows: [["emotion", "pixels", "age"], *([*row, "7"] for row in rows)],
        lambda rows: [["emotion", "pixels"], *([row[0], row[1].replace(" ", ",")] for row in rows)],
        lambda rows: rows,
        lambda rows: [
            ["emotion", *(f"pixel{n}" for n in range(16))],
            *([row[0], *row[1].split()] for row in rows),
        ],
    ],
    ids=["plain", "index", "more", "commas", "untitled", "wide"],
)
def test_read_takes_other_columns_and_delimiters(
    tmp_path: Path, form: Callable[[list[list[str]]], list[list[str]]], delimiter: str
) -> None:
    found = written(tmp_path / "FER.CSV", form(SMALL_ROWS), delimiter)
    assert found.catalog.classes == ("angry", "happy", "neutral")
    assert found.catalog.names == ("00000", "00001", "00002")
    assert found.values.shape == (3, 4, 4)
    assert found.values[:, 0, 0].tolist() == [10, 20, 30]


def test_read_names_classes_by_numbers_that_fer2013_lacks(
    tmp_path: Path, told: pytest.LogCaptureFixture
) -> None:
    found = written(tmp_path / "fer.csv", [["emotion", "pixels"], *SMALL_ROWS, small(7, 40)])
    assert found.catalog.classes == ("0", "3", "6", "7")
    (warning,) = told.messages
    assert "line 5: emotion is 7, and FER-2013 has 0 to 6, so classes are named by their numbers" in warning


def test_read_takes_words_for_labels_as_they_are(tmp_path: Path, told: pytest.LogCaptureFixture) -> None:
    found = written(tmp_path / "fer.csv", [["emotion", "pixels"], small("Joy", 1), small("contempt", 2)])
    assert found.catalog.classes == ("Joy", "contempt")
    assert not told.messages


def test_read_tells_that_numbers_under_another_title_are_taken_for_fer2013s(
    tmp_path: Path, told: pytest.LogCaptureFixture
) -> None:
    found = written(tmp_path / "fer.csv", [["label", "pixels"], small(4, 1), small("0.0", 2)])
    assert found.catalog.classes == ("angry", "sad")
    assert told.messages == [f"{tmp_path}/fer.csv: labels are read as FER-2013's: 0 angry, 4 sad"]


@pytest.mark.parametrize("labels", [range(7), range(1, 7)])
def test_read_tells_how_it_reads_fewer_than_all_emotions(
    tmp_path: Path, told: pytest.LogCaptureFixture, labels: range
) -> None:
    rows = [small(label, label) for label in labels]
    written(tmp_path / "fer.csv", [["emotion", "pixels"], *rows])
    assert len(told.messages) == (len(labels) < 7)
    assert all("1 disgust, 2 fear, 3 happy" in message for message in told.messages)


def test_read_tells_parts_that_are_not_spelled_as_published(
    tmp_path: Path, told: pytest.LogCaptureFixture
) -> None:
    rows = [["emotion", "pixels", "split"], [*small("sad", 1), "Training"], [*small("fear", 2), "valid"]]
    found = written(tmp_path / "fer.csv", rows)
    assert found.catalog.names == ("train/00000", "val/00001")
    assert told.messages == [f"{tmp_path}/fer.csv: reads valid as val"]


def test_read_refuses_pixels_without_labels_by_their_columns(tmp_path: Path) -> None:
    with pytest.raises(BadData, match=r"has no label column \(its columns are pixels\); add a column label"):
        written(tmp_path / "fer.csv", [["pixels"], *([row[1]] for row in SMALL_ROWS)])


def test_read_returns_real_photos_written_as_csv(shared_data: Path, tmp_path: Path) -> None:
    folder = open_folder(str(shared_data / "data" / "fer2013" / "val"))
    chosen = range(0, len(folder.paths), max(1, len(folder.paths) // 8))
    pixels = np.stack([np.asarray(folder.picture(index).convert("L")) for index in chosen])
    names = [folder.catalog.classes[folder.catalog.labels[index]] for index in chosen]
    rows = [(CLASSES.index(name), "Training") for name in names]
    (tmp_path / "fer.csv").write_bytes(fer2013_csv(pixels, rows))
    found = open_data(str(tmp_path / "fer.csv"))
    assert isinstance(found, Pixels)
    assert np.array_equal(found.values, pixels)
    assert [found.catalog.classes[label] for label in found.catalog.labels] == names


USAGES_PIXELS = [*["Training"] * 12, *["PublicTest"] * 6, *["PrivateTest"] * 6]


def rows(emotions: tuple[int, ...] = (3, 0, 5)) -> list[tuple[int, str]]:
    return [(emotions[index % 3], usage) for index, usage in enumerate(USAGES_PIXELS)]


@pytest.fixture
def fer(in_folder: Path) -> Path:
    path = in_folder / "fer.csv"
    path.write_bytes(fer2013_csv(noise_pixels(len(USAGES_PIXELS)), rows()))
    return path


def test_pixels_go_through_every_command(emoprune: Runner, fer: Path) -> None:
    trained = emoprune.done("train", fer, "m.st", *SMALL).record
    assert trained["classes"] == ["angry", "happy", "surprise"]
    assert trained["parts"] == {"train": 12, "val": 6, "test": 6}
    assert emoprune.done("eval", "m.st", fer).record["n"] == 6
    emoprune.done("angles", "m.st", "--data", fer)
    pruned = emoprune.done(
        "prune", "m.st", "--data", fer, "--amount", "0.25", "--max-error", "9", "-o", "small.st"
    ).record
    assert pruned["images"] == 12
    assert emoprune.done("export", "small.st", "small.onnx").record["real_samples"] == 24
    assert emoprune.done("eval", "small.onnx", fer, "--split", "val").record["n"] == 6


def test_a_folder_of_the_same_pictures_gives_the_same_scores(
    emoprune: Runner, fer: Path, in_folder: Path
) -> None:
    emoprune.done("train", fer, "m.st", *SMALL)
    found = open_data(str(fer))
    assert isinstance(found, Pixels)
    for name, label, values in zip(found.catalog.names, found.catalog.labels, found.values, strict=True):
        part, _, number = name.partition("/")
        place = in_folder / "faces" / part / found.catalog.classes[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(values).save(place / f"{number}.png")
    scores = [emoprune.done("eval", "m.st", data, "--split", "all").record for data in (fer, "faces")]
    assert scores[0]["confusion"] == scores[1]["confusion"]
    assert scores[0]["log_loss"] == pytest.approx(scores[1]["log_loss"], rel=1e-5)


def test_pixels_can_be_piped_and_give_the_same_network(emoprune: Runner, fer: Path, in_folder: Path) -> None:
    emoprune.done("train", fer, "a.st", *SMALL)
    emoprune.done("train", "-", "b.st", *SMALL, stdin=fer.read_bytes())
    ours, theirs = (opened(in_folder / name)[0] for name in ("a.st", "b.st"))
    assert all(torch.equal(ours.tensors[name], theirs.tensors[name]) for name in ours.tensors)


def test_pixels_become_a_feature_table_that_is_split_alike(
    emoprune: Runner, fer: Path, in_folder: Path
) -> None:
    emoprune.done("features", fer, "t.csv", "--size", "48", "--gray")
    table, found = open_data("t.csv"), open_data(str(fer))
    assert isinstance(found, Pixels)
    assert table.catalog.names == found.catalog.names
    first = (in_folder / "t.csv").read_text().splitlines()[1].split(",")[2:]
    expected = torch.from_numpy(found.values[0].copy()).flatten() / 255
    torch.testing.assert_close(torch.tensor([float(cell) for cell in first]), expected, rtol=1e-6, atol=0)
    assert emoprune.done("train", "t.csv", "m.st", "--arch", "mlp", "--epochs", "1").record["parts"] == {
        "train": 12,
        "val": 6,
        "test": 6,
    }


def test_pixels_without_a_training_part_train_nothing(emoprune: Runner, in_folder: Path) -> None:
    (in_folder / "fer.csv").write_bytes(
        fer2013_csv(noise_pixels(6), [(index % 2, "PublicTest") for index in range(6)])
    )
    emoprune.check_refused("train", "fer.csv", "m.st", *SMALL, says=("fer.csv: has val but no train",))


def test_every_command_names_the_wrong_line_of_pixels(emoprune: Runner, fer: Path) -> None:
    fer.write_bytes(fer.read_bytes().replace(b"\n3,", b"\n-,", 1))
    for argv in (("train", fer, "m.st"), ("features", fer, "t.csv")):
        emoprune.check_refused(*argv, says=(f"{fer}: line 2: emotion is '-'",))
    says = ("standard input: line 2: emotion is '-'",)
    emoprune.check_refused("train", "-", "m.st", stdin=fer.read_bytes(), says=says)


def test_a_network_of_tables_refuses_pixels(emoprune: Runner, fer: Path, table_model: Path) -> None:
    says = (f"{fer}: is a CSV of photos", "feature table")
    emoprune.check_refused("eval", table_model, fer, "--split", "all", says=says)


def test_commands_for_faces_refuse_a_table(emoprune: Runner, in_folder: Path) -> None:
    (in_folder / "t.csv").write_text("name,label,x\na,b,1\n")
    emoprune.check_refused("features", "t.csv", "o.csv", says=("t.csv: is a feature table, not pictures",))
