"""Frames of videos: at their times, upright, unsquashed, as they are asked for."""

import io
import itertools
import os
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from emoprune.errors import BadData, Unavailable
from emoprune.io.pictures import video
from emoprune.synthetic_faces import EMOTIONS, draw_scene
from tests.support.films import film
from tests.support.records import outcome

SIZE = (64, 48)


def gray(index: int) -> Image.Image:
    """A frame that knows its number."""
    return Image.new("RGB", SIZE, (10 + 7 * index,) * 3)


def number(image: Image.Image) -> int:
    return round(float(np.asarray(image).mean() - 10) / 7)


def seen(path: Path, every: float) -> list[tuple[float, int]]:
    return [(time, number(image)) for time, image in video.frames(path, every)]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "clip.mp4"
    path.write_bytes(film(gray, 30))
    return path


@pytest.mark.parametrize(
    ("every", "wanted"),
    [
        (0.5, [0, 5, 10, 15, 20, 25]),
        (1, [0, 10, 20]),
        (0.1, list(range(30))),
        (0.001, list(range(30))),
        (0.25, [0, 3, 5, 8, 10, 13, 15, 18, 20, 23, 25, 28]),
        (2.9, [0, 29]),
        (60, [0]),
    ],
)
def test_one_frame_comes_for_every_so_many_seconds(clip: Path, every: float, wanted: list[int]) -> None:
    assert seen(clip, every) == [(index / 10, index) for index in wanted]


@pytest.mark.parametrize(
    ("form", "codec"),
    [("webm", "libvpx"), ("matroska", "libx264"), ("avi", "mpeg4"), ("mpeg", "mpeg1video"), ("mov", "mpeg4")],
)
def test_every_format_keeps_the_times(tmp_path: Path, form: str, codec: str) -> None:
    (tmp_path / "a.mp4").write_bytes(film(gray, 31, rate=30, form=form, codec=codec))
    found = seen(tmp_path / "a.mp4", 0.2)
    assert [index for _, index in found] == [0, 6, 12, 18, 24, 30]
    assert [time for time, _ in found] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1], abs=0.001)


def test_times_are_counted_from_the_first_frame(tmp_path: Path) -> None:
    (tmp_path / "a.mkv").write_bytes(film(gray, 20, times=range(70, 90), form="matroska"))
    assert seen(tmp_path / "a.mkv", 1) == [(0, 0), (1, 10)]


def shown(times: Sequence[int], every: int) -> list[int]:
    """The rule word by word: at every multiple the first frame at or after it, none of them twice."""
    wanted: list[int] = []
    for due in range(0, times[-1] + 1, every):
        later = [index for index, time in enumerate(times) if time >= due]
        if later and later[0] not in wanted:
            wanted.append(later[0])
    return wanted


@settings(deadline=None, max_examples=15)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=20), st.integers(1, 25))
def test_frames_that_come_unevenly_are_taken_by_their_times(
    tmp_path_factory: pytest.TempPathFactory, gaps: list[int], every: int
) -> None:
    times = [0, *itertools.accumulate(gaps)]
    path = tmp_path_factory.mktemp("uneven") / "a.mkv"
    path.write_bytes(film(gray, len(times), times=times, form="matroska"))
    assert [index for _, index in seen(path, every / 10)] == shown(times, every)


CORNERS = ("red", "lime", "blue", "white")


def corners(index: int = 0) -> Image.Image:
    picture = Image.new("RGB", SIZE)
    for color, (x, y) in zip(CORNERS, itertools.product((0, 32), (0, 24)), strict=True):
        picture.paste(color, (x, y, x + 32, y + 24))
    return picture


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("mirrored", [(False, False), (True, False), (False, True)])
def test_frames_stand_as_the_camera_was_held(
    tmp_path: Path, degrees: int, mirrored: tuple[bool, bool]
) -> None:
    (tmp_path / "a.mp4").write_bytes(film(corners, 2, turn=(degrees, *mirrored)))
    _, found = next(video.frames(tmp_path / "a.mp4", 1))
    # PyAV tells the matrix as a turn against the clock and mirrors after it
    wanted = corners().rotate(degrees, expand=True)
    for flip, way in zip(
        mirrored, (Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.FLIP_TOP_BOTTOM), strict=True
    ):
        wanted = wanted.transpose(way) if flip else wanted
    assert found.size == wanted.size
    assert found.mode == "RGB"
    assert np.abs(np.asarray(found, dtype=int) - np.asarray(wanted)).mean() < 6


@pytest.mark.parametrize(("shape", "size"), [(Fraction(3, 2), (96, 48)), (Fraction(1, 2), (64, 96))])
def test_pixels_that_are_not_square_squash_no_face(
    tmp_path: Path, shape: Fraction, size: tuple[int, int]
) -> None:
    (tmp_path / "a.mp4").write_bytes(film(gray, 2, shape=shape))
    assert next(video.frames(tmp_path / "a.mp4", 1))[1].size == size


def test_drawn_faces_come_out_as_they_went_in(tmp_path: Path) -> None:
    def scene(index: int) -> Image.Image:
        return draw_scene(EMOTIONS[index], generator=np.random.default_rng(index), size=(320, 240))

    (tmp_path / "a.mp4").write_bytes(film(scene, 4, rate=1, codec="mpeg4"))
    for time, image in video.frames(tmp_path / "a.mp4", 1):
        assert np.abs(np.asarray(image, dtype=int) - np.asarray(scene(round(time)))).mean() < 12


def test_frames_are_made_as_they_are_asked_for(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[float] = []
    upright = video._upright

    def watched(frame: Any, stream: Any) -> Image.Image:
        made.append(frame.time)
        return upright(frame, stream)

    monkeypatch.setattr(video, "_upright", watched)
    found = video.frames(clip, 1)
    assert made == []
    next(found)
    next(found)
    assert made == [0, 1]


def test_a_video_left_early_is_closed(clip: Path) -> None:
    before = len(os.listdir("/dev/fd"))
    for _ in range(5):
        found = video.frames(clip, 1)
        next(found)
        del found
    assert len(os.listdir("/dev/fd")) == before


def refused(path: Path) -> str:
    with pytest.raises(BadData) as caught:
        list(video.frames(path, 0.5))
    assert caught.value.place == str(path)
    assert caught.value.remedy
    return caught.value.fact


def sound() -> bytes:
    stream = io.BytesIO()
    with av.open(stream, "w", format="mp4") as container:
        track = container.add_stream("aac", rate=8000)
        assert isinstance(track, av.AudioStream)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(track.encode(frame))
        container.mux(track.encode())
    return stream.getvalue()


def test_a_file_that_is_not_a_video_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    assert refused(path) == "no such file"
    for data, fact in ((b"", "the file is empty"), (b"Dear diary" * 99, "a damaged video, or not a video")):
        path.write_bytes(data)
        assert refused(path).startswith(fact)
    path.write_bytes(sound())
    assert refused(path) == "has no moving picture"


def test_a_folder_and_a_pipe_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").mkdir()
    os.mkfifo(tmp_path / "b.mp4")
    assert refused(tmp_path / "a.mp4") == refused(tmp_path / "b.mp4") == "not a plain file"


def test_a_video_that_leads_beyond_every_place_is_damaged(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    # a header of ASF whose objects are said to be larger than any file
    head = bytes.fromhex(
        "3026b2758e66cf11a6d900aa0062ce6cdf010000000000000000000000000000000000000000"
        "00000001e007df3100037bb11100035f91000001b302002013ffffe000000001b800080040000001"
    )
    (tmp_path / "a.wmv").write_bytes(head)
    assert refused(tmp_path / "a.wmv").startswith("a damaged video")
    assert capfd.readouterr() == ("", "")


def test_a_frame_of_more_pixels_than_any_is_damaged(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert video.MOST_PIXELS > 7680 * 4320
    monkeypatch.setattr(video, "MOST_PIXELS", 100)
    assert refused(clip).startswith("a damaged video")


def test_a_list_of_other_files_is_not_followed(clip: Path, tmp_path: Path) -> None:
    for text in (
        f"#EXTM3U\n#EXTINF:3,\n{clip}\n#EXT-X-ENDLIST\n",
        f"ffconcat version 1.0\nfile {clip.name}\n",
    ):
        path = clip.parent / "list.mp4"
        path.write_text(text)
        assert refused(path).startswith("a damaged video, or not a video")


def test_a_video_cut_off_is_damaged(clip: Path, tmp_path: Path) -> None:
    data = clip.read_bytes()
    (tmp_path / "a.mp4").write_bytes(data[: len(data) // 2])
    assert refused(tmp_path / "a.mp4").startswith("a damaged video")


@pytest.mark.parametrize(("form", "codec"), [("mp4", "libx264"), ("matroska", "libx264"), ("avi", "mpeg4")])
def test_damage_gives_frames_or_bad_data(tmp_path: Path, form: str, codec: str) -> None:
    whole, path, generator = (
        film(gray, 12, form=form, codec=codec),
        tmp_path / "a.mp4",
        np.random.default_rng(3),
    )
    for _ in range(60):
        data = bytearray(whole)
        for place in generator.integers(0, len(data), generator.integers(1, 6)):
            data[place] = generator.integers(0, 256)
        path.write_bytes(data[: generator.integers(1, len(data))] if generator.random() < 0.3 else data)
        found = outcome(BadData, lambda: list(video.frames(path, 0.3)))
        if isinstance(found, BadData):
            assert found.place == str(path)
        else:
            assert all(image.mode == "RGB" for _, image in found)


def test_decoders_say_nothing_even_if_another_library_wants_them_to(clip: Path) -> None:
    av.logging.set_level(av.logging.ERROR)
    next(video.frames(clip, 1))
    assert av.logging.get_level() is None


def test_without_pyav_the_extra_is_named(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(Unavailable, match=r"emoprune\[video\]"):
        next(video.frames(clip, 1))


@pytest.mark.parametrize(
    ("name", "is_video"), [("a.mp4", True), ("a.MOV", True), (".a.mp4", False), ("a.jpg", False)]
)
def test_names_say_what_is_a_video(name: str, is_video: bool) -> None:
    assert video.is_video_name(name) is is_video
