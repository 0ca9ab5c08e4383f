"""emoprune predict: its JSON lines, its table, its exit codes and its refusals."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tests.support.command_line import Runner, tree
from tests.support.crops import SIZE, scene
from tests.support.terminal import bytes_on_terminal, lines_of

UNKNOWN = "does not say how its training faces were cropped"


@pytest.fixture
def photos(in_folder: Path) -> Path:
    """A face, a wall, and a file that is not a picture."""
    (in_folder / "in").mkdir()
    scene().save(in_folder / "in" / "a.png")
    Image.new("RGB", SIZE, "white").save(in_folder / "in" / "wall.jpg")
    (in_folder / "in" / "text.jpg").write_bytes(b"not a picture")
    return in_folder / "in"


@pytest.mark.usefixtures("photos")
def test_predict_prints_a_json_line_a_face(emoprune: Runner, model: Path) -> None:
    result = emoprune.done("predict", model, "in")
    record = result.record
    assert list(record) == [
        *("schema", "file", "frame_s", "face", "status", "box", "face_probability", "class", "probabilities")
    ]
    assert (record["schema"], record["file"], record["frame_s"], record["face"], record["status"]) == (
        *("emoprune.prediction/1", "in/a.png", None, 1, "face"),
    )
    left, top, right, bottom = record["box"]
    assert 0 < left < right < SIZE[0]
    assert 0 < top < bottom < SIZE[1]
    assert list(record["probabilities"]) == ["angry", "happy", "surprise"]
    assert record["class"] == max(record["probabilities"], key=record["probabilities"].__getitem__)
    first, second, third = result.err.splitlines()
    assert first.startswith(f"note: {model}: {UNKNOWN}"[:100])
    assert second == "note: in: 1 photo without a face, of 3: wall.jpg"
    assert third.startswith("note: in: 1 photo that cannot be used, of 3: text.jpg (not an image")
    whole = emoprune.done("predict", model, "in/a.png", "--no-crop").record
    assert (whole["box"], whole["face_probability"], whole["status"]) == (None, None, "whole")


@pytest.mark.usefixtures("photos")
def test_predict_shows_a_table_of_eighty_columns(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = lines_of(bytes_on_terminal(monkeypatch, "predict", model, "in", columns=80))
    (row,) = [line.split() for line in lines if line.split()[:1] == ["in/a.png"]]
    assert len(row) == 7
    assert {row[3], row[5]} < {"angry", "happy", "surprise"}
    assert float(row[4].rstrip("%")) >= float(row[6].rstrip("%"))
    shown = lines[lines.index("Predictions") :]
    (titles,) = [line.split() for line in shown if line.split()[:1] == ["file"]]
    assert titles == ["file", "face", "box", "class", "probability", "second", "class"]
    assert max(map(len, shown)) <= 80


def test_predict_reads_a_model_or_a_photo_from_standard_input(
    emoprune: Runner, model: Path, onnx_model: Path, photos: Path
) -> None:
    face = (photos / "a.png").read_bytes()
    given = emoprune.done("predict", model, "-", stdin=face).record
    named = emoprune.done("predict", model, "in/a.png").record
    assert {**given, "file": "in/a.png"} == named
    assert given["file"] == "-"
    assert emoprune.done("predict", "-", "in/a.png", stdin=model.read_bytes()).record == named
    assert emoprune.done("predict", onnx_model, "in/a.png").record["class"] == named["class"]
    emoprune.check_refused("predict", "-", "-", code=2, says=("cannot be a model and a photo",))
    emoprune.check_refused("predict", model, "-", stdin=b"text", says=("standard input: not an image",))


@pytest.mark.usefixtures("photos")
def test_predict_draws_beside_the_photos(emoprune: Runner, model: Path, in_folder: Path) -> None:
    emoprune.done("predict", model, "in", "--draw", "drawn", "--jobs", "1")
    assert set(tree(in_folder / "drawn")) == {"a.jpg"}
    says = ("drawn/a.jpg: exists already; give --force",)
    emoprune.check_refused("predict", model, "in", "--draw", "drawn", says=says)
    emoprune.done("predict", model, "in", "--draw", "drawn", "--force")
    says = ("would lie among the photos; name another folder to --draw",)
    emoprune.check_refused("predict", model, "in", "--draw", "in/drawn", code=2, says=says)


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize(
    ("argv", "code", "says"),
    [
        (["in/wall.jpg"], 1, ("in/wall.jpg: no face found; give a photo of a face, or --no-crop",)),
        (["in/text.jpg"], 1, ("in/text.jpg: not an image",)),
        (["nowhere"], 1, ("nowhere: no such photo, folder or video",)),
        (["film.mp4"], 1, ("film.mp4: a damaged video, or not a video",)),
        (["in/a.png", "--every", "2"], 2, ("--every is for videos",)),
        (["in", "--faces", "second"], 2, ("--faces",)),
        ([], 2, ("PHOTOS and --camera",)),
        (["in", "--camera", "0"], 2, ("PHOTOS and --camera",)),
        (["--camera", "0", "--draw", "drawn"], 2, ("--draw is for photos",)),
        (["--camera", "0", "--every", "2"], 2, ("--every is for videos",)),
    ],
)
def test_predict_refuses_what_cannot_be_done(
    emoprune: Runner, model: Path, in_folder: Path, argv: list[str], code: int, says: tuple[str, ...]
) -> None:
    (in_folder / "film.mp4").write_bytes(b"not a video")
    emoprune.check_refused("predict", model, *argv, code=code, says=says)


@pytest.mark.usefixtures("photos")
def test_predict_refuses_a_model_that_takes_no_photos(emoprune: Runner, table_model: Path) -> None:
    says = (f"{table_model}"[:40], "takes a feature table, not photos; train one on a folder of faces")
    emoprune.check_refused("predict", table_model, "in", says=says)
