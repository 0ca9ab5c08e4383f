"""Crop a folder of photos, or a video, into a folder of faces: only what is new or has changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from emoprune import events
from emoprune.choices import DeviceName
from emoprune.errors import BadData, OutputFault, UsageFault
from emoprune.faces import manifest
from emoprune.faces.output_folder import CropFolder
from emoprune.faces.photo_workers import each_photo, lost_photo
from emoprune.faces.sources import CroppedPhoto, OutputNames, Photo, PhotoFolder, VideoFrames
from emoprune.faces.types import Box, CropConfig, CropRow, CropSettings, CropSummary
from emoprune.io.json_records import decode
from emoprune.io.pictures import video


def crop_folder(
    raw: str,
    faces: str,
    config: CropConfig | None = None,
    *,
    boxes: str | None = None,
    device: DeviceName = "auto",
    jobs: int | None = None,
    force: bool = False,
) -> CropSummary:
    """Crop the photos below `raw`, or the frames of a video, into the folder `faces`.

    Photos that an earlier run has cropped are skipped, unless `force`. `boxes` is a CSV with boxes by hand;
    `jobs` is the number of processes, by default one per core. Raises BadData for a folder without photos, a
    box that fits no photo and, where `on_missing` is "fail", a photo without a face; OutputFault for a folder
    that holds other files or was cropped with other settings.
    """
    if not raw or not faces:
        raise UsageFault("the name of a folder is empty", "name the photos and the folder of faces")
    by_hand = manifest.read_boxes(boxes) if boxes else {}
    if boxes and not by_hand:
        raise BadData("has no box", "fill in x1,y1,x2,y2 for at least one photo", place=boxes)
    if device == "cuda":
        # imports torch; fails now rather than in every worker
        from emoprune.io import devices

        devices.device(device)
    config = config or CropConfig()
    film = Path(raw).is_file() and video.is_video_name(raw)
    source = VideoFrames(Path(raw)) if film else PhotoFolder(Path(raw), Path(faces))
    if config.every is not None and isinstance(source, PhotoFolder):
        raise UsageFault(f"`every` is for videos, and {raw} is a folder of photos", "leave it out")
    for name in source.missing(by_hand):
        raise BadData(f"{name} has a box but is not there", "correct its name", place=raw)
    folder = CropFolder(faces)
    with folder.locked():
        settings = _settings(folder, config, force=force)
        known = folder.known_rows()
        boxed = [row for row in known if row.status == manifest.BOXED]
        _check_boxes_given(folder, _boxes(boxed), by_hand)
        gone = source.missing(row.source for row in known)
        _check_gone(gone, known, raw, faces, force=force)
        wanted = _boxes(source.unchanged(boxed)) | by_hand
        kept = [
            row
            for row in source.unchanged(folder.reusable_rows(settings, force=force))
            if (row.box if row.status == manifest.BOXED else None) == wanted.get(row.source)
        ]
        _note_changed(folder.changed(kept))
        todo = source.remaining({row.source for row in kept}, wanted, settings.every)
        rows, processed = kept, 0
        if todo != [] or gone or not folder.complete or folder.settings() != settings:
            outputs = {row.output for row in kept}
            foreign = folder.foreign_files(outputs)
            _check_replaced(known, gone, foreign, faces)
            names = source.output_names(outputs | foreign)
            with folder.journal(settings), _note_on_interrupt():
                new = list(_added(_results(raw, todo, settings, device, jobs), folder, names))
                # now, as the font comes from a library that takes a while to import
                from emoprune.faces.contact_sheet import crop_sheet

                rows = sorted([*kept, *new], key=lambda row: row.source)
                folder.finish(rows, {manifest.SHEET: crop_sheet(rows, source, folder)})
                processed = len({row.source for row in new})
    return _summary(raw, faces, rows, processed)


def _summary(raw: str, faces: str, rows: Sequence[CropRow], processed: int) -> CropSummary:
    """Counts of all rows; notes say where the photos without a face are listed."""
    counts = Counter(row.status for row in rows)
    listed = f"in {faces}/{manifest.FAILURES}"
    if missing := counts[manifest.NO_FACE]:
        shown = f"{events.counted(missing, 'photo')} without a face {listed}, shown in {manifest.SHEET}"
        events.note(f"{shown}; fill in boxes there and give it to `boxes`")
    if unusable := counts[manifest.UNREADABLE]:
        events.note(f"{events.counted(unusable, 'photo')} that cannot be used {listed}, with the reason")
    if crooked := [row.output for row in rows if manifest.NOT_ALIGNED in row.reason]:
        count = events.counted(len(crooked), "face")
        events.note(
            f"{count} not aligned but upright, {crooked[0]} one of them; {manifest.MANIFEST} says why"
        )
    by_status = {status.replace("-", "_"): counts[status] for status in manifest.STATUSES}
    photos, found = len({row.source for row in rows}), sum(bool(row.output) for row in rows)
    return CropSummary(raw, faces, photos, processed, found, **by_status)


@contextmanager
def _note_on_interrupt() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        events.note("photos that are cropped are kept: the same command continues with the others")
        raise


def _boxes(rows: Iterable[CropRow]) -> dict[str, Box]:
    return {row.source: row.box for row in rows if row.box is not None}


def _check_boxes_given(folder: CropFolder, known: dict[str, Box], by_hand: dict[str, Box]) -> None:
    """OutputFault where this run would overwrite boxes that a person has filled in."""
    if any(source not in by_hand and known.get(source) != box for source, box in folder.boxes().items()):
        fact = f"{manifest.FAILURES} has boxes that were not given"
        remedy = f"give `boxes={folder.place / manifest.FAILURES}`, or empty them"
        raise OutputFault(fact, remedy, place=str(folder.place))


def _note_changed(changed: Sequence[str]) -> None:
    if changed:
        faces = events.counted(len(changed), "face")
        events.note(f"kept {faces} that changed after cropping, {changed[0]} one of them")


def _check_replaced(known: Iterable[CropRow], gone: Iterable[str], foreign: set[str], faces: str) -> None:
    """OutputFault where this run would replace or remove faces that crop may not have made.

    Those of photos that are gone stay where they are, with a note.
    """
    unknown = [row for row in known if row.output in foreign]
    lost = set(gone)
    left = [row.output for row in unknown if row.source in lost]
    replaced = [row.output for row in unknown if row.source not in lost]
    why = "changed after cropping, or cropped by an earlier version"
    if replaced:
        fact = f"{events.counted(len(replaced), 'face')} would be lost, {replaced[0]} one of them ({why})"
        raise OutputFault(fact, "move them away, or name another folder", place=faces)
    if left:
        events.note(f"not removed: {events.counted(len(left), 'face')}, {left[0]} one of them ({why})")


def _check_gone(gone: Sequence[str], known: Sequence[CropRow], raw: str, faces: str, *, force: bool) -> None:
    """Note that faces are removed with their photos.

    OutputFault where this would lose a box by hand, or half of the photos: `raw` may be the wrong folder.
    """
    lost = set(gone) & {row.source for row in known if row.status == manifest.BOXED}
    photos = events.counted(len(gone), "photo")
    if not force and (lost or 2 * len(gone) > len({row.source for row in known})):
        fact = f"has {photos} that {raw} lacks, {min(lost or gone)} one of them"
        remedy = "name the folder they came from, or give `force=True` to drop them"
        raise OutputFault(fact, remedy, place=faces)
    if gone:
        events.note(f"{photos} gone from {raw} and with them their faces, {gone[0]} one of them")


def _settings(folder: CropFolder, config: CropConfig, *, force: bool) -> CropSettings:
    """What to crop with; OutputFault where the folder was cropped with something else, unless `force`."""
    before = folder.settings()
    if before is None and folder.finished and not force:
        fact = "does not say how it was cropped"
        raise OutputFault(fact, "give `force=True` to crop again", place=str(folder.place))
    # decoded, so that 2 is as good as 2.0
    wanted = decode(CropSettings, asdict(before or CropSettings()) | config.given)
    if before is not None and wanted.rescue and not folder.in_progress:
        # the second pass adds faces and changes none
        before = replace(before, rescue=True)
    if before is None or force or wanted == before:
        return wanted
    name = next(name for name in config.given if getattr(wanted, name) != getattr(before, name))
    values = (getattr(settings, name) for settings in (before, wanted))
    # 0 is written, as it equals False but is not
    old, new = (f"no `{name}`" if each is None or each is False else f"`{name}={each}`" for each in values)
    fact = f"{'is being' if folder.in_progress else 'was'} cropped with {old}, not {new}"
    remedy = "leave that out, or give `force=True` to crop again"
    raise OutputFault(fact, remedy, place=str(folder.place))


def _results(
    raw: str, todo: Iterable[Photo], settings: CropSettings, device: DeviceName, jobs: int | None
) -> Iterator[CroppedPhoto]:
    """The photos in `todo`, cropped; BadData for one without a face where `on_missing` is "fail"."""
    results = each_photo(
        partial(_crop_photo, settings=settings, device=device),
        todo,
        label="crop",
        jobs=jobs,
        lost=lost_photo,
        preload="emoprune.faces.crop_photo",
    )
    for _, result in results:
        row = result.rows[0]
        if settings.on_missing == "fail" and row.status == manifest.NO_FACE:
            remedy = "leave it out or give its box with `boxes`"
            raise BadData(row.reason, remedy, place=f"{raw}/{row.source}")
        yield result


def _crop_photo(photo: Photo, settings: CropSettings, device: DeviceName) -> CroppedPhoto:
    # imports torch, which only the processes that crop need
    from emoprune.faces.crop_photo import crop_photo

    return crop_photo(photo, settings, device)


def _added(results: Iterable[CroppedPhoto], folder: CropFolder, names: OutputNames) -> Iterator[CropRow]:
    """Rows of each photo with their outputs, once they and its faces are in the folder."""
    for result in results:
        count = len(result.pictures)
        outputs = names.take(result.rows[0].source, count) if count else [""]
        rows = [replace(row, output=output) for row, output in zip(result.rows, outputs, strict=True)]
        yield from folder.add(rows, result.pictures)
