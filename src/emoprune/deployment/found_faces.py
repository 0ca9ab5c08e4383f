"""The faces of one photo as input of a network. Runs in worker processes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from emoprune.choices import DeviceName
from emoprune.data.image_dataset import to_array
from emoprune.data.types import Preprocess
from emoprune.errors import BadImage
from emoprune.faces import manifest
from emoprune.faces.crop_photo import crop_photo
from emoprune.faces.photo_workers import lost_photo
from emoprune.faces.sources import Photo, unreadable
from emoprune.faces.types import CropRow, CropSettings
from emoprune.io.pictures import images


@dataclass(frozen=True, eq=False)
class FoundFaces:
    """The rows of a photo, as crop gives them, and the picture of each face.

    `pixels` is (faces, channels, height, width) uint8. A photo without a face has a row with the reason.
    """

    rows: tuple[CropRow, ...]
    pixels: NDArray[np.uint8]


def find_faces(
    photo: Photo, preprocess: Preprocess, settings: CropSettings | None, device: DeviceName
) -> FoundFaces:
    """The faces of a photo, cropped with `settings`; with None the whole picture is one.

    A face has the pixels that it would have in a folder of faces: it is JPEG in between.
    """
    if settings is None:
        return _whole(photo, preprocess)
    cropped = crop_photo(photo, settings, device)
    pictures = [to_array(images.photo_in(each, photo.source), preprocess) for each in cropped.pictures]
    return FoundFaces(cropped.rows, torch.stack(pictures).numpy() if pictures else _none())


def _whole(photo: Photo, preprocess: Preprocess) -> FoundFaces:
    try:
        image = photo.image or images.read_photo(photo.path)
    except BadImage as error:
        return FoundFaces(unreadable(photo, "", f"{error.fact}; {error.remedy}").rows, _none())
    row = CropRow(photo.source, "", manifest.WHOLE)
    return FoundFaces((row,), to_array(image, preprocess)[None].numpy())


def lost_faces(photo: Photo) -> FoundFaces:
    """What is known of a photo that ended the process that read it."""
    return FoundFaces(lost_photo(photo).rows, _none())


def _none() -> NDArray[np.uint8]:
    return np.zeros((0, 0, 0, 0), np.uint8)
