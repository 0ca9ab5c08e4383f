"""The work of emoprune crop: every photo becomes rows of a manifest, every face a picture."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from emoprune import events
from emoprune.choices import DeviceName
from emoprune.errors import BadData, OutputFault, UsageFault
from emoprune.faces import manifest
from emoprune.faces.output_folder import CropFolder
from emoprune.faces.sources import Originals, OutputNames, Photo, PhotoFolder, Seen, VideoFrames
from emoprune.faces.types import Box, CropRow, CropSettings
from emoprune.io import process_pool, video

PHOTOS_PER_WORKER = 12
"""Fewer are done before a worker has started."""


@dataclass(frozen=True)
class Engine:
    """Where photos are looked at, and in how many processes; None: as many as the machine has cores."""

    device: DeviceName
    jobs: int | None = None


@dataclass(frozen=True)
class Result:
    """All rows of a folder of faces, and how many photos were looked at in this run."""

    rows: tuple[CropRow, ...]
    looked_at: int


def crop_folder(
    raw: str,
    faces: str,
    given: Mapping[str, Any],
    by_hand: Mapping[str, Box],
    engine: Engine,
    *,
    force: bool,
) -> Result:
    """Crop the photos below `raw` into `faces`, but not those that are done.

    `given` are the settings that were asked for; others are those of the folder, else their defaults. Raises
    BadData for a folder without photos, a box that fits no photo, or, under "fail", a photo without a face;
    OutputFault for an output that is someone else's or was made otherwise.
    """
    if not raw or not faces:
        raise UsageFault("the name of a folder is empty", "give RAW and FACES")
    originals = _originals(Path(raw), Path(faces))
    if "every" in given and isinstance(originals, PhotoFolder):
        raise UsageFault(f"--every is of videos, and {raw} is a folder of photos", "leave it out")
    for source in originals.lacks(by_hand):
        raise BadData(f"{source} has a box but is not there", "correct its name", place=raw)
    folder = CropFolder(faces)
    with folder.held():
        settings = _settings(folder, given, force=force)
        known = folder.known_rows()
        drawn = [row for row in known if row.status == manifest.BOXED]
        _require_boxes_given(faces, drawn, by_hand)
        gone = _gone(originals, known, raw, faces, force=force)
        boxes = _boxes(originals.unchanged(drawn)) | dict(by_hand)
        kept = [
            row
            for row in originals.unchanged(folder.rows(settings, anew=force))
            if (row.box if row.status == manifest.BOXED else None) == boxes.get(row.source)
        ]
        todo = originals.todo({row.source for row in kept}, boxes, settings.every)
        if todo == [] and not gone and folder.settled:
            return Result(tuple(kept), 0)
        taken = {row.output for row in kept} | folder.strangers()
        with folder.work(settings), _told_when_interrupted():
            new = list(_look_at(raw, todo, settings, originals.names(taken), folder, engine))
            rows = sorted([*kept, *new], key=lambda row: row.source)
            # after the photos: its letters come from a library that takes a while to import
            from emoprune.faces.contact_sheet import sheet_of

            folder.finish(rows, {manifest.SHEET: sheet_of(rows, originals, folder)})
    return Result(tuple(rows), len({row.source for row in new}))


@contextmanager
def _told_when_interrupted() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        events.note("photos that are done need not be done again: the same command goes on")
        raise


def _boxes(rows: Iterable[CropRow]) -> dict[str, Box]:
    return {row.source: row.box for row in rows if row.box is not None}


def _require_boxes_given(faces: str, drawn: Sequence[CropRow], by_hand: Mapping[str, Box]) -> None:
    """OutputFault where a person has filled in boxes that this run would write over."""
    path = Path(faces) / manifest.FAILURES
    filled = manifest.read_boxes(str(path)) if path.is_file() else {}
    known = _boxes(drawn)
    if any(source not in by_hand and known.get(source) != box for source, box in filled.items()):
        fact = f"{manifest.FAILURES} has boxes that were not given"
        raise OutputFault(fact, f"give --boxes {path}, or empty them", place=faces)


def _gone(originals: Originals, known: Sequence[CropRow], raw: str, faces: str, *, force: bool) -> list[str]:
    """Photos whose faces go as they are gone themselves.

    Raises OutputFault where that costs a box by hand, or half of the photos: as likely, `raw` is another
    folder.
    """
    gone = originals.lacks(row.source for row in known)
    lost = set(gone) & set(_boxes(row for row in known if row.status == manifest.BOXED))
    photos = events.counted(len(gone), "photo")
    if not force and (lost or 2 * len(gone) > len({row.source for row in known})):
        raise OutputFault(
            f"has {photos} that {raw} lacks, {min(lost or gone)} one of them",
            "name the folder they came from, or give --force to drop them",
            place=faces,
        )
    if gone:
        events.note(f"{photos} gone from {raw} and with them their faces, {gone[0]} one of them")
    return gone


def _originals(raw: Path, faces: Path) -> Originals:
    if raw.is_file() and video.is_video_name(raw):
        return VideoFrames(raw)
    return PhotoFolder(raw, faces)


def _settings(folder: CropFolder, given: Mapping[str, Any], *, force: bool) -> CropSettings:
    """What to crop with; OutputFault where the folder was cropped with something else and `force` is not."""
    there = folder.settings()
    if there is None and folder.finished and not force:
        fact = "does not say how it was cropped"
        raise OutputFault(fact, "give --force to crop anew", place=str(folder.place))
    wanted = replace(there or CropSettings(), **given)
    if there is None or force or wanted == there:
        return wanted
    name = next(name for name in given if getattr(wanted, name) != getattr(there, name))
    old, new = (_option(name, getattr(settings, name)) for settings in (there, wanted))
    raise OutputFault(
        f"{'is being' if folder.begun else 'was'} cropped with {old}, not {new}",
        "leave that out, or give --force to crop anew",
        place=str(folder.place),
    )


def _option(name: str, value: object) -> str:
    option = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{option}" if value else f"--no-{option}"
    return f"no --{option}" if value is None else f"--{option} {value}"


def _look_at(
    raw: str,
    todo: Sequence[Photo] | Iterator[Photo],
    settings: CropSettings,
    names: OutputNames,
    folder: CropFolder,
    engine: Engine,
) -> Iterator[CropRow]:
    """Rows of the photos in `todo`, each kept in `folder` when it is there."""
    # of a video nobody knows how many frames there will be
    total = len(todo) if isinstance(todo, Sequence) else None
    enough = process_pool.cores() if total is None else min(process_pool.cores(), total // PHOTOS_PER_WORKER)
    seen = process_pool.ordered(
        partial(_look, settings=settings, device=engine.device),
        todo,
        jobs=engine.jobs or max(1, enough),
        lost=_lost,
        preload=["emoprune.faces.crop_photo"],
    )
    for found in events.tracked(seen, "crop", total):
        source = found.rows[0].source
        if settings.on_missing == "fail" and found.rows[0].status == manifest.NO_FACE:
            raise BadData(
                found.rows[0].reason, "leave it out or give its box with --boxes", place=f"{raw}/{source}"
            )
        outputs = names.take(source, len(found.pictures)) if found.pictures else [""]
        rows = [replace(row, output=output) for row, output in zip(found.rows, outputs, strict=True)]
        folder.add(rows, found.pictures)
        yield from rows


def _look(photo: Photo, settings: CropSettings, device: DeviceName) -> Seen:
    # imports torch, which only the processes that look at photos need
    from emoprune.faces.crop_photo import look

    return look(photo, settings, device)


def _lost(photo: Photo) -> Seen:
    return Seen((CropRow(photo.source, "", manifest.UNREADABLE, reason="ended the process that read it"),))
