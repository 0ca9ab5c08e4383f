"""Units by layer and angles: which layers, bins and matrices."""

from __future__ import annotations

from itertools import combinations

import pytest

from emoprune.reporting.layer_charts import LARGEST_MATRIX, MANY_PAIRS, MOST_LAYERS, angles, units_by_layer
from emoprune.reporting.types import Runs
from tests.support.runs import layer_angles, summary

PAIRS = ((0, 1, 3.0), (0, 2, 14.99), (1, 2, 180.0))


def test_units_by_layer_has_every_layer_of_each_pruning_that_removed_some() -> None:
    masked = summary((8, 8), method="magnitude", amount={"amount": 0.5})
    (chart,) = units_by_layer(Runs(pruned=(summary((8, 6), (4, 4)), masked)))
    assert (chart.name, chart.label) == ("units-by-layer-m.st, distinct angle 15", "m.st, distinct angle 15")
    assert (chart.layers, chart.before, chart.after) == (("layer0", "layer1"), (8, 4), (6, 4))


def test_angles_have_bins_of_five_degrees_and_the_thresholds() -> None:
    (chart,) = angles(Runs(angles=(layer_angles(*PAIRS, below_deg=20, above_deg=150),)))
    assert (chart.name, chart.width, len(chart.counts)) == ("angles-hidden1", 5, 36)
    assert {place * 5: count for place, count in enumerate(chart.counts) if count} == {0: 1, 10: 1, 175: 1}
    assert (chart.below, chart.above) == (20, 150)


def test_angles_of_many_pairs_have_bins_of_one_degree() -> None:
    many = (MANY_PAIRS, *[0] * 179)
    (chart,) = angles(Runs(angles=(layer_angles(units=200, histogram=many),)))
    assert (chart.width, chart.counts, chart.angles) == (1, many, None)


def test_angles_have_the_matrix_of_a_small_layer_whose_pairs_are_all_listed() -> None:
    (chart,) = angles(Runs(angles=(layer_angles(*PAIRS),)))
    assert chart.angles == ((0.0, 3.0, 14.99), (3.0, 0.0, 180.0), (14.99, 180.0, 0.0))
    # a unit that has no angle
    (chart,) = angles(Runs(angles=(layer_angles(PAIRS[0]),)))
    assert chart.angles == ((0.0, 3.0, None), (3.0, 0.0, None), (None, None, 0.0))


@pytest.mark.parametrize("units", [LARGEST_MATRIX, LARGEST_MATRIX + 1])
def test_angles_have_a_matrix_only_where_single_cells_can_be_seen(units: int) -> None:
    pairs = [(i, j, 90.0) for i, j in combinations(range(units), 2)]
    (chart,) = angles(Runs(angles=(layer_angles(*pairs, units=units),)))
    assert (chart.angles is None) == (units > LARGEST_MATRIX)


def test_angles_have_no_matrix_where_pairs_are_missing_or_foreign() -> None:
    counts = tuple(2 if degree == 3 else 0 for degree in range(180))
    for layer in (layer_angles(PAIRS[0], histogram=counts), layer_angles((0, 9, 3.0))):
        (chart,) = angles(Runs(angles=(layer,)))
        assert chart.angles is None


def test_angles_need_the_histogram() -> None:
    assert angles(Runs(angles=(layer_angles(PAIRS[0], histogram=None), layer_angles()))) == []


def test_angles_of_several_networks_name_them_and_many_layers_are_the_most_similar() -> None:
    both = (layer_angles(*PAIRS), layer_angles(*PAIRS, model="n.st"))
    assert [chart.label for chart in angles(Runs(angles=both))] == ["m.st, hidden1", "n.st, hidden1"]
    layers = [layer_angles(*PAIRS, layer=f"l{place}", similar=place) for place in range(MOST_LAYERS + 2)]
    charts = angles(Runs(angles=tuple(layers)))
    assert [chart.label for chart in charts] == [f"l{place}" for place in range(2, MOST_LAYERS + 2)]
    assert charts[0].note == "left out: 2 layers with fewer similar and complementary units"
