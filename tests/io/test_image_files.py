from __future__ import annotations

from pathlib import Path

from emoprune.io.image_files import is_picture, pictures


def test_pictures_are_found_at_every_depth_in_order(tmp_path: Path) -> None:
    for name in ("b.jpg", "a/c.png", "a/b/d.gif", "a/.x/e.jpg", ".f.jpg", "a/g.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = [path.relative_to(tmp_path).as_posix() for path in pictures(tmp_path)]
    assert found == ["a/b/d.gif", "a/c.png", "b.jpg"]


def test_a_contact_sheet_beside_its_manifest_is_no_picture_and_any_other_file_of_that_name_is(
    tmp_path: Path,
) -> None:
    sheet = tmp_path / "contact-sheet.jpg"
    sheet.touch()
    assert (is_picture(sheet), pictures(tmp_path)) == (True, [sheet])
    (tmp_path / "crops.csv").touch()
    assert (is_picture(sheet), pictures(tmp_path)) == (False, [])
