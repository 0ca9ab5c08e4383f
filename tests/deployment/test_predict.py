"""Answers for the faces of photos: which faces, cropped how, and what is told of the others."""

from __future__ import annotations

import dataclasses
import io
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from emoprune.data.datasets import open_data
from emoprune.deployment import found_faces
from emoprune.deployment.config import PredictConfig
from emoprune.deployment.found_faces import FoundFaces
from emoprune.deployment.predict import predict
from emoprune.deployment.types import Prediction
from emoprune.errors import BadCheckpoint, BadData, BadImage, EmopruneError, OutputFault, UsageFault
from emoprune.evaluation import predictions
from emoprune.evaluation.evaluate import evaluate
from emoprune.evaluation.model import load
from emoprune.faces.sources import Photo
from emoprune.faces.types import CropSettings
from emoprune.io.devices import device
from emoprune.io.pictures.images import jpeg_bytes, read_photo
from emoprune.networks import checkpoint as checkpoints
from emoprune.networks.types import Checkpoint
from emoprune.synthetic_faces import draw_scene
from emoprune.training.config import TrainConfig
from emoprune.training.train import train
from tests.support.command_line import tree
from tests.support.crops import SIZE, crop, scene
from tests.support.feature_tables import draw_table
from tests.support.films import film
from tests.support.onnx_networks import conv_net, exported_by, pictures

CROP: dict[str, Any] = {"size": 40, "margin": 0.4, "align": "eyes", "pad": "constant"}


def answers(model: Checkpoint | str | Path, photos: str | Path, **more: Any) -> list[Prediction]:
    """The answers of a checkpoint, or of the model in a file."""
    settings = {name: more.pop(name) for name in ("crop", "faces", "every") if name in more}
    opened = model if isinstance(model, Checkpoint) else load(str(model), device("cpu"))
    return [*predict(opened, photos, PredictConfig(**settings), **{"jobs": 1, **more})]


def pair(*seeds: int) -> Image.Image:
    """Two scenes side by side, and so two faces."""
    return Image.fromarray(np.concatenate([np.asarray(scene(seed)) for seed in seeds], axis=1))


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of two classes in raw/, their faces in faces/ by other settings than the defaults."""
    folder = tmp_path_factory.mktemp("room")
    for number, name in enumerate(("angry", "happy")):
        (folder / "raw" / name).mkdir(parents=True)
        for index in range(4):
            drawn = draw_scene(name, generator=np.random.default_rng((number, index)), size=SIZE)
            drawn.save(folder / "raw" / name / f"{name}{index}.png")
    crop(folder / "raw", str(folder / "faces"), jobs=1, **CROP)
    return folder


@pytest.fixture(scope="module")
def trained(room: Path) -> Checkpoint:
    """A small network trained on those faces."""
    config = TrainConfig(arch="conv1", size="24", gray=True, hidden=(12,), epochs=2)
    return train(open_data(str(room / "faces")), config).checkpoint


@pytest.fixture
def mixed(in_folder: Path) -> Path:
    """Photos with two faces, one and none, a file that is not a photo, and one that is not meant to be."""
    (in_folder / "in" / "sub").mkdir(parents=True)
    pair(1, 2).save(in_folder / "in" / "b.png")
    scene(3).save(in_folder / "in" / "sub" / "a.png")
    Image.new("RGB", SIZE, "white").save(in_folder / "in" / "wall.png")
    (in_folder / "in" / "text.jpg").write_bytes(b"not a picture")
    (in_folder / "in" / "notes.txt").write_text("mine")
    return in_folder / "in"


def test_a_face_gets_exactly_the_probabilities_of_evaluate(model: Path, faces: Path, in_folder: Path) -> None:
    evaluate(
        checkpoints.read(str(model)), open_data(str(faces)), part="all", device="cpu", predictions="p.csv"
    )
    (run,) = predictions.read("p.csv")
    found = answers(model, faces, crop=False)
    assert [each.file for each in found] == [str(faces / name) for name in run.names]
    assert [[*each.probabilities.values()] for each in found] == run.probabilities.tolist()
    assert [each.predicted for each in found] == [run.classes[index] for index in run.predicted]
    assert {(each.status, each.box, each.face_probability, each.face) for each in found} == {
        ("whole", None, None, 1)
    }


def test_a_photo_is_cropped_as_the_training_faces_were(
    room: Path, trained: Checkpoint, told: pytest.LogCaptureFixture
) -> None:
    kept = trained.preprocess.crop
    assert kept is not None
    assert {name: getattr(kept, name) for name in CROP} == CROP
    from_photos = answers(trained, room / "raw")
    from_faces = answers(trained, room / "faces", crop=False)
    assert [each.probabilities for each in from_photos] == [each.probabilities for each in from_faces]
    assert [Path(each.file).stem for each in from_photos] == [Path(each.file).stem for each in from_faces]
    assert told.messages == []


def test_where_the_crop_of_the_training_faces_is_not_known_one_note_says_so(
    room: Path, trained: Checkpoint, told: pytest.LogCaptureFixture, in_folder: Path
) -> None:
    unknown = dataclasses.replace(trained, preprocess=dataclasses.replace(trained.preprocess, crop=None))
    usual = dataclasses.replace(trained.preprocess, crop=CropSettings())
    photos = room / "raw" / "happy"
    found = answers(unknown, photos)
    (note,) = told.messages
    assert note.startswith("checkpoint: does not say how its training faces were cropped")
    assert found == answers(dataclasses.replace(trained, preprocess=usual), photos)
    assert [each.probabilities for each in found] != [each.probabilities for each in answers(trained, photos)]


def test_faces_taken_for_photos_are_noted(
    room: Path, trained: Checkpoint, told: pytest.LogCaptureFixture
) -> None:
    answers(trained, room / "faces")
    assert "a crop has made these faces; give `crop=False`" in told.messages[0]


def test_a_checkpoint_and_its_onnx_file_name_the_same_class(
    model: Path, onnx_model: Path, room: Path
) -> None:
    one, other = (answers(path, room / "raw") for path in (model, onnx_model))
    assert [each.predicted for each in one] == [each.predicted for each in other]
    for here, there in zip(one, other, strict=True):
        assert dataclasses.replace(here, probabilities={}) == dataclasses.replace(there, probabilities={})
        assert here.probabilities == pytest.approx(there.probabilities, abs=1e-5)


def test_every_face_of_a_folder_in_order_and_the_rest_counted(
    trained: Checkpoint, mixed: Path, told: pytest.LogCaptureFixture
) -> None:
    found = answers(trained, mixed)
    assert [(each.file, each.face, each.status, each.frame_s) for each in found] == [
        *((str(mixed / "b.png"), 1, "face", None), (str(mixed / "b.png"), 2, "face", None)),
        (str(mixed / "sub" / "a.png"), 1, "face", None),
    ]
    first, second = found[0].box, found[1].box
    assert first is not None
    assert second is not None
    assert first.area >= second.area
    for each in found:
        assert each.face_probability is not None
        assert 0.7 < each.face_probability <= 1
        assert list(each.probabilities) == ["angry", "happy"]
        assert sum(each.probabilities.values()) == pytest.approx(1)
        assert each.ranked[0] == (each.predicted, max(each.probabilities.values()))
    assert told.messages == [
        f"{mixed}: passes over 1 file that is not a picture",
        f"{mixed}: 1 photo without a face, of 4: wall.png",
        f"{mixed}: 1 photo that cannot be used, of 4: text.jpg (not an image; remove it or replace it)",
    ]
    assert answers(trained, mixed, jobs=2) == found


def test_only_the_largest_face_where_that_is_asked_for(trained: Checkpoint, mixed: Path) -> None:
    both, largest = (answers(trained, mixed / "b.png", faces=faces) for faces in ("all", "largest"))
    assert [each.box for each in largest] == [each.box for each in both][:1]
    assert len(both) == 2


def test_answers_come_before_all_photos_are_read(
    trained: Checkpoint, in_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (in_folder / "in").mkdir()
    for index in range(70):
        Image.new("RGB", (24, 24)).save(in_folder / "in" / f"{index:02}.png")
    read = list[str]()
    whole = found_faces._whole

    def noted(photo: Photo, *more: Any) -> FoundFaces:
        read.append(photo.source)
        return whole(photo, *more)

    monkeypatch.setattr(found_faces, "_whole", noted)
    stream = predict(trained, "in", PredictConfig(crop=False), jobs=1)
    assert isinstance(stream, Iterator)
    assert next(stream).file == os.path.join("in", "00.png")
    assert len(read) == 64
    assert len([*stream]) == 69


def refused(kind: type[EmopruneError], call: Callable[[], object], *says: str) -> None:
    before = tree(Path())
    with pytest.raises(EmopruneError) as caught:
        call()
    assert type(caught.value) is kind
    for word in says:
        assert word in str(caught.value)
    assert tree(Path()) == before


def test_a_photo_without_an_answer_is_an_error_with_the_reason(trained: Checkpoint, mixed: Path) -> None:
    for name, says in {
        "wall.png": ("in/wall.png: no face found; give a photo of a face", "`crop=False`"),
        "text.jpg": ("in/text.jpg: not an image; remove it",),
        "nothing.jpg": ("in/nothing.jpg: no such photo, folder or video; check the name",),
    }.items():
        refused(BadData, lambda name=name: answers(trained, Path("in", name)), *says)  # type: ignore[misc]
    refused(UsageFault, lambda: answers(trained, ""), "is empty")


def test_a_folder_without_any_face_is_an_error(
    trained: Checkpoint, mixed: Path, told: pytest.LogCaptureFixture
) -> None:
    (mixed / "b.png").unlink()
    (mixed / "sub" / "a.png").unlink()
    refused(BadData, lambda: answers(trained, "in"), "in: no face in 2 photos")
    assert len(told.messages) == 3
    for path in mixed.glob("*.*"):
        path.unlink()
    refused(BadData, lambda: answers(trained, "in"), "in: no photos in it")


def test_frames_of_a_video_have_their_time(
    trained: Checkpoint, in_folder: Path, told: pytest.LogCaptureFixture
) -> None:
    # a wall in the first second
    pictures_ = [Image.new("RGB", SIZE, "white"), scene(1)]
    (in_folder / "a.mp4").write_bytes(film(lambda index: pictures_[index >= 5], 20, rate=5))
    found = answers(trained, "a.mp4")
    assert [(each.file, each.frame_s, each.face) for each in found] == [
        ("a.mp4", 1.0, 1),
        ("a.mp4", 2.0, 1),
        ("a.mp4", 3.0, 1),
    ]
    assert told.messages == ["a.mp4: 1 frame without a face, of 4: a@00000.000s.mp4"]
    assert [each.frame_s for each in answers(trained, "a.mp4", every=2)] == [2.0]


def test_a_video_without_frames_is_refused(trained: Checkpoint, mixed: Path) -> None:
    Path("a.mp4").write_bytes(b"not a video")
    refused(BadData, lambda: answers(trained, "a.mp4"), "a.mp4: a damaged video, or not a video")
    Path("a.mp4").write_bytes(b"")
    refused(BadData, lambda: answers(trained, "a.mp4"), "a.mp4: the file is empty")
    refused(UsageFault, lambda: answers(trained, "in", every=2), "`every` is for videos, and in is not one")


def test_a_photo_on_standard_input(trained: Checkpoint, mixed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def given(data: bytes) -> list[Prediction]:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
        return answers(trained, "-", draw="drawn")

    found = given((mixed / "b.png").read_bytes())
    assert {each.file for each in found} == {"-"}
    assert [each.probabilities for each in found] == [
        each.probabilities for each in answers(trained, mixed / "b.png")
    ]
    assert set(tree(Path("drawn"))) == {"standard-input.jpg"}
    with pytest.raises(BadImage, match="standard input: not an image"):
        given(b"no picture")


def test_a_network_without_classes_of_photos_is_refused(in_folder: Path, mixed: Path) -> None:
    table = open_data(str(draw_table(in_folder / "t.csv", samples=24, classes="ab", columns=4)))
    for arch, says in (
        ("mlp", "takes a feature table, not photos"),
        ("autoencoder", "reconstructs its input"),
    ):
        made = train(table, TrainConfig(arch=arch, hidden=(3,), epochs=1)).checkpoint
        refused(BadCheckpoint, lambda made=made: answers(made, "in"), f"checkpoint: {says}")  # type: ignore[misc]


def test_an_onnx_file_of_others_is_refused(mixed: Path) -> None:
    Path("other.onnx").write_bytes(exported_by(conv_net(), pictures(2)))
    says = "other.onnx: an ONNX file, but not of emoprune; export the checkpoint with emoprune export"
    refused(BadCheckpoint, lambda: answers("other.onnx", "in"), says)


def test_draw_copies_photos_with_a_face_below_another_folder(trained: Checkpoint, mixed: Path) -> None:
    before = tree(mixed)
    answers(trained, "in", draw="drawn")
    assert set(tree(Path("drawn"))) == {"b.jpg", "sub", "sub/a.jpg"}
    assert tree(mixed) == before
    copy, photo = (np.asarray(read_photo(Path(name)), dtype=int) for name in ("drawn/b.jpg", "in/b.png"))
    assert copy.shape == photo.shape
    assert 0.02 < (np.abs(copy - photo).max(axis=2) > 60).mean() < 0.5
    refused(
        OutputFault, lambda: answers(trained, "in", draw="drawn"), "drawn/b.jpg: exists already", "`force"
    )
    Path("drawn/b.jpg").write_bytes(b"old")
    answers(trained, "in", draw="drawn", force=True)
    assert Path("drawn/b.jpg").read_bytes() != b"old"


def test_draw_copies_the_frames_of_a_video(trained: Checkpoint, in_folder: Path) -> None:
    (in_folder / "a.mp4").write_bytes(film(lambda index: scene(1), 10, rate=5))
    answers(trained, "a.mp4", draw="drawn", faces="largest")
    assert set(tree(Path("drawn"))) == {"a@00000.000s.jpg", "a@00001.000s.jpg"}
    refused(OutputFault, lambda: answers(trained, "a.mp4", draw="drawn"), "a@00000.000s.jpg: exists already")


@pytest.mark.parametrize(
    ("photos", "draw"),
    [
        ("in", "in"),
        ("in", "in/drawn"),
        ("in/sub", "in"),
        ("in/b.png", "in"),
        ("in", "link"),
        ("in/b.png", "link"),
    ],
)
def test_draw_never_writes_among_the_photos(trained: Checkpoint, mixed: Path, photos: str, draw: str) -> None:
    Path("link").symlink_to("in")
    refused(
        UsageFault,
        lambda: answers(trained, photos, draw=draw, force=True),
        f"the copies in {draw} would lie among the photos",
    )


def test_draw_follows_no_link_to_the_photos(trained: Checkpoint, mixed: Path) -> None:
    Path("drawn").mkdir()
    Path("drawn/sub").symlink_to("../in/sub")
    refused(OutputFault, lambda: answers(trained, "in", draw="drawn", force=True), "drawn/sub: is a link")
    Path("drawn/sub").unlink()
    Path("drawn/b.jpg").symlink_to("../in/b.png")
    refused(OutputFault, lambda: answers(trained, "in", draw="drawn", force=True), "drawn/b.jpg: is a link")
    refused(OutputFault, lambda: answers(trained, "in", draw="no/drawn"), "no: no such folder")


def test_what_may_not_be_a_face_is_counted(
    trained: Checkpoint, in_folder: Path, told: pytest.LogCaptureFixture
) -> None:
    crop_ = dataclasses.replace(CropSettings(), rescue=True, size=64)
    rescuing = dataclasses.replace(trained, preprocess=dataclasses.replace(trained.preprocess, crop=crop_))
    (in_folder / "a.jpg").write_bytes(jpeg_bytes(scene(26, (240, 300)).rotate(-90, expand=True)))
    (found,) = answers(rescuing, "a.jpg")
    assert (found.status, found.is_doubtful) == ("rescued", True)
    (note,) = told.messages
    assert note.startswith("a.jpg: 1 face rescued, or with a face probability below 0.95")


def test_a_prediction_is_a_record(trained: Checkpoint, room: Path) -> None:
    (found,) = answers(trained, room / "raw" / "happy" / "happy0.png")
    assert json.loads(json.dumps(dataclasses.asdict(found)))["probabilities"] == found.probabilities
