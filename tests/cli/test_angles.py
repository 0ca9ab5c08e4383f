"""emoprune angles: what is printed is what the checkpoint's statistics say."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emoprune.records import UnitStatistics
from emoprune.store import checkpoints
from tests.cli.conftest import Runner, tree

KEYS = {"model", "layer", "units", "centre", "similar", "complementary", "insignificant"}


def half_angle(statistics: UnitStatistics, i: int, j: int) -> float:
    """The angle of two units about 0.5, from the sums alone, by the plain arc cosine."""
    gram, total = statistics.gram.numpy(), statistics.total.numpy()

    def inner(a: int, b: int) -> float:
        return float(gram[a, b] - 0.5 * (total[a] + total[b]) + 0.25 * statistics.count)

    return math.degrees(math.acos(inner(i, j) / math.sqrt(inner(i, i) * inner(j, j))))


def test_every_pair_has_the_angle_of_the_stored_statistics(emoprune: Runner, model: Path) -> None:
    record = emoprune.done("angles", model, "--all").record
    assert record["schema"] == "emoprune.angles/1"
    assert {*KEYS, "smallest_deg", "largest_deg", "pairs"} <= record.keys()
    assert (record["model"], record["centre"]) == (str(model), "half")
    (statistics,) = checkpoints.read(str(model)).statistics.values()
    pairs = {(pair["i"], pair["j"]): pair["angle_deg"] for pair in record["pairs"]}
    assert set(pairs) == set(itertools.combinations(range(record["units"]), 2))
    for (i, j), angle in pairs.items():
        assert angle == pytest.approx(half_angle(statistics, i, j), abs=1e-4)
    listed = [pair["angle_deg"] for pair in record["pairs"]]
    assert listed == sorted(listed)
    assert (record["smallest_deg"], record["largest_deg"]) == (min(listed), max(listed))


def test_without_all_only_similar_and_complementary_pairs_are_listed(emoprune: Runner, model: Path) -> None:
    everything = emoprune.done("angles", model, "--all").record["pairs"]
    record = emoprune.done("angles", model, "--below", "40", "--above", "150").record
    chosen = [pair for pair in everything if pair["angle_deg"] < 40 or pair["angle_deg"] > 150]
    assert record["pairs"] == chosen
    assert 0 < len(chosen) < len(everything)

    def units(pairs: list[dict[str, Any]]) -> int:
        return len({unit for pair in pairs for unit in (pair["i"], pair["j"])})

    assert record["similar"] == units([pair for pair in chosen if pair["angle_deg"] < 40])
    assert record["complementary"] == units([pair for pair in chosen if pair["angle_deg"] > 150])


def test_csv_holds_the_pairs_of_every_layer(emoprune: Runner, table_model: Path) -> None:
    result = emoprune.done("angles", table_model, "--all", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(result.out)))
    assert list(rows[0]) == ["layer", "i", "j", "angle_deg"]
    counts = {name: sum(row["layer"] == name for row in rows) for name in {row["layer"] for row in rows}}
    assert counts == {"classifier.hidden1": 66, "classifier.hidden2": 28}


def test_two_layers_are_two_json_lines(emoprune: Runner, table_model: Path) -> None:
    lines = [json.loads(line) for line in emoprune.done("angles", table_model).out.splitlines()]
    assert [line["layer"] for line in lines] == ["classifier.hidden1", "classifier.hidden2"]


def test_a_layer_is_chosen_by_glob(emoprune: Runner, table_model: Path) -> None:
    assert emoprune.done("angles", table_model, "--layer", "*2").record["layer"] == "classifier.hidden2"


@pytest.mark.parametrize("centre", ["half", "range", "mean", "none"])
def test_the_centre_is_as_asked(emoprune: Runner, model: Path, centre: str) -> None:
    record = emoprune.done("angles", model, "--all", "--center", centre).record
    assert record["centre"] == centre
    angles = np.array([pair["angle_deg"] for pair in record["pairs"]])
    assert ((angles >= 0) & (angles <= 180)).all()
    if centre == "none":
        assert (angles < 90).all(), "positive activations lie in one quadrant"


def test_the_table_shows_the_layer_and_says_what_it_leaves_out(emoprune: Runner, model: Path) -> None:
    text = emoprune.done("angles", model, "--all", "--format", "table").out
    assert "classifier.hidden1" in text
    assert "Pairs of classifier.hidden1: 276" in text
    assert "and 236 more: --format csv" in text


def test_a_checkpoint_can_come_from_stdin(emoprune: Runner, model: Path) -> None:
    piped = emoprune.done("angles", "-", stdin=model.read_bytes()).record
    assert {**piped, "model": str(model)} == emoprune.done("angles", model).record


def test_no_image_is_needed(
    emoprune: Runner, model: Path, in_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise AssertionError

    (in_folder / "alone.st").write_bytes(model.read_bytes())
    monkeypatch.setattr("emoprune.store.datasets.open_data", fail)
    emoprune.done("angles", "alone.st")
    assert set(tree(in_folder)) == {"alone.st"}


@pytest.mark.parametrize(
    ("argv", "code", "says"),
    [
        (["--below", "200"], 2, ("--below",)),
        (["--above", "-1"], 2, ("--above",)),
        (["--center", "middle"], 2, ("--center",)),
        (["--layer", "nothing*"], 1, ("--layer nothing*", "classifier.hidden1")),
    ],
)
def test_options_that_cannot_be_met(
    emoprune: Runner, model: Path, argv: list[str], code: int, says: tuple[str, ...]
) -> None:
    emoprune.check_refused("angles", model, *argv, code=code, says=says)


def test_a_network_without_dense_hidden_layer_is_named(
    emoprune: Runner, small: Path, in_folder: Path
) -> None:
    options = ("--arch", "squeezenet1_1", "--size", "32", "--weights", "none", "--epochs", "0")
    emoprune.done("train", small, "m.st", *options)
    for command in ("angles", "prune"):
        emoprune.check_refused(command, "m.st", says=("m.st: ", "squeezenet1_1", "--hidden"))
