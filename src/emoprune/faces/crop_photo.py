"""One photo: its faces found, chosen, cut out and hashed. Runs in worker processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache

from PIL import Image

from emoprune.choices import DeviceName
from emoprune.errors import BadImage
from emoprune.faces import manifest
from emoprune.faces.alignment import align_face
from emoprune.faces.cropping import crop_face
from emoprune.faces.detector import Detector
from emoprune.faces.mtcnn import image_variants
from emoprune.faces.selection import CHOICES
from emoprune.faces.sources import Photo, Seen, sha256_of
from emoprune.faces.types import Box, CropRow, CropSettings, Face
from emoprune.io import devices, images
from emoprune.io.perceptual_hash import perceptual_hash

Scale = tuple[float, float]


def look(photo: Photo, settings: CropSettings, device: DeviceName) -> Seen:
    """Rows and faces of one photo; outputs are still to be named.

    A photo that cannot be used is a row with the reason. A box by hand that does not fit its photo raises
    BadImage: the user is there to mend it.
    """
    # before the photo is read: should it change meanwhile, it is done again
    sha256 = photo.sha256 or sha256_of(photo.path)
    try:
        image, scale = _read(photo, settings.max_side)
        rows = [
            replace(row.scaled(*scale), sha256=sha256)
            for row in _found(photo, image, scale, settings, device)
        ]
        pictures = [_cut(image, row.scaled(1 / scale[0], 1 / scale[1]), settings) for row in rows if row.box]
    except BadImage as error:
        if photo.box is not None:
            error.place = str(photo.path)
            raise
        return Seen((CropRow(photo.source, "", manifest.UNREADABLE, sha256=sha256, reason=error.fact),))
    if pictures:
        hashes = map(perceptual_hash, pictures)
        rows = [replace(row, phash=phash) for row, phash in zip(rows, hashes, strict=True)]
    return Seen(tuple(rows), tuple(map(images.jpeg_bytes, pictures)))


def _read(photo: Photo, max_side: int | None) -> tuple[Image.Image, Scale]:
    if max_side is None:
        return photo.image or images.read_photo(photo.path), (1, 1)
    there = photo.image
    small = images.reduced(there, max_side) if there else images.read_reduced(photo.path, max_side)
    return small.image, small.scale


@lru_cache(maxsize=1)
def _detector(device: DeviceName) -> Detector:
    return Detector(devices.device(device))


def _found(
    photo: Photo, image: Image.Image, scale: Scale, settings: CropSettings, device: DeviceName
) -> Iterator[CropRow]:
    """A row for each face, or one without, in pixels of `image`; `scale` of the photo's are one, x and y."""
    if photo.box is not None:
        yield CropRow(photo.source, "", manifest.BOXED, photo.box.scaled(1 / scale[0], 1 / scale[1]))
        return
    detector = _detector(device)
    seen: Sequence[Face] = detector.detect(image)
    faces = _wanted(seen, image, scale, settings)
    for face in faces:
        yield CropRow(photo.source, "", manifest.FACE, face.box, face.probability, face.landmarks)
    if not faces and settings.rescue and (second := detector.rescue(image)):
        seen = [*seen, *second.faces]
        for face in (faces := _wanted(second.faces, image, scale, settings)):
            row = CropRow(photo.source, "", manifest.RESCUED, face.box, face.probability, face.landmarks)
            yield replace(row, turned=second.turn, reason=second.how)
    if not faces and settings.on_missing == "whole":
        yield CropRow(photo.source, "", manifest.WHOLE, Box(0, 0, *image.size))
    elif not faces:
        reason = "only faces below --min-face or --min-probability" if seen else "no face found"
        yield CropRow(photo.source, "", manifest.NO_FACE, reason=reason)


def _wanted(faces: Sequence[Face], image: Image.Image, scale: Scale, settings: CropSettings) -> list[Face]:
    enough = [
        face
        for face in faces
        if face.probability >= settings.min_probability
        and face.box.scaled(*scale).shorter >= settings.min_face
    ]
    return CHOICES[settings.select](enough, image.size) if enough else []


def _cut(image: Image.Image, row: CropRow, settings: CropSettings) -> Image.Image:
    assert row.box is not None
    margin, size, pad = settings.margin, settings.size, settings.pad
    if settings.align == "eyes" and row.landmarks:
        return align_face(image, row.landmarks, margin=margin, size=size, pad=pad)
    upright = image_variants.turned(image, row.turned)
    # as turning the photo back makes of it what it is, so does it of the face
    there = image_variants.turned_back(Face(row.box, 1, ()), -row.turned % 360, upright.size)
    return crop_face(upright, there.box, margin=margin, size=size, pad=pad)
