"""emoprune angles: what is printed is what the checkpoint's statistics say."""

from __future__ import annotations

import csv
import io
import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from emoprune.data.datasets import open_data
from emoprune.data.loader import batches
from emoprune.data.splits import partition
from emoprune.evaluation.model import samples
from emoprune.networks import checkpoint as checkpoints
from emoprune.networks.types import UnitStatistics
from tests.support.command_line import Runner, opened, tree

HIDDEN = ("--layer", "classifier.hidden1")
KEYS = {"model", "layer", "units", "center", "similar", "complementary", "insignificant"}


def half_angle(statistics: UnitStatistics, i: int, j: int) -> float:
    """The angle of two units about 0.5, from the moments alone, by the plain arc cosine."""
    covariance, mean = statistics.covariance.numpy(), statistics.mean.numpy() - 0.5

    def inner(a: int, b: int) -> float:
        return float(covariance[a, b] + mean[a] * mean[b])

    return math.degrees(math.acos(inner(i, j) / math.sqrt(inner(i, i) * inner(j, j))))


def test_every_pair_has_the_angle_of_the_stored_statistics(emoprune: Runner, model: Path) -> None:
    record = emoprune.done("angles", model, "--all", *HIDDEN).record
    assert record["schema"] == "emoprune.angles/2"
    assert {*KEYS, "smallest_deg", "largest_deg", "pairs"} <= record.keys()
    assert (record["model"], record["center"]) == (str(model), "half")
    statistics = checkpoints.read(str(model)).statistics["classifier.hidden1"]
    pairs = {(pair["i"], pair["j"]): pair["angle_deg"] for pair in record["pairs"]}
    assert set(pairs) == set(itertools.combinations(range(record["units"]), 2))
    for (i, j), angle in pairs.items():
        assert angle == pytest.approx(half_angle(statistics, i, j), abs=1e-4)
    listed = [pair["angle_deg"] for pair in record["pairs"]]
    assert listed == sorted(listed)
    assert (record["smallest_deg"], record["largest_deg"]) == (min(listed), max(listed))


def test_two_formats_are_one_too_many(emoprune: Runner, model: Path) -> None:
    emoprune.check_refused("angles", model, "--format", "csv", "--json", code=2, says=("--json", "csv"))
    assert emoprune.done("angles", model, "--format", "json", "--json").lines


def test_without_all_only_similar_and_complementary_pairs_are_listed(emoprune: Runner, model: Path) -> None:
    everything = emoprune.done("angles", model, "--all", *HIDDEN).record["pairs"]
    record = emoprune.done("angles", model, "--below", "40", "--above", "150", *HIDDEN).record
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
    records = emoprune.done("angles", table_model).lines
    assert [record["layer"] for record in records] == ["classifier.hidden1", "classifier.hidden2"]


def test_a_layer_is_chosen_by_glob(emoprune: Runner, table_model: Path) -> None:
    assert emoprune.done("angles", table_model, "--layer", "*2").record["layer"] == "classifier.hidden2"


@pytest.mark.parametrize("center", ["half", "range", "mean", "none"])
def test_the_center_is_as_asked(emoprune: Runner, model: Path, center: str) -> None:
    record = emoprune.done("angles", model, "--all", "--center", center, *HIDDEN).record
    assert record["center"] == center
    angles = np.array([pair["angle_deg"] for pair in record["pairs"]])
    assert ((angles >= 0) & (angles <= 180)).all()
    if center == "none":
        assert (angles < 90).all(), "positive activations lie in one quadrant"


def test_the_table_shows_the_layer_and_says_what_it_leaves_out(emoprune: Runner, model: Path) -> None:
    text = emoprune.done("angles", model, "--all", *HIDDEN, "--format", "table").out
    assert "classifier.hidden1" in text
    assert "Pairs of classifier.hidden1: 276" in text
    assert "and 236 more: --format csv" in text


def test_of_several_layers_the_table_shows_the_counts_alone(emoprune: Runner, table_model: Path) -> None:
    text = emoprune.done("angles", table_model, "--all", "--format", "table").out
    assert all(f"classifier.hidden{number} " in text for number in (1, 2))
    assert "Pairs of" not in text
    assert "94 pairs: --layer NAME shows those of a layer, --format csv all" in text


@pytest.mark.parametrize("layer", ["*", "*2"])
def test_where_no_pair_is_similar_nothing_is_said_of_pairs(
    emoprune: Runner, table_model: Path, layer: str
) -> None:
    options = ("--below", "0", "--above", "180", "--layer", layer)
    text = emoprune.done("angles", table_model, *options, "--format", "table").out
    assert "classifier.hidden2 " in text
    assert "pair" not in text.lower()


def test_a_checkpoint_can_come_from_stdin(emoprune: Runner, model: Path) -> None:
    piped, named = emoprune.done("angles", "-", stdin=model.read_bytes()), emoprune.done("angles", model)
    assert [{**record, "model": str(model)} for record in piped.lines] == named.lines


def test_no_image_is_needed(
    emoprune: Runner, model: Path, in_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise AssertionError

    (in_folder / "alone.st").write_bytes(model.read_bytes())
    monkeypatch.setattr("emoprune.data.datasets.open_data", fail)
    emoprune.done("angles", "alone.st")
    assert set(tree(in_folder)) == {"alone.st"}


@pytest.mark.parametrize(
    ("argv", "code", "says"),
    [
        (["--below", "200"], 2, ("--below",)),
        (["--above", "-1"], 2, ("--above",)),
        (["--center", "middle"], 2, ("--center",)),
        (["--layer", "nothing*"], 1, ("--layer 'nothing*'", "classifier.hidden1")),
    ],
)
def test_options_that_cannot_be_met(
    emoprune: Runner, model: Path, argv: list[str], code: int, says: tuple[str, ...]
) -> None:
    emoprune.check_refused("angles", model, *argv, code=code, says=says)


@pytest.mark.parametrize("name", ["conv2", "table"])
def test_the_training_data_gives_the_angles_that_are_stored(
    emoprune: Runner, zoo: Callable[[str], Path], small: Path, table: Path, name: str
) -> None:
    data = table if name == "table" else small
    stored = emoprune.done("angles", zoo(name), "--all").lines
    measured = emoprune.done("angles", zoo(name), "--all", "--data", data)
    assert measured.err == ""
    assert len(measured.lines) == len(stored)
    for one, other in zip(stored, measured.lines, strict=True):
        assert one.keys() == other.keys()
        angles = [
            {(pair["i"], pair["j"]): pair["angle_deg"] for pair in line["pairs"]} for line in (one, other)
        ]
        assert angles[0] == pytest.approx(angles[1], abs=1e-2)
        plain = {key: value for key, value in one.items() if key != "pairs" and not key.endswith("_deg")}
        assert plain == {key: other[key] for key in plain}
    assert emoprune.done("angles", zoo(name), "--all", "--data", "none").lines == stored
    few = emoprune.done("angles", zoo(name), "--all", "--data", data, "--samples", "5").lines
    assert few != stored


def test_other_data_gives_other_angles_and_a_note(
    emoprune: Runner, zoo: Callable[[str], Path], faces: Path
) -> None:
    result = emoprune.done("angles", zoo("conv2"), "--data", faces)
    assert f"note: {faces} is not what the model was trained on" in result.err
    assert result.lines != emoprune.done("angles", zoo("conv2")).lines
    assert emoprune.done("angles", "-", "--data", faces, stdin=zoo("conv2").read_bytes()).lines != []


def test_channels_have_the_angles_of_their_means_over_the_map(
    emoprune: Runner, zoo: Callable[[str], Path], small: Path
) -> None:
    checkpoint, net = opened(zoo("conv2"))
    data = open_data(str(small))
    train = torch.tensor(partition(data.catalog, checkpoint.split)["train"])
    found = samples(data, checkpoint.preprocess, checkpoint.spec.input)
    (batch,) = batches(found, train, checkpoint.preprocess, torch.device("cpu"))
    read: list[torch.Tensor] = []
    net.get_submodule("features.3").register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
    with torch.inference_mode():
        net(batch)
    h = read[0].mean((2, 3)).double()
    units = torch.nn.functional.normalize(h, dim=0)
    expected = torch.rad2deg(torch.acos((units.T @ units).clamp(-1, 1)))
    options = ("--layer", "features.0", "--center", "none", "--all")
    for pair in emoprune.done("angles", zoo("conv2"), *options).record["pairs"]:
        assert pair["angle_deg"] == pytest.approx(float(expected[pair["i"], pair["j"]]), abs=1e-2)
