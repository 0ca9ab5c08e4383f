"""Layers of pruned networks and angles as tables, flat rows and records."""

from __future__ import annotations

from emoprune.reporting import layer_tables
from emoprune.reporting.error_tables import layers_table, surveys_table
from tests.support.runs import layer_angles, summary

PRUNED = [summary((8, 6), (4, 4)), summary((8, 2), output="small.st", amount={"macs": 0.5}, refitted_on=9)]
ANGLES = [
    layer_angles((0, 1, 3.0), (0, 2, 170.0)),
    layer_angles((0, 1, 90.0), units=2, model="n.st"),
    layer_angles(layer="hidden2", units=1),
]


def test_layers_have_a_table_for_each_pruning_as_prune_shows_it() -> None:
    first, second = layer_tables.layers(PRUNED)
    assert first.title == "Predicted error of m.st (distinct, angle 15, lstsq)"
    assert first.rows == (("layer0", "8 > 6", 2, "0.25", "0.125"),)
    assert first.notes == ("1 more layer loses nothing",)
    assert second.notes == (
        "errors are predicted without images; refitted on 9 images, the network is better",
    )
    shown = layers_table({**vars(PRUNED[0])}, PRUNED[0].layers)
    assert (shown.rows, shown.notes) == (first.rows, first.notes)


def test_flat_layers_have_every_layer_of_every_pruning() -> None:
    made = layer_tables.flat_layers(PRUNED)
    assert made.columns == (
        *("pruning", "input", "output", "method", "layer", "before", "after"),
        *("similar", "complementary", "insignificant", "error_sum", "error_lstsq"),
    )
    assert made.rows == (
        (1, "m.st", None, "distinct", "layer0", 8, 6, 2, 0, 0, 0.25, 0.125),
        (1, "m.st", None, "distinct", "layer1", 4, 4, 0, 0, 0, 0.25, 0.125),
        (2, "m.st", "small.st", "distinct", "layer0", 8, 2, 6, 0, 0, 0.25, 0.125),
    )


def test_layers_are_one_object_per_pruning() -> None:
    first, second = layer_tables.layers_to_records(PRUNED)
    assert (first["units"], second["units"]) == ({"before": 12, "after": 10}, {"before": 8, "after": 2})
    assert [layer["after"] for layer in first["layers"]] == [6, 4]


def test_angles_have_a_table_for_each_network_as_angles_shows_it() -> None:
    first, second = layer_tables.angles(ANGLES)
    assert first.title == "Angles between the units of a layer of m.st, in degrees"
    assert first.rows == (
        ("hidden1", 3, "half", 2, 2, 0, 3.0, 170.0),
        ("hidden2", 1, "half", 0, 0, 0, None, None),
    )
    assert second.rows == (("hidden1", 2, "half", 0, 0, 0, 90.0, 90.0),)
    assert surveys_table({each.layer: each for each in (ANGLES[0], ANGLES[2])}).rows == first.rows


def test_flat_angles_and_records_have_a_row_for_each_layer() -> None:
    made = layer_tables.flat_angles(ANGLES)
    assert [row[:5] for row in made.rows] == [
        ("m.st", "hidden1", 3, "half", 2),
        ("n.st", "hidden1", 2, "half", 0),
        ("m.st", "hidden2", 1, "half", 0),
    ]
    assert layer_tables.angles_to_records(ANGLES) == [
        dict(zip(made.columns, row, strict=True)) for row in made.rows
    ]
