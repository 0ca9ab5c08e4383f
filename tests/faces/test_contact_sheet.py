"""Contact sheets: complete, failures first, readable by the color-blind, of bounded size."""

import itertools
import math
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from emoprune.errors import BadImage
from emoprune.faces import contact_sheet as contact
from emoprune.faces.contact_sheet import HEAD, SECTIONS, STYLES, Outcome, Tile, contact_sheet
from emoprune.faces.output_folder import CropFolder
from emoprune.faces.sources import VideoFrames
from emoprune.faces.types import CropRow
from emoprune.synthetic_faces import draw_scene

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
PLAIN = Image.new("RGB", (40, 40), (9, 120, 9))

# Machado, Oliveira and Fernandes 2009, table 1, severity 1: what each kind of color blindness leaves
BLIND = {
    "protan": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deutan": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "tritan": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}


def tile(outcome: Outcome = "face", name: str = "a.jpg", picture: Image.Image = PLAIN) -> Tile:
    return Tile(outcome, name, lambda: picture)


def drawn(tiles: list[Tile]) -> NDArray[np.uint8]:
    return np.asarray(contact_sheet(iter(tiles)))


def rows_with(sheet: NDArray[np.uint8], color: tuple[int, int, int]) -> NDArray[np.intp]:
    """Rows below the heading that show a color; the rim of a letter may have it by chance."""
    return HEAD + np.flatnonzero((sheet[HEAD:] == color).all(2).sum(1) >= 6)


def test_every_standing_has_one_section() -> None:
    assert sorted(itertools.chain(*SECTIONS.values())) == sorted(OUTCOMES)


@settings(deadline=None, max_examples=6)
@given(st.permutations([*OUTCOMES, *OUTCOMES]))
def test_failures_come_first_then_what_to_check_then_faces(order: list[Outcome]) -> None:
    sheet = drawn([tile(outcome) for outcome in order])
    rows = {outcome: rows_with(sheet, STYLES[outcome].color) for outcome in OUTCOMES}
    for outcome in ("rescued", "doubtful", "by hand", "whole"):
        assert rows["failed"].max() < rows[outcome].min()
        assert rows[outcome].max() < rows["face"].min()


def test_tiles_of_a_section_keep_their_order() -> None:
    shades = [Image.new("RGB", (8, 8), (shade, 0, 0)) for shade in range(10, 200, 10)]
    sheet = drawn([tile(picture=shade) for shade in shades])
    top = int(rows_with(sheet, (10, 0, 0))[20])
    seen = [value for value, _ in itertools.groupby(sheet[top, :, 0][sheet[top, :, 1] == 0].tolist())]
    assert seen == list(range(10, 10 + 10 * len(seen), 10))
    assert len(seen) > 4


@pytest.mark.parametrize(
    "counts", [(0, 0), (1, 0), (5, 2), (60, 9), (600, 30), (5000, 80), (10, 5000), (9000, 9000), (40_000, 2)]
)
def test_a_sheet_of_any_count_has_a_sensible_size(
    counts: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    # the layout alone is asked for: drawing thousands takes seconds
    monkeypatch.setattr(contact, "_draw_section", lambda *_: None)
    tiles = [*([tile()] * counts[0]), *([tile("failed")] * counts[1])]
    width, height = contact_sheet(tiles).size
    assert 800 <= width <= 6200
    assert height < 65_500
    assert width * height < 80e6
    assert height < 3 * width


def test_no_tile_overlaps_another_or_leaves_the_sheet() -> None:
    green = (9, 120, 9)
    for count in (1, 13, 41):
        sheet = (drawn([tile("whole")] * count) == green).all(2)
        side = 168 if count <= 12 else 128
        inner = side - 2 * STYLES["whole"].frame
        badge = (18 - STYLES["whole"].frame) ** 2
        assert sheet.sum() == count * (inner**2 - badge)


def test_of_too_many_tiles_the_first_sections_are_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contact, "MOST", 10)
    made: list[int] = []

    def counting(index: int) -> Tile:
        def picture() -> Image.Image:
            made.append(index)
            return PLAIN

        return Tile("failed" if index % 10 == 0 else "face", "a.jpg", picture)

    drawn([counting(index) for index in range(40)])
    failures = [index for index in made if index % 10 == 0]
    faces = [index for index in made if index % 10]
    assert failures == [0, 10, 20, 30]
    assert len(faces) == 6
    assert faces == sorted(set(faces))
    assert max(np.diff(faces)) <= 8


def test_pictures_are_made_once_and_one_at_a_time() -> None:
    alive: list[weakref.ref[Image.Image]] = []

    def picture() -> Image.Image:
        assert sum(reference() is not None for reference in alive) <= 1
        made = Image.new("RGB", (30, 20))
        alive.append(weakref.ref(made))
        return made

    def tiles() -> Iterator[Tile]:
        for index in range(30):
            yield Tile(OUTCOMES[index % 5], f"{index}.jpg", picture)

    contact_sheet(tiles())
    assert len(alive) == 30


def test_the_same_tiles_give_the_same_sheet() -> None:
    scenes = [draw_scene("sad", generator=np.random.default_rng(seed)) for seed in range(3)]
    tiles = [tile("failed", "图/a.jpg", scene) for scene in scenes]
    np.testing.assert_array_equal(drawn(tiles), drawn(tiles))


@pytest.mark.parametrize("size", [(300, 100), (100, 300), (1, 4000), (4000, 1), (1, 1), (7, 7)])
def test_a_photo_is_shown_whole_and_unsquashed(size: tuple[int, int]) -> None:
    sheet = (drawn([tile("failed", picture=Image.new("RGB", size, (9, 120, 9)))]) == (9, 120, 9)).all(2)
    width, height = np.ptp(np.flatnonzero(sheet.any(0))) + 1, np.ptp(np.flatnonzero(sheet.any(1))) + 1
    assert max(width, height) == 160
    assert min(width, height) == pytest.approx(max(160 * min(size) / max(size), 1), abs=1)


def test_a_file_that_shows_nothing_has_a_cross_and_its_reason() -> None:
    def damaged() -> Image.Image:
        raise BadImage("not an image", "replace it")

    silent = drawn([Tile("failed", "a.jpg", None, "not an image")])
    np.testing.assert_array_equal(silent, drawn([Tile("failed", "a.jpg", damaged)]))
    assert (silent == contact.CROSS).all(2).any()
    assert (silent != drawn([Tile("failed", "a.jpg", None, "the file is empty")])).any()


def test_a_bug_while_a_picture_is_made_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        drawn([Tile("face", "a.jpg", lambda: Image.new("RGB", (1 // 0, 1)))])


def test_failures_and_what_to_check_are_named_and_faces_are_not() -> None:
    for outcome in OUTCOMES:
        differs = (drawn([tile(outcome, "a.jpg")]) != drawn([tile(outcome, "quite.jpg")])).any()
        assert differs == (outcome != "face")


def test_a_face_below_the_bound_is_to_be_checked_and_shows_its_probability(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tile] = []

    def sheet(tiles: Iterator[Tile]) -> Image.Image:
        seen.extend(tiles)
        return PLAIN

    monkeypatch.setattr(contact, "contact_sheet", sheet)
    rows = [CropRow("a.png", f"{p}.jpg", "face", probability=p) for p in (0.7654, 0.949, 0.95, 0.999)]
    rows.append(CropRow("b.png", "", "no-face", reason="no face found"))
    contact.crop_sheet(rows, VideoFrames(tmp_path / "none.mp4"), CropFolder(str(tmp_path / "faces")))
    assert [(tile.outcome, tile.name) for tile in seen] == [
        ("doubtful", "0.7654.jpg 0.765"),
        ("doubtful", "0.949.jpg 0.949"),
        ("face", "0.95.jpg"),
        ("face", "0.999.jpg"),
        ("failed", "b.png"),
    ]


def test_the_heading_counts_what_there_is_and_always_the_failures() -> None:
    def heading(counts: dict[Outcome, int]) -> NDArray[np.uint8]:
        given = [tile(outcome) for outcome, count in counts.items() for _ in range(count)]
        return drawn(given)[:HEAD]

    one = heading({"face": 1})
    assert (one == STYLES["failed"].color).all(2).any()
    assert not (one == STYLES["rescued"].color).all(2).any()
    assert (heading({"face": 2}) != one).any()


def test_frames_differ_without_red_green_or_blue() -> None:
    colors = {name: np.array(style.color) / 255 for name, style in STYLES.items()}
    for seen in (np.eye(3), *map(np.array, BLIND.values())):
        for one, other in itertools.combinations(colors, 2):
            assert math.dist(seen @ colors[one], seen @ colors[other]) > 0.19, (one, other)


def test_frames_differ_without_any_color() -> None:
    letters = [style.letter for style in STYLES.values()]
    assert len(set(letters)) == len(letters)
