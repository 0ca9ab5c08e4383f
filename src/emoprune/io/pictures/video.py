"""Frames of videos, by PyAV; an optional dependency, as it includes FFmpeg."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path, PurePath
from types import ModuleType
from typing import IO, TYPE_CHECKING, Any

from PIL import Image

from emoprune.errors import BadData, Unavailable, at
from emoprune.io.files import open_regular

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

SUFFIXES = {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".wmv", ".3gp", ".mts", ".ogv"}
CLOCK = Fraction(1, 1000)
"""Seconds to which some formats round the time of a frame."""
MOST_PIXELS = 36_000_000
"""Of a frame, as in 8K; damage may ask for more, and decoders hold several frames."""

REMEDY = "convert it to an .mp4 with ffmpeg, or leave it out"

Transpose = Image.Transpose
TURNS = {
    (-1, 0, 0, 1): Transpose.FLIP_LEFT_RIGHT,
    (1, 0, 0, -1): Transpose.FLIP_TOP_BOTTOM,
    (-1, 0, 0, -1): Transpose.ROTATE_180,
    (0, -1, 1, 0): Transpose.ROTATE_90,
    (0, 1, -1, 0): Transpose.ROTATE_270,
    (0, 1, 1, 0): Transpose.TRANSPOSE,
    (0, -1, -1, 0): Transpose.TRANSVERSE,
}
"""Makes a frame upright, by a, b, c, d of its display matrix: x, y (down) move to ax + cy, bx + dy."""


def is_video_name(name: str) -> bool:
    """Whether a file has the suffix of a video and is not hidden."""
    path = PurePath(name)
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def frames(path: Path, every: float) -> Iterator[tuple[float, Image.Image]]:
    """One frame per `every` seconds of a video: seconds from its start, upright RGB.

    The first frame, and then the first at or after each multiple of `every`, none twice. Frames between are
    decoded, as later ones depend on them, but not kept. Raises Unavailable without PyAV, and BadData for a
    file that is not a video, has no moving picture, or is damaged, when the damage is reached.
    """
    step, due, start = Fraction(str(every)), Fraction(0), None
    for time, frame, stream in _decoded(path):
        start = time if start is None else start
        shown = time - start
        if shown + CLOCK < due:
            continue
        due = ((shown + CLOCK) // step + 1) * step
        yield float(shown), _upright(frame, stream)
    if start is None:
        raise BadData("a damaged video: it has no whole frame", REMEDY, place=str(path))


def _decoded(path: Path) -> Iterator[tuple[Fraction, VideoFrame, VideoStream]]:
    """Every undamaged frame with its time in seconds, in the order of display."""
    try:
        import av
    except ImportError:
        fact = "videos are read by PyAV, which is not installed"
        raise Unavailable(fact, "pip install 'emoprune[video]'") from None
    if not path.is_file():
        fact = "not a plain file" if path.exists() else "no such file"
        raise BadData(fact, "check the name", place=str(path))
    if path.stat().st_size == 0:
        raise BadData("the file is empty", REMEDY, place=str(path))
    # older torchvision asks for messages; a decoder with one waits forever while it is being closed
    av.logging.set_level(None)
    seen = Fraction(0)
    # some formats may refer to other files or addresses: these are not opened
    options = {"protocol_whitelist": "none"}
    with (
        _faults(av, path),
        open_regular(path) as file,
        av.open(_Source(file), "r", options=options, metadata_errors="replace") as container,
    ):
        # the cover of a song is a stream too
        cover = av.stream.Disposition.attached_pic
        stream = next((each for each in container.streams.video if not each.disposition & cover), None)
        if stream is None:
            raise BadData("has no moving picture", "give a video")
        # decode on all cores
        stream.thread_type = "AUTO"
        decoder: Any = stream.codec_context
        # there is none for a codec that is not known, of which decoding says so
        if decoder is not None:
            decoder.options = {"max_pixels": str(MOST_PIXELS)}
        length = 1 / (stream.average_rate or stream.guessed_rate or Fraction(25))
        for frame in container.decode(stream):
            # in formats without times, frames are evenly spaced
            pts, base = frame.pts, frame.time_base
            time = seen if pts is None or base is None else pts * base
            seen = time + length
            if not frame.is_corrupt:
                yield time, frame, stream


class _Source:
    """A file for PyAV, which prints what is raised here: a place that does not exist is -1, as in FFmpeg."""

    def __init__(self, file: IO[bytes]) -> None:
        self.read, self.tell, self._file = file.read, file.tell, file

    def seek(self, offset: int, whence: int = 0) -> int:
        try:
            return self._file.seek(offset, whence)
        except (OSError, ValueError, OverflowError):
            return -1


@contextmanager
def _faults(av: ModuleType, path: Path) -> Iterator[None]:
    try:
        with at(str(path)):
            yield
    except (av.error.FFmpegError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BadData(f"a damaged video, or not a video ({reason})", REMEDY, place=str(path)) from None


def _upright(frame: VideoFrame, stream: VideoStream) -> Image.Image:
    image: Image.Image = frame.to_image()  # type: ignore[no-untyped-call]  # PyAV gives it no types
    square = Fraction(1)
    shape = stream.sample_aspect_ratio or square
    if shape > 0 and shape != square:
        size = round(image.width * max(shape, square)), round(image.height / min(shape, square))
        image = image.resize(size, Image.Resampling.BICUBIC)
    matrix: Any = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return image
    # nine numbers of 16.16 bits
    a, b, _, c, d = (round(value / 65536) for value in struct.unpack("=5i", bytes(matrix)[:20]))
    turn = TURNS.get((a, b, c, d))
    return image if turn is None else image.transpose(turn)
