from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics.pairwise import cosine_similarity

from emoprune.choices import Center
from emoprune.networks.types import UnitStatistics
from emoprune.pruning import angles
from emoprune.pruning.types import AnglesConfig, Survey
from tests.support import reference
from tests.support.layers import sigmoid_layer, statistics_of

GOLDEN = json.loads((Path(__file__).parent.parent / "golden" / "gedeon_harris_1991.json").read_text())
CENTERS: tuple[Center, ...] = ("half", "range", "mean", "none")


def test_angles_deg_reproduces_the_table_of_1991() -> None:
    table = np.array(GOLDEN["activations_patterns_by_units"])
    found = angles.angles_deg(statistics_of(table), center="half")
    assert len(GOLDEN["angle_deg"]) == 15
    for pair, printed in GOLDEN["angle_deg"].items():
        i, j = (int(unit) - 1 for unit in pair.split("-"))
        assert float(found[i, j]) == pytest.approx(printed, abs=GOLDEN["tolerance_deg"])


@pytest.mark.parametrize("center", ["mean", "none"])
def test_angles_deg_reproduces_1991_with_no_other_centering(center: Center) -> None:
    table = np.array(GOLDEN["activations_patterns_by_units"])
    found = angles.angles_deg(statistics_of(table), center=center)
    misses = [
        abs(float(found[int(pair[0]) - 1, int(pair[2]) - 1]) - printed)
        for pair, printed in GOLDEN["angle_deg"].items()
    ]
    assert max(misses) > 30


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), center=st.sampled_from(CENTERS), scale=st.sampled_from([0.01, 1.0, 50.0]))
def test_angles_deg_from_sums_equals_that_of_stored_activations(
    seed: int, center: Center, scale: float
) -> None:
    activations = sigmoid_layer(seed) * scale
    expected = reference.angles_deg(activations, center)
    found = angles.angles_deg(statistics_of(activations), center=center).numpy()
    assert np.nanmax(np.abs(found - expected)) < 1e-3


@pytest.mark.parametrize("degrees", [0.006, 0.5, 90.0, 179.994])
def test_angles_deg_resolves_hundredths_of_a_degree(degrees: float) -> None:
    generator = np.random.default_rng(0)
    u = generator.normal(size=5000)
    u /= np.linalg.norm(u)
    v = generator.normal(size=5000)
    v -= u * (u @ v)
    v /= np.linalg.norm(v)
    turned = np.cos(np.radians(degrees)) * u + np.sin(np.radians(degrees)) * v
    found = angles.angles_deg(statistics_of(np.stack([u, turned], 1) * 20 + 0.5), center="half")
    assert float(found[0, 1]) == pytest.approx(degrees, abs=1e-3)


def test_angles_deg_without_centering_is_that_of_scikit_learn() -> None:
    activations = np.random.default_rng(1).uniform(size=(200, 30))
    expected = np.degrees(np.arccos(np.clip(cosine_similarity(activations.T), -1, 1)))
    found = angles.angles_deg(statistics_of(activations), center="none").numpy()
    np.fill_diagonal(expected, 0)
    assert np.abs(found - expected).max() < 1e-4


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), scale=st.floats(0.1, 100), shift=st.floats(-5, 5))
def test_angles_deg_centered_by_range_ignores_scale_and_shift(seed: int, scale: float, shift: float) -> None:
    activations = sigmoid_layer(seed)
    plain = angles.angles_deg(statistics_of(activations), center="range")
    moved = angles.angles_deg(statistics_of(activations * scale + shift), center="range")
    assert torch.allclose(plain, moved, atol=1e-3)


def surveyed(statistics: UnitStatistics, **settings: Any) -> Survey:
    return angles.survey(statistics, activation="sigmoid", config=AnglesConfig(**settings))


def test_survey_counts_every_pair_by_its_degrees() -> None:
    statistics = statistics_of(np.random.default_rng(0).uniform(size=(50, 20)))
    found = surveyed(statistics, everything=True, below=20, above=170)
    assert found.histogram is not None
    wanted, _ = np.histogram([pair.angle_deg for pair in found.pairs], bins=180, range=(0, 180))
    assert found.histogram == tuple(wanted)
    assert sum(found.histogram) == 20 * 19 / 2
    assert (found.below_deg, found.above_deg) == (20, 170)
    alone = surveyed(statistics_of(np.zeros((5, 1))))
    assert alone.histogram == (0,) * 180


def test_default_center_makes_scaled_copies_of_a_relu_unit_similar_and_its_mirror_opposite() -> None:
    h = np.maximum(np.random.default_rng(0).normal(size=500), 0)
    others = np.maximum(np.random.default_rng(1).normal(size=(500, 2)), 0)
    units = np.column_stack([h, 0.01 * h, 40 * h + 3, 5 - h, others])
    found = angles.angles_deg(statistics_of(units), center=angles.default_center("relu"))
    assert found[0, 1:4].tolist() == pytest.approx([0, 0, 180], abs=1e-3)
    # chance makes no angle of those that have nothing in common
    assert all(abs(float(found[i, j]) - 90) < 15 for i in (0, 4) for j in (4, 5) if i != j)
    # as published for sigmoid units
    assert angles.default_center("sigmoid") == "half"


def test_a_unit_without_length_has_no_angle_and_no_pair() -> None:
    activations = sigmoid_layer(0, units=4)
    activations[:, 2] = 0.5
    statistics = statistics_of(activations)
    found = angles.angles_deg(statistics, center="half")
    assert torch.isnan(found[2, [0, 1, 3]]).all()
    listed = surveyed(statistics, everything=True).pairs
    assert {(pair.i, pair.j) for pair in listed} == {(0, 1), (0, 3), (1, 3)}


def test_ordered_puts_the_smallest_angle_first_and_ties_by_index() -> None:
    matrix = torch.tensor([[0.0, 30.0, 10.0], [30.0, 0.0, 10.0], [10.0, 10.0, 0.0]])
    everything = torch.ones_like(matrix, dtype=torch.bool)
    assert [entry[:2] for entry in angles.ordered(matrix, everything)] == [(0, 2), (1, 2), (0, 1)]
    falling = angles.ordered(matrix, everything, descending=True)
    assert [entry[:2] for entry in falling] == [(0, 1), (0, 2), (1, 2)]


def test_survey_lists_no_pair_exactly_at_a_limit() -> None:
    base = np.array([[1.0, 0.0], [0.0, 1.0]])
    right = statistics_of(base)  # exactly 90 degrees, uncentered
    assert surveyed(right, below=90, above=90, center="none").pairs == ()
    assert len(surveyed(right, below=90.001, above=180, center="none").pairs) == 1
    assert len(surveyed(right, below=0, above=89.999, center="none").pairs) == 1


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), center=st.sampled_from(CENTERS))
def test_short_constant_and_silent_units_are_those_of_the_literal_rule(seed: int, center: Center) -> None:
    activations = sigmoid_layer(seed, units=9)
    activations[:, 1] = 0.0
    activations[:, 4] = 0.5
    activations[:, 7] = 0.9 + 0.001 * np.sin(np.arange(len(activations)))
    statistics = statistics_of(activations)
    masks = (
        angles.short_units(statistics, center),
        angles.constant_units(statistics),
        angles.silent_units(statistics),
    )
    short, constant, silent = (set(mask.nonzero().flatten().tolist()) for mask in masks)
    assert short == reference.short_units(activations, center)
    assert constant == reference.constant_units(activations)
    assert silent == reference.silent_units(activations) == {1}


def test_survey_counts_units_and_lists_pairs() -> None:
    found = surveyed(statistics_of(np.array(GOLDEN["activations_patterns_by_units"])))
    # printed: 1-4 and 5-6 similar; 1-5, 1-6, 4-5 and 4-6 complementary
    assert (found.center, found.similar, found.complementary) == ("half", 4, 4)
    listed = {(pair.i + 1, pair.j + 1) for pair in found.pairs}
    assert listed == {(1, 4), (5, 6), (1, 5), (1, 6), (4, 5), (4, 6)}
    assert found.smallest_deg == pytest.approx(7.3, abs=1.3)
    assert found.largest_deg == pytest.approx(177.5, abs=1.3)


def test_survey_of_everything_lists_every_pair_and_counts_the_same() -> None:
    statistics = statistics_of(sigmoid_layer(3))
    some, whole = (surveyed(statistics, everything=everything) for everything in (False, True))
    assert len(whole.pairs) == 12 * 11 // 2
    assert (some.similar, some.complementary) == (whole.similar, whole.complementary)
    assert set(some.pairs) < set(whole.pairs)
