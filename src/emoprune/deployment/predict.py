"""From a photo to an answer: the probability of each class for every face in photos or a video."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from emoprune import events
from emoprune.choices import DeviceName
from emoprune.data.loader import READING_BATCH, TensorSamples, batches
from emoprune.deployment.config import PredictConfig
from emoprune.deployment.found_faces import FoundFaces, find_faces, lost_faces
from emoprune.deployment.types import Prediction
from emoprune.errors import BadCheckpoint, BadData, UsageFault
from emoprune.evaluation import model as models
from emoprune.evaluation.model import LoadedModel
from emoprune.faces import manifest
from emoprune.faces.output_folder import is_crop_folder
from emoprune.faces.photo_workers import each_photo
from emoprune.faces.sources import OutputNames, Photo, PhotoFolder, VideoFrames
from emoprune.faces.types import DOUBTFUL, CropRow, CropSettings
from emoprune.io import devices, files
from emoprune.io.pictures import images, video
from emoprune.networks.checkpoint import own_bytes
from emoprune.networks.losses import task_of
from emoprune.networks.types import Checkpoint

if TYPE_CHECKING:
    from emoprune.deployment.drawing import DrawnFolder

FRAMES = 8
"""Of a video that wait for their answers: each is in memory."""
NAMED = 6
"""Photos without a face that a note names."""
NO_FACE = "give a photo of a face, or `crop=False` for one that is cropped already"


def predict(
    model: LoadedModel | Checkpoint,
    photos: str | Path,
    config: PredictConfig | None = None,
    *,
    draw: str | Path | None = None,
    device: DeviceName = "auto",
    jobs: int | None = None,
    force: bool = False,
) -> Iterator[Prediction]:
    """The answers for every face in a photo, in a folder of photos, in a video, or in "-", standard input.

    They come as they are made, in the order of the photos and of the faces in each. Faces are cropped as
    those that the network was trained on; a note says where that is not known. The folder `draw` gets a copy
    of each photo with boxes and answers; copies that exist are replaced with `force`. `jobs` is the number of
    processes, by default one per core. What is passed over is counted in notes. Raises BadCheckpoint for a
    network that does not classify photos, and at the end BadData where no photo had a face.
    """
    config = config or PredictConfig()
    if isinstance(model, Checkpoint):
        model = models.from_checkpoint(model, own_bytes(model), devices.device(device), place="checkpoint")
    check_model(model)
    source = _source(str(photos), config)
    folder = None if draw is None else _drawn_folder(str(draw), source, force=force)
    if config.crop and is_crop_folder(Path(source.place)):
        events.note(
            f"{source.place}: a crop has made these faces; give `crop=False` to take them as they are"
        )
    found = each_photo(
        partial(
            find_faces,
            preprocess=model.card.preprocess,
            settings=crop_settings(model, config),
            device=device,
        ),
        source.photos,
        label="predict",
        jobs=jobs,
        lost=lost_faces,
        preload="emoprune.deployment.found_faces",
    )
    return _predictions(model, source, found, folder)


def _drawn_folder(draw: str, source: _Source, *, force: bool) -> DrawnFolder:
    # it needs matplotlib's fonts, which take long to import
    from emoprune.deployment.drawing import DrawnFolder

    folder = DrawnFolder(draw, source.names, force=force)
    _check_apart(folder.place, source.place)
    folder.check(source.sources)
    return folder


def check_model(model: LoadedModel) -> None:
    """Raise BadCheckpoint for a network that does not classify photos."""
    if task_of(model.card.spec.arch) != "classify":
        fact = "reconstructs its input, and has no classes to predict"
        raise BadCheckpoint(fact, "give a classifier of photos", place=files.shown(model.place))
    if model.card.preprocess.kind == "table":
        fact = "takes a feature table, not photos"
        raise BadCheckpoint(fact, "train one on a folder of faces", place=files.shown(model.place))


def crop_settings(model: LoadedModel, config: PredictConfig) -> CropSettings | None:
    """How the faces of a network are cropped; None where pictures are faces already.

    All is as it was for its training, but which faces of a photo are taken.
    """
    if not config.crop:
        return None
    known = model.card.preprocess.crop
    if known is None:
        fact = "does not say how its training faces were cropped"
        events.note(f"{files.shown(model.place)}: {fact}; they are cropped by the defaults of emoprune crop")
    return replace(known or CropSettings(), select=config.faces, on_missing="skip")


@dataclass(frozen=True)
class _Source:
    """Photos from one place, and the names of their copies; `sources` are their own, () where not known."""

    place: str
    photos: Iterable[Photo]
    names: OutputNames
    kind: str = "photo"
    sources: tuple[str, ...] = ()


def _source(place: str, config: PredictConfig) -> _Source:
    if not place:
        raise UsageFault("the name of the photo is empty", "name a photo, a folder or a video")
    path = Path(place)
    if video.is_video_name(place) and path.is_file():
        frames = VideoFrames(path)
        every = CropSettings.every if config.every is None else config.every
        return _Source(place, frames.remaining(set(), {}, every), frames.output_names(()), "frame")
    if config.every is not None:
        raise UsageFault(f"`every` is for videos, and {files.shown(place)} is not one", "leave it out")
    if place == files.STANDARD or files.PASSED_ON.fullmatch(place):
        data = files.read_bytes(place)
        image, name = images.photo_in(data, files.shown(place)), "standard-input"
        photos = [Photo(name, path, image=image, sha256=hashlib.sha256(data).hexdigest())]
    elif path.is_dir():
        folder = PhotoFolder(path)
        photos = [*folder.remaining(set(), {}, CropSettings.every)]
    elif path.exists():
        photos = [Photo(path.name, path)]
    else:
        raise BadData("no such photo, folder or video", "check the name", place=place)
    sources = tuple(photo.source for photo in photos)
    return _Source(place, photos, OutputNames(sources, ()), sources=sources)


def _check_apart(drawn: str, place: str) -> None:
    """Raise UsageFault for copies that would lie among the photos, or the photos among them."""
    made, given = Path(files.real_path(drawn)), Path(files.real_path(place))
    if given.is_dir():
        among = made.is_relative_to(given) or given.is_relative_to(made)
    else:
        among = place != files.STANDARD and made == given.parent
    if among:
        raise UsageFault(f"the copies in {drawn} would lie among the photos", "name another folder to `draw`")


@dataclass
class _Passed:
    """Counts of what was read, and the photos without an answer."""

    photos: int = 0
    faces: int = 0
    doubtful: int = 0
    without: list[CropRow] = field(default_factory=list)
    unusable: list[CropRow] = field(default_factory=list)

    def add(self, rows: tuple[CropRow, ...], made: list[Prediction]) -> None:
        """Count one photo."""
        self.photos += 1
        self.faces += len(made)
        self.doubtful += sum(each.is_doubtful for each in made)
        if not made:
            (self.without if rows[0].status == manifest.NO_FACE else self.unusable).append(rows[0])

    def tell(self, source: _Source) -> None:
        """Note what was passed over; BadData where that is all."""
        failed = [*self.without, *self.unusable]
        if not self.faces and self.photos == 1 and source.kind == "photo":
            fact, _, remedy = failed[0].reason.partition("; ")
            raise BadData(fact, remedy or NO_FACE, place=files.shown(source.place))
        told = ((self.without, "without a face"), (self.unusable, "that cannot be used"))
        for rows, what in told:
            if rows:
                each = events.counted(len(rows), source.kind)
                events.note(f"{source.place}: {each} {what}, of {self.photos:,}: {_named(rows)}")
        if self.doubtful:
            faces = events.counted(self.doubtful, "face")
            fact = f"rescued, or with a face probability below {DOUBTFUL:g}"
            events.note(f"{files.shown(source.place)}: {faces} {fact}, which may be none; check them")
        if not self.faces:
            each = events.counted(self.photos, source.kind)
            raise BadData(f"no face in {each}", NO_FACE, place=source.place)


def _named(rows: list[CropRow]) -> str:
    usual = "no face found"
    reasons = (f"{row.source} ({row.reason})" if row.reason != usual else row.source for row in rows)
    return events.listed(reasons, NAMED)


def _predictions(
    model: LoadedModel,
    source: _Source,
    found: Iterator[tuple[Photo, FoundFaces]],
    folder: DrawnFolder | None,
) -> Iterator[Prediction]:
    passed = _Passed()
    for chunk in _chunks(found):
        for (photo, faces), made in zip(chunk, _answered(model, chunk), strict=True):
            passed.add(faces.rows, made)
            if folder is not None and made:
                folder.write(photo.source, photo.image or images.read_photo(photo.path), made)
            yield from made
    passed.tell(source)


def predictions_of(
    model: LoadedModel, photo: Photo, settings: CropSettings | None, device: DeviceName
) -> list[Prediction]:
    """The answers for the faces of one photo, in this process."""
    (made,) = _answered(model, [(photo, find_faces(photo, model.card.preprocess, settings, device))])
    return made


def _answered(model: LoadedModel, chunk: list[tuple[Photo, FoundFaces]]) -> list[list[Prediction]]:
    """The answers for the faces of each photo."""
    pixels = [torch.from_numpy(faces.pixels) for _, faces in chunk if len(faces.pixels)]
    chances = iter(_answers(model, torch.cat(pixels)).tolist() if pixels else ())
    return [
        [
            _prediction(photo, row, number, dict(zip(model.card.classes, next(chances), strict=True)))
            for number, row in enumerate(faces.rows, 1)
            if row.status not in manifest.FAILED
        ]
        for photo, faces in chunk
    ]


def _chunks(
    found: Iterator[tuple[Photo, FoundFaces]],
) -> Iterator[list[tuple[Photo, FoundFaces]]]:
    """Photos in groups of about as many faces as a network reads at once, so that each is answered soon."""
    chunk, count = list[tuple[Photo, FoundFaces]](), 0
    for photo, faces in found:
        chunk.append((photo, faces))
        count += len(faces.pixels)
        if max(count, len(chunk)) >= READING_BATCH or (photo.image is not None and len(chunk) >= FRAMES):
            yield chunk
            chunk, count = [], 0
    yield chunk


def _answers(model: LoadedModel, pixels: Tensor) -> Tensor:
    """Probabilities, (faces, classes) float64, of pictures (faces, channels, height, width) uint8."""
    samples = TensorSamples(pixels, torch.zeros(len(pixels)))
    inputs = batches(samples, torch.arange(len(pixels)), model.card.preprocess, model.device)
    return torch.cat(list(model.logits(inputs))).double().softmax(1)


def _prediction(photo: Photo, row: CropRow, number: int, chances: Mapping[str, float]) -> Prediction:
    return Prediction(
        file=str(photo.path),
        frame_s=photo.seconds,
        face=number,
        status=row.status,
        box=row.box,
        face_probability=row.probability,
        probabilities=chances,
    )
