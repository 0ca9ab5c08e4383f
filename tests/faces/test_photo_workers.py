"""Photos in worker processes: in order, each with its own result, also where one ends its process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from emoprune.faces.photo_workers import each_photo, lost_photo
from emoprune.faces.sources import CroppedPhoto, Photo

PHOTOS = [Photo(str(index), Path(str(index))) for index in range(8)]


def named(photo: Photo) -> str:
    return f"of {photo.source}"


def unlucky(photo: Photo) -> CroppedPhoto | str:
    if photo.source == "3":
        os._exit(1)
    return named(photo)


@pytest.mark.parametrize("jobs", [1, 2])
def test_each_photo_comes_with_its_result_in_order(jobs: int) -> None:
    def photos() -> Iterator[Photo]:
        yield from PHOTOS

    found = each_photo(named, photos(), label="x", jobs=jobs, lost=named, preload="emoprune.errors")
    assert [*found] == [(photo, named(photo)) for photo in PHOTOS]


def test_a_photo_that_ends_its_process_has_the_reason() -> None:
    found = each_photo(unlucky, PHOTOS, label="x", jobs=2, lost=lost_photo, preload="emoprune.errors")
    results = dict(found)
    assert list(results) == PHOTOS
    lost = results.pop(PHOTOS[3])
    assert isinstance(lost, CroppedPhoto)
    assert lost.rows[0].reason == "ended the process that read it"
    assert [*results.values()] == [named(photo) for photo in PHOTOS if photo.source != "3"]
