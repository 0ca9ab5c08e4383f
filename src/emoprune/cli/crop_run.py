"""The work of emoprune crop: every photo becomes rows of a manifest, every face a picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from PIL import Image

from emoprune.backends.faces import CHOICES
from emoprune.cli import console
from emoprune.cli.detector import Detector
from emoprune.core.cropping import crop_face
from emoprune.errors import BadData, BadImage, OutputFault, UsageFault
from emoprune.records import Box, CropRow
from emoprune.records.choices import OnMissing, Select
from emoprune.store import crops, datasets, folders, images, streams

DEFAULT_SIZE = 224


@dataclass(frozen=True)
class Settings:
    """What the user asked for."""

    size: int | None
    margin: float
    select: Select
    on_missing: OnMissing


def crop_folder(
    raw: str,
    faces: str,
    settings: Settings,
    by_hand: Mapping[str, Box],
    device: torch.device,
    *,
    force: bool,
) -> list[CropRow]:
    """Crop all photos, or only those in `by_hand` where the folder of faces is there already.

    Returns every row of the manifest. Raises BadData for a folder without photos, a box that fits no photo,
    or, under "fail", a photo without a face; OutputFault for an output that is someone else's.
    """
    source_folder, target = Path(raw), Path(faces)
    photos = _photos(source_folder, target)
    for source in by_hand:
        if source not in photos:
            raise BadData(f"{source} has a box but is not there", "correct its name", place=raw)
    mending = bool(by_hand) and crops.is_ours(target)
    if not mending:
        _check_output(target, force=force)
    old = crops.read_rows(str(target / crops.MANIFEST)) if crops.is_ours(target) else []
    kept = [row for row in old if row.source not in by_hand] if mending else []
    settings = _resolved(settings, target, kept)
    todo = list(by_hand) if mending else list(photos)
    with folders.workshop(target) as made:
        cropper = Cropper(settings, device, OutputNames(photos, kept), made)
        new = [
            row
            for source in console.tracked(todo, "crop", len(todo))
            for row in cropper.rows(source, photos[source], by_hand.get(source))
        ]
        rows = sorted(kept + new, key=lambda row: row.source)
        streams.write_bytes(made / crops.FAILURES, crops.to_bytes(row for row in rows if not row.output))
        streams.write_bytes(made / crops.MANIFEST, crops.to_bytes(rows))
        stale = {row.output for row in old} - {row.output for row in rows} - {""}
        folders.move_in(made, target, last=crops.MANIFEST, stale=stale)
    return rows


def _photos(raw: Path, faces: Path) -> dict[str, Path]:
    """Photos by their path below `raw`, without the faces of earlier runs where those lie among them."""
    if not raw.is_dir():
        fact = "is a file, not a folder" if raw.exists() else "no such folder"
        raise BadData(fact, "check the name", place=str(raw))
    if raw.resolve().is_relative_to(faces.resolve()):
        raise UsageFault(f"the photos of {raw} would lie in {faces}", "name another folder to make")
    made = [manifest.parent for manifest in raw.rglob(crops.MANIFEST) if manifest.parent != raw]
    found = [
        path for path in datasets.pictures(raw) if not any(path.is_relative_to(folder) for folder in made)
    ]
    if not found:
        raise BadData("no photos in it", "give a folder of pictures", place=str(raw))
    return {path.relative_to(raw).as_posix(): path for path in found}


def _check_output(faces: Path, *, force: bool) -> None:
    if faces.exists() and not faces.is_dir():
        raise OutputFault("is no folder", "name a folder to make", place=str(faces))
    if faces.is_dir() and any(faces.iterdir()):
        if not crops.is_ours(faces):
            raise OutputFault("holds files that crop did not write", "name another folder", place=str(faces))
        if not force:
            raise OutputFault("exists already", "give --force to crop anew", place=str(faces))
    streams.check_parent(faces)


def _resolved(settings: Settings, faces: Path, kept: Iterable[CropRow]) -> Settings:
    """The settings with a size: that of the faces that stay, else 224; UsageFault if another is asked."""
    output = next((row.output for row in kept if row.output and (faces / row.output).is_file()), None)
    if output is None:
        return replace(settings, size=settings.size or DEFAULT_SIZE)
    there = images.read_photo(faces / output).width
    if settings.size and settings.size != there:
        raise UsageFault(
            f"{faces} has pictures of {there} pixels, not {settings.size}", f"give --size {there}"
        )
    return replace(settings, size=there)


@dataclass
class Cropper:
    """Turns photos into rows, and their faces into pictures below `made`."""

    settings: Settings
    device: torch.device
    names: OutputNames
    made: Path
    _detector: Detector | None = field(default=None, init=False)

    def rows(self, source: str, path: Path, box: Box | None) -> list[CropRow]:
        """The rows of one photo: a face each, or one that says why there is none.

        A box by hand that does not fit its photo raises BadImage: the user is there to mend it.
        """
        try:
            image = images.read_photo(path)
            found = [(row, self._cut(image, row.box)) for row in self._choose(source, image, box)]
        except BadImage as error:
            if box is not None:
                error.place = str(path)
                raise
            return [CropRow(source, "", crops.UNREADABLE, reason=error.fact)]
        if not found:
            if self.settings.on_missing == "fail":
                raise BadData("no face found", "leave it out or give its box with --boxes", place=str(path))
            return [CropRow(source, "", crops.NO_FACE, reason="no face found")]
        outputs = self.names.take(source, len(found))
        for (_, face), output in zip(found, outputs, strict=True):
            target = self.made / output
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(images.jpeg_bytes(face))
        return [replace(row, output=output) for (row, _), output in zip(found, outputs, strict=True)]

    def _choose(self, source: str, image: Image.Image, box: Box | None) -> Iterator[CropRow]:
        if box is not None:
            yield CropRow(source, "", "box", box)
            return
        self._detector = self._detector or Detector(self.device)
        faces = self._detector.detect(image)
        for face in CHOICES[self.settings.select](faces, image.size) if faces else []:
            yield CropRow(source, "", "face", face.box, face.probability, face.landmarks)
        if not faces and self.settings.on_missing == "whole":
            yield CropRow(source, "", "whole", Box(0, 0, *image.size))

    def _cut(self, image: Image.Image, box: Box | None) -> Image.Image:
        assert box is not None
        assert self.settings.size is not None
        return crop_face(image, box, margin=self.settings.margin, size=self.settings.size, pad="reflect")


class OutputNames:
    """Names of face pictures below the output folder, no two alike even where case does not count.

    A photo's face has its photo's name; photos that differ in suffix alone keep it in the name, and the
    faces of one photo are numbered. `kept` are rows whose outputs are taken already.
    """

    def __init__(self, photos: Mapping[str, Path], kept: Iterable[CropRow]) -> None:
        self._stems = {source: source.removesuffix(path.suffix) for source, path in photos.items()}
        shared = Counter(stem.lower() for stem in self._stems.values())
        for source, stem in self._stems.items():
            if shared[stem.lower()] > 1:
                self._stems[source] = f"{stem}_{photos[source].suffix[1:]}"
        self._owners = {stem.lower(): source for source, stem in reversed(self._stems.items())}
        self._taken = {row.output.lower() for row in kept}

    def take(self, source: str, count: int) -> list[str]:
        """Outputs for the `count` faces of `source`, taken from now on."""
        stem = self._stems[source]
        wanted = [stem] if count == 1 else [f"{stem}_{index}" for index in range(1, count + 1)]
        return [self._free(name, source) for name in wanted]

    def _free(self, name: str, source: str) -> str:
        # a name that another photo's single face would bear is not free either
        while f"{name}.jpg".lower() in self._taken or self._owners.get(name.lower(), source) != source:
            name += "_"
        self._taken.add(f"{name}.jpg".lower())
        return f"{name}.jpg"
