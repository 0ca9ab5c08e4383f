"""emoprune crop that is interrupted, repeated, or run on photos that changed meanwhile."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from emoprune.io.images import jpeg_bytes
from emoprune.synthetic_faces import draw_scene
from tests.support.command_line import Runner, tree

PHOTOS = 10
HOLDER = """import filelock, sys
with filelock.FileLock(sys.argv[1]):
    print(flush=True)
    input()"""


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of two classes, the last of each without a face, and one that is none."""
    raw = tmp_path_factory.mktemp("drawn")
    for number in range(PHOTOS - 1):
        emotion = ("angry", "happy")[number % 2]
        scene = draw_scene(emotion, generator=np.random.default_rng(number), size=(180, 144))
        if number > PHOTOS - 4:
            scene = Image.new("RGB", scene.size, "gray")
        (raw / emotion).mkdir(exist_ok=True)
        (raw / emotion / f"{number:02d}.jpg").write_bytes(jpeg_bytes(scene))
    (raw / "happy" / "text.jpg").write_bytes(b"not a picture")
    return raw


@pytest.fixture
def raw(drawn: Path, in_folder: Path) -> Path:
    return Path(shutil.copytree(drawn, in_folder / "raw"))


@pytest.mark.parametrize(("kills", "jobs"), [(10, "1"), (1, "2")])
def test_a_run_that_is_killed_at_any_moment_ends_with_the_same_bytes(
    drawn: Path, tmp_path: Path, kills: int, jobs: str
) -> None:
    command = [sys.executable, "-m", "tests.support.killing", str(drawn), str(tmp_path), str(kills), jobs]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
        # threads that wait for one another while other tests run take many times as long
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["files"] > PHOTOS / 2
    assert len(seen["runs"]) == kills
    assert all(run["midway"] and run["same"] and run["gone"] for run in seen["runs"]), seen
    # one that ran on may have ended by itself before it was killed
    assert all(run["killed"] or run["ran on"] for run in seen["runs"]), seen


def test_a_second_run_looks_at_no_photo_and_changes_no_byte(
    emoprune: Runner, raw: Path, in_folder: Path
) -> None:
    first = emoprune.done("crop", raw, "faces", "--size", "32").record
    before = tree(in_folder / "faces")
    again = emoprune.done("crop", raw, "faces", "--size", "32").record
    assert (first["processed"], again["processed"]) == (PHOTOS, 0)
    assert {**again, "processed": PHOTOS} == first
    assert tree(in_folder / "faces") == before


def test_settings_that_are_not_given_are_those_of_the_folder(
    emoprune: Runner, raw: Path, in_folder: Path
) -> None:
    emoprune.done("crop", raw, "faces", "--size", "32", "--margin", "0.25", "--pad", "constant")
    before = tree(in_folder / "faces")
    assert emoprune.done("crop", raw, "faces").record["processed"] == 0
    assert tree(in_folder / "faces") == before


@pytest.mark.parametrize(
    ("option", "value"), [("--size", "48"), ("--margin", "0.5"), ("--align", "eyes"), ("--min-face", "30")]
)
def test_other_settings_want_force(emoprune: Runner, raw: Path, option: str, value: str) -> None:
    emoprune.done("crop", raw, "faces", "--size", "32")
    emoprune.check_refused("crop", raw, "faces", option, value, says=("faces", option, value, "--force"))
    assert emoprune.done("crop", raw, "faces", option, value, "--force").record["processed"] == PHOTOS


def test_only_photos_that_are_new_or_changed_are_done(emoprune: Runner, raw: Path, in_folder: Path) -> None:
    emoprune.done("crop", raw, "faces", "--size", "32")
    shutil.copy(raw / "happy" / "01.jpg", raw / "happy" / "new.jpg")
    shutil.copy(raw / "happy" / "03.jpg", raw / "happy" / "05.jpg")
    assert emoprune.done("crop", raw, "faces").record["processed"] == 2
    faces = in_folder / "faces" / "happy"
    assert (faces / "new.jpg").read_bytes() == (faces / "01.jpg").read_bytes()
    assert (faces / "05.jpg").read_bytes() == (faces / "03.jpg").read_bytes()
    emoprune.done("crop", raw, "anew", "--size", "32")
    assert tree(in_folder / "anew") == tree(in_folder / "faces")


def test_a_face_that_was_deleted_is_made_again(emoprune: Runner, raw: Path, in_folder: Path) -> None:
    emoprune.done("crop", raw, "faces", "--size", "32")
    before = tree(in_folder / "faces")
    (in_folder / "faces" / "happy" / "01.jpg").unlink()
    emoprune.done("crop", raw, "faces")
    assert tree(in_folder / "faces") == before


def test_the_face_of_a_photo_that_is_gone_goes_and_no_other_is_done_again(
    emoprune: Runner, raw: Path, in_folder: Path
) -> None:
    emoprune.done("crop", raw, "faces", "--size", "32")
    (raw / "happy" / "01.jpg").unlink()
    result = emoprune.done("crop", raw, "faces")
    assert "1 photo gone" in result.err
    assert result.record["processed"] == 0
    emoprune.done("crop", raw, "anew", "--size", "32")
    assert tree(in_folder / "anew") == tree(in_folder / "faces")


def test_where_most_photos_are_gone_or_a_box_by_hand_would_be_force_is_wanted(
    emoprune: Runner, raw: Path, in_folder: Path
) -> None:
    emoprune.done("crop", raw, "faces", "--size", "32")
    (in_folder / "boxes.csv").write_text("source,x1,y1,x2,y2\nhappy/01.jpg,10,20,70.5,90\n")
    emoprune.done("crop", raw, "faces", "--boxes", "boxes.csv")
    (raw / "happy" / "01.jpg").unlink()
    emoprune.check_refused("crop", raw, "faces", says=("1 photo", "raw lacks", "happy/01.jpg", "--force"))
    shutil.rmtree(raw / "angry")
    for path in sorted((raw / "happy").iterdir())[1:]:
        path.unlink()
    emoprune.check_refused("crop", raw, "faces", says=("photos that", "raw lacks", "--force"))
    emoprune.done("crop", raw, "faces", "--force")
    assert not (in_folder / "faces" / "angry").exists()
    with Image.open(next((in_folder / "faces" / "happy").iterdir())) as face:
        assert face.size == (32, 32)


def test_a_box_by_hand_outlives_force(emoprune: Runner, raw: Path, in_folder: Path) -> None:
    emoprune.done("crop", raw, "faces", "--size", "32")
    (in_folder / "boxes.csv").write_text(
        "source,x1,y1,x2,y2\nhappy/text.jpg,0,0,9,9\nhappy/01.jpg,10,20,70.5,90\n"
    )
    (raw / "happy" / "text.jpg").write_bytes((raw / "happy" / "01.jpg").read_bytes())
    assert emoprune.done("crop", raw, "faces", "--boxes", "boxes.csv").record["box"] == 2
    assert emoprune.done("crop", raw, "faces").record["processed"] == 0
    again = emoprune.done("crop", raw, "faces", "--size", "40", "--force").record
    assert (again["box"], again["processed"]) == (2, PHOTOS)


def test_the_number_of_processes_changes_no_byte(emoprune: Runner, raw: Path, in_folder: Path) -> None:
    emoprune.done("crop", raw, "one", "--size", "32", "--jobs", "1")
    emoprune.done("crop", raw, "two", "--size", "32", "--jobs", "2")
    assert tree(in_folder / "one") == tree(in_folder / "two")


def test_a_folder_that_is_not_finished_is_no_data(emoprune: Runner, raw: Path, in_folder: Path) -> None:
    assert emoprune("crop", raw, "faces", "--on-missing", "fail").code == 1
    assert list((in_folder / "faces").iterdir()) == [in_folder / "faces" / ".crop"]
    emoprune.check_refused("train", "faces", "model.st", says=("faces", "not all cropped", "emoprune crop"))


def test_a_folder_in_the_hands_of_another_process_is_refused(
    emoprune: Runner, raw: Path, in_folder: Path
) -> None:
    (in_folder / "faces" / ".crop").mkdir(parents=True)
    lock = in_folder / "faces" / ".crop" / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        emoprune.check_refused("crop", raw, "faces", says=("faces", "another emoprune crop"))
        other.communicate(b"\n")
    assert emoprune.done("crop", raw, "faces", "--size", "32").record["processed"] == PHOTOS


BOX = "source,x1,y1,x2,y2\nhappy/a.png,10,10,60,60\n"


def scene(seed: int = 1) -> Image.Image:
    return draw_scene("happy", generator=np.random.default_rng(seed), size=(180, 144))


def rows(faces: str = "faces") -> dict[str, dict[str, str]]:
    with (Path(faces) / "crops.csv").open(newline="") as stream:
        return {row["source"]: row for row in csv.DictReader(stream)}


@pytest.fixture
def raw_crop_safety(in_folder: Path) -> Path:
    """A face, and a photo without one."""
    (in_folder / "raw" / "happy").mkdir(parents=True)
    scene().save(in_folder / "raw" / "happy" / "a.png")
    Image.new("RGB", (180, 144), "gray").save(in_folder / "raw" / "happy" / "wall.png")
    return in_folder / "raw"


def test_boxes_that_were_filled_in_and_not_given_are_not_written_over(
    emoprune: Runner, raw_crop_safety: Path, in_folder: Path
) -> None:
    emoprune.done("crop", raw_crop_safety, "faces", "--size", "32")
    failures = in_folder / "faces" / "failures.csv"
    header, line = failures.read_text().splitlines()
    cells = line.split(",")
    cells[3:7] = ["10", "20", "70", "90"]
    failures.write_text(f"{header}\n{','.join(cells)}\n")
    scene(2).save(raw_crop_safety / "happy" / "new.png")
    for force in ([], ["--force"]):
        emoprune.check_refused(
            "crop", raw_crop_safety, "faces", *force, says=("not given", "--boxes", "failures.csv")
        )
    emoprune.done("crop", raw_crop_safety, "faces", "--boxes", "faces/failures.csv")
    assert rows()["happy/wall.png"]["status"] == "box"
    assert emoprune.done("crop", raw_crop_safety, "faces").record["processed"] == 0


def test_a_box_does_not_outlive_the_photo_that_it_was_drawn_on(
    emoprune: Runner, raw_crop_safety: Path, in_folder: Path
) -> None:
    (in_folder / "boxes.csv").write_text(BOX)
    emoprune.done("crop", raw_crop_safety, "faces", "--size", "32", "--boxes", "boxes.csv")
    assert rows()["happy/a.png"]["status"] == "box"
    scene(2).save(raw_crop_safety / "happy" / "a.png")
    emoprune.done("crop", raw_crop_safety, "faces")
    assert rows()["happy/a.png"]["status"] == "face"


def test_files_of_the_users_own_are_gone_around(
    emoprune: Runner, raw_crop_safety: Path, in_folder: Path
) -> None:
    emoprune.done("crop", raw_crop_safety, "faces", "--size", "32")
    mine = in_folder / "faces" / "happy" / "mine.jpg"
    mine.write_bytes(b"mine")
    scene(2).save(raw_crop_safety / "happy" / "mine.png")
    emoprune.done("crop", raw_crop_safety, "faces")
    assert mine.read_bytes() == b"mine"
    assert rows()["happy/mine.png"]["output"] == "happy/mine_.jpg"


def test_a_link_does_not_lead_faces_out_of_their_folder(
    emoprune: Runner, raw_crop_safety: Path, in_folder: Path
) -> None:
    emoprune.done("crop", raw_crop_safety, "faces", "--size", "32")
    (in_folder / "elsewhere").mkdir()
    (in_folder / "faces" / "sad").symlink_to(in_folder / "elsewhere")
    (raw_crop_safety / "sad").mkdir()
    scene(2).save(raw_crop_safety / "sad" / "b.png")
    result = emoprune("crop", raw_crop_safety, "faces")
    assert (result.code, "leads out" in result.err) == (1, True)
    assert list((in_folder / "elsewhere").iterdir()) == []


def test_links_to_folders_of_photos_are_followed_but_not_in_circles(
    emoprune: Runner, raw_crop_safety: Path, in_folder: Path
) -> None:
    (in_folder / "linked").mkdir()
    (in_folder / "linked" / "happy").symlink_to(raw_crop_safety / "happy")
    (raw_crop_safety / "happy" / "circle").symlink_to(raw_crop_safety)
    emoprune.done("crop", "linked", "faces", "--size", "32")
    assert set(rows()) == {"happy/a.png", "happy/wall.png"}


def test_a_folder_whose_last_face_is_gone_goes_too(
    emoprune: Runner, raw_crop_safety: Path, in_folder: Path
) -> None:
    (raw_crop_safety / "sad").mkdir()
    scene(2).save(raw_crop_safety / "sad" / "b.png")
    scene(3).save(raw_crop_safety / "happy" / "c.png")
    emoprune.done("crop", raw_crop_safety, "faces", "--size", "32")
    (raw_crop_safety / "sad" / "b.png").unlink()
    emoprune.done("crop", raw_crop_safety, "faces")
    assert not (in_folder / "faces" / "sad").exists()


def test_faces_that_are_passed_over_are_told_from_none(emoprune: Runner, raw_crop_safety: Path) -> None:
    emoprune.done("crop", raw_crop_safety, "faces", "--min-face", "900")
    assert "below the least size" in rows()["happy/a.png"]["reason"]
    assert rows()["happy/wall.png"]["reason"] == "no face found"


def test_an_empty_name_is_no_folder(emoprune: Runner, raw_crop_safety: Path) -> None:
    emoprune.check_refused("crop", "", "faces", code=2, says=("empty",))
    emoprune.check_refused("crop", raw_crop_safety, "", code=2, says=("empty",))


def test_a_folder_that_a_run_leaves_as_it_was_has_no_trace_of_it(
    emoprune: Runner, raw_crop_safety: Path, in_folder: Path
) -> None:
    (in_folder / "faces").mkdir()
    (in_folder / "boxes.csv").write_text("source,x1,y1,x2,y2\nhappy/a.png,900,900,950,950\n")
    emoprune.check_refused("crop", raw_crop_safety, "faces", "--boxes", "boxes.csv", says=("outside",))
    emoprune.done("crop", raw_crop_safety, "faces", "--size", "32")
    before = tree(in_folder / "faces")
    emoprune.check_refused("crop", raw_crop_safety, "faces", "--size", "40", says=("--force",))
    assert tree(in_folder / "faces") == before


def test_settings_that_nobody_knows_any_more_want_force(
    emoprune: Runner, raw_crop_safety: Path, in_folder: Path
) -> None:
    emoprune.done("crop", raw_crop_safety, "faces", "--size", "32")
    (in_folder / "faces" / "crop.json").write_text('{"schema": "emoprune.crops/1", "select": "foo"}')
    emoprune.check_refused(
        "crop", raw_crop_safety, "faces", says=("does not say how it was cropped", "--force")
    )
    assert emoprune.done("crop", raw_crop_safety, "faces", "--size", "32", "--force").record["faces"] == 1
