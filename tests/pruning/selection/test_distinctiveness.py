from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emoprune.choices import Center, Merge
from emoprune.networks.types import HiddenLayer
from emoprune.pruning.selection.distinctiveness import distinct, to_survivors
from emoprune.pruning.types import Removal
from tests.support import reference
from tests.support.layers import Array, sigmoid_layer, statistics_of

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "gedeon_harris_1991.json").read_text())
LITERAL = {"sum": reference.published_rule, "lstsq": reference.one_of_each_rule}


def removal_of(
    activations: Array, angle: float, merge: Merge, center: Center | None = None, activation: str = "sigmoid"
) -> Removal:
    layer = HiddenLayer("hidden", activation, ("output",))
    return distinct(layer, statistics_of(activations), angle_deg=angle, merge=merge, center=center)


@settings(max_examples=80)
@given(
    seed=st.integers(0, 100_000),
    angle=st.sampled_from([1.0, 15.0, 30.0, 60.0, 90.0]),
    merge=st.sampled_from(["sum", "lstsq"]),
    center=st.sampled_from(["half", "range", "mean", "none"]),
)
def test_distinct_is_the_literal_rule(seed: int, angle: float, merge: Merge, center: Center) -> None:
    activations = sigmoid_layer(seed)
    removed, merges = LITERAL[merge](activations, center, angle)
    found = removal_of(activations, angle, merge, center)
    assert set(found.removed) == removed
    assert dict(found.merges) == merges


@settings(max_examples=40)
@given(seed=st.integers(0, 100_000), merge=st.sampled_from(["sum", "lstsq"]))
def test_distinct_is_the_literal_rule_with_dead_and_constant_units(seed: int, merge: Merge) -> None:
    activations = sigmoid_layer(seed)
    activations[:, 2] = 0.0
    activations[:, 5] = 0.5
    activations[:, 8] = 1.0
    removed, merges = LITERAL[merge](activations, "half", 20.0)
    found = removal_of(activations, 20.0, merge, "half")
    assert set(found.removed) == removed
    assert dict(found.merges) == merges


def test_distinct_removes_the_units_of_1991_in_the_printed_pairs() -> None:
    # two units per kind: 0 and 1 the same, 2 their opposite, 3 on its own
    base, other = np.random.default_rng(0).uniform(size=(2, 100))
    activations = np.stack([base, base + 0.001, 1 - base, other], 1)
    published = removal_of(activations, 15, "sum")
    # the opposite takes one of the twins with it, the other twin stays
    assert len(published.complementary) == 2
    assert 3 in published.kept
    ours = removal_of(activations, 15, "lstsq")
    assert ours.kept == (0, 3)


def test_to_survivors_ends_chains_at_a_survivor() -> None:
    base = np.random.default_rng(0).uniform(0.2, 0.8, size=200)
    noise = np.random.default_rng(1).normal(size=(200, 4)) * 0.01
    found = removal_of(base[:, None] + noise, 20, "sum")
    assert found.kept == (0,)
    assert dict(found.merges) == {1: 0, 2: 0, 3: 0}


@settings(max_examples=40)
@given(
    seed=st.integers(0, 100_000),
    angles=st.tuples(st.floats(0, 89), st.floats(0, 89)),
)
def test_distinct_keeps_a_unit_at_any_angle_and_all_at_none(seed: int, angles: tuple[float, float]) -> None:
    activations = sigmoid_layer(seed)
    for angle in angles:
        for merge in ("sum", "lstsq"):
            assert len(removal_of(activations, angle, merge).kept) >= 1
    assert removal_of(activations, 0, "lstsq").similar == ()
    assert removal_of(activations, 0, "lstsq").complementary == ()


def test_a_layer_of_constants_keeps_its_first_unit_and_says_so() -> None:
    found = removal_of(np.full((20, 5), 0.7), 15, "lstsq")
    assert found.kept == (0,)
    assert found.spared


def test_distinct_keeps_one_of_the_last_complementary_pair() -> None:
    base = np.random.default_rng(0).uniform(size=50)
    found = removal_of(np.stack([base, 1 - base], 1), 15, "sum")
    assert found.kept == (0,)
    assert found.spared


def test_distinct_measures_relu_units_in_the_range_of_their_layer() -> None:
    generator = np.random.default_rng(0)
    base = np.maximum(generator.normal(size=300) * 10, 0)
    activations = np.stack(
        [base, base * 0.99, 10 - np.minimum(base, 10), np.maximum(generator.normal(size=300), 0)], 1
    )
    assert 1 in removal_of(activations, 15, "lstsq", activation="relu").similar
    assert 1 in removal_of(activations, 15, "lstsq", "range").similar


@pytest.mark.parametrize("merge", ["sum", "lstsq"])
def test_distinct_removes_the_pairs_printed_in_1991(merge: Merge) -> None:
    # printed: 1-4 and 5-6 similar; 1-5, 1-6, 4-5 and 4-6 complementary
    table = np.array(GOLDEN["activations_patterns_by_units"])
    found = removal_of(table, 15, merge)
    pair = {0, 3, 4, 5}
    if merge == "sum":
        # both of the two most opposed pairs, which are all four
        assert set(found.complementary) == pair
        assert found.kept == (1, 2)
    else:
        assert set(found.removed) < pair
        assert len(found.removed) == 3
    removed, merges = LITERAL[merge](table, "half", 15)
    assert (set(found.removed), dict(found.merges)) == (removed, merges)


def test_distinct_removes_insignificant_units_before_any_pair() -> None:
    h = sigmoid_layer(0, units=6)
    h[:, 1], h[:, 4] = 0.5, 0.9
    ours, published = (removal_of(h, 60, merge) for merge in ("lstsq", "sum"))
    assert set(ours.insignificant) == {1, 4}
    # under "sum" nothing could take over the constant of unit 4
    assert published.insignificant == (1,)
    for found in (ours, published):
        assert set(found.insignificant).isdisjoint(
            [*found.similar, *found.complementary, *found.merges.values()]
        )


def test_distinct_merges_into_units_that_stay() -> None:
    assert to_survivors({5: 3, 3: 1, 4: 0, 2: 3}) == {5: 1, 3: 1, 4: 0, 2: 1}
    assert to_survivors({}) == {}


@settings(max_examples=20)
@given(seed=st.integers(0, 100_000), merge=st.sampled_from(["sum", "lstsq"]))
def test_distinct_is_the_same_every_time(seed: int, merge: Merge) -> None:
    h = sigmoid_layer(seed)
    assert removal_of(h, 30, merge) == removal_of(h.copy(), 30, merge)


@pytest.mark.parametrize("merge", ["sum", "lstsq"])
@pytest.mark.parametrize("patterns", [1, 2, 5])
def test_distinct_works_with_fewer_patterns_than_units(patterns: int, merge: Merge) -> None:
    h = sigmoid_layer(3, patterns=patterns)
    removed, merges = LITERAL[merge](h, "half", 30.0)
    found = removal_of(h, 30, merge)
    assert (set(found.removed), dict(found.merges)) == (removed, merges)


@pytest.mark.parametrize("merge", ["sum", "lstsq"])
def test_distinct_keeps_a_unit_that_is_alone(merge: Merge) -> None:
    for value in (0.0, 0.5, 0.7):
        assert removal_of(np.full((9, 1), value), 15, merge).kept == (0,)
