"""emoprune crop beside what is the user's own: files, boxes, links, and photos that change."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from emoprune.synthetic_faces import draw_scene
from tests.support.command_line import Runner, tree

BOX = "source,x1,y1,x2,y2\nhappy/a.png,10,10,60,60\n"


def scene(seed: int = 1) -> Image.Image:
    return draw_scene("happy", generator=np.random.default_rng(seed), size=(180, 144))


def rows(faces: str = "faces") -> dict[str, dict[str, str]]:
    with (Path(faces) / "crops.csv").open(newline="") as stream:
        return {row["source"]: row for row in csv.DictReader(stream)}


@pytest.fixture
def raw(in_folder: Path) -> Path:
    """A face, and a photo without one."""
    (in_folder / "raw" / "happy").mkdir(parents=True)
    scene().save(in_folder / "raw" / "happy" / "a.png")
    Image.new("RGB", (180, 144), "gray").save(in_folder / "raw" / "happy" / "wall.png")
    return in_folder / "raw"


def test_boxes_that_were_filled_in_and_not_given_are_not_written_over(
    emoprune: Runner, raw: Path, in_folder: Path
) -> None:
    emoprune.done("crop", raw, "faces", "--size", "32")
    failures = in_folder / "faces" / "failures.csv"
    header, line = failures.read_text().splitlines()
    cells = line.split(",")
    cells[3:7] = ["10", "20", "70", "90"]
    failures.write_text(f"{header}\n{','.join(cells)}\n")
    scene(2).save(raw / "happy" / "new.png")
    for force in ([], ["--force"]):
        emoprune.check_refused("crop", raw, "faces", *force, says=("not given", "--boxes", "failures.csv"))
    emoprune.done("crop", raw, "faces", "--boxes", "faces/failures.csv")
    assert rows()["happy/wall.png"]["status"] == "box"
    assert emoprune.done("crop", raw, "faces").record["looked at"] == 0


def test_a_box_does_not_outlive_the_photo_that_it_was_drawn_on(
    emoprune: Runner, raw: Path, in_folder: Path
) -> None:
    (in_folder / "boxes.csv").write_text(BOX)
    emoprune.done("crop", raw, "faces", "--size", "32", "--boxes", "boxes.csv")
    assert rows()["happy/a.png"]["status"] == "box"
    scene(2).save(raw / "happy" / "a.png")
    emoprune.done("crop", raw, "faces")
    assert rows()["happy/a.png"]["status"] == "face"


def test_files_of_the_users_own_are_gone_around(emoprune: Runner, raw: Path, in_folder: Path) -> None:
    emoprune.done("crop", raw, "faces", "--size", "32")
    mine = in_folder / "faces" / "happy" / "mine.jpg"
    mine.write_bytes(b"mine")
    scene(2).save(raw / "happy" / "mine.png")
    emoprune.done("crop", raw, "faces")
    assert mine.read_bytes() == b"mine"
    assert rows()["happy/mine.png"]["output"] == "happy/mine_.jpg"


def test_a_link_does_not_lead_faces_out_of_their_folder(emoprune: Runner, raw: Path, in_folder: Path) -> None:
    emoprune.done("crop", raw, "faces", "--size", "32")
    (in_folder / "elsewhere").mkdir()
    (in_folder / "faces" / "sad").symlink_to(in_folder / "elsewhere")
    (raw / "sad").mkdir()
    scene(2).save(raw / "sad" / "b.png")
    result = emoprune("crop", raw, "faces")
    assert (result.code, "leads out" in result.err) == (1, True)
    assert list((in_folder / "elsewhere").iterdir()) == []


def test_links_to_folders_of_photos_are_followed_but_not_in_circles(
    emoprune: Runner, raw: Path, in_folder: Path
) -> None:
    (in_folder / "linked").mkdir()
    (in_folder / "linked" / "happy").symlink_to(raw / "happy")
    (raw / "happy" / "circle").symlink_to(raw)
    emoprune.done("crop", "linked", "faces", "--size", "32")
    assert set(rows()) == {"happy/a.png", "happy/wall.png"}


def test_a_folder_whose_last_face_is_gone_goes_too(emoprune: Runner, raw: Path, in_folder: Path) -> None:
    (raw / "sad").mkdir()
    scene(2).save(raw / "sad" / "b.png")
    scene(3).save(raw / "happy" / "c.png")
    emoprune.done("crop", raw, "faces", "--size", "32")
    (raw / "sad" / "b.png").unlink()
    emoprune.done("crop", raw, "faces")
    assert not (in_folder / "faces" / "sad").exists()


def test_faces_that_are_passed_over_are_told_from_none(emoprune: Runner, raw: Path) -> None:
    emoprune.done("crop", raw, "faces", "--min-face", "900")
    assert "--min-face" in rows()["happy/a.png"]["reason"]
    assert rows()["happy/wall.png"]["reason"] == "no face found"


def test_an_empty_name_is_no_folder(emoprune: Runner, raw: Path) -> None:
    emoprune.check_refused("crop", "", "faces", code=2, says=("empty",))
    emoprune.check_refused("crop", raw, "", code=2, says=("empty",))


def test_a_folder_that_a_run_leaves_as_it_was_has_no_trace_of_it(
    emoprune: Runner, raw: Path, in_folder: Path
) -> None:
    (in_folder / "faces").mkdir()
    (in_folder / "boxes.csv").write_text("source,x1,y1,x2,y2\nhappy/a.png,900,900,950,950\n")
    emoprune.check_refused("crop", raw, "faces", "--boxes", "boxes.csv", says=("outside",))
    emoprune.done("crop", raw, "faces", "--size", "32")
    before = tree(in_folder / "faces")
    emoprune.check_refused("crop", raw, "faces", "--size", "40", says=("--force",))
    assert tree(in_folder / "faces") == before


def test_settings_that_nobody_knows_any_more_want_force(emoprune: Runner, raw: Path, in_folder: Path) -> None:
    emoprune.done("crop", raw, "faces", "--size", "32")
    (in_folder / "faces" / "crop.json").write_text('{"schema": "emoprune.crops/1", "select": "foo"}')
    emoprune.check_refused("crop", raw, "faces", says=("does not say how it was cropped", "--force"))
    assert emoprune.done("crop", raw, "faces", "--size", "32", "--force").record["faces"] == 1
