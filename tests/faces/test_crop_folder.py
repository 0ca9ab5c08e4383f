"""Crops that are repeated, interrupted, or run on photos that changed meanwhile."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from emoprune.errors import BadData, EmopruneError, OutputFault
from emoprune.faces import crop_photo, manifest
from emoprune.faces.output_folder import CropFolder
from emoprune.faces.sources import CroppedPhoto, Photo
from emoprune.faces.types import Box, CropRow
from emoprune.io.pictures.images import jpeg_bytes
from tests.support.command_line import Runner, tree, unfollowed
from tests.support.crops import SIZE, crop, pixels, refused, rows, scene, write_boxes

FACES = ("angry/a.jpg", "angry/pair.jpg", "happy/b.jpg")
PHOTOS = (*FACES, "happy/wall.jpg", "happy/text.jpg")
WALL_BOX = "happy/wall.jpg,10,20,70.5,90"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four photos of two classes, one with two faces, one without any, and a file that is not a photo."""
    folder = tmp_path_factory.mktemp("drawn")
    both = Image.fromarray(np.concatenate([np.asarray(scene(seed)) for seed in (1, 2)], axis=1))
    photos = (scene(1), both, scene(3), Image.new("RGB", SIZE, "white"))
    for name, data in zip(PHOTOS, [*map(jpeg_bytes, photos), b"not a picture"], strict=True):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture
def raw(drawn: Path, in_folder: Path) -> Path:
    return Path(shutil.copytree(drawn, in_folder / "raw"))


@pytest.fixture
def cropped(raw: Path) -> dict[str, bytes | None]:
    """What a crop of `raw` leaves in `faces`."""
    assert crop().processed == len(PHOTOS)
    return tree(Path("faces"))


@pytest.mark.parametrize(("kills", "jobs"), [(10, "1"), (1, "2")])
def test_a_run_that_is_killed_at_any_moment_ends_with_the_same_bytes(
    drawn: Path, tmp_path: Path, kills: int, jobs: str
) -> None:
    for name in ("one", "two"):
        shutil.copytree(drawn, tmp_path / "raw" / name)
    arguments = [str(tmp_path / "raw"), str(tmp_path), str(kills), jobs]
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.killing", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
        # threads that wait for one another while other tests run take many times as long
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["files"] > 5
    assert len(seen["runs"]) == kills
    assert all(run["midway"] and run["same"] for run in seen["runs"]), seen
    # one that ran on may have ended by itself before it was killed
    assert all(run["killed"] or run["ran on"] for run in seen["runs"]), seen


def test_a_second_run_processes_no_photo_and_changes_no_byte(cropped: dict[str, bytes | None]) -> None:
    assert crop(size=None).processed == 0
    assert tree(Path("faces")) == cropped


@pytest.mark.usefixtures("raw")
def test_settings_that_are_not_given_are_those_of_the_folder() -> None:
    crop(margin=0.25, pad="constant")
    before = tree(Path("faces"))
    assert crop(size=None).processed == 0
    assert tree(Path("faces")) == before


@pytest.mark.usefixtures("cropped")
@pytest.mark.parametrize("other", [{"size": 48}, {"margin": 0.5}, {"align": "eyes"}, {"max_side": 100}])
def test_other_settings_need_force(other: dict[str, Any]) -> None:
    ((name, value),) = other.items()
    with refused("faces: was cropped with ", f"not `{name}={value}`", "`force=True`"):
        crop(**other)
    assert crop(**other, force=True).processed == len(PHOTOS)


@pytest.mark.usefixtures("cropped")
def test_unknown_settings_need_force() -> None:
    Path("faces/crop.json").write_text('{"schema": "emoprune.crops/1", "select": "foo"}')
    with refused("does not say how it was cropped", "`force=True`"):
        crop()
    assert crop(force=True).faces == len(FACES)


@pytest.mark.usefixtures("cropped")
def test_only_photos_that_are_new_or_changed_are_processed(raw: Path) -> None:
    shutil.copy(raw / "happy" / "b.jpg", raw / "happy" / "new.jpg")
    shutil.copy(raw / "happy" / "b.jpg", raw / "angry" / "a.jpg")
    assert crop().processed == 2
    faces = [Path("faces", name).read_bytes() for name in ("happy/b.jpg", "happy/new.jpg", "angry/a.jpg")]
    assert len(set(faces)) == 1
    crop(faces="again")
    assert tree(Path("again")) == tree(Path("faces"))


def test_a_deleted_face_is_made_again(cropped: dict[str, bytes | None]) -> None:
    Path("faces/happy/b.jpg").unlink()
    crop()
    assert tree(Path("faces")) == cropped


@pytest.mark.usefixtures("cropped")
def test_the_face_of_a_photo_that_is_gone_is_removed_and_an_empty_folder_with_it(
    raw: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("angry/a.jpg", "angry/pair.jpg"):
        (raw / name).unlink()
    with caplog.at_level("INFO"):
        assert crop().processed == 0
    assert "2 photos gone" in caplog.text
    crop(faces="again")
    assert tree(Path("again")) == tree(Path("faces"))
    assert not Path("faces/angry").exists()


@pytest.mark.usefixtures("cropped")
def test_losing_most_photos_or_a_box_by_hand_needs_force(raw: Path) -> None:
    crop(boxes=write_boxes(WALL_BOX))
    (raw / "happy" / "wall.jpg").unlink()
    with refused("1 photo", "raw lacks", "happy/wall.jpg", "`force=True`"):
        crop()
    shutil.rmtree(raw / "angry")
    with refused("photos that", "raw lacks", "`force=True`"):
        crop()
    crop(size=None, force=True)
    assert not Path("faces/angry").exists()
    assert pixels("faces/happy/b.jpg").shape == (32, 32, 3)


@pytest.mark.usefixtures("raw")
def test_the_number_of_processes_changes_no_byte() -> None:
    crop(faces="one", jobs=1)
    crop(faces="two", jobs=2)
    assert tree(Path("one")) == tree(Path("two"))


@pytest.mark.usefixtures("raw")
def test_where_a_face_must_be_found_a_photo_without_is_named_and_the_folder_is_not_data(
    emoprune: Runner,
) -> None:
    with pytest.raises(BadData, match=r"wall.jpg: no face found; .* `boxes`"):
        crop(on_missing="fail")
    assert [path.name for path in Path("faces").iterdir()] == [".crop"]
    emoprune.check_refused("train", "faces", "model.st", says=("faces", "not all cropped", "emoprune crop"))


@pytest.mark.usefixtures("raw")
def test_a_folder_that_another_run_works_on_is_refused() -> None:
    with CropFolder("faces").locked(), refused("faces: another emoprune crop"):
        crop()
    assert crop().processed == len(PHOTOS)


def test_select_all_gives_every_face_a_file_of_its_own(raw: Path) -> None:
    shutil.copy(raw / "happy" / "b.jpg", raw / "angry" / "pair_1.jpg")
    summary = crop(select="all")
    found = {name: row for name, row in rows().items() if row.output}
    both = [row for row in found.values() if row.source == "angry/pair.jpg"]
    middles = sorted(row.box.center[0] for row in both if row.box)
    assert middles[0] < SIZE[0] < middles[1]
    assert set(found) == {path.relative_to("faces").as_posix() for path in Path("faces").glob("*/*.jpg")}
    assert summary.faces == len(found) == 5


@pytest.mark.usefixtures("raw")
def test_on_missing_whole_takes_the_whole_photo() -> None:
    crop(on_missing="whole")
    row = rows()["happy/wall.jpg"]
    assert (row.status, row.box) == ("whole", Box(0, 0, *SIZE))
    assert Path("faces/happy/wall.jpg").is_file()


def test_a_box_by_hand_adds_that_face_and_changes_no_other(cropped: dict[str, bytes | None]) -> None:
    before = rows()
    summary = crop(boxes=write_boxes(WALL_BOX))
    assert (summary.faces, summary.box, summary.no_face, summary.processed) == (4, 1, 0, 1)
    after = rows()
    row = after.pop("happy/wall.jpg")
    assert (row.status, row.box) == ("box", Box(10, 20, 70.5, 90))
    del before["happy/wall.jpg"]
    assert after == before
    assert list(manifest.read_boxes("faces/failures.csv")) == []
    changed = {name for name, content in tree(Path("faces")).items() if cropped.get(name) != content}
    assert changed == {"happy/wall.jpg", "crops.csv", "failures.csv", "contact-sheet.jpg"}


@pytest.mark.usefixtures("raw")
def test_boxes_by_hand_outlive_force() -> None:
    assert crop(boxes=write_boxes(WALL_BOX, "angry/a.jpg,0,0,50,50")).box == 2
    assert crop().processed == 0
    again = crop(size=40, force=True)
    assert (again.box, again.processed) == (2, len(PHOTOS))


@pytest.mark.usefixtures("cropped")
def test_a_box_does_not_outlive_the_photo_that_it_was_drawn_on(raw: Path) -> None:
    crop(boxes=write_boxes("angry/a.jpg,10,10,60,60"))
    assert rows()["angry/a.jpg"].status == "box"
    shutil.copy(raw / "happy" / "b.jpg", raw / "angry" / "a.jpg")
    crop()
    assert rows()["angry/a.jpg"].status == "face"


@pytest.mark.usefixtures("cropped")
def test_boxes_that_were_filled_in_but_not_given_are_not_overwritten(raw: Path) -> None:
    failures = Path("faces/failures.csv")
    text = failures.read_text()
    failures.write_text(text.replace("happy/wall.jpg,,no-face,,,,", "happy/wall.jpg,,no-face,10,20,70,90"))
    (raw / "happy" / "new.png").write_bytes(b"")
    for force in (False, True):
        with refused("not given", "`boxes=faces/failures.csv`"):
            crop(force=force)
    crop(boxes="faces/failures.csv")
    assert rows()["happy/wall.jpg"].status == "box"
    assert crop().processed == 0


@pytest.mark.usefixtures("cropped")
@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("angry/a.jpg,900,900,950,950", ("angry/a.jpg", "outside")),
        ("angry/b.jpg,0,0,50,50", ("raw: angry/b.jpg",)),
        ("angry/a.jpg,,,,", ("boxes.csv: has no box", "x1,y1,x2,y2")),
    ],
)
def test_boxes_that_fit_no_photo_are_refused(line: str, says: tuple[str, ...]) -> None:
    boxes = write_boxes(line)
    with refused(*says):
        crop(boxes=boxes)


@pytest.mark.usefixtures("raw")
def test_a_refused_run_leaves_no_trace() -> None:
    Path("faces").mkdir()
    boxes = write_boxes("angry/a.jpg,900,900,950,950")
    with refused("outside"):
        crop(boxes=boxes)


@pytest.mark.usefixtures("cropped")
def test_files_of_the_user_are_kept(raw: Path) -> None:
    mine = Path("faces/happy/mine.jpg")
    mine.write_bytes(b"mine")
    shutil.copy(raw / "happy" / "b.jpg", raw / "happy" / "mine.jpg")
    crop(size=40, force=True)
    assert mine.read_bytes() == b"mine"
    assert pixels("faces/happy/mine_.jpg").shape == (40, 40, 3)


@pytest.mark.usefixtures("cropped")
def test_a_link_does_not_lead_faces_out_of_their_folder(raw: Path) -> None:
    Path("elsewhere").mkdir()
    Path("faces/sad").symlink_to(Path("elsewhere").resolve())
    (raw / "sad").mkdir()
    shutil.copy(raw / "happy" / "b.jpg", raw / "sad")
    with pytest.raises(Exception, match="faces/sad: is a link, not a folder; remove it"):
        crop()
    assert list(Path("elsewhere").iterdir()) == []


def diary(name: str) -> Path:
    """A file of the user's outside of all folders."""
    Path("home").mkdir()
    path = Path("home", name).resolve()
    path.write_bytes(b"dear diary")
    return path


def plant(line: str) -> None:
    with Path("faces/crops.csv").open("a") as stream:
        stream.write(f"{line}\n")


def without_hashes() -> None:
    """Let the folder of faces be as the version before had it."""
    listed = list(csv.DictReader(Path("faces/crops.csv").read_text().splitlines()))
    with Path("faces/crops.csv").open("w", newline="") as stream:
        columns = [name for name in manifest.COLUMNS if name != "output_sha256"]
        writer = csv.DictWriter(stream, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(listed)
    settings = Path("faces/crop.json")
    settings.write_text(settings.read_text().replace("emoprune.crops/2", "emoprune.crops/1"))


@pytest.mark.usefixtures("cropped")
@pytest.mark.parametrize("name", ["x/diary.txt", "x/diary.jpg", "../home/diary.jpg"])
def test_a_line_of_the_manifest_removes_nothing_outside_the_folder(name: str) -> None:
    path = diary(Path(name).name)
    Path("faces/x").symlink_to("../home")
    plant(f"gone.jpg,{name},face,{',' * 15}0,{hashlib.sha256(path.read_bytes()).hexdigest()},")
    before, faces = unfollowed(path.parent), tree(Path("faces"))
    with pytest.raises(EmopruneError, match=r"faces/x: is a link, not a folder|line 7 is damaged"):
        crop()
    assert (unfollowed(path.parent), tree(Path("faces"))) == (before, faces)


@pytest.mark.usefixtures("cropped")
@pytest.mark.parametrize(
    "link", [".crop", ".crop/made", ".crop/made/happy", "happy", "angry/a.jpg", "crop.json"]
)
def test_a_link_in_the_folder_leads_to_a_refusal_and_changes_nothing(raw: Path, link: str) -> None:
    home = diary("a.jpg").parent
    shutil.copy(raw / "happy" / "b.jpg", raw / "happy" / "new.jpg")
    place = Path("faces", link)
    if place.is_dir():
        shutil.rmtree(place)
    place.unlink(missing_ok=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(home if place.suffix == "" else home / "a.jpg")
    before = unfollowed(home)
    with pytest.raises(OutputFault, match=rf"faces/{link}: is a link, not a (folder|plain file); remove it"):
        crop()
    assert unfollowed(home) == before


def test_a_folder_that_is_replaced_by_a_link_during_the_run_is_refused(
    raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, add = diary("a.jpg").parent, CropFolder.add

    def replaced(folder: CropFolder, *photo: Any) -> list[CropRow]:
        if Path("faces").is_symlink():
            return add(folder, *photo)
        rows = add(folder, *photo)
        Path("faces").rename("moved")
        Path("faces").symlink_to("home")
        return rows

    monkeypatch.setattr(CropFolder, "add", replaced)
    before = unfollowed(home)
    with pytest.raises(OutputFault, match="faces: was replaced by another folder during the run"):
        crop(jobs=1)
    assert unfollowed(home) == before


@pytest.mark.usefixtures("raw")
def test_a_folder_that_goes_away_during_the_run_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    finish = CropFolder.finish

    def too_late(*arguments: Any) -> None:
        shutil.rmtree("faces")
        finish(*arguments)

    monkeypatch.setattr(CropFolder, "finish", too_late)
    with pytest.raises(OutputFault, match="faces: cannot be written"):
        crop(jobs=1)


@pytest.mark.parametrize("older", [False, True])
def test_a_face_that_crop_did_not_write_is_never_replaced_or_removed(
    raw: Path, cropped: dict[str, bytes | None], older: bool, told: pytest.LogCaptureFixture
) -> None:
    face = Path("faces/angry/a.jpg")
    if older:
        without_hashes()
    else:
        face.write_bytes(b"retouched")
    kept = face.read_bytes()
    assert crop().processed == 0
    assert ("kept 1 face that changed after cropping, angry/a.jpg" in told.text) == (not older)
    with refused("would be lost, angry/a.jpg one of them", "move them away, or name another folder"):
        crop(size=40, force=True)
    photo = (raw / "angry" / "a.jpg").read_bytes()
    shutil.copy(raw / "happy" / "b.jpg", raw / "angry" / "a.jpg")
    with refused("1 face would be lost, angry/a.jpg one of them"):
        crop()
    (raw / "angry" / "a.jpg").unlink()
    assert crop().faces == len(FACES) - 1
    assert "not removed: 1 face, angry/a.jpg one of them" in told.text
    assert face.read_bytes() == kept
    # from now on it is a file of the user's
    (raw / "angry" / "a.jpg").write_bytes(photo)
    crop()
    assert Path("faces/angry/a_.jpg").read_bytes() == cropped["angry/a.jpg"]
    assert face.read_bytes() == kept


@pytest.mark.usefixtures("raw")
def test_a_face_is_not_written_into_another_file_of_the_same_inode() -> None:
    crop()
    mine = diary("mine.jpg")
    Path("faces/angry/a.jpg").unlink()
    mine.write_bytes(Path("faces/happy/b.jpg").read_bytes())
    os.link(mine, "faces/angry/a.jpg")
    Path("faces/happy/b.jpg").unlink()
    os.link(mine, "faces/happy/b.jpg")
    before = unfollowed(mine.parent)
    Path("faces/angry/a.jpg").unlink()
    crop(size=40, force=True)
    assert unfollowed(mine.parent) == before
    assert pixels("faces/happy/b.jpg").shape == (40, 40, 3)


@pytest.mark.usefixtures("raw")
def test_rescue_on_a_finished_folder_processes_only_the_photos_that_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    crop(on_missing="whole")
    before = rows()
    seen: list[str] = []
    process = crop_photo.crop_photo

    def counted(photo: Photo, *more: Any) -> CroppedPhoto:
        seen.append(photo.source)
        return process(photo, *more)

    monkeypatch.setattr(crop_photo, "crop_photo", counted)
    with refused("was cropped with `on_missing=whole`, not `on_missing=skip`"):
        crop(rescue=True, on_missing="skip")
    assert crop(rescue=True, jobs=1).processed == 2
    assert sorted(seen) == ["happy/text.jpg", "happy/wall.jpg"]
    assert rows() == before
    assert json.loads(Path("faces/crop.json").read_text())["rescue"] is True
    assert crop().processed == 0
    crop(faces="at once", rescue=True, on_missing="whole")
    assert tree(Path("at once")) == tree(Path("faces"))
    with refused("was cropped with `rescue=True`, not no `rescue`"):
        crop(rescue=False)


@pytest.mark.usefixtures("raw")
def test_a_full_disk_leaves_no_scratch(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "replace", full)
    with refused("faces", "No space left"):
        crop()


@pytest.mark.parametrize(("photos", "faces"), [("", "faces"), ("raw", "")])
def test_an_empty_name_is_not_a_folder(in_folder: Path, photos: str, faces: str) -> None:
    with refused("empty"):
        crop(photos, faces)


@pytest.mark.usefixtures("raw")
def test_faces_that_are_ignored_have_another_reason_than_none() -> None:
    crop(min_face=900)
    assert rows()["angry/a.jpg"].reason == "only faces below the least size or probability"
    assert rows()["happy/wall.jpg"].reason == "no face found"
