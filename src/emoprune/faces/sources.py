"""What faces are cropped from: a folder of photos or a video; and the names of the faces."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath

from PIL import Image

from emoprune import events
from emoprune.errors import BadData, UsageFault
from emoprune.faces import manifest
from emoprune.faces.output_folder import is_crop_folder, is_own_file
from emoprune.faces.types import Box, CropRow
from emoprune.io.content_hash import file_hash
from emoprune.io.files import real_path
from emoprune.io.pictures import image_files, images, video
from emoprune.io.pictures.image_files import Listing
from emoprune.io.pictures.picture_formats import AVIF, HEIF

Boxes = Mapping[str, Box]
LONGEST = 230
"""Bytes of a name, of the 255 that file systems allow: a number and a suffix still fit behind it."""


@dataclass(frozen=True)
class Photo:
    """A photo to crop, by its name in the manifest: a file, or a frame with the hash of its video.

    A frame is shown so many `seconds` after the first.
    """

    source: str
    path: Path
    box: Box | None = None
    image: Image.Image | None = None
    sha256: str = ""
    seconds: float | None = None


@dataclass(frozen=True)
class CroppedPhoto:
    """The rows of a photo, outputs still empty, and for each with a face its picture as JPEG."""

    rows: tuple[CropRow, ...]
    pictures: tuple[bytes, ...] = ()


def unreadable(photo: Photo, sha256: str, reason: str) -> CroppedPhoto:
    """A photo without a face for that reason."""
    return CroppedPhoto((CropRow(photo.source, "", manifest.UNREADABLE, sha256=sha256, reason=reason),))


class PhotoFolder:
    """Photos by their path below `raw`; folders of faces from earlier runs are left out."""

    def __init__(self, raw: Path, faces: Path | None = None) -> None:
        """Raises BadData for a folder without photos, UsageFault where `faces` would hold them.

        Without `faces`, the folder that a crop makes, a note says how many pictures are left out.
        """
        if not raw.is_dir():
            fact = "neither a folder nor a video" if raw.exists() else "no such folder"
            raise BadData(fact, "check the name", place=str(raw))
        if faces is not None and Path(real_path(raw)).is_relative_to(real_path(faces)):
            raise UsageFault(f"the photos of {raw} would lie in {faces}", "name another folder to make")
        with image_files.readable():
            whole = image_files.list_files(raw, left_out=is_own_file)
            listing = _without_faces(raw, whole)
        if faces is None and (cropped := len(whole.pictures) - len(listing.pictures)):
            events.note(f"{raw}: {events.counted(cropped, 'face')} that a crop has made left out")
        videos = sum(map(video.is_video_name, listing.others))
        if not listing.pictures and not listing.unread:
            raise BadData("no photos in it", "give a folder of pictures", place=str(raw))
        if videos:
            events.note(f"{events.counted(videos, 'video')} in {raw} left out; give each by itself")
            others = tuple(name for name in listing.others if not video.is_video_name(name))
            listing = replace(listing, others=others)
        image_files.note_others(str(raw), [listing])
        # those that are not read become rows with the reason
        self._paths = {name: raw / name for name in sorted([*listing.pictures, *listing.unread])}

    def missing(self, sources: Iterable[str]) -> list[str]:
        """Which of `sources` are not photos below the folder."""
        return sorted(set(sources) - set(self._paths))

    def unchanged(self, rows: Sequence[CropRow]) -> list[CropRow]:
        """Rows whose photo has the same bytes as before, and is not of a format that can be read by now."""
        for form in (HEIF, AVIF):
            if set(form.suffixes) <= images.readable_suffixes():
                rows = [row for row in rows if not row.reason.startswith(form.fact)]
        before = {row.source: row.sha256 for row in rows if row.source in self._paths}
        compared = events.tracked(before.items(), "compare", len(before))
        still = {source for source, sha256 in compared if sha256 and sha256 == sha256_of(self._paths[source])}
        return [row for row in rows if row.source in still]

    def remaining(self, done: AbstractSet[str], boxes: Boxes, every: float) -> Sequence[Photo]:
        """Photos that are not `done`, in the order of the manifest."""
        left = [(source, path) for source, path in self._paths.items() if source not in done]
        return [Photo(source, path, boxes.get(source)) for source, path in left]

    def output_names(self, taken: Iterable[str]) -> OutputNames:
        """Names for the faces of all photos, none of those in `taken`."""
        return OutputNames(list(self._paths), taken)

    def reader(self, source: str) -> Callable[[], Image.Image]:
        """Reads the whole photo."""
        return partial(images.read_photo, self._paths[source])


def _without_faces(raw: Path, listing: Listing) -> Listing:
    """What is not in folders of faces from earlier runs."""
    files = [*listing.pictures, *listing.unread, *listing.others]
    folders = {str(folder) for name in files for folder in PurePosixPath(name).parents} - {"."}
    made = tuple(f"{folder}/" for folder in folders if is_crop_folder(raw / folder))

    def kept(names: Iterable[str]) -> tuple[str, ...]:
        return tuple(name for name in names if not name.startswith(made))

    unread = {name: listing.unread[name] for name in kept(listing.unread)}
    return replace(listing, pictures=kept(listing.pictures), unread=unread, others=kept(listing.others))


def sha256_of(path: Path) -> str:
    """The hash of a file's bytes; empty where they cannot be read."""
    try:
        return file_hash(path)
    except (OSError, BadData):
        return ""


class OutputNames:
    """Names of face pictures below the output folder, all different even where case is ignored.

    A face has its photo's name. Photos that differ only in their suffix keep it in the name, and several
    faces of one photo are numbered. `taken` are files that exist already.
    """

    def __init__(self, sources: Iterable[str], taken: Iterable[str]) -> None:
        self._stems = {source: _stem(source) for source in sources}
        shared = Counter(stem.lower() for stem in self._stems.values())
        for source, stem in self._stems.items():
            if shared[stem.lower()] > 1:
                self._stems[source] = f"{stem}_{PurePosixPath(source).suffix[1:]}"
        self._owners = {stem.lower(): source for source, stem in reversed(self._stems.items())}
        # a folder of photos may have the name of another photo's face
        folders = {str(folder) for source in self._stems for folder in PurePosixPath(source).parents}
        self._taken = {name.lower() for name in (manifest.SHEET, *folders, *taken)}

    def take(self, source: str, count: int) -> list[str]:
        """Outputs for the `count` faces of `source`; they are taken from now on."""
        stem = self._stems.get(source) or _stem(source)
        wanted = [stem] if count == 1 else [f"{stem}_{index}" for index in range(1, count + 1)]
        return [self._free(name, source) for name in wanted]

    def _free(self, name: str, source: str) -> str:
        # the name of another photo's only face is not free either
        while _file(name).lower() in self._taken or self._owners.get(name.lower(), source) != source:
            name += "_"
        self._taken.add(_file(name).lower())
        return _file(name)


def _file(stem: str) -> str:
    return f"{stem}{manifest.SUFFIX}"


def _stem(source: str) -> str:
    path = PurePosixPath(manifest.UNSAFE.sub("_", source))
    stem = path.name.removesuffix(path.suffix)
    while len(os.fsencode(stem)) > LONGEST:
        stem = stem[:-1]
    return str(path.with_name(stem)) if stem else source


class VideoFrames:
    """Frames of a video, each named by the video and the time at which it is shown."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sha256 = sha256_of(path)

    def missing(self, sources: Iterable[str]) -> list[str]:
        """Which of `sources` are not frames of a video of this name."""
        ends = (f"{self._path.stem}@", f"s{self._path.suffix}")
        return sorted(each for each in sources if not (each.startswith(ends[0]) and each.endswith(ends[1])))

    def unchanged(self, rows: Sequence[CropRow]) -> list[CropRow]:
        """Rows of a video with the same bytes."""
        return [row for row in rows if row.sha256 == self._sha256]

    def remaining(self, done: AbstractSet[str], boxes: Boxes, every: float) -> Iterator[Photo]:
        """Frames that are not `done`; a damaged video ends where the damage begins."""
        found = 0
        try:
            for seconds, image in video.frames(self._path, every):
                found += 1
                source = f"{self._path.stem}@{seconds:09.3f}s{self._path.suffix}"
                if source not in done:
                    yield Photo(source, self._path, boxes.get(source), image, self._sha256, seconds)
        except BadData as error:
            if not found:
                raise
            events.warn(f"{error} (the {events.counted(found, 'frame')} before are read)")

    def output_names(self, taken: Iterable[str]) -> OutputNames:
        """Names for the faces of all frames."""
        return OutputNames((), taken)

    def reader(self, source: str) -> None:
        """Nothing: frames are not kept after they are cropped."""


Source = PhotoFolder | VideoFrames
"""What faces are cropped from."""
