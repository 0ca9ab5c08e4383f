"""Pictures out of videos, by PyAV; an extra, as it brings FFmpeg along."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from PIL import Image

from emoprune.errors import BadData, Unavailable, at

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

SUFFIXES = frozenset(
    {*(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".wmv", ".3gp", ".mts", ".ogv")}
)
CLOCK = Fraction(1, 1000)
"""Seconds: some formats round the time of a frame to thousandths."""
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
"""What sets a frame upright, by a, b, c, d of its display matrix: x, y (down) go to ax + cy, bx + dy."""


def is_video_name(path: Path) -> bool:
    """Whether the name says video and is not hidden."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def frames(path: Path, every: float) -> Iterator[tuple[float, Image.Image]]:
    """One frame for every `every` seconds that the video is shown: seconds from its start, upright RGB.

    The first frame, and then the first one at or after each multiple of `every`, none of them twice; made as
    they are asked for. All frames between are decoded, as they build on each other, and never kept.
    `every` is above 0. Raises Unavailable without PyAV, and BadData for a file that is no video, has no
    moving picture, or is damaged: before the first frame, or when the damage is reached.
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
        raise BadData("a damaged video: it shows nothing", REMEDY, place=str(path))


def _decoded(path: Path) -> Iterator[tuple[Fraction, VideoFrame, VideoStream]]:
    """Every whole frame with its time in seconds, in the order in which they are shown."""
    av = _library()
    if not path.is_file():
        fact = "not a plain file" if path.exists() else "no such file"
        raise BadData(fact, "check the name", place=str(path))
    if path.stat().st_size == 0:
        raise BadData("the file is empty", REMEDY, place=str(path))
    seen = Fraction(0)
    with _faults(av, path), path.open("rb") as file, _opened(av, file) as container:
        stream = _moving(av, container)
        # one frame after the other, on all cores
        stream.thread_type = "AUTO"
        length = 1 / (stream.average_rate or stream.guessed_rate or Fraction(25))
        for frame in container.decode(stream):
            # where a format keeps no times, frames follow each other evenly
            pts, base = frame.pts, frame.time_base
            time = seen if pts is None or base is None else pts * base
            seen = time + length
            if not frame.is_corrupt:
                yield time, frame, stream


def _library() -> ModuleType:
    try:
        import av
    except ImportError:
        raise Unavailable(
            "videos are read by PyAV, which is not here", "pip install 'emoprune[video]'"
        ) from None
    return av


def _opened(av: ModuleType, file: object) -> InputContainer:
    # a list of other files or addresses, as some formats allow, is not followed
    container: InputContainer = av.open(
        file, "r", options={"protocol_whitelist": "none"}, metadata_errors="replace"
    )
    return container


def _moving(av: ModuleType, container: InputContainer) -> VideoStream:
    for stream in container.streams.video:
        # a song's cover is a stream too
        if not stream.disposition & av.stream.Disposition.attached_pic:
            return stream
    raise BadData("has no moving picture", "give a video")


@contextmanager
def _faults(av: ModuleType, path: Path) -> Iterator[None]:
    try:
        with at(str(path)):
            yield
    except (av.error.FFmpegError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        fact = f"a damaged video, or none ({reason})"
        raise BadData(fact, REMEDY, place=str(path)) from None


def _upright(frame: VideoFrame, stream: VideoStream) -> Image.Image:
    image: Image.Image = frame.to_image()  # type: ignore[no-untyped-call]  # PyAV gives it no types
    shape = stream.sample_aspect_ratio or Fraction(1)
    if shape > 1:
        image = image.resize((round(image.width * shape), image.height), Image.Resampling.BICUBIC)
    elif 0 < shape < 1:
        image = image.resize((image.width, round(image.height / shape)), Image.Resampling.BICUBIC)
    turn = _turn(frame)
    return image if turn is None else image.transpose(turn)


def _turn(frame: VideoFrame) -> Transpose | None:
    matrix: Any = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return None
    # nine numbers of 16.16 bits
    a, b, _, c, d = (round(value / 65536) for value in struct.unpack("=5i", bytes(matrix)[:20]))
    return TURNS.get((a, b, c, d))
