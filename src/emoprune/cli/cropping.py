"""The work of emoprune crop: every photo becomes rows of a manifest, every face a picture."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

from emoprune.backends.faces import CHOICES, Detector
from emoprune.cli import console
from emoprune.core.cropping import crop_face
from emoprune.errors import BadData, BadImage, OutputFault, UsageFault
from emoprune.records import Box, CropRow
from emoprune.records.choices import OnMissing, Select
from emoprune.store import crops, datasets, images, streams

NO_FACE, UNREADABLE = "no-face", "unreadable"


@dataclass(frozen=True)
class Settings:
    """What the user asked for."""

    size: int
    margin: float
    select: Select
    on_missing: OnMissing


class Cropper:
    """Crops one folder of photos into one folder of faces."""

    def __init__(self, raw: str, faces: str, settings: Settings, device: torch.device) -> None:
        self._raw = Path(raw)
        self._faces = Path(faces)
        self._settings = settings
        self._device = device
        self._detector: Detector | None = None

    def run(self, by_hand: Mapping[str, Box], *, force: bool) -> list[CropRow]:
        """Crop all photos, or only those in `by_hand` where the folder of faces is there already.

        Returns every row of the manifest. Raises BadData for a folder without photos, a box for a photo that
        is not there, or, under "fail", a photo without a face; OutputFault for an output of someone else.
        """
        if not self._raw.is_dir():
            raise BadData("no such folder", "check the name", place=str(self._raw))
        if self._raw.resolve() == self._faces.resolve():
            raise UsageFault(f"{self._raw} cannot be photos and faces at once", "name another folder to make")
        photos = {path.relative_to(self._raw).as_posix(): path for path in self._pictures()}
        if not photos:
            raise BadData("no photos in it", "give a folder of pictures", place=str(self._raw))
        for source in by_hand:
            if source not in photos:
                raise BadData(
                    f"{source} has a box but is not there", "correct its name", place=str(self._raw)
                )
        mending = bool(by_hand) and crops.is_ours(self._faces)
        if not mending:
            self._check_output(force=force)
        names = output_names(photos)
        todo = list(by_hand) if mending else list(photos)
        # a sibling of the output, so that moving in is renaming and an interruption leaves nothing
        place = self._faces.absolute()
        with tempfile.TemporaryDirectory(prefix=f".{place.name}.", dir=place.parent) as scratch:
            with streams.explained(self._faces):
                rows = []
                for source in console.tracked(todo, "crop", len(todo)):
                    rows += self._photo(
                        source, photos[source], names[source], by_hand.get(source), Path(scratch)
                    )
            old = crops.read_rows(str(self._faces / crops.MANIFEST)) if crops.is_ours(self._faces) else []
            if mending:
                rows = merged(old, rows)
            with streams.explained(self._faces):
                self._move_in(Path(scratch), stale={row.output for row in old} - {row.output for row in rows})
        self._write(crops.FAILURES, [row for row in rows if not row.output])
        self._write(crops.MANIFEST, rows)
        return rows

    def _pictures(self) -> list[Path]:
        """The photos, without the faces of an earlier run where those lie among them."""
        made = self._faces.resolve()
        return [path for path in datasets.pictures(self._raw) if not path.resolve().is_relative_to(made)]

    def _check_output(self, *, force: bool) -> None:
        if self._faces.exists() and not self._faces.is_dir():
            raise OutputFault("is no folder", "name a folder to make", place=str(self._faces))
        if self._faces.is_dir() and any(self._faces.iterdir()):
            if not crops.is_ours(self._faces):
                raise OutputFault(
                    "holds files that crop did not write", "name another folder", place=str(self._faces)
                )
            if not force:
                raise OutputFault("exists already", "give --force to crop anew", place=str(self._faces))
        streams.check_parent(self._faces)

    def _photo(self, source: str, path: Path, stem: str, box: Box | None, scratch: Path) -> list[CropRow]:
        """The rows of one photo; its faces are written below `scratch`."""
        try:
            image = images.read_photo(path)
            found = list(self._choose(source, image, box))
            rows = []
            for index, row in enumerate(found, start=1):
                name = f"{stem}_{index}" if len(found) > 1 else stem
                output = f"{name}.jpg"
                self._save(image, row.box, scratch / output)
                rows.append(CropRow(source, output, row.status, row.box, row.probability, row.landmarks))
        except BadImage as error:
            return [CropRow(source, "", UNREADABLE, reason=error.fact)]
        if not rows:
            if self._settings.on_missing == "fail":
                raise BadData("no face found", "leave it out or give its box with --boxes", place=str(path))
            return [CropRow(source, "", NO_FACE, reason="no face found")]
        return rows

    def _choose(self, source: str, image: Image.Image, box: Box | None) -> Iterator[CropRow]:
        if box is not None:
            yield CropRow(source, "", "box", box)
            return
        self._detector = self._detector or Detector(self._device)
        faces = self._detector.detect(image)
        for face in CHOICES[self._settings.select](faces, image.size) if faces else []:
            yield CropRow(source, "", "face", face.box, face.probability, face.landmarks)
        if not faces and self._settings.on_missing == "whole":
            yield CropRow(source, "", "whole", Box(0, 0, *image.size))

    def _save(self, image: Image.Image, box: Box | None, target: Path) -> None:
        assert box is not None
        face = crop_face(image, box, margin=self._settings.margin, size=self._settings.size)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(images.jpeg_bytes(face))

    def _move_in(self, scratch: Path, *, stale: set[str]) -> None:
        for made in sorted(path for path in scratch.rglob("*") if path.is_file()):
            target = self._faces / made.relative_to(scratch)
            target.parent.mkdir(parents=True, exist_ok=True)
            made.replace(target)
        self._faces.mkdir(exist_ok=True)
        for output in stale - {""}:
            (self._faces / output).unlink(missing_ok=True)

    def _write(self, name: str, rows: list[CropRow]) -> None:
        streams.write_bytes(self._faces / name, crops.to_bytes(rows), force=True)


def merged(old: list[CropRow], new: list[CropRow]) -> list[CropRow]:
    """The old rows with those of the sources in `new` replaced, in the order of their sources."""
    redone = {row.source for row in new}
    return sorted([row for row in old if row.source not in redone] + new, key=lambda row: row.source)


def output_names(photos: Mapping[str, Path]) -> dict[str, str]:
    """Outputs without suffix, by source; sources that differ in suffix alone keep it in the name."""
    stems = {source: source.removesuffix(path.suffix) for source, path in photos.items()}
    shared = Counter(stem.lower() for stem in stems.values())
    return {
        source: stem if shared[stem.lower()] == 1 else f"{stem}_{photos[source].suffix[1:]}"
        for source, stem in stems.items()
    }
