"""A video that emoprune crop takes faces from, one frame every so many seconds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

from emoprune.cli import output
from emoprune.errors import BadData
from emoprune.faces.sources import Boxes, OutputNames, Photo, sha256_of
from emoprune.faces.types import CropRow
from emoprune.io import video


class VideoFrames:
    """Frames of a video, each called by the video's name and the time at which it is shown."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sha256 = sha256_of(path)

    def lacks(self, sources: Iterable[str]) -> list[str]:
        """Which of `sources` are frames of no video of this name."""
        begins, ends = f"{self._path.stem}@", f"s{self._path.suffix}"
        return sorted(
            source for source in sources if not (source.startswith(begins) and source.endswith(ends))
        )

    def unchanged(self, rows: Sequence[CropRow]) -> list[CropRow]:
        """Rows of this very video."""
        return [row for row in rows if row.sha256 == self._sha256]

    def todo(self, done: AbstractSet[str], boxes: Boxes, every: float) -> Iterator[Photo]:
        """Frames that are not `done`; a video that is damaged further on ends where the damage begins."""
        found = 0
        try:
            for seconds, image in video.frames(self._path, every):
                found += 1
                source = f"{self._path.stem}@{seconds:09.3f}s{self._path.suffix}"
                if source not in done:
                    yield Photo(source, self._path, boxes.get(source), image, self._sha256)
        except BadData as error:
            if not found:
                raise
            output.warn(f"{error} (the {output.counted(found, 'frame')} before are cropped)")

    def names(self, taken: Iterable[str]) -> OutputNames:
        """Names for the faces of all frames, which need not be known beforehand."""
        return OutputNames((), taken)

    def original(self, source: str) -> None:
        """Frames are let go once they are cropped."""
