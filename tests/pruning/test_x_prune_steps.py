"""prune --steps: what happens while units go one by one."""

from __future__ import annotations

from pathlib import Path

import pytest

from emoprune.pruning.angles import angles_deg, default_centre
from tests.support.checkpoints import read
from tests.support.command_line import SMALL, Runner, tree
from tests.support.feature_tables import draw_table


@pytest.fixture
def table_model(emoprune: Runner, in_folder: Path) -> str:
    """A table's model of 8 sigmoid units."""
    draw_table(in_folder / "t.csv")
    emoprune.done("train", "t.csv", "m.st", "--arch", "mlp", "--hidden", "8", "--epochs", "20")
    return "m.st"


@pytest.mark.parametrize("merge", ["sum", "lstsq"])
def test_every_step_is_the_network_that_prune_writes_at_so_many_units(
    emoprune: Runner, table_model: str, in_folder: Path, merge: str
) -> None:
    common = ("--method", "progressive", "--merge", merge)
    before = tree(in_folder)
    record = emoprune.done("prune", table_model, *common, "--steps", "--units", "4", "--label", "x").record
    assert tree(in_folder) == before
    assert (record["schema"], record["label"], record["method"]) == ("emoprune.steps/1", "x", "progressive")
    assert [step["units"] for step in record["steps"]] == [8, 7, 6, 5, 4]
    for step in record["steps"][1:]:
        emoprune.done("prune", table_model, *common, "--units", step["units"], "-o", "o.st", "--force")
        found = emoprune.done("eval", "o.st", "t.csv", "--split", "train").record
        assert step["loss"] == pytest.approx(found["log_loss"], rel=1e-5)
        assert step["accuracy"] == pytest.approx(found["accuracy"])
        ((name, statistics),) = read("o.st").statistics.items()
        angles = angles_deg(statistics, centre=default_centre("sigmoid"))
        count = len(angles)
        smallest = min(float(angles[i, j]) for i in range(count) for j in range(i))
        assert step["smallest_angle_deg"] == pytest.approx(smallest)
        assert step["least_importance"] is None, name


def test_without_an_amount_it_goes_down_to_one_unit_and_report_takes_it(
    emoprune: Runner, table_model: str
) -> None:
    result = emoprune.done("prune", table_model, "--method", "reconstruct", "--steps")
    steps = result.record["steps"]
    assert [step["units"] for step in steps] == list(range(8, 0, -1))
    assert steps[-1]["smallest_angle_deg"] is None
    assert emoprune.done("report", "--by-label", stdin=result.raw).record["steps"]


def test_importance_tells_the_least_kernel_that_is_left(emoprune: Runner, small: Path) -> None:
    emoprune.done("train", small, "c.st", *SMALL, "--epochs", "1")
    options = ("--method", "importance", "--layer", "features.0", "--steps", "--units", "13")
    steps = emoprune.done("prune", "c.st", *options).record["steps"]
    weight = read("c.st").tensors["features.0.weight"].double()
    # I = sqrt(sum(a^2) / k^2), luan2020, section 2.3
    norms = sorted((weight.square().sum((1, 2, 3)) / weight[0, 0].numel()).sqrt().tolist())
    assert [step["units"] for step in steps] == [16, 15, 14, 13]
    assert [step["least_importance"] for step in steps] == pytest.approx(norms[:4])
    assert all(step["smallest_angle_deg"] is None for step in steps)


def test_rounded_to_a_multiple_every_step_takes_something(emoprune: Runner, table_model: str) -> None:
    options = ("--method", "progressive", "--steps", "--round-to", "4")
    counts = [step["units"] for step in emoprune.done("prune", table_model, *options).record["steps"]]
    assert len(counts) > 1
    assert counts == sorted(set(counts), reverse=True)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--method", "distinct"), "one by one"),
        (("--method", "magnitude"), "one by one"),
        (("--method", "progressive", "--angle", "15"), "--angle"),
        (("--method", "progressive", "-o", "o.st"), "--output"),
        (("--method", "progressive", "--data", "none"), "forbids"),
        (("--method", "progressive", "--sensitivity"), "--sensitivity"),
        (("--method", "progressive", "--rewind", "t.st"), "--rewind"),
    ],
)
def test_what_has_no_steps_is_the_command_lines_fault(
    emoprune: Runner, table_model: str, options: tuple[str, ...], says: str
) -> None:
    emoprune.check_refused("prune", table_model, *options, "--steps", code=2, says=(says,))


def test_data_that_is_gone_is_asked_for(emoprune: Runner, table_model: str, in_folder: Path) -> None:
    (in_folder / "t.csv").rename(in_folder / "elsewhere.csv")
    options = ("--method", "progressive", "--steps")
    emoprune.check_refused("prune", table_model, *options, code=2, says=("give --data",))
    assert emoprune.done("prune", table_model, *options, "--data", "elsewhere.csv").record["steps"]


def test_a_curve_has_every_epoch_and_a_training_without_any_is_refused(
    emoprune: Runner, table_model: str
) -> None:
    train = ("train", "t.csv", "n.st", "--arch", "mlp", "--curve", "c.json")
    emoprune.check_refused(*train, "--epochs", "0", code=2, says=("--curve",))
    emoprune.done(*train, "--epochs", "3", "--label", "x")
    record = emoprune.done("report", "c.json", "--by-label").record
    assert record["curves"]
