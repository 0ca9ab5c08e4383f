"""Many photos in worker processes: what a function gives for each, in their order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from emoprune import events
from emoprune.faces.sources import CroppedPhoto, Photo, unreadable
from emoprune.io import process_pool

Result = TypeVar("Result")

PHOTOS_PER_WORKER = 12
"""Fewer are done before another worker has started."""


def each_photo(
    function: Callable[[Photo], Result],
    photos: Iterable[Photo],
    *,
    label: str,
    jobs: int | None,
    lost: Callable[[Photo], Result],
    preload: str,
) -> Iterator[tuple[Photo, Result]]:
    """Every photo and what `function` gives for it, in order; `label` names the progress.

    `jobs` None is a process per core, and fewer for few photos. A photo that kills its process gives `lost`.
    `preload` names the module that the processes need.
    """
    # the number of frames of a video is not known
    total = len(photos) if isinstance(photos, Sequence) else None
    enough = process_pool.cores() if total is None else min(process_pool.cores(), total // PHOTOS_PER_WORKER)
    given = deque[Photo]()

    def noted() -> Iterator[Photo]:
        for photo in photos:
            given.append(photo)
            yield photo

    results = process_pool.ordered(
        function, noted(), jobs=jobs or max(1, enough), lost=lost, preload=[preload]
    )
    for result in events.tracked(results, label, total):
        yield given.popleft(), result


def lost_photo(photo: Photo) -> CroppedPhoto:
    """A photo that ended the process that read it."""
    return unreadable(photo, sha256="", reason="ended the process that read it")
