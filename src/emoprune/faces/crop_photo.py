"""Find, select, cut out and hash the faces of one photo. Runs in worker processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from PIL import Image

from emoprune.choices import DeviceName
from emoprune.errors import BadImage
from emoprune.faces import manifest
from emoprune.faces.alignment import align_face
from emoprune.faces.cropping import crop_face
from emoprune.faces.detector import Detector
from emoprune.faces.mtcnn import image_variants
from emoprune.faces.selection import SELECTIONS
from emoprune.faces.sources import CroppedPhoto, Photo, sha256_of, unreadable
from emoprune.faces.types import Box, CropRow, CropSettings, Face
from emoprune.io import devices
from emoprune.io.pictures import images
from emoprune.io.pictures.perceptual_hash import perceptual_hash

Scale = tuple[float, float]


def crop_photo(photo: Photo, settings: CropSettings, device: DeviceName) -> CroppedPhoto:
    """The rows and faces of one photo; outputs are named later.

    A photo that cannot be used gives a row with the reason. Raises BadImage for a box by hand that does not
    fit its photo, as the user can correct it.
    """
    # before the photo is read: if it changes meanwhile, the next run crops it again
    sha256 = photo.sha256 or sha256_of(photo.path)
    try:
        image, scale = _read(photo, settings.max_side)
        found = _found(photo, image, scale, settings, device)
        rows = [replace(row.scaled(*scale), sha256=sha256) for row in found]
        cuts = [_cut(image, row.scaled(1 / scale[0], 1 / scale[1]), settings) for row in rows if row.box]
    except BadImage as error:
        if photo.box is not None:
            error.place = str(photo.path)
            raise
        return unreadable(photo, sha256, f"{error.fact}; {error.remedy}")
    if cuts:
        rows = [
            replace(
                row,
                phash=perceptual_hash(cut.picture),
                reason="; ".join(filter(None, (row.reason, cut.reason))),
            )
            for row, cut in zip(rows, cuts, strict=True)
        ]
    return CroppedPhoto(tuple(rows), tuple(images.jpeg_bytes(cut.picture) for cut in cuts))


def _read(photo: Photo, max_side: int | None) -> tuple[Image.Image, Scale]:
    if max_side is None:
        return photo.image or images.read_photo(photo.path), (1, 1)
    frame = photo.image
    small = images.reduced(frame, max_side) if frame else images.read_reduced(photo.path, max_side)
    return small.image, small.scale


@lru_cache(maxsize=1)
def _detector(device: DeviceName) -> Detector:
    return Detector(devices.device(device))


def _found(
    photo: Photo, image: Image.Image, scale: Scale, settings: CropSettings, device: DeviceName
) -> Iterator[CropRow]:
    """A row for each face, or one without, in pixels of `image`; times `scale` (x, y), of the photo."""
    if photo.box is not None:
        yield CropRow(photo.source, "", manifest.BOXED, photo.box.scaled(1 / scale[0], 1 / scale[1]))
        return
    detector = _detector(device)
    found: Sequence[Face] = detector.detect(image)
    faces = _selected(found, image, scale, settings)
    for face in faces:
        yield CropRow(photo.source, "", manifest.FACE, face.box, face.probability, face.landmarks)
    if not faces and settings.rescue and (second := detector.rescue(image)):
        found = [*found, *second.faces]
        for face in (faces := _selected(second.faces, image, scale, settings)):
            row = CropRow(photo.source, "", manifest.RESCUED, face.box, face.probability, face.landmarks)
            yield replace(row, turned=second.turn, reason=second.how)
    if not faces and settings.on_missing == "whole":
        yield CropRow(photo.source, "", manifest.WHOLE, Box(0, 0, *image.size))
    elif not faces:
        reason = "only faces below the least size or probability" if found else "no face found"
        yield CropRow(photo.source, "", manifest.NO_FACE, reason=reason)


def _selected(faces: Sequence[Face], image: Image.Image, scale: Scale, settings: CropSettings) -> list[Face]:
    likely = (face for face in faces if face.probability >= settings.min_probability)
    enough = [face for face in likely if face.box.scaled(*scale).shorter >= settings.min_face]
    return SELECTIONS[settings.select](enough, image.size) if enough else []


@dataclass(frozen=True)
class _Cut:
    """A face's picture, and why it is upright where it should be aligned."""

    picture: Image.Image
    reason: str = ""


def _cut(image: Image.Image, row: CropRow, settings: CropSettings) -> _Cut:
    assert row.box is not None
    margin, size, pad = settings.margin, settings.size, settings.pad
    reason = ""
    if settings.align == "eyes":
        try:
            return _Cut(align_face(image, row.landmarks, margin=margin, size=size, pad=pad))
        except BadImage as error:
            reason = f"{manifest.NOT_ALIGNED}: {error.fact}"
    upright = image_variants.turned(image, row.turned)
    # the box turns with the photo: back by the opposite angle
    face = image_variants.turned_back(Face(row.box, 1, ()), -row.turned % 360, upright.size)
    return _Cut(crop_face(upright, face.box, margin=margin, size=size, pad=pad), reason)
