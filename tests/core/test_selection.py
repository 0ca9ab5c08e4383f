from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emoprune.core.methods import METHODS
from emoprune.core.selection import Selection, distinct
from emoprune.records import Removal
from emoprune.records.choices import Centre, Merge
from tests import reference
from tests.core.layers import Array, sigmoid_layer, view_of

LITERAL = {"sum": reference.published_rule, "lstsq": reference.one_of_each_rule}


def removal_of(activations: Array, angle: float, merge: Merge, centre: Centre | None = None) -> Removal:
    units = activations.shape[1]
    return distinct(
        view_of(activations, np.ones((2, units)), np.zeros(2)),
        Selection(angle_deg=angle, merge=merge, centre=centre),
    )


@settings(deadline=None, max_examples=80)
@given(
    seed=st.integers(0, 100_000),
    angle=st.sampled_from([1.0, 15.0, 30.0, 60.0, 90.0]),
    merge=st.sampled_from(["sum", "lstsq"]),
    centre=st.sampled_from(["half", "range", "mean", "none"]),
)
def test_the_rule_is_the_literal_one(seed: int, angle: float, merge: Merge, centre: Centre) -> None:
    activations = sigmoid_layer(seed)
    removed, merges = LITERAL[merge](activations, centre, angle)
    found = removal_of(activations, angle, merge, centre)
    assert set(found.removed) == removed
    assert dict(found.merges) == merges


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 100_000), merge=st.sampled_from(["sum", "lstsq"]))
def test_the_rule_is_the_literal_one_with_dead_and_constant_units(seed: int, merge: Merge) -> None:
    activations = sigmoid_layer(seed)
    activations[:, 2] = 0.0
    activations[:, 5] = 0.5
    activations[:, 8] = 1.0
    removed, merges = LITERAL[merge](activations, "half", 20.0)
    found = removal_of(activations, 20.0, merge, "half")
    assert set(found.removed) == removed
    assert dict(found.merges) == merges


def test_the_units_of_1991_that_go_are_the_printed_pairs() -> None:
    # two units per kind: 0 and 1 the same, 2 their opposite, 3 on its own
    base, other = np.random.default_rng(0).uniform(size=(2, 100))
    activations = np.stack([base, base + 0.001, 1 - base, other], 1)
    published = removal_of(activations, 15, "sum")
    # the opposite takes one of the twins with it, the other twin stays
    assert len(published.complementary) == 2
    assert 3 in published.kept
    ours = removal_of(activations, 15, "lstsq")
    assert ours.kept == (0, 3)


def test_chains_end_at_a_survivor() -> None:
    base = np.random.default_rng(0).uniform(0.2, 0.8, size=200)
    noise = np.random.default_rng(1).normal(size=(200, 4)) * 0.01
    found = removal_of(base[:, None] + noise, 20, "sum")
    assert found.kept == (0,)
    assert dict(found.merges) == {1: 0, 2: 0, 3: 0}


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 100_000),
    angles=st.tuples(st.floats(0, 89), st.floats(0, 89)),
)
def test_no_angle_removes_everything_and_none_removes_nothing(seed: int, angles: tuple[float, float]) -> None:
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


def test_the_last_complementary_pair_keeps_one() -> None:
    base = np.random.default_rng(0).uniform(size=50)
    found = removal_of(np.stack([base, 1 - base], 1), 15, "sum")
    assert found.kept == (0,)
    assert found.spared


def test_relu_units_are_measured_in_the_range_of_their_layer() -> None:
    generator = np.random.default_rng(0)
    base = np.maximum(generator.normal(size=300) * 10, 0)
    activations = np.stack(
        [base, base * 0.99, 10 - np.minimum(base, 10), np.maximum(generator.normal(size=300), 0)], 1
    )
    view = view_of(activations, np.ones((1, 4)), np.zeros(1), activation="relu")
    found = distinct(view, Selection(angle_deg=15))
    assert 1 in found.similar


@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_method_gives_a_legal_removal(name: str) -> None:
    activations = sigmoid_layer(5, units=20)
    view = view_of(activations, np.ones((3, 20)), np.zeros(3))
    found = METHODS[name](view, Selection())
    assert 1 <= len(found.kept) < 20
    assert METHODS[name](view, Selection()) == found
