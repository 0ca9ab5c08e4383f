"""emoprune crop on a video."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from emoprune.synthetic_faces import draw_scene
from tests.support.command_line import Runner, tree
from tests.support.films import film


def frame(index: int) -> Image.Image:
    """Two seconds of one face, one of a wall, then faces again."""
    if index // 2 == 2:
        return Image.new("RGB", (192, 144), "gray")
    return draw_scene("happy", generator=np.random.default_rng(1), size=(192, 144))


@pytest.fixture(scope="module")
def video() -> bytes:
    return film(frame, 8, rate=2, codec="mpeg4")


@pytest.fixture
def clip(in_folder: Path, video: bytes) -> Path:
    (in_folder / "clip.mp4").write_bytes(video)
    return in_folder / "clip.mp4"


def rows(faces: Path) -> dict[str, dict[str, str]]:
    with (faces / "crops.csv").open(newline="") as stream:
        return {row["source"]: row for row in csv.DictReader(stream)}


def test_one_frame_for_so_many_seconds_is_cropped(emoprune: Runner, clip: Path, in_folder: Path) -> None:
    summary = emoprune.done("crop", clip, "faces", "--size", "32").record
    listed = rows(in_folder / "faces")
    assert {source: row["status"] for source, row in listed.items()} == {
        "clip@00000.000s.mp4": "face",
        "clip@00001.000s.mp4": "face",
        "clip@00002.000s.mp4": "no-face",
        "clip@00003.000s.mp4": "face",
    }
    assert summary["photos"] == summary["looked at"] == 4
    assert {path.name for path in (in_folder / "faces").glob("clip*")} == {
        f"clip@0000{second}.000s.jpg" for second in (0, 1, 3)
    }


def test_frames_that_are_done_are_not_done_again(emoprune: Runner, clip: Path, in_folder: Path) -> None:
    emoprune.done("crop", clip, "faces", "--size", "32", "--every", "2")
    before = tree(in_folder / "faces")
    assert emoprune.done("crop", clip, "faces").record["looked at"] == 0
    assert tree(in_folder / "faces") == before
    emoprune.check_refused("crop", clip, "faces", "--every", "1", says=("--every 2", "--force"))


def test_the_number_of_processes_changes_no_byte(emoprune: Runner, clip: Path, in_folder: Path) -> None:
    emoprune.done("crop", clip, "one", "--size", "32", "--jobs", "1")
    emoprune.done("crop", clip, "two", "--size", "32", "--jobs", "2")
    assert tree(in_folder / "one") == tree(in_folder / "two")


def test_another_video_wants_another_folder(
    emoprune: Runner, clip: Path, video: bytes, in_folder: Path
) -> None:
    emoprune.done("crop", clip, "faces", "--size", "32", "--every", "2")
    (in_folder / "other.mp4").write_bytes(video)
    emoprune.check_refused("crop", "other.mp4", "faces", says=("faces", "other.mp4 lacks", "--force"))


def test_a_box_by_hand_is_cut_out_of_its_frame(emoprune: Runner, clip: Path, in_folder: Path) -> None:
    emoprune.done("crop", clip, "faces", "--size", "32")
    (in_folder / "boxes.csv").write_text("source,x1,y1,x2,y2\nclip@00002.000s.mp4,10,10,90,90\n")
    summary = emoprune.done("crop", clip, "faces", "--boxes", "boxes.csv").record
    assert (summary["looked at"], summary["box"], summary["no-face"]) == (1, 1, 0)


@pytest.mark.parametrize(("content", "says"), [(b"", "empty"), (b"no video", "damaged video, or none")])
def test_what_is_no_video_is_refused(emoprune: Runner, in_folder: Path, content: bytes, says: str) -> None:
    (in_folder / "clip.mp4").write_bytes(content)
    emoprune.check_refused("crop", "clip.mp4", "faces", says=("clip.mp4", says))


def test_without_pyav_the_remedy_is_told(
    emoprune: Runner, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    emoprune.check_refused("crop", clip, "faces", says=("PyAV", "emoprune[video]"))


def test_a_video_cut_short_keeps_the_frames_before(emoprune: Runner, in_folder: Path) -> None:
    whole = film(frame, 40, rate=2, codec="mpeg4", form="matroska")
    (in_folder / "clip.mkv").write_bytes(whole[: len(whole) * 2 // 3])
    result = emoprune.done("crop", "clip.mkv", "faces", "--size", "32", "--every", "4")
    assert 0 < result.record["faces"] < 5
