"""Videos of pictures that tests draw."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from fractions import Fraction

import av
from PIL import Image


def film(
    picture: Callable[[int], Image.Image],
    count: int,
    *,
    rate: int = 10,
    codec: str = "libx264",
    form: str = "mp4",
    times: Sequence[int] | None = None,
    turn: tuple[int, bool, bool] | None = None,
    shape: Fraction | None = None,
) -> bytes:
    """A video of `count` frames; `times` are theirs in units of 1/rate seconds."""
    stream = io.BytesIO()
    with av.open(stream, "w", format=form) as container:
        track = container.add_stream(codec, rate=rate)
        assert isinstance(track, av.VideoStream)
        track.width, track.height = picture(0).size
        track.pix_fmt = "yuv420p"
        if turn:
            track.set_display_rotation(turn[0], hflip=turn[1], vflip=turn[2])
        if shape:
            track.codec_context.sample_aspect_ratio = shape
        for index in range(count):
            frame = av.VideoFrame.from_image(picture(index))  # type: ignore[no-untyped-call]
            frame.pts, frame.time_base = times[index] if times else index, Fraction(1, rate)
            container.mux(track.encode(frame))
        container.mux(track.encode())
    return stream.getvalue()
