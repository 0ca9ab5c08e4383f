"""PHOG and its edges against a literal implementation of their definition, and against values by hand."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from emoprune.features.canny import edges
from emoprune.features.phog import phog
from tests.support import descriptor_reference
from tests.support.descriptor_pictures import Gray, drawn_pictures, noise, real_pictures


def edge_set(image: Gray) -> frozenset[tuple[int, int]]:
    return frozenset((int(x), int(y)) for y, x in np.argwhere(edges(image / 255)))


def check_against_reference(image: Gray) -> None:
    picture = descriptor_reference.picture(image)
    assert edge_set(image) == descriptor_reference.edges(picture)
    for levels in (2, 3):
        np.testing.assert_allclose(
            phog(image, levels=levels), descriptor_reference.phog(picture, levels), rtol=0, atol=1e-12
        )


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (30, 41), (9, 60)])
def test_noise_is_described_as_defined(shape: tuple[int, int]) -> None:
    check_against_reference(noise(*shape))


def test_drawn_faces_are_described_as_defined(faces: Path) -> None:
    for image in drawn_pictures(faces):
        check_against_reference(image)


def test_real_faces_are_described_as_defined(shared_data: Path) -> None:
    for image in real_pictures(shared_data):
        check_against_reference(image)


@pytest.mark.parametrize("period", [2, 3, 4, 5])
def test_of_equal_neighbors_the_upper_or_left_one_counts(period: int) -> None:
    y, x = np.mgrid[:20, :24]
    for image in (x % period == 0, y % period == 0, (x + y) % period == 0, (x // period + y // period) % 2):
        check_against_reference((image * 255).astype(np.uint8))


def test_weak_edges_stay_where_they_are_joined_to_strong_ones_alone() -> None:
    image = noise(30, 40)
    picture = descriptor_reference.picture(image)
    ridge = descriptor_reference.thin(picture)
    low, high = descriptor_reference.thresholds(picture)
    weak = {(x, y) for y, row in enumerate(ridge) for x, size in enumerate(row) if low <= size < high}
    assert weak & edge_set(image)
    assert weak - edge_set(image)


def test_a_step_is_one_line_and_all_its_votes_are_known() -> None:
    image = np.zeros((16, 16), np.uint8)
    image[:, 8:] = 255
    # columns 7 and 8 are equally steep: the left one counts
    assert edge_set(image) == {(7, y) for y in range(16)}
    # each of 16 pixels votes 1 + 2 + 1 = 4 for brighter to the right, in every one of four levels
    expected = [np.zeros((2**level, 2**level, 8)) for level in range(4)]
    for level, column in enumerate((0, 0, 1, 3)):
        expected[level][:, column, 0] = 4 * 16 / 2**level
    whole = np.concatenate([level.ravel() for level in expected])
    np.testing.assert_allclose(phog(image), whole / (4 * 4 * 16), rtol=0, atol=1e-15)


@pytest.mark.parametrize(("turn", "number"), [(0, 0), (1, 6), (2, 4), (3, 2)])
def test_upright_and_level_steps_fall_in_one_bin(turn: int, number: int) -> None:
    image = np.zeros((21, 21))
    image[:, 9:] = 0.7
    # turned against the clock: brighter to the right, above, to the left, below
    expected = np.zeros(8)
    expected[number] = 1
    np.testing.assert_allclose(phog(np.rot90(image, turn), levels=0), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("turn", "number"), [(0, 1), (1, 7), (2, 5), (3, 3)])
def test_slanting_steps_fall_in_the_bins_between(turn: int, number: int) -> None:
    y, x = np.mgrid[:40, :40]
    image = np.where(x + y >= 39, 0.9, 0.1)
    # but for the ends of the line, where the border bends it
    assert phog(np.rot90(image, turn), levels=0)[number] > 0.9


def test_a_turned_picture_has_turned_bins_and_a_negative_opposite_ones() -> None:
    image = noise(40, 40) / 255
    before = phog(image, levels=0)
    np.testing.assert_allclose(phog(np.rot90(image), levels=0), np.roll(before, -2), rtol=0, atol=1e-12)
    np.testing.assert_allclose(phog(1 - image, levels=0), np.roll(before, 4), rtol=0, atol=1e-12)


def test_contrast_and_brightness_change_nothing() -> None:
    image = noise(32, 32) / 255
    np.testing.assert_allclose(phog(0.2 * image + 0.4), phog(image), rtol=0, atol=1e-12)


def test_every_level_holds_the_same_votes_in_finer_cells() -> None:
    found = phog(noise(37, 50))
    levels = np.split(found, np.cumsum([8, 32, 128]))
    np.testing.assert_allclose([level.sum() for level in levels], [0.25] * 4, rtol=0, atol=1e-12)
    grids = [level.reshape(2**index, 2**index, 8) for index, level in enumerate(levels)]
    for coarse, fine in pairwise(grids):
        side = len(coarse)
        merged = fine.reshape(side, 2, side, 2, 8).sum((1, 3))
        np.testing.assert_allclose(merged, coarse, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("levels", "numbers"), [(0, 8), (1, 40), (2, 168), (3, 680)])
def test_levels_set_the_number_of_features(levels: int, numbers: int) -> None:
    assert phog(noise(16, 16), levels=levels).shape == (numbers,)


@pytest.mark.parametrize("level", [0.0, 0.3, 1.0])
def test_a_constant_picture_has_no_edges_and_no_votes(level: float) -> None:
    image = np.full((20, 30), level)
    assert not edges(image).any()
    assert not phog(image).any()


def test_a_picture_smaller_than_the_finest_cells_leaves_some_empty() -> None:
    found = phog(noise(5, 5))
    assert found.sum() == pytest.approx(1, abs=1e-12)
    finest = found[168:].reshape(8, 8, 8).sum(2)
    assert (finest > 0).sum() <= 25
