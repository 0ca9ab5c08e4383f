"""What files say of a network: read in every schema, without the paths of a machine."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from emoprune.io.json_records import decode
from emoprune.networks import checkpoint as checkpoints
from emoprune.networks.cards import card_record, descent, without_paths
from emoprune.networks.types import Card, HistoryEntry
from tests.support.records import card_of_file, checkpoint

OLD = Path(__file__).parent


def test_cards_ignore_fields_of_newer_programs() -> None:
    card = card_of_file(checkpoints.to_bytes(checkpoint()))
    card["new"] = card["spec"]["new"] = card["split"]["new"] = [1, {"deep": None}]
    assert decode(Card, card_record(json.dumps(card))).spec == checkpoint().spec


def test_card_record_takes_cards_of_the_first_schema() -> None:
    card = card_of_file((OLD / "schema_1" / "convolutions.st").read_bytes())
    record = card_record(json.dumps({**card, "cost": {"macs": 5}, "units": 9}))
    assert (record["preprocess"]["color"], record["cost"], record["units"]) == ("gray", {"macs": 5}, 9)


def test_descent_is_that_of_the_first_training_wherever_it_was() -> None:
    first = HistoryEntry("train", {"data": "/data/faces/:train", "seed": 0}, {"train_loss": 0.5}, {})
    moved = dataclasses.replace(first, parameters={"data": "faces:train", "seed": 0})
    other = dataclasses.replace(first, parameters={"data": "faces:train", "seed": 1})
    prune = HistoryEntry("prune", {}, {}, {})
    found = descent((first,))
    assert found is not None
    assert found == descent((moved, prune, other))
    assert found != descent((other,))
    assert descent((prune,)) is None


@pytest.mark.parametrize(
    ("path", "left"),
    [
        ("/data/faces/:val", "faces:val"),
        ("/data/fer2013.csv:val", "fer2013.csv:val"),
        ("C:\\data\\faces\\:val", "faces:val"),
        ("faces/:val", "faces/:val"),
        ("/data/faces/", "faces"),
    ],
)
def test_without_paths_keeps_the_part_of_data(path: str, left: str) -> None:
    assert without_paths({"data": path}) == {"data": left}
